//! The captured image boots as two new machines: the first is tested, the second proves that identities differ.
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_key::{PrivateKey, PublicKey};

use super::machine::{self, Identity, Running, plain_key};
use super::provision::{LastLines, lines_to};
use super::{BuildError, Opened, Site, checks, cloud_init, console};
use crate::cloud::Machine;
use crate::event::{Check, Event, Verdict, seconds};
use crate::image::Image;
use crate::plan::{GIB, MachinePlan, SmokePlan};
use crate::remote::{Command, Exit, RemoteError, Target, keys};

/// What one check may print into the reports.
const OUTPUT_LIMIT: usize = 64 << 10;

/// Boots `image` twice and runs the checks. `earlier` are identities that must not be seen again, `build_key` one that must not open.
pub(super) async fn test(
    site: &Site<'_>,
    smoke: &SmokePlan,
    image: &Image,
    earlier: &[Identity],
    build_key: Option<Arc<PrivateKey>>,
    up: &mut Option<Opened>,
) -> Result<(), BuildError> {
    let mut results = Results { site, smoke, all: Vec::new() };
    let begin = Instant::now();
    let (first, second) = tokio::join!(boot(site, smoke, &smoke.first, image), boot(site, smoke, &smoke.second, image));
    let (first, second) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(e), _) | (_, Err(e)) if e.is_cancelled() => return Err(e),
        // A cloud that refuses to boot says nothing of the image.
        (Err(BuildError::Cloud(e)), _) | (_, Err(BuildError::Cloud(e))) => return Err(e.into()),
        (Err(e), _) | (_, Err(e)) => {
            results.add("boots", begin, Verdict::Failed, e.to_string(), String::new());
            return results.verdict();
        }
    };
    *up = Some(first.opened(site)?);
    results.add("boots", begin, Verdict::Passed, format!("to cloud-init's end in {:.0} s", begin.elapsed().as_secs_f64()), String::new());
    results.add("ssh", begin, Verdict::Passed, format!("{} logged in with a new key", first.target.user), String::new());
    has_console(&first, &mut results).await?;
    identities(site, &first, &second, earlier, &mut results).await?;
    if let Some(key) = &build_key {
        build_key_refused([&first, &second], key, &mut results).await;
    }
    let build_key = build_key.as_ref().map(|k| k.public_key());
    let tested = Tested { running: &first, build_key, disk_bytes: machine::disk_gb(&smoke.first, image, smoke.grow_gb) * GIB };
    for check in checks::builtin() {
        site.cx.cancel.check()?;
        one(site, &tested, &mut results, check.id, check.script.to_owned(), check.sudo).await?;
    }
    for path in &smoke.tests {
        site.cx.cancel.check()?;
        let file = site.plan.bundle_dir.join(path);
        let text = std::fs::read_to_string(&file).map_err(|source| BuildError::Io { path: file.clone(), source })?;
        one(site, &tested, &mut results, &path.display().to_string(), text, false).await?;
    }
    results.verdict()
}

/// Collects results and tells of each as it comes.
struct Results<'a> {
    site: &'a Site<'a>,
    smoke: &'a SmokePlan,
    all: Vec<Check>,
}

impl Results<'_> {
    fn skipped(&self, id: &str) -> bool {
        self.smoke.skip.iter().any(|s| s == id)
    }

    fn add(&mut self, id: &str, begin: Instant, verdict: Verdict, reason: String, output: String) {
        let check = if self.skipped(id) {
            Check {
                id: id.into(),
                verdict: Verdict::Skipped,
                seconds: 0.0,
                reason: "switched off by the bundle".into(),
                output: String::new(),
            }
        } else {
            Check { id: id.into(), verdict, seconds: seconds(begin.elapsed()), reason, output }
        };
        self.site.cx.events.emit(Event::Check(check.clone()));
        self.all.push(check);
    }

    fn verdict(self) -> Result<(), BuildError> {
        let of = self.all.len();
        let failed: Vec<Check> = self.all.into_iter().filter(|c| c.verdict == Verdict::Failed).collect();
        if failed.is_empty() { Ok(()) } else { Err(BuildError::Smoke { failed, of }) }
    }
}

/// A machine whose host keys the image made by itself: they are read from its console, which only the cloud can write, and pinned.
async fn boot(site: &Site<'_>, smoke: &SmokePlan, wanted: &MachinePlan, image: &Image) -> Result<Running, BuildError> {
    let login = Arc::new(keys::generate_key(&format!("factory smoke key {}", site.plan.run)));
    let user_data = cloud_init::smoke_user_data(login.public_key());
    let machine = machine::boot(site, wanted, image, user_data, smoke.grow_gb).await?;
    let deadline = Instant::now() + Duration::from_secs(site.plan.timeouts.ssh);
    let host_keys = host_keys(site, &machine, deadline).await?;
    let target = Target { host: machine.host.clone(), port: machine.port, user: site.plan.ssh_user.clone(), key: login, host_keys };
    let remote = machine::reach(site, &machine, &target, deadline).await?;
    let running = Running { machine, target, remote, watch: Default::default() };
    machine::cloud_init_done(site, &running, deadline).await?;
    Ok(running)
}

async fn host_keys(site: &Site<'_>, machine: &Machine, deadline: Instant) -> Result<Vec<ssh_key::PublicKey>, BuildError> {
    site.cx.events.doing(format!("waiting for the host keys of {} on its console", machine.name));
    loop {
        let keys = console::host_keys(&site.cloud.console(machine).await?);
        if !keys.is_empty() {
            return Ok(keys);
        }
        machine::trouble(site, machine).await?;
        if Instant::now() > deadline {
            let reason = format!("no host keys on its console after {} s: cloud-init did not get there", site.plan.timeouts.ssh);
            return Err(machine::not_ready(site, machine, reason).await);
        }
        site.cx.cancel.pause(site.cloud.pace()).await?;
    }
}

/// Who has to find out later why a machine does not come up has the console and nothing else.
async fn has_console(running: &Running, results: &mut Results<'_>) -> Result<(), BuildError> {
    let begin = Instant::now();
    let text = results.site.cloud.console(&running.machine).await?;
    let lines = text.lines().filter(|l| !l.trim().is_empty()).count();
    let (verdict, reason) = match lines {
        0 => (Verdict::Failed, "nothing was written to the serial console".to_owned()),
        n => (Verdict::Passed, format!("{n} lines")),
    };
    results.add("console", begin, verdict, reason, String::new());
    Ok(())
}

/// Two machines of one image, and the builder it came from, share neither host key nor machine-id.
async fn identities(
    site: &Site<'_>,
    first: &Running,
    second: &Running,
    earlier: &[Identity],
    results: &mut Results<'_>,
) -> Result<(), BuildError> {
    let begin = Instant::now();
    let (a, b) = site.cx.cancel.or(async { tokio::join!(first.identity(), second.identity()) }).await?;
    let mut seen: Vec<Identity> = earlier.to_vec();
    seen.extend([a?, b?]);
    let mut keys_twice = Vec::new();
    let mut ids_twice = Vec::new();
    for (i, one) in seen.iter().enumerate() {
        if one.machine_id.len() != 32 || !one.machine_id.bytes().all(|c| c.is_ascii_hexdigit()) {
            ids_twice.push(format!("{} has no valid machine-id (`{}`)", one.machine, one.machine_id));
        }
        for other in &seen[..i] {
            if let Some(key) = one.host_keys.iter().find(|k| other.host_keys.contains(k)) {
                let kind = key.split(' ').next().unwrap_or_default();
                keys_twice.push(format!("{} and {} have the same {kind} host key", other.machine, one.machine));
            }
            if one.machine_id == other.machine_id {
                ids_twice.push(format!("{} and {} have the same machine-id {}", other.machine, one.machine, one.machine_id));
            }
        }
    }
    let mut say = |id: &str, trouble: Vec<String>, well: &str| {
        let verdict = if trouble.is_empty() { Verdict::Passed } else { Verdict::Failed };
        let reason = if trouble.is_empty() { format!("{well} ({} machines)", seen.len()) } else { trouble.join("; ") };
        results.add(id, begin, verdict, reason, String::new());
    };
    say("host-keys-unique", keys_twice, "all differ");
    say("machine-id-unique", ids_twice, "all differ");
    Ok(())
}

/// The key of the builder must open no machine of the image.
async fn build_key_refused(machines: [&Running; 2], key: &Arc<PrivateKey>, results: &mut Results<'_>) {
    let begin = Instant::now();
    let mut trouble = Vec::new();
    for running in machines {
        for user in [running.target.user.as_str(), "root"] {
            let target = Target { user: user.into(), key: key.clone(), ..running.target.clone() };
            match results.site.connect.connect(&target, Duration::from_secs(30)).await {
                Ok(_) => trouble.push(format!("it opens {user} on {}", running.machine.name)),
                Err(RemoteError::Refused { .. }) => {}
                // Neither opened nor refused proves nothing.
                Err(e) => trouble.push(format!("it could not be tried on {}: {e}", running.machine.name)),
            }
        }
    }
    let (verdict, reason) = match trouble.is_empty() {
        true => (Verdict::Passed, "refused by both machines".to_owned()),
        false => (Verdict::Failed, trouble.join("; ")),
    };
    results.add("build-key-refused", begin, verdict, reason, String::new());
}

/// The machine that the checks run in, and what they are told of it.
struct Tested<'a> {
    running: &'a Running,
    build_key: Option<&'a PublicKey>,
    disk_bytes: u64,
}

/// Runs one check in the machine. The last line of its standard output is the reason.
async fn one(
    site: &Site<'_>,
    tested: &Tested<'_>,
    results: &mut Results<'_>,
    id: &str,
    script: String,
    sudo: bool,
) -> Result<(), BuildError> {
    let begin = Instant::now();
    if results.skipped(id) {
        results.add(id, begin, Verdict::Skipped, String::new(), String::new());
        return Ok(());
    }
    site.cx.events.doing(format!("check {id}"));
    let (plan, running) = (site.plan, tested.running);
    let env = [
        ("FACTORY_HOSTNAME", running.machine.name.clone()),
        ("FACTORY_USER", running.target.user.clone()),
        ("FACTORY_DISK_BYTES", tested.disk_bytes.to_string()),
        ("FACTORY_NOW", jiff::Timestamp::now().as_second().to_string()),
        ("FACTORY_RUN_BUILDER", plan.builder.as_ref().map(|b| b.name.clone()).unwrap_or_default()),
        ("FACTORY_BUILD_KEY", tested.build_key.map(plain_key).unwrap_or_default()),
        ("FACTORY_TIDY", plan.tidy.join(" ")),
        ("FACTORY_BUNDLE", plan.family.clone()),
        ("FACTORY_IMAGE_NAME", plan.image_name.clone()),
    ];
    let env = env.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let limit = Duration::from_secs(results.smoke.check_timeout);
    let last = LastLines::default();
    let command = Command { script, args: Vec::new(), env, sudo, deadline: limit };
    let exit = site.cx.cancel.or(running.remote.exec(command, lines_to(site.cx.events.clone(), "check", last.clone()))).await?;
    let lines = last.all();
    let reason = lines.iter().rev().find(|l| !l.trim().is_empty()).map(|l| l.trim().to_owned()).unwrap_or_default();
    let (verdict, reason) = match exit {
        Ok(Exit::Code(0)) => (Verdict::Passed, reason),
        Ok(Exit::Code(checks::SKIP)) => (Verdict::Skipped, reason),
        Ok(Exit::Code(code)) => (Verdict::Failed, if reason.is_empty() { format!("exit code {code}") } else { reason }),
        Ok(Exit::Signal(name)) => (Verdict::Failed, format!("killed by SIG{name}")),
        Err(e) => (Verdict::Failed, e.to_string()),
    };
    let mut output = lines.join("\n");
    if output.len() > OUTPUT_LIMIT {
        let cut = (output.len() - OUTPUT_LIMIT..output.len()).find(|i| output.is_char_boundary(*i)).unwrap_or(output.len());
        output.drain(..cut);
    }
    results.add(id, begin, verdict, reason, output);
    Ok(())
}
