//! Values as people write them, and what is told of each.
use std::collections::BTreeMap;

use super::*;

fn of(variables: &[(&str, &str)]) -> Proxies {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Proxies::read(|name| variables.get(name).map(OsString::from))
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

#[test]
fn a_proxy_is_named_without_its_login() {
    let proxies = of(&[
        ("http_proxy", "http://me:s3cret@p:3128"),
        ("https_proxy", "p2:8080"),
        ("NO_PROXY", "in.example,127.0.0.0/8"),
    ]);
    let said = |text: &str| proxies.via(&url(text));
    assert_eq!(said("http://x.example/a?b=c"), " (through the proxy http://p:3128)");
    assert_eq!(said("https://x.example:5000/v3"), " (through the proxy http://p2:8080)");
    for direct in ["http://in.example/", "https://a.in.example/", "http://127.0.0.1:9/"] {
        assert_eq!(said(direct), "", "{direct}");
    }
}

#[test]
fn what_may_be_a_login_is_told_by_nobody() {
    let escapes = [
        "http://me:s3@cret@p:9",
        "http://me:s3/cret@p:9",
        "http://me:s3?cret@p:9",
        "http://me:s3#cret@p:9",
        "me:s3/cret@p:9",
        "me:s3://cret@p:9",
        "s3://cret@p:9",
        "http://me:cret@p:9/@s3",
    ];
    let others = [
        "http://me:s3cret",
        "me:s3cret",
        "http://me:s3cret@",
        "http://:s3cret",
        "s3cret://p:9",
        "http://me:s3cret@p q",
        "http://",
    ];
    for (value, login) in escapes.map(|v| (v, true)).into_iter().chain(others.map(|v| (v, false))) {
        let proxies = of(&[("all_proxy", value)]);
        let wrong = proxies.check(&url("http://x/")).expect_err(value);
        let said = format!(
            "{wrong} {} {} {proxies:?} {:?}",
            wrong.hint(),
            proxies.via(&url("http://x/")),
            proxies.summary()
        );
        let told = said.replace("s%40cret", "");
        assert!(
            !told.contains("s3") && !told.contains("cret") && told.contains("all_proxy"),
            "{value}: {told}"
        );
        assert_eq!(wrong.wrong == Wrong::Login, login, "{value}: {wrong}");
    }
}

#[test]
fn what_is_escaped_or_left_out_is_understood() {
    for (value, shown) in [
        ("http://me:s%40c%2Fr%3F%23@p:3128/", "http://p:3128"),
        ("HTTPS://p", "https://p"),
        (" p:3128\n", "http://p:3128"),
        ("http://p:3128/path?x", "http://p:3128"),
        ("http://me:a:b!^|@[::1]:3128", "http://[::1]:3128"),
        ("http://me@10.0.0.1", "http://10.0.0.1"),
        ("http://ad\\me:50%off 1@p:9", "http://p:9"),
    ] {
        assert_eq!(
            of(&[("all_proxy", value)]).via(&url("https://x/")),
            format!(" (through the proxy {shown})"),
            "{value}"
        );
    }
    let of_kind =
        |value| of(&[("https_proxy", value)]).check(&url("https://x/")).unwrap_err().to_string();
    assert_eq!(
        of_kind("socks5h://me:s3cret@p:1080"),
        "https_proxy names a socks5h proxy, which is not supported"
    );
    assert_eq!(of_kind("FTP://p"), "https_proxy names a ftp proxy, which is not supported");
}

#[test]
fn what_logs_in_is_known_in_full() {
    let secrets =
        of(&[("http_proxy", "http://me:s%40c@p"), ("https_proxy", "http://token@p")]).secrets();
    assert_eq!(secrets, ["bWU6c0Bj", "s@c", "dG9rZW46", "token"]);
    assert!(of(&[("all_proxy", "p"), ("no_proxy", "x")]).secrets().is_empty());
}

/// As requests, and thereby openstacksdk, chooses.
#[test]
fn the_variable_that_counts_is_the_one_that_counts_elsewhere() {
    let via = |variables: &[(&str, &str)], to: &str| of(variables).via(&url(to));
    assert!(via(&[("http_proxy", "a"), ("HTTP_PROXY", "b")], "http://x/").contains("http://a)"));
    assert!(via(&[("HTTP_PROXY", "b"), ("ALL_PROXY", "c")], "http://x/").contains("http://b)"));
    assert!(via(&[("HTTP_PROXY", "b"), ("ALL_PROXY", "c")], "https://x/").contains("http://c)"));
    assert_eq!(via(&[("http_proxy", ""), ("HTTP_PROXY", "b")], "http://x/"), "");
    assert_eq!(via(&[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "b")], "http://x/"), "");
    // One that is not in force is no matter.
    let both =
        of(&[("http_proxy", "a"), ("https_proxy", "b"), ("all_proxy", "socks://127.0.0.1:1080/")]);
    assert!(both.summary().iter().all(Result::is_ok) && both.check(&url("https://x/")).is_ok());
    assert!(of(&[]).summary().is_empty());
}

#[test]
fn hosts_that_are_reached_without() {
    let direct =
        |no: &str, to: &str| of(&[("all_proxy", "p"), ("no_proxy", no)]).via(&url(to)).is_empty();
    for (no, to) in [
        ("*", "http://127.0.0.1:9/v3"),
        ("*", "https://[::1]/"),
        ("*", "https://x.example/"),
        ("a, *", "http://10.1.2.3/"),
        ("a b.example", "https://c.b.example/"),
        (".b.example", "https://b.example./"),
        ("10.0.0.0/8", "http://10.1.2.3/"),
        ("[::1]", "http://[::1]:5000/"),
        ("::1", "http://[::1]:5000/"),
        ("x.example:5000", "https://x.example:5000/v3"),
        ("x.example:443", "https://x.example/"),
        ("[::1]:5000", "http://[::1]:5000/"),
    ] {
        assert!(direct(no, to), "{no} {to}");
    }
    for (no, to) in [
        ("", "http://10.1.2.3/"),
        ("x.example:5000", "https://x.example/"),
        ("b.example", "https://ab.example/"),
        ("10.0.0.0/8", "http://11.1.2.3/"),
    ] {
        assert!(!direct(no, to), "{no} {to}");
    }
    // What is not used cannot be wrong.
    let none = of(&[("all_proxy", "socks5://p"), ("no_proxy", "*")]);
    assert!(none.check(&url("http://10.0.0.1/")).is_ok() && none.summary().is_empty());
}

/// A client does what is said: with a server for all, whatever it is asked for.
#[tokio::test]
async fn a_client_goes_where_is_said() {
    use std::io::{Read, Write};
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut asked in server.incoming().flatten() {
            let mut head = [0; 4096];
            let length = asked.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
            let body = head
                .lines()
                .filter(|l| l.starts_with("get ") || l.starts_with("proxy-auth"))
                .collect::<Vec<_>>()
                .join(" ");
            let _ = write!(
                asked,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let proxy = format!("http://me:s%40c@{at}");
    let asked = |variables: &[(&str, &str)], to: String| {
        let client = of(variables).on(reqwest::Client::builder()).build().unwrap();
        async move { client.get(to).send().await?.text().await }
    };
    // base64 of `me:s@c`, in small letters.
    let through = asked(&[("http_proxy", &proxy)], "http://10.255.255.1:9/x".into()).await.unwrap();
    assert_eq!(through, "get http://10.255.255.1:9/x http/1.1 proxy-authorization: basic bwu6c0bj");
    let direct =
        asked(&[("http_proxy", "http://127.0.0.1:1"), ("no_proxy", "*")], format!("http://{at}/x"))
            .await
            .unwrap();
    assert_eq!(direct, "get /x http/1.1");
    let unsupported =
        asked(&[("http_proxy", "socks5://127.0.0.1:1")], format!("http://{at}/x")).await;
    assert!(unsupported.unwrap_err().is_connect(), "it went there all the same");
}
