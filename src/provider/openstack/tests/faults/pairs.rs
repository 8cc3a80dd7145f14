//! Two faults in a row: the answer to a write is lost, the next request is refused, and the write
//! is served in the end.
use super::*;

/// How the next request is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Second {
    Busy,
    Forbidden,
    /// The token is not taken any more, and there is no other.
    LoggedOut,
}

/// Which request is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Next {
    /// Whatever is asked next.
    Any,
    /// The next of the same kind; the write is served just before it.
    Same,
}

impl Second {
    fn status(self) -> u16 {
        match self {
            Self::Busy => 429,
            Self::Forbidden => 403,
            Self::LoggedOut => 401,
        }
    }

    /// Who is busy is asked five times.
    fn times(self) -> u32 {
        if self == Self::Busy { 5 } else { 1 }
    }
}

/// A write that is not refused is served after as many requests.
const LATE: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Pair {
    /// The write, from 0.
    at: usize,
    second: Second,
    next: Next,
}

impl Pair {
    fn twist(self) -> Twist {
        let (mut number, mut late, mut served) = (0, None::<Asked>, false);
        let (mut refused, mut left, mut logs_in) = (None::<Asked>, self.second.times(), false);
        Box::new(move |services, asked| {
            number += 1;
            let Some(write) = &late else {
                late = (number == self.at + 1).then(|| asked.clone());
                return late.is_some().then(|| (502, json!({})));
            };
            let like = |other: &Asked| other.verb == asked.verb && other.path == asked.path;
            let due = match (&refused, self.next) {
                (Some(first), _) => like(first),
                (None, Next::Any) => true,
                (None, Next::Same) => like(write),
            };
            let refuses = due && left > 0;
            let in_time = self.next == Next::Same && refuses || number > self.at + LATE;
            if in_time && !std::mem::replace(&mut served, true) {
                services.serve(write);
            }
            if refuses {
                refused.get_or_insert_with(|| asked.clone());
                left -= 1;
                logs_in = self.second == Second::LoggedOut;
                return Some((self.second.status(), json!({})));
            }
            let login = asked.path.last().is_some_and(|last| last == "tokens");
            (login && std::mem::take(&mut logs_in)).then(|| (401, json!({})))
        })
    }

    /// What is wrong with the end of a build, in words.
    async fn wrong(self, world: &World, plan: &Plan) -> Option<String> {
        let bench = Bench::new(None).await;
        bench.cloud.lock().unwrap().twist = Some(self.twist());
        let (outcome, cx) = bench.build(world, plan).await;
        let mut wrong = untrue(&bench, &outcome, None);
        bench.cloud.lock().unwrap().twist = None;
        bench.swept(&cx).await;
        wrong = wrong.or_else(|| untrue(&bench, &outcome, None));
        let published = bench.published().map(|i| format!("image {} ", i["id"].as_str().unwrap()));
        let mut left = bench.cloud.lock().unwrap().services.snapshot();
        left.retain(|line| published.as_ref().is_none_or(|image| !line.starts_with(image)));
        if !left.is_empty() {
            wrong = Some(format!("{} left {left:?}", wrong.unwrap_or_default()));
        }
        wrong
    }
}

/// The writes of a build are served late, and one request after each is refused.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "plays a build a hundred times: `make test-faults`"]
async fn each_request_of_a_build_may_fail_in_each_way_and_the_next_be_refused() {
    let world = World::new();
    let plan = plan(&world);
    let bench = Bench::new(None).await;
    assert!(bench.build(&world, &plan).await.0.result.is_ok());
    let requests = bench.cloud.lock().unwrap().asked.clone();
    let writes = |at: &usize| {
        let asked = &requests[*at];
        !asked.starts_with("GET") && !asked.ends_with("/tokens")
    };
    let mut pairs = Vec::new();
    for at in (0..requests.len()).filter(writes) {
        for second in [Second::Busy, Second::Forbidden, Second::LoggedOut] {
            pairs.extend([Next::Any, Next::Same].map(|next| Pair { at, second, next }));
        }
    }
    assert!(pairs.len() > 50, "{requests:#?}");
    let tried = |pair: Pair| {
        let (world, plan, asked) = (&world, &plan, &requests[pair.at]);
        async move { pair.wrong(world, plan).await.map(|why| format!("{pair:?} {asked}: {why}")) }
    };
    let all: Vec<Option<String>> = futures_util::stream::iter(pairs.into_iter().map(tried))
        .buffer_unordered(16)
        .collect()
        .await;
    println!("{} pairs tried", all.len());
    let bad: Vec<String> = all.into_iter().flatten().collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
