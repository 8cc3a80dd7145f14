//! Proxies that the environment names.
use super::*;

/// Errors name the way: who has a proxy in the environment may not think of it. Its password is
/// nobody's to read.
#[test]
fn a_proxy_that_gives_no_connection_is_named_without_its_password() {
    let run = |factory: &Factory, args: &[&str], env: &[(&str, &str)]| {
        let mut command = factory.command(args);
        for name in [
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
            "OS_CLOUD",
        ] {
            command.env_remove(name);
        }
        let output = command.envs(env.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.contains("s3cret"), "{said}");
        said
    };
    // Nobody listens at either.
    let cloud = [
        ("OS_AUTH_URL", "http://127.0.0.1:2/v3"),
        ("OS_USERNAME", "u"),
        ("OS_PASSWORD", "p"),
        ("OS_PROJECT_NAME", "p"),
        ("http_proxy", "http://me:s3cret@127.0.0.1:1"),
    ];
    let said = run(&good(), &["plan", "images/x"], &cloud);
    assert!(
        said.contains("127.0.0.1:2 (through the proxy http://127.0.0.1:1) is not reached: "),
        "{said}"
    );
    assert!(said.contains("hint: is that proxy right") && said.contains("NO_PROXY="), "{said}");
    let direct = [&cloud[..], &[("NO_PROXY", "127.0.0.1")]].concat();
    let said = run(&good(), &["plan", "images/x"], &direct);
    assert!(
        said.contains("127.0.0.1:2 is not reached: ") && !said.contains("through the proxy"),
        "{said}"
    );
    // One that answers itself, and wants a login.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://me:s3cret@{}", proxy.local_addr().unwrap());
    let named = format!(
        "(through the proxy http://{}) wants a login of its own (407)",
        proxy.local_addr().unwrap()
    );
    std::thread::spawn(move || {
        for mut asked in proxy.incoming().flatten() {
            let _ = std::io::Read::read(&mut asked, &mut [0; 4096]);
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: \
                0\r\nConnection: close\r\n\r\n";
            let _ = std::io::Write::write_all(&mut asked, refusal);
        }
    });
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let vars = format!(
        "bundle: {{name: d}}\nsource: {{url: 'http://127.0.0.1:2/d.qcow2', sha256: {sum}}}\n"
    );
    let factory = Factory::new().bundle("os/d", &vars);
    let said = run(
        &factory,
        &["--cloud", "local", "--accel", "tcg", "build", "os/d"],
        &[("http_proxy", &address)],
    );
    assert!(said.contains(&named) && said.contains("NO_PROXY="), "{said}");
}

/// The program in an environment that says nothing but `env` of proxies.
fn behind(factory: &Factory, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = factory.command(args);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    Ran::of(command.envs(env.iter().copied()).output().unwrap())
}

const CLOUD: [(&str, &str); 4] = [
    ("OS_AUTH_URL", "http://127.0.0.1:2/v3"),
    ("OS_USERNAME", "u"),
    ("OS_PASSWORD", "p"),
    ("OS_PROJECT_NAME", "p"),
];

/// A part of the password stood in the error, and in the log; of a kind that is not supported
/// nothing was said for half a minute.
#[test]
fn a_proxy_that_cannot_be_used_is_refused_at_once_and_without_a_word_of_it() {
    let url = "bundle: {name: d}\nsource: {url: 'http://127.0.0.1:2/d.qcow2', sha256: \
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n";
    let factory = good().bundle("os/d", url);
    let values = [
        "http://me:s3@cret@127.0.0.1:9",
        "http://me:s3/cret@127.0.0.1:9",
        "http://me:s3?cret@h",
        "http://me:s3#cret@h",
        "me:s3/cret@h",
    ];
    let of_login = |said: Ran| {
        let said = said
            .says("http_proxy cannot be taken apart: a character of its login is not escaped")
            .says("%40");
        let all = format!("{}{}", said.out, said.err).replace("s%40cret", "");
        assert!(!all.contains("s3") && !all.contains("cret"), "{all}");
    };
    let before = factory.listing();
    for value in values {
        let proxy = ("http_proxy", value);
        of_login(
            behind(&factory, &["plan", "images/x"], &[&CLOUD[..], &[proxy]].concat()).exits(2),
        );
        of_login(behind(&factory, &["image", "list"], &[&CLOUD[..], &[proxy]].concat()).exits(2));
    }
    for kind in ["socks5h", "ftp"] {
        let proxy = format!("{kind}://me:s3cret@127.0.0.1:9");
        let ran = behind(
            &factory,
            &["plan", "images/x"],
            &[&CLOUD[..], &[("ALL_PROXY", &proxy)]].concat(),
        )
        .exits(2);
        let ran =
            ran.says(&format!("error: ALL_PROXY names a {kind} proxy, which is not supported"));
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    }
    assert_eq!(factory.listing(), before, "something was made");
    // A build has a record of its failure, in which the login does not stand either.
    let of_build = behind(
        &factory,
        &["--cloud", "local", "--accel", "tcg", "build", "os/d"],
        &[("http_proxy", values[0])],
    );
    let path = of_build
        .err
        .lines()
        .find_map(|line| line.strip_prefix("log: "))
        .expect("the log is named")
        .to_owned();
    of_login(of_build.exits(2));
    let log = std::fs::read_to_string(factory.tree().join(path)).unwrap().replace("s%40cret", "");
    assert!(
        log.contains("http_proxy cannot be taken apart")
            && !log.contains("s3")
            && !log.contains("cret"),
        "{log}"
    );
    // Where no request goes that way nothing is wrong.
    let socks = ("all_proxy", "socks5h://127.0.0.1:9");
    behind(&factory, &["--cloud", "local", "image", "list"], &[socks]).exits(0);
    behind(&factory, &["validate", "--offline", "images/x"], &[socks]).exits(0);
    for direct in ["*", "127.0.0.1", "127.0.0.1:2", "127.0.0.0/8"] {
        let ran = behind(
            &factory,
            &["plan", "images/x"],
            &[&CLOUD[..], &[socks, ("no_proxy", direct)]].concat(),
        )
        .exits(20);
        assert!(
            ran.err.contains("127.0.0.1:2 is not reached: ") && !ran.err.contains("proxy http"),
            "{direct}: {}",
            ran.err
        );
    }
}

/// It printed text whatever it was asked for.
#[test]
fn doctor_tells_what_it_finds_as_json_and_of_proxies() {
    let factory = good();
    let env = [
        ("http_proxy", "http://me:s3@cret@h"),
        ("https_proxy", "http://me:s3cret@proxy.example:3128"),
    ];
    let ran = behind(&factory, &["--json", "doctor"], &env).exits(20);
    let told: serde_json::Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out));
    let proxies: Vec<_> =
        told["lines"].as_array().unwrap().iter().filter(|line| line["what"] == "proxy").collect();
    assert!(told["ok"] == false && proxies.len() == 2 && proxies[0]["ok"] == false, "{told:#}");
    assert_eq!(proxies[1]["text"], "https through http://proxy.example:3128 (https_proxy)");
    let text = behind(&factory, &["doctor"], &env)
        .exits(20)
        .says("MISSING  proxy                http_proxy cannot be taken apart")
        .out;
    for said in [ran.out, text] {
        assert!(!said.replace("s%40cret", "").contains("cret"), "{said}");
    }
}
