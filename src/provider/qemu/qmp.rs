//! Client for QMP, QEMU's control protocol: JSON lines over a Unix socket. Source:
//! docs/interop/qmp-spec of QEMU.
//!
//! QEMU serves one client per socket and lets others wait silently. So connections are short, with
//! one command each, and the caller must serialise them.
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;

mod rights;

#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    #[error("qmp: {0}")]
    Io(#[from] std::io::Error),
    #[error("qmp: QEMU closed the connection")]
    Closed,
    #[error("qmp: no answer to {command} in {after:?}")]
    Deadline { command: String, after: Duration },
    #[error("qmp: {command}: {reason}")]
    Refused { command: String, reason: String },
    #[error("qmp: not understood: {0}")]
    Broken(String),
}

pub struct Qmp {
    stream: BufReader<UnixStream>,
    sent: u64,
}

impl Qmp {
    /// Connects, reads the greeting and negotiates, all within `deadline`.
    pub async fn connect(socket: &Path, deadline: Duration) -> Result<Self, QmpError> {
        let work = async {
            let mut qmp =
                Self { stream: BufReader::new(UnixStream::connect(socket).await?), sent: 0 };
            let greeting = qmp.line().await?;
            if greeting.get("QMP").is_none() {
                return Err(QmpError::Broken(greeting.to_string()));
            }
            qmp.ask("qmp_capabilities", json!({})).await?;
            Ok(qmp)
        };
        tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
            Err(QmpError::Deadline { command: "connect".into(), after: deadline })
        })
    }

    /// Runs one command. After an error other than `Refused` the connection is unusable.
    pub async fn execute(
        &mut self,
        command: &str,
        arguments: Value,
        deadline: Duration,
    ) -> Result<Value, QmpError> {
        tokio::time::timeout(deadline, self.ask(command, arguments)).await.unwrap_or_else(|_| {
            Err(QmpError::Deadline { command: command.into(), after: deadline })
        })
    }

    /// [`execute`](Self::execute), with an open file beside the command.
    pub async fn hand(
        &mut self,
        command: &str,
        arguments: Value,
        file: RawFd,
        deadline: Duration,
    ) -> Result<Value, QmpError> {
        let work = async {
            let (id, text) = self.text(command, &arguments);
            let socket = self.stream.get_ref();
            let sent = socket
                .async_io(Interest::WRITABLE, || rights::send(socket.as_raw_fd(), &text, file))
                .await?;
            self.stream.get_mut().write_all(&text[sent..]).await?;
            self.answer(id, command).await
        };
        tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
            Err(QmpError::Deadline { command: command.into(), after: deadline })
        })
    }

    async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let (id, text) = self.text(command, &arguments);
        self.stream.get_mut().write_all(&text).await?;
        self.answer(id, command).await
    }

    fn text(&mut self, command: &str, arguments: &Value) -> (u64, Vec<u8>) {
        self.sent += 1;
        let id = self.sent;
        let text = json!({ "execute": command, "arguments": arguments, "id": id });
        (id, format!("{text}\n").into_bytes())
    }

    async fn answer(&mut self, id: u64, command: &str) -> Result<Value, QmpError> {
        loop {
            // Skips events; `query-status` provides the same information.
            let mut answer = self.line().await?;
            if answer.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            if let Some(error) = answer.get("error") {
                let reason = error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason given")
                    .to_owned();
                return Err(QmpError::Refused { command: command.into(), reason });
            }
            return Ok(answer.get_mut("return").map(Value::take).unwrap_or_default());
        }
    }

    async fn line(&mut self) -> Result<Value, QmpError> {
        let mut text = String::new();
        if self.stream.read_line(&mut text).await? == 0 {
            return Err(QmpError::Closed);
        }
        serde_json::from_str(&text)
            .map_err(|e| QmpError::Broken(format!("{e}: {}", text.trim_end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// Says each line of `script` that is not `<`; at `<` it hears one line first.
    fn server(
        script: &'static [&'static str],
    ) -> (tempfile::TempDir, std::path::PathBuf, tokio::task::JoinHandle<Vec<String>>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let task = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut heard = Vec::new();
            for line in script {
                if *line == "<" {
                    let mut text = String::new();
                    stream.read_line(&mut text).await.unwrap();
                    heard.push(text);
                } else {
                    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
                }
            }
            heard
        });
        (dir, path, task)
    }

    const HELLO: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

    #[tokio::test]
    async fn answers_are_told_from_events() {
        let (_dir, path, task) = server(&[
            HELLO,
            "<",
            r#"{"return": {}, "id": 1}"#,
            "<",
            r#"{"event": "STOP", "timestamp": {}}"#,
            r#"{"return": {"status": "running"}, "id": 2}"#,
            "<",
            r#"{"error": {"class": "GenericError", "desc": "no such thing"}, "id": 3}"#,
        ]);
        let mut qmp = Qmp::connect(&path, SOON).await.unwrap();
        let status = qmp.execute("query-status", json!({}), SOON).await.unwrap();
        assert_eq!(status["status"], "running");
        let refused = qmp.execute("bad", json!({"a": 1}), SOON).await.unwrap_err();
        assert_eq!(refused.to_string(), "qmp: bad: no such thing");
        assert!(matches!(
            qmp.execute("more", json!({}), SOON).await,
            Err(QmpError::Closed | QmpError::Io(_))
        ));
        let heard = task.await.unwrap();
        assert_eq!(heard[2], "{\"execute\":\"bad\",\"arguments\":{\"a\":1},\"id\":3}\n");
    }

    #[tokio::test]
    async fn silence_has_an_end() {
        let (_dir, path, _task) = server(&["<"]);
        let soon = Duration::from_millis(50);
        assert!(matches!(Qmp::connect(&path, soon).await, Err(QmpError::Deadline { .. })));
    }

    #[tokio::test]
    async fn another_protocol_is_refused() {
        let (_dir, path, _task) = server(&["{}"]);
        assert!(matches!(Qmp::connect(&path, SOON).await, Err(QmpError::Broken(_))));
        assert!(matches!(
            Qmp::connect(Path::new("/nowhere/qmp"), SOON).await,
            Err(QmpError::Io(_))
        ));
    }
}
