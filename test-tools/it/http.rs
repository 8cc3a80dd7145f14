//! A small HTTP server on the loopback that does as it is told, wrongly too: what no proper server
//! can be made to do.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// First byte of `Range: bytes=<first>-`.
    pub from: Option<usize>,
    pub if_range: Option<String>,
    /// All of the head.
    pub head: String,
    /// Counts from 0, over all paths.
    pub number: usize,
}

/// Ends with the process; its threads wait on sockets.
pub struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Each connection is one request; it is closed when `answer` returns.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || {
                    let Some(mut request) = read(&mut stream) else { return };
                    let mut seen = log.lock().unwrap();
                    request.number = seen.len();
                    seen.push(request.clone());
                    drop(seen);
                    answer(&request, &mut stream);
                });
            }
        });
        Self { port, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let found = text
            .lines()
            .filter_map(|l| l.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    Some(Request {
        path: text.split(' ').nth(1)?.to_owned(),
        from: header("range")
            .map(|r| r.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()),
        if_range: header("if-range"),
        head: text.clone(),
        number: 0,
    })
}

/// Head and body as given; nothing is added. A peer that went away is none of a server's business.
pub fn say(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes());
    let _ = stream.write_all(body);
}

/// What a proper server answers: all, or the rest of what was begun; of its body the first `most`
/// bytes.
pub fn serve(request: &Request, stream: &mut TcpStream, content: &[u8], etag: &str, most: usize) {
    let of = content.len();
    match request.from.filter(|_| request.if_range.as_deref() == Some(etag)) {
        Some(from) if from >= of => say(
            stream,
            &format!(
                "416 Range Not Satisfiable\r\nContent-Range: bytes */{of}\r\nContent-Length: 0"
            ),
            &[],
        ),
        Some(from) => {
            let rest = &content[from..];
            let range = format!("Content-Range: bytes {from}-{}/{of}", of - 1);
            let head = format!(
                "206 Partial Content\r\nETag: {etag}\r\n{range}\r\nContent-Length: {}",
                rest.len()
            );
            say(stream, &head, &rest[..most.min(rest.len())]);
        }
        None => say(
            stream,
            &format!("200 OK\r\nETag: {etag}\r\nContent-Length: {of}"),
            &content[..most.min(of)],
        ),
    }
}

/// Holds the connection open, silent, until the other side closes it.
pub fn hang(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0]);
}
