//! The cloud in memory keeps the contract, and fails where it was asked to.
use std::time::Duration;

use super::*;
use crate::provider::ledger::Ledger;
use crate::provider::{Provider, contract};

#[tokio::test]
async fn keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.img");
    std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let cloud = Memory::new();
    contract::check(&cloud, dir.path(), &disk, None).await;
    // A copy under the very name, in the very state.
    let copy = async |of: &Image| {
        let id = uuid::Uuid::new_v4().to_string();
        cloud.put(Image { id: id.clone(), ..of.clone() });
        id
    };
    contract::copies(&cloud, dir.path(), &disk, copy).await;
}

/// Refused or served without a reply: either way the ledger's entry leads back to where we
/// were.
#[tokio::test]
async fn faults_are_where_they_were_asked_for() {
    for fault in [Fault::Refuse, Fault::LoseReply] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
        let cx = RunCx::new("r1", ledger, Default::default(), Default::default());
        let cloud = Memory::new();
        let base = cloud.add_image("base-1", "base");
        let before = cloud.snapshot();
        cloud.fail_at(1, fault);
        let spec = BootSpec {
            name: "factory-r1-builder".into(),
            image: base.id,
            cpus: 1,
            ram_mib: 1,
            disk_gib: 1,
            user_data: String::new(),
            place: None,
        };
        assert!(cloud.compute().boot(&cx.within(Duration::ZERO), &spec).await.is_err());
        assert_eq!(cloud.snapshot().len(), before.len() + usize::from(fault == Fault::LoseReply));
        for entry in cx.ledger.entries() {
            assert_eq!(entry.id, None);
            cloud.resources().delete("r1", &entry).await.unwrap();
        }
        assert_eq!(cloud.snapshot(), before);
        assert_eq!(cloud.calls(), 2);
    }
}
