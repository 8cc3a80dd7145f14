//! The fault table: each request of a build without a source and smoke checks fails in each way.
//! Whatever becomes of it, what is said is true, and what is left can be swept. Times are a
//! fiftieth of those of a cloud.
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::super::api::Api;
use super::super::{HASTE, OpenStack};
use super::lifecycle::openstack;
use super::{TOKEN, login_of, token};
use crate::engine::tests::fake::Fake;
use crate::engine::tests::world::{World, no_wall, site};
use crate::engine::{self, BuildContext, BuildError, Built, Goal, Outcome};
use crate::model::event::Events;
use crate::model::facts::Named;
use crate::model::image::{self, Visibility};
use crate::model::placement::{Placement, Security};
use crate::plan::Plan;
use crate::provider::ledger::Ledger;
use crate::provider::{Provider, RunCx};

mod checkpoints;
mod pairs;
mod polls;
mod publication;
mod services;

use services::{Asked, Services};

const RUN: &str = "20261127-201500-f0a001";

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing is done, and the service says so.
    Refused,
    /// Done, and a gateway answers.
    Lost,
    /// For 20 s, a gateway answers everything, and nothing is done.
    Away,
    /// A gateway answers, and it is done 9 s later.
    Late,
    /// Done, and half of the answer comes.
    Cut,
    /// From then on to the end of the run, a gateway answers everything.
    Down,
}

const FAULTS: [Fault; 6] =
    [Fault::Refused, Fault::Lost, Fault::Away, Fault::Late, Fault::Cut, Fault::Down];

/// Services behind a gateway.
#[derive(Default)]
struct Cloud {
    services: Services,
    /// Requests so far, as verb and path.
    asked: Vec<String>,
    /// Which request fails, from 0, and how.
    fault: Option<(usize, Fault)>,
    away_until: Option<Instant>,
    /// Of the run; it cannot be written any more once the state is turned, if `full`.
    ledger: Option<Ledger>,
    full: bool,
    /// Answers in place of the services, where it does.
    twist: Option<Twist>,
}

type Twist = Box<dyn FnMut(&mut Services, &Asked) -> Option<services::Told> + Send>;

fn asked(request: &Request) -> Asked {
    Asked {
        verb: request.method.to_string(),
        path: request.url.path_segments().unwrap().map(str::to_owned).collect(),
        query: request.url.query_pairs().into_owned().collect(),
        body: serde_json::from_slice(&request.body).unwrap_or_default(),
    }
}

fn gateway() -> ResponseTemplate {
    ResponseTemplate::new(502).set_body_string("<html><h1>502 Bad Gateway</h1></html>")
}

fn answer(cloud: &Arc<Mutex<Cloud>>, request: &Request) -> ResponseTemplate {
    let asked = asked(request);
    let mut now = cloud.lock().unwrap();
    let number = now.asked.len();
    now.asked.push(format!("{} {}", asked.verb, request.url.path()));
    if now.away_until.is_some_and(|until| Instant::now() < until) {
        return gateway();
    }
    match now.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault) {
        None => {}
        Some(Fault::Refused) => return ResponseTemplate::new(403).set_body_json(json!({})),
        Some(fault @ (Fault::Away | Fault::Down)) => {
            let seconds = if fault == Fault::Away { 20 } else { 3600 };
            now.away_until = Some(Instant::now() + Duration::from_secs(seconds) / HASTE);
            return gateway();
        }
        Some(Fault::Late) => {
            let cloud = cloud.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(9) / HASTE);
                cloud.lock().unwrap().services.serve(&asked);
            });
            return gateway();
        }
        Some(Fault::Lost) => {
            now.services.serve(&asked);
            return gateway();
        }
        Some(Fault::Cut) => {
            let (status, body) = now.services.serve(&asked);
            let body = body.to_string();
            return told(status).set_body_string(&body[..body.len() / 2]);
        }
    }
    let Cloud { services, twist, ledger, full, .. } = &mut *now;
    if let Some(ledger) = ledger
        && *full
        && publication::writes_state(&asked)
    {
        ledger.fill();
    }
    let twisted = twist.as_mut().and_then(|twist| twist(services, &asked));
    let (status, body) = twisted.unwrap_or_else(|| services.serve(&asked));
    told(status).set_body_json(body)
}

fn told(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("x-subject-token", TOKEN)
}

struct Bench {
    cloud: Arc<Mutex<Cloud>>,
    stack: OpenStack,
    _server: MockServer,
}

impl Bench {
    async fn new(fault: Option<(usize, Fault)>) -> Self {
        let server = MockServer::start().await;
        let cloud = Arc::new(Mutex::new(Cloud { fault, ..Cloud::default() }));
        let version = |id: &str, at: &str| {
            json!({ "id": id, "status": "CURRENT", "version": "2.93", "min_version": "2.1",
                "links": [{ "rel": "self", "href": format!("{}{at}", server.uri()) }] })
        };
        {
            let services = &mut cloud.lock().unwrap().services;
            services.token = token(&server, 3600);
            services.versions = [
                json!({ "versions": [version("v2.15", "/image/v2/")] }),
                json!({ "version": version("v2.1", "/compute/v2.1/") }),
            ];
        }
        let answering = cloud.clone();
        let respond = move |request: &Request| answer(&answering, request);
        Mock::given(any()).respond_with(respond).mount(&server).await;
        let (mut stack, _) = openstack(&server);
        stack.api = Api::with_pauses(login_of(&server), Duration::from_secs(1) / HASTE).unwrap();
        stack.patience = super::super::PATIENCE / HASTE;
        Self { cloud, stack, _server: server }
    }

    async fn build(&self, world: &World, plan: &Plan) -> (Outcome, RunCx) {
        let fake = Fake::default();
        fake.0.lock().unwrap().build_key_opens = true;
        let ledger = Ledger::open(&world.dir.path().join(format!("{}", uuid::Uuid::new_v4())));
        let events = Events::default();
        events.add(Box::new(world.seen.clone()));
        let cx = RunCx::new(&plan.run, ledger.unwrap(), events, Default::default());
        self.cloud.lock().unwrap().ledger = Some(cx.ledger.clone());
        let wall = no_wall();
        let context = BuildContext {
            cloud: &self.stack,
            keep_on_failure: false,
            home: Default::default(),
            range: Default::default(),
            until: Goal::Published,
            ..site(world, &fake, plan, &cx, &wall)
        };
        (engine::build(&context).await, cx)
    }

    /// The services are well again, and what the run's ledger still has is deleted.
    async fn swept(&self, cx: &RunCx) {
        tokio::time::sleep(Duration::from_secs(12) / HASTE).await;
        {
            let mut cloud = self.cloud.lock().unwrap();
            (cloud.fault, cloud.away_until) = (None, None);
        }
        for entry in cx.ledger.entries() {
            let _ = self.stack.resources().delete(RUN, &entry).await;
        }
    }

    /// What the run published.
    fn published(&self) -> Option<Value> {
        let images = &self.cloud.lock().unwrap().services.images;
        images.values().find(|i| i["factory_state"] == "active").cloned()
    }

    fn is_shared(&self, image: &Value) -> bool {
        let cloud = self.cloud.lock().unwrap();
        let members = cloud.services.members.get(image["id"].as_str().unwrap());
        members.is_some_and(|m| m.contains("p9"))
    }
}

fn plan(world: &World) -> Plan {
    let mut plan = world.plan();
    let named = |name: &str| Named { id: name.chars().take(1).collect(), name: name.into() };
    (plan.run, plan.smoke) = (RUN.into(), None);
    let builder = plan.builder.as_mut().unwrap();
    (builder.name, builder.flavor) = (format!("factory-{RUN}-builder"), Some(named("flavor")));
    plan.publish.properties.insert(image::RUN.into(), RUN.into());
    plan.publish.properties.insert(image::STATE.into(), "active".into());
    plan.publish.properties.insert(image::FAMILY.into(), "x".into());
    (plan.publish.visibility, plan.publish.members) = (Visibility::Shared, vec!["p9".into()]);
    plan.site = Some(Placement {
        networks: vec![named("net")],
        floating_network: Some(named("public")),
        security: Security::Temporary { ssh_from: vec!["192.0.2.1/32".into()] },
        zone: None,
        volume: None,
        reached_on: None,
    });
    plan
}

/// What is wrong with the end of a build, in words.
fn untrue(bench: &Bench, outcome: &Outcome, fault: Option<Fault>) -> Option<String> {
    let published = bench.published();
    let whole = |image: &Value| image["k"] == "v" && bench.is_shared(image);
    match (&outcome.result, &published) {
        (Ok(Built::Image(told)), Some(image)) if image["id"] == told.id && whole(image) => None,
        (Err(BuildError::Amiss { image: told, .. }), Some(image)) if image["id"] == told.id => None,
        // Only a service that never comes back leaves it open.
        (Err(BuildError::Unsettled(_)), _) if fault == Some(Fault::Down) => None,
        (Err(BuildError::Amiss { .. }), _) => Some("no image is published".into()),
        (Err(_), None) => None,
        (result, image) => Some(format!("said {result:?}, is {image:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "plays a build two hundred times: `make test-faults`"]
async fn each_request_of_a_build_may_fail_in_each_way() {
    let world = World::new();
    let plan = plan(&world);
    let bench = Bench::new(None).await;
    let (outcome, _) = bench.build(&world, &plan).await;
    assert!(
        untrue(&bench, &outcome, None).is_none() && outcome.result.is_ok(),
        "{:?}",
        outcome.result
    );
    let requests = bench.cloud.lock().unwrap().asked.clone();
    assert!(requests.len() > 30, "{requests:#?}");
    let cases = FAULTS.iter().flat_map(|fault| (0..requests.len()).map(move |at| (at, *fault)));
    let tried = |(at, fault)| {
        let (world, plan) = (&world, &plan);
        async move {
            let bench = Bench::new(Some((at, fault))).await;
            let (outcome, cx) = bench.build(world, plan).await;
            let leaks = outcome.leaks.len();
            bench.swept(&cx).await;
            let mut wrong = untrue(&bench, &outcome, Some(fault));
            // What was done is no failure, however late that is known.
            if matches!(fault, Fault::Lost | Fault::Late) && outcome.result.is_err() {
                wrong = Some("it was done, and the build fails".into());
            }
            let published = bench.published().map(|i| format!(" {} ", i["id"].as_str().unwrap()));
            let left = bench.cloud.lock().unwrap().services.snapshot();
            let of_image =
                |line: &&String| published.as_ref().is_none_or(|id| !line.contains(id.as_str()));
            let left: Vec<&String> = left.iter().filter(of_image).collect();
            if !left.is_empty() {
                wrong = Some(format!("{} left {left:?}", wrong.unwrap_or_default()));
            }
            (at, fault, outcome.result, leaks, wrong)
        }
    };
    let all: Vec<_> =
        futures_util::stream::iter(cases.map(tried)).buffer_unordered(16).collect().await;
    let mut bad = Vec::new();
    for fault in FAULTS {
        let of = all.iter().filter(|(_, f, ..)| *f == fault);
        let (mut tried, mut clean, mut built, mut unknown, mut swept) = (0, 0, 0, 0, 0);
        for (at, _, result, leaks, wrong) in of {
            tried += 1;
            built += usize::from(result.is_ok());
            unknown += usize::from(matches!(result, Err(BuildError::Unsettled(_))));
            swept += usize::from(*leaks > 0);
            match wrong {
                None => clean += 1,
                Some(why) => bad.push(format!(
                    "{fault:?} {at} {}: {why}; {:?}",
                    requests.get(*at).map_or("", String::as_str),
                    result.as_ref().err().map(ToString::to_string)
                )),
            }
        }
        println!(
            "{fault:?}: {tried} tried, {clean} clean ({built} built, {unknown} unknown, {swept} \
                left to the sweep)"
        );
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
