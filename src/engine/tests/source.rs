//! Sources that become images, and what a visit makes of one.
use super::*;
use crate::model::image;

/// A disk of this machine, which has no checksum to be compared with.
fn from_file(world: &World) -> Plan {
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let file = world.dir.path().join("disk.img");
    std::fs::write(&file, disk).unwrap();
    let wish = Download { from: SourceUri::File(file), sum: None };
    Plan { origin: Origin::Url { wish, format: None }, ..world.plan() }
}

/// Notes at each login whether the staged source is in the store.
struct Spy<'w> {
    world: &'w World,
    there: Mutex<Vec<bool>>,
}

#[async_trait]
impl Connect for Spy<'_> {
    async fn connect(&self, to: &Target, limit: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        let is_source = |line: &String| line.contains(image::STAGED_SOURCE);
        self.there.lock().unwrap().push(self.world.cloud.snapshot().iter().any(is_source));
        self.world.fake.connect(to, limit).await
    }
}

/// It was in the store until the end, as one image more than the quota had to have room for. The
/// image says what it was made from.
#[tokio::test(flavor = "multi_thread")]
async fn the_staged_source_goes_when_the_builder_is_captured() {
    let (world, wall) = (World::new(), no_wall());
    let plan = from_file(&world);
    let spy = Spy { world: &world, there: Mutex::default() };
    let ledger = Ledger::open(&world.dir.path().join("l")).unwrap();
    let cx = RunCx::new(&plan.run, ledger, Events::default(), Cancel::default());
    let outcome =
        build(&BuildContext { keep_on_failure: false, ..site(&world, &spy, &plan, &cx, &wall) })
            .await;
    let Ok(Built::Image(built)) = outcome.result else { panic!("{:?}", outcome.result) };
    let there = spy.there.lock().unwrap();
    assert_eq!((there[0], there.last()), (true, Some(&false)), "{there:?}");
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&std::fs::read(world.dir.path().join("disk.img")).unwrap());
    assert_eq!(built.properties[image::SOURCE], hasher.finish().to_string());
}

/// A plan without a builder went on to the checks, and published.
#[tokio::test(flavor = "multi_thread")]
async fn a_visit_publishes_nothing_whatever_is_planned() {
    let (world, wall) = (World::new(), no_wall());
    let before = world.cloud.snapshot();
    let plan = Plan { builder: None, smoke: None, steps: Vec::new(), ..from_file(&world) };
    let ledger = Ledger::open(&world.dir.path().join("l")).unwrap();
    let cx = RunCx::new(&plan.run, ledger, Events::default(), Cancel::default());
    let outcome = build(&BuildContext {
        until: Goal::Provisioned(Arc::new(Nobody)),
        ..site(&world, &world.fake, &plan, &cx, &wall)
    })
    .await;
    let error = outcome.result.unwrap_err().to_string();
    assert!(error.contains("nothing is published without one"), "{error}");
    assert_eq!(before, world.cloud.snapshot());
}
