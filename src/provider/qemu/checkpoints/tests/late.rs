//! A QEMU whose answers are lost or late: the machine goes on, and it is known to what it writes.
use std::fs::File;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use super::Bench;
use super::machines::{cloud, cx, machine};
use crate::provider::CloudError;
use crate::provider::qemu::checkpoints::save::Paused;
use crate::system::exec::process::Proc;

/// What becomes of the command that is not answered.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Done,
    NotDone,
    /// It is done before the next client is served.
    DoneLater,
    /// QEMU ends over it.
    Fatal,
}

/// As much of QEMU as a checkpoint needs. The first `mute.0` is not answered: the connection ends.
struct Qemu {
    mute: Option<(&'static str, Fate)>,
    late: Option<(String, Value)>,
    running: bool,
    node: String,
    migration: &'static str,
}

type Shared = Arc<Mutex<Qemu>>;

impl Qemu {
    fn done(&mut self, command: &str, arguments: &Value) -> Value {
        match command {
            "stop" => self.running = false,
            "cont" => self.running = true,
            "blockdev-snapshot" => self.node = arguments["overlay"].as_str().unwrap().into(),
            "migrate" => self.migration = "active",
            "migrate_cancel" if self.migration == "active" => self.migration = "cancelled",
            "query-migrate" => {
                self.migration = "completed";
                return json!({ "status": "completed" });
            }
            "query-block" => {
                return json!([
                    { "inserted": { "node-name": "seed" } },
                    { "inserted": { "node-name": self.node } },
                ]);
            }
            _ => {}
        }
        json!({})
    }

    /// `None`: there is no answer.
    fn answer(&mut self, told: &Value) -> Option<Value> {
        let command = told["execute"].as_str().unwrap();
        let Some((_, fate)) = self.mute.take_if(|(mute, _)| *mute == command) else {
            let answer = self.done(command, &told["arguments"]);
            return Some(json!({ "return": answer, "id": told["id"] }));
        };
        match fate {
            Fate::Done => drop(self.done(command, &told["arguments"])),
            Fate::DoneLater => self.late = Some((command.into(), told["arguments"].clone())),
            Fate::NotDone | Fate::Fatal => {}
        }
        None
    }
}

async fn serve(listener: UnixListener, qemu: Shared, is_fatal: bool) {
    loop {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let late = qemu.lock().unwrap().late.take();
        if let Some((command, arguments)) = late {
            qemu.lock().unwrap().done(&command, &arguments);
        }
        stream.get_mut().write_all(b"{\"QMP\": {}}\n").await.unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap_or_default() > 0 {
            let told: Value = serde_json::from_str(&line).unwrap();
            line.clear();
            let answer = qemu.lock().unwrap().answer(&told);
            match answer {
                Some(answer) => {
                    stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await.unwrap();
                }
                None if is_fatal => return,
                None => break,
            }
        }
    }
}

/// Whether the disk is sealed, whether all went well, and QEMU as it is then.
async fn saved(mute: Option<(&'static str, Fate)>) -> (Result<(bool, bool), CloudError>, Qemu) {
    let bench = Bench::new();
    let cloud = cloud(bench.dir.path(), 1 << 30);
    let (place, record) = machine(&bench, &cloud, "m");
    let (late, node, migration) = (None, "disk".to_owned(), "none");
    let qemu: Shared = Arc::new(Mutex::new(Qemu { mute, late, running: true, node, migration }));
    let is_fatal = mute.is_some_and(|(_, fate)| fate == Fate::Fatal);
    let server = serve(UnixListener::bind(place.qmp()).unwrap(), qemu.clone(), is_fatal);
    let server = tokio::spawn(server);
    let gone = Proc { pid: i32::MAX, start: 0 };
    let process = if is_fatal { gone } else { record.proc() };
    let paused = Paused { cloud: &cloud, place: &place, qemu: process, what: "keep it" };
    let memory = File::create(place.file("memory")).unwrap();
    let done = paused.seal_and_write(&cx(), "overlay-1.qcow2", &memory).await;
    server.abort();
    let _ = server.await;
    let qemu = Arc::into_inner(qemu).unwrap().into_inner().unwrap();
    (done.map(|(is_sealed, written)| (is_sealed, written.is_ok())), qemu)
}

#[tokio::test]
async fn a_machine_pauses_and_goes_on() {
    let (done, qemu) = saved(None).await;
    assert_eq!(done.unwrap(), (true, true));
    assert!(qemu.running && qemu.migration == "completed" && qemu.node == "overlay-1");
}

/// To which disk the machine writes is asked, not guessed: the other one lacks what follows.
#[tokio::test]
async fn a_machine_goes_on_whatever_answer_is_lost() {
    let commands = ["stop", "query-block", "blockdev-add", "blockdev-snapshot", "getfd", "migrate"];
    let commands = commands.into_iter().chain(["query-migrate", "migrate_cancel", "cont"]);
    for command in commands {
        for fate in [Fate::Done, Fate::NotDone, Fate::DoneLater] {
            let (done, qemu) = saved(Some((command, fate))).await;
            let (is_sealed, is_whole) = done.unwrap();
            assert!(qemu.mute.is_none() && qemu.late.is_none(), "{command} was sent");
            assert!(qemu.running, "{command}");
            assert_ne!(qemu.migration, "active", "{command}: it would stop the machine again");
            assert_eq!(is_sealed, qemu.node == "overlay-1", "{command}");
            assert_eq!(is_whole, ["migrate_cancel", "cont"].contains(&command), "{command}");
        }
    }
}

#[tokio::test]
async fn what_is_not_known_of_a_machine_is_said() {
    let (done, _) = saved(Some(("blockdev-snapshot", Fate::Fatal))).await;
    assert!(matches!(done, Err(CloudError::Unknown { .. })), "{done:?}");
}
