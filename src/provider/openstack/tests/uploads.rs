//! A file becomes an image: what was sent is what Glance says it took, or there is no image.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{asked, cloud, login_of};
use crate::model::digest::Algorithm;
use crate::model::event::{Event, Events, Sink, Stamped};
use crate::model::image::Image;
use crate::provider::ledger::{Kind, Ledger};
use crate::provider::openstack::{Config, OpenStack};
use crate::provider::{CloudError, Provider, RunCx};
use crate::system::digest::Hasher;

const FILE: &str = "/image/v2/images/i1/file";
const SOON: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Sink for Notes {
    fn take(&mut self, event: &Stamped) {
        if let Event::Note { text } = &event.event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

struct Bench {
    dir: tempfile::TempDir,
    server: MockServer,
    cx: RunCx,
    notes: Notes,
    /// What uploads are answered, one after the other.
    puts: &'static [u16],
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (notes, events) = (Notes::default(), Events::default());
        events.add(Box::new(notes.clone()));
        let cx = RunCx::new(
            // Its own: the engine's tests end the processes of their run.
            "r-upload",
            Ledger::open(&dir.path().join("ledger")).unwrap(),
            events,
            Default::default(),
        );
        Self { dir, server: cloud().await, cx, notes, puts: &[204] }
    }

    fn disk(&self, options: &[&str]) -> PathBuf {
        let path = self.dir.path().join("disk");
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .args(options)
            .arg(&path)
            .arg("1G")
            .status();
        assert!(made.expect("qemu-img is not installed: run `setup/dependencies run`").success());
        path
    }

    /// `told`: what Glance says of the content.
    async fn import(&self, disk: &Path, told: Value) -> Result<Image, CloudError> {
        let mut record = json!({ "id": "i1", "name": "x", "status": "active",
            "size": disk.metadata().unwrap().len(), "virtual_size": 1 << 30 });
        record.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
        answers(&self.server, "POST", "/image/v2/images", 201, json!({ "id": "i1" })).await;
        for (index, status) in self.puts.iter().enumerate() {
            let answer = Mock::given(method("PUT"))
                .and(path("/image/v2/images/i1/file"))
                .respond_with(ResponseTemplate::new(*status));
            let last = index + 1 == self.puts.len();
            let answer = if last { answer } else { answer.up_to_n_times(1) };
            answer.with_priority(u8::try_from(index + 1).unwrap()).mount(&self.server).await;
        }
        answers(&self.server, "GET", "/image/v2/images/i1", 200, record.clone()).await;
        answers(&self.server, "PATCH", "/image/v2/images/i1", 200, record).await;
        let config = Config {
            login: login_of(&self.server),
            home: self.dir.path().join("home"),
            runtime: self.dir.path().join("run"),
            defaults: Default::default(),
            owner: "test".into(),
            ssh_from: Vec::new(),
        };
        let mut cloud = OpenStack::new(config).unwrap();
        cloud.patience = Duration::from_secs(2);
        cloud.artifacts().import(&self.cx.within(SOON), "x", disk).await
    }

    /// What was uploaded; `None`: nothing was.
    async fn sent(&self) -> Option<Vec<u8>> {
        let all = self.server.received_requests().await.unwrap();
        all.into_iter().find(|r| r.method.as_str() == "PUT").map(|r| r.body)
    }
}

async fn answers(server: &MockServer, verb: &str, at: &str, status: u16, body: Value) {
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

fn sha512(path: &Path) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&std::fs::read(path).unwrap());
    hasher.finish().hex
}

#[tokio::test]
async fn what_was_sent_is_what_glance_has() {
    let bench = Bench::new().await;
    let disk = bench.disk(&[]);
    let image = bench
        .import(&disk, json!({ "os_hash_algo": "sha512", "os_hash_value": sha512(&disk) }))
        .await
        .unwrap();
    assert_eq!(image.checksum, sha512(&disk));
    assert!(bench.sent().await.unwrap() == std::fs::read(&disk).unwrap());
    assert_eq!(*bench.notes.0.lock().unwrap(), [] as [&str; 0]);
}

#[tokio::test]
async fn another_checksum_refuses_the_image_and_leaves_it_to_the_ledger() {
    let bench = Bench::new().await;
    let disk = bench.disk(&[]);
    let error = bench
        .import(&disk, json!({ "os_hash_algo": "sha512", "os_hash_value": "0".repeat(128) }))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains(&format!(
            "Glance has sha512:{}, sent was sha512:{}",
            "0".repeat(128),
            sha512(&disk)
        )),
        "{error}"
    );
    let owned = bench.cx.ledger.entries();
    assert!(
        owned.iter().any(|e| e.kind == Kind::Image && e.id.as_deref() == Some("i1")),
        "{owned:?}"
    );
}

#[tokio::test]
async fn no_checksum_is_told() {
    for told in [json!({}), json!({ "os_hash_algo": "sha256", "os_hash_value": "0".repeat(64) })] {
        let bench = Bench::new().await;
        let disk = bench.disk(&[]);
        bench.import(&disk, told).await.unwrap();
        assert!(bench.notes.0.lock().unwrap()[0].contains("was not compared"));
    }
}

/// A tool that guessed would read the other file, and Glance would have it.
#[tokio::test]
async fn an_image_that_needs_another_file_is_not_sent() {
    let bench = Bench::new().await;
    let disk = bench.disk(&["-F", "raw", "-b", "/etc/passwd"]);
    let error = bench.import(&disk, json!({})).await.unwrap_err();
    assert!(error.to_string().contains("has a backing file"), "{error}");
    assert!(bench.sent().await.is_none() && bench.cx.ledger.entries().is_empty());
}

#[tokio::test]
async fn a_raw_disk_is_sent_as_qcow2() {
    let bench = Bench::new().await;
    let disk = bench.dir.path().join("disk");
    let mut content = vec![0; 1 << 20];
    content[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(&disk, content).unwrap();
    bench.import(&disk, json!({})).await.unwrap();
    let sent = bench.sent().await.unwrap();
    assert!(sent.starts_with(b"QFI\xfb") && sent.len() < 1 << 20);
}

/// A gateway gives up, and Glance does not: what it has is compared, and not sent in vain.
#[tokio::test]
async fn an_upload_whose_answer_is_lost_may_be_there() {
    let bench = Bench { puts: &[504, 409], ..Bench::new().await };
    let disk = bench.disk(&[]);
    let image = bench
        .import(&disk, json!({ "os_hash_algo": "sha512", "os_hash_value": sha512(&disk) }))
        .await
        .unwrap();
    assert_eq!(image.checksum, sha512(&disk));
    assert_eq!(asked(&bench.server, "PUT", FILE).await, 1, "what is there is not sent again");
    for (told, words) in [
        (
            json!({ "os_hash_algo": "sha512", "os_hash_value": "0".repeat(128) }),
            "is not what was sent",
        ),
        (json!({ "size": 7 }), "HTTP 504"),
        (json!({ "status": "killed" }), "HTTP 504"),
        // It is sent again, and refused again.
        (json!({ "status": "queued" }), "HTTP 409"),
    ] {
        let bench = Bench { puts: &[504, 409], ..Bench::new().await };
        let error = bench.import(&bench.disk(&[]), told.clone()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{told}: {error}");
    }
}

/// The gateway gave up while Glance goes on storing: it is waited for, and nothing is sent into
/// what is being stored.
#[tokio::test]
async fn an_upload_that_glance_goes_on_storing_is_waited_for() {
    let bench = Bench { puts: &[504, 409], ..Bench::new().await };
    let disk = bench.disk(&[]);
    let saving = json!({ "id": "i1", "name": "x", "status": "saving", "size": null });
    let looks = Mock::given(method("GET")).and(path("/image/v2/images/i1"));
    let looks = looks.respond_with(ResponseTemplate::new(200).set_body_json(saving));
    looks.up_to_n_times(20).with_priority(1).mount(&bench.server).await;
    let told = json!({ "os_hash_algo": "sha512", "os_hash_value": sha512(&disk) });
    let image = bench.import(&disk, told).await.unwrap();
    assert_eq!(image.checksum, sha512(&disk));
    assert_eq!(asked(&bench.server, "PUT", FILE).await, 1);
    assert!(asked(&bench.server, "GET", "/image/v2/images/i1").await > 20);
}

/// Nothing came through at all: only then it is sent again.
#[tokio::test]
async fn an_upload_that_did_not_begin_is_sent_again() {
    let bench = Bench { puts: &[502, 204], ..Bench::new().await };
    let disk = bench.disk(&[]);
    let queued = json!({ "id": "i1", "name": "x", "status": "queued" });
    let look = Mock::given(method("GET")).and(path("/image/v2/images/i1"));
    let look = look.respond_with(ResponseTemplate::new(200).set_body_json(queued));
    look.up_to_n_times(1).with_priority(1).mount(&bench.server).await;
    let told = json!({ "os_hash_algo": "sha512", "os_hash_value": sha512(&disk) });
    bench.import(&disk, told).await.unwrap();
    assert_eq!(asked(&bench.server, "PUT", FILE).await, 2);
}
