//! Visits of a builder whose machine is hostile.
use super::*;

/// One who looks around and leaves.
#[derive(Default)]
struct Visitor(std::sync::Mutex<Option<String>>);

#[async_trait]
impl Interactive for Visitor {
    async fn open(&self, builder: &SshAccess, failed: Option<&BuildError>) {
        assert!(
            builder.ssh[0].ends_with("ssh") && builder.machine.ends_with("-builder"),
            "{builder:?}"
        );
        *self.0.lock().unwrap() = Some(failed.map_or_else(String::new, ToString::to_string));
    }
}

#[derive(Clone, Default)]
struct All(Arc<std::sync::Mutex<Vec<Event>>>);

impl Sink for All {
    fn take(&mut self, event: &Stamped) {
        self.0.lock().unwrap().push(event.event.clone());
    }
}

/// `image-factory shell` on a bundle with that step, left at once: how it ended, its last line, and
/// what the visitor was told.
async fn visited(step: &str) -> (RunOutcome, String, String) {
    let (hostile, dir, cloud) =
        (Hostile::start("honest"), tempfile::tempdir().unwrap(), Arc::new(Memory::new()));
    cloud.add_image("base", "base");
    let before = cloud.snapshot();
    let home = Home { data: dir.path().join("home"), runtime: dir.path().join("run") };
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("images/x")).unwrap();
    let vars = format!(
        "bundle: {{name: x, img_base: base}}\nssh_user: debian\nsteps: [{{name: it, shell: \
            '{step}'}}]\n"
    );
    std::fs::write(tree.join("images/x/build-vars.yml"), vars).unwrap();
    let bundle =
        image_factory::testing::build_vars::load(&tree, &tree.join("images/x")).unwrap().bundle;
    let env = [("PATH".to_owned(), std::env::var("PATH").unwrap())].into();
    let wall =
        Wall::new(Config { settings: Settings::default(), env, home: None, hidden: Vec::new() });
    let (all, visitor) = (All::default(), Arc::new(Visitor::default()));
    let shown = all.clone();
    let show = move |_: &str| Box::new(shown.clone()) as Box<dyn Sink>;
    let factory = Arc::new(Factory {
        provider: cloud.clone(),
        connect: Arc::new(ToHostile(hostile.sshd.target.clone())),
        wall: Arc::new(wall),
        proxies: Default::default(),
        home,
        templates: Renderer::new(env!("CARGO_BIN_EXE_image-factory"), "render-templates"),
    });
    let options = RunOptions {
        goal: Goal::Provisioned(visitor.clone()),
        keep_on_failure: false,
        range: Default::default(),
        smoke: true,
        force: true,
        check_templates: false,
        show: Arc::new(show),
        cancel: Cancel::default(),
    };
    let ended = factory.build(RunRequest { definition: bundle, options }).await;
    assert_eq!(cloud.snapshot(), before, "the builder is removed, and no image is made");
    let record = std::fs::read_to_string(ended.dir.as_ref().unwrap().join("result.json")).unwrap();
    assert!(record.contains("\"outcome\": \"visited\""), "{record}");
    let last = all.0.lock().unwrap().iter().filter_map(final_line).next_back().unwrap_or_default();
    assert!(ended.leaks.is_empty() && ended.kept.is_none(), "{:?}", ended.leaks);
    let told =
        visitor.0.lock().unwrap().take().unwrap_or_else(|| panic!("nobody was let in: {last}"));
    (ended, last, told)
}

/// A step had failed, and was looked at: the exit code is the step's, and the rest is told as the
/// visit that it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_visit_after_a_failed_step_is_told_as_a_visit() {
    let (ended, last, told) = visited("echo no such luck >&2; exit 3").await;
    assert!(told.contains("step 1, it") && told.contains("exit code 3"), "{told}");
    assert_eq!(ended.exit_code(), 30);
    for part in [
        "the visit ended after",
        "the builder is removed",
        "no image was made",
        "a step had failed: step 1, it",
        "exit code 3",
    ] {
        assert!(last.contains(part), "`{part}` is not in {last}");
    }
    assert!(!last.contains("build failed") && !last.contains("published"), "{last}");
    assert!(!last.contains("image-factory shell"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_of_a_sound_builder_ends_well() {
    let (ended, last, told) = visited("true").await;
    assert_eq!((told.as_str(), ended.exit_code()), ("", 0), "{last}");
    assert!(
        last.starts_with("the visit ended after")
            && last.ends_with("the builder is removed, no image was made"),
        "{last}"
    );
}
