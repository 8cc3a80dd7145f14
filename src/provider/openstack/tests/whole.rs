//! A create whose answer is lost, from the command to the sweep: what a job sees, and what becomes
//! of the machine.
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::super::{Config, OpenStack};
use super::lifecycle::VOLUMES;
use super::preflight::{glance, plain, project};
use super::{asked, cloud, login_of};
use crate::engine::Goal;
use crate::engine::run_dir::Home;
use crate::frontend;

use crate::guest::{Connect, Remote, RemoteError, Target};
use crate::jobs::{Factory, RunOptions, RunOutcome, RunRequest};
use crate::model::event::{Sink, Stamped};
use crate::report::Renderer;
use crate::settings::Settings;
use crate::sweep::{self, State, Swept};
use crate::system::cancel::Cancel;
use crate::wall;

const POST: &str = "/compute/v2.1/servers";

/// Servers that were asked for, and those that have come to be.
#[derive(Clone, Default)]
struct Nova(Arc<Mutex<(Vec<Value>, Vec<Value>)>>);

impl Nova {
    /// The gateway before it gives up on each create.
    async fn begin(server: &MockServer) -> Self {
        let nova = Self::default();
        let (asked, listed, shown, deleted) =
            (nova.clone(), nova.clone(), nova.clone(), nova.clone());
        let take = move |request: &Request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let of = |key: &str| body["server"][key].clone();
            asked.0.lock().unwrap().0.push(json!({ "id": "s1", "name": of("name"),
                "status": "ACTIVE", "metadata": of("metadata") }));
            ResponseTemplate::new(504).set_body_raw(
                "<html><body><h1>504 Gateway Time-out</h1></body></html>",
                "text/html",
            )
        };
        let list = move |_: &Request| {
            ResponseTemplate::new(200)
                .set_body_json(json!({ "servers": listed.0.lock().unwrap().1 }))
        };
        let show = move |_: &Request| match shown.0.lock().unwrap().1.first() {
            Some(there) => ResponseTemplate::new(200).set_body_json(json!({ "server": there })),
            None => ResponseTemplate::new(404),
        };
        let delete = move |_: &Request| {
            deleted.0.lock().unwrap().1.clear();
            ResponseTemplate::new(204)
        };
        let volumes = ResponseTemplate::new(200).set_body_json(json!({ "volumes": [] }));
        Mock::given(method("GET")).and(path(VOLUMES)).respond_with(volumes).mount(server).await;
        Mock::given(method("POST")).and(path(POST)).respond_with(take).mount(server).await;
        Mock::given(method("GET"))
            .and(path("/compute/v2.1/servers/detail"))
            .respond_with(list)
            .mount(server)
            .await;
        Mock::given(method("GET"))
            .and(path_regex("^/compute/v2.1/servers/s1$"))
            .respond_with(show)
            .mount(server)
            .await;
        Mock::given(method("DELETE"))
            .and(path_regex("^/compute/v2.1/servers/s1$"))
            .respond_with(delete)
            .mount(server)
            .await;
        nova
    }

    /// What was asked for is there, after all.
    fn comes(&self) {
        let mut all = self.0.lock().unwrap();
        all.1 = std::mem::take(&mut all.0);
        assert_eq!(all.1.len(), 1, "asked for once");
    }
}

struct Nobody;

#[async_trait::async_trait]
impl Connect for Nobody {
    async fn connect(&self, _: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        Err(RemoteError::Lost("there is nobody".into()))
    }
}

struct Silent;

impl Sink for Silent {
    fn take(&mut self, _: &Stamped) {}
}

/// A process of its own: it knows what is written down, and no more.
fn process(server: &MockServer, home: &Home) -> OpenStack {
    let (data, runtime) = (home.data.clone(), home.runtime.clone());
    let config = Config {
        login: login_of(server),
        home: data,
        runtime,
        defaults: Default::default(),
        owner: "me".into(),
        ssh_from: Vec::new(),
    };
    let mut cloud = OpenStack::new(config).unwrap();
    cloud.patience = Duration::from_millis(200);
    cloud
}

async fn built(server: &MockServer, home: &Home, tree: &Path) -> RunOutcome {
    let dir = tree.join("images/x");
    std::fs::create_dir_all(&dir).unwrap();
    let vars =
        "bundle: {name: x, img_base: base img}\nssh_user: debian\nsteps: [{shell: 'true'}]\n";
    std::fs::write(dir.join("build-vars.yml"), vars).unwrap();
    let bundle = frontend::load(tree, &dir).unwrap().bundle;
    let wall = wall::Wall::new(wall::Config {
        settings: Settings::default(),
        env: Default::default(),
        home: None,
        hidden: Vec::new(),
    });
    let factory = Factory {
        provider: Arc::new(process(server, home)),
        connect: Arc::new(Nobody),
        wall: Arc::new(wall),
        proxies: Default::default(),
        home: home.clone(),
        templates: Renderer::new("/nonexistent", "render"),
    };
    let options = RunOptions {
        goal: Goal::Published,
        keep_on_failure: false,
        range: Default::default(),
        smoke: false,
        force: true,
        check_templates: false,
        show: Arc::new(|_: &str| Box::new(Silent) as Box<dyn Sink>),
        cancel: Cancel::default(),
    };
    Arc::new(factory).build(RunRequest { definition: bundle, options }).await
}

/// What is told of this run; processes of other tests are strangers.
async fn swept(server: &MockServer, home: &Home, run: &str, dry_run: bool) -> Vec<Swept> {
    let all = sweep::sweep(&process(server, home), home, None, dry_run).await.unwrap();
    all.into_iter().filter(|s| s.run == run).collect()
}

/// The answer does not come, and neither does the machine before the run ends: the run says that
/// something may be left, each sweep says so until it has come, and then one removes it.
#[tokio::test]
async fn a_machine_that_comes_after_its_run_is_swept() {
    let server = cloud().await;
    let nova = Nova::begin(&server).await;
    glance(&server, vec![plain("b1", "base img", json!({}))]).await;
    project(&server).await;
    let dir = tempfile::tempdir().unwrap();
    let home = Home { data: dir.path().join("home"), runtime: dir.path().join("run") };

    let ended = built(&server, &home, &dir.path().join("tree")).await;
    let error = ended.result.as_ref().unwrap_err().to_string();
    assert!(error.contains("504"), "{error}");
    assert_eq!(
        (ended.exit_code(), asked(&server, "POST", POST).await),
        (60, 1),
        "{:?}",
        ended.leaks
    );
    assert!(
        ended.leaks.len() == 1 && ended.leaks[0].reason.contains("may still come"),
        "{:?}",
        ended.leaks
    );

    let run = ended.leaks[0]
        .entry
        .name
        .strip_prefix("factory-")
        .unwrap()
        .strip_suffix("-builder")
        .unwrap();
    let [told] = &swept(&server, &home, run, true).await[..] else {
        panic!("the run is in the index")
    };
    assert!(told.things.is_empty() && told.notes[0].contains("may still come"), "{told:?}");
    let [before] = &swept(&server, &home, run, false).await[..] else {
        panic!("the run is in the index")
    };
    assert!(
        before.state == State::Dead && before.things.is_empty() && before.leaks.len() == 1,
        "{before:?}"
    );
    assert_eq!(asked(&server, "DELETE", "/compute/v2.1/servers/s1").await, 0);

    nova.comes();
    let [after] = &swept(&server, &home, run, false).await[..] else {
        panic!("the run is still in the index")
    };
    let ids: Vec<_> = after.things.iter().map(|t| t.id.as_deref().unwrap()).collect();
    assert!(ids == ["s1"] && after.leaks.is_empty() && after.error.is_none(), "{after:?}");
    assert_eq!(asked(&server, "DELETE", "/compute/v2.1/servers/s1").await, 1);
    assert!(swept(&server, &home, run, false).await.is_empty(), "nothing is left to be swept");
}
