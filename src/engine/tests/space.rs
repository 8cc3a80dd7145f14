//! A disk of this machine that gets full while a run is at work.
use super::*;

/// A guest or a script that fills the disk: the run ends before the ledger cannot be written, and
/// everything is unwound.
#[test]
fn a_disk_that_gets_full_ends_the_run() {
    on_small_disk(async |dir| fill(dir, Goal::Published).await);
}

/// `shell` ends as a build does: its prompt is not opened, and one signal is no second one for it.
#[test]
fn a_disk_that_gets_full_before_the_prompt_leaves_nothing() {
    on_small_disk(async |dir| fill(dir, Goal::Provisioned(Arc::new(Nobody))).await);
}

fn on_small_disk(test: impl AsyncFnOnce(&Path) + Send) {
    crate::system::disk::tests::small_disk::on_small_disk(64, |dir| {
        tokio::runtime::Runtime::new().unwrap().block_on(test(dir))
    });
}

/// Nothing is left of a disk of 64 MiB.
fn fill_up(dir: &Path) {
    std::fs::write(dir.join("overlay"), vec![1; 60 << 20]).unwrap();
}

/// The write of a publication is not taken back by ending the run: it is told.
#[test]
fn what_was_published_is_told_though_the_disk_got_full() {
    on_small_disk(async |dir| {
        let (world, wall) = (World::new(), no_wall());
        let cx = RunCx::new(
            "r1",
            Ledger::open(&dir.join("l")).unwrap(),
            Events::default(),
            Cancel::default(),
        );
        let (connect, plan) = (Hang(world.fake.clone()), world.plan());
        let site = BuildContext { work: dir.into(), ..site(&world, &connect, &plan, &cx, &wall) };
        let publishing = async {
            fill_up(dir);
            tokio::time::sleep(Duration::from_millis(1200)).await;
            Ok("published")
        };
        assert_eq!(site.stage(Stage::Publish, publishing).await.unwrap(), "published");
        assert!(cx.cancel.check().is_ok());
    });
}

/// The cloud in memory is elsewhere: none but the run's own files and its source are a reason to
/// end it.
#[test]
fn a_disk_that_others_fill_ends_no_run_elsewhere() {
    on_small_disk(async |dir| {
        let (world, wall) = (World::new(), no_wall());
        let (connect, plan, own) = (world.fake.clone(), world.plan(), dir.join("own"));
        std::fs::create_dir(&own).unwrap();
        for (stage, filled, ends) in [
            (Stage::Capture, dir, false),
            (Stage::Source, dir, true),
            (Stage::Provision, &own, true),
        ] {
            let cx = RunCx::outside(Cancel::default());
            let site =
                BuildContext { work: own.clone(), ..site(&world, &connect, &plan, &cx, &wall) };
            let filling = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                fill_up(filled);
                tokio::time::sleep(Duration::from_millis(1800)).await;
                Ok(())
            };
            let result = site.stage(stage, filling).await;
            assert_eq!(matches!(result, Err(BuildError::Space(_))), ends, "{stage:?}: {result:?}");
            std::fs::remove_file(filled.join("overlay")).unwrap();
        }
    });
}

async fn fill(dir: &Path, until: Goal) {
    let world = World::new();
    let before = world.cloud.snapshot();
    let plan = world.plan();
    let all = Cancel::default();
    let cx =
        RunCx::new("r1", Ledger::open(&dir.join("l")).unwrap(), Events::default(), all.child());
    let (connect, wall) = (Hang(world.fake.clone()), no_wall());
    let site = BuildContext {
        work: dir.into(),
        downloads: dir.join("downloads"),
        until,
        ..site(&world, &connect, &plan, &cx, &wall)
    };
    let filling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fill_up(dir);
    };
    let begin = std::time::Instant::now();
    let (outcome, ()) = tokio::join!(build(&site), filling);
    let error = outcome.result.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("nearly full") && said.contains("overlay with 60 MiB"), "{said}");
    assert!(
        !error.is_cancelled() && outcome.kept.is_none() && outcome.leaks.is_empty(),
        "{:?}",
        outcome.leaks
    );
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(world.cloud.snapshot(), before);
    assert_eq!(cx.ledger.entries(), [], "the ledger was written to the end");
    assert!(all.check().is_ok() && !cx.cancel.is_fast(), "other runs go on");
}
