//! Brings a machine from power-on to ready: SSH answers with the pinned key, and cloud-init has
//! finished.
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_key::{PrivateKey, PublicKey};

use super::answer::{self, NoAnswer, say};
use super::{
    BuildContext, BuildError, Goal, SshAccess, checkpoints, cloud_init, console, pool, ready,
    signs, watch,
};
use crate::guest::{Remote, Target, keys};
use crate::model::image::Image;
use crate::model::placement::{Placement, Security};
use crate::model::units::GIB;
use crate::plan::MachinePlan;
use crate::provider::{BootSpec, CloudError, Machine, MachinePlacement};

mod capture;

pub(super) use capture::capture;

/// A machine with an open session.
pub struct Running {
    pub machine: Machine,
    pub target: Target,
    pub remote: Arc<dyn Remote>,
    pub(super) watch: watch::Session,
    /// Tells which files of the definition the step at work opens, where that is of use.
    pub(super) reads: Option<Arc<checkpoints::Watch>>,
    /// Names that it had in the runs whose state it is.
    pub(super) earlier_names: Vec<String>,
}

/// Identity that must differ between machines of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub machine: String,
    /// All names that it has had.
    pub names: Vec<String>,
    /// 32 hexadecimal digits, or what there is in their place.
    pub machine_id: Result<String, String>,
    /// OpenSSH's one-line form, without comments.
    pub host_keys: Vec<String>,
}

impl Running {
    pub(super) fn new(machine: Machine, target: Target, remote: Arc<dyn Remote>) -> Self {
        let (watch, reads, earlier_names) = Default::default();
        Self { machine, target, remote, watch, reads, earlier_names }
    }

    /// All names that it has had.
    pub(super) fn names(&self) -> Vec<String> {
        self.earlier_names.iter().chain([&self.machine.name]).cloned().collect()
    }

    pub(super) fn login_key(&self) -> Arc<PrivateKey> {
        self.target.key.clone()
    }

    pub(super) fn opened(&self, site: &BuildContext<'_>) -> Result<SshAccess, BuildError> {
        access(site, &self.machine, &self.target)
    }

    /// Its identity. A machine without a valid machine-id has one too; a machine that cannot be
    /// asked is not ready.
    pub(super) async fn identity(&self, site: &BuildContext<'_>) -> Result<Identity, BuildError> {
        let asked = answer::machine_id(&*self.remote, Duration::from_secs(60));
        Ok(self.identified(match site.cx.cancel.or(asked).await? {
            Ok(id) => Ok(id),
            Err(NoAnswer::Strange { said, .. }) => Err(said),
            Err(NoAnswer::Remote(e)) => {
                let reason = format!("cannot read its machine-id: {e}");
                return Err(not_ready(site, &self.machine, reason).await);
            }
            // Whatever the machine does in place of an answer: it has none.
            Err(none) => Err(none.to_string()),
        }))
    }

    pub(super) fn identified(&self, machine_id: Result<String, String>) -> Identity {
        Identity {
            machine: self.machine.name.clone(),
            names: self.names(),
            machine_id,
            host_keys: self.target.host_keys.iter().map(plain_key).collect(),
        }
    }
}

/// Writes login key and pinned host key to files for `ssh`, and returns the login command.
pub(super) fn access(
    site: &BuildContext<'_>,
    machine: &Machine,
    target: &Target,
) -> Result<SshAccess, BuildError> {
    let files = SshFiles::of(site, machine, target)?;
    let mut ssh = vec!["ssh".to_owned()];
    ssh.extend(files.options());
    let at = format!("{}@{}", target.user, target.host);
    ssh.extend(["-p".into(), target.port.to_string(), at]);
    Ok(SshAccess { machine: machine.name.clone(), ssh })
}

const ENCODES: &str = "a key that was made or parsed can be written";

/// A public key without its comment.
pub(super) fn plain_key(key: &PublicKey) -> String {
    let mut key = key.clone();
    key.set_comment("");
    key.to_openssh().expect(ENCODES)
}

/// Files that let the `ssh` program verify the host as strictly as our own sessions.
pub(super) struct SshFiles {
    pub key: std::path::PathBuf,
    pub known_hosts: std::path::PathBuf,
}

impl SshFiles {
    pub(super) fn write(site: &BuildContext<'_>, running: &Running) -> Result<Self, BuildError> {
        Self::of(site, &running.machine, &running.target)
    }

    fn of(site: &BuildContext<'_>, machine: &Machine, target: &Target) -> Result<Self, BuildError> {
        let name = |suffix: &str| site.scratch.join(format!("{}.{suffix}", machine.name));
        let files = Self { key: name("key"), known_hosts: name("known_hosts") };
        let line = |key| keys::known_hosts_line(&target.host, target.port, key).expect(ENCODES);
        let known: String = target.host_keys.iter().map(|key| line(key) + "\n").collect();
        write_private(&files.key, keys::private_text(&target.key).expect(ENCODES).as_bytes())?;
        write_private(&files.known_hosts, known.as_bytes())?;
        Ok(files)
    }

    /// Options of `ssh` that pin the host key, offer one key and ignore configuration files.
    pub(super) fn options(&self) -> Vec<String> {
        let mut words = vec!["-F".into(), "none".into()];
        for option in [
            "StrictHostKeyChecking=yes".into(),
            format!("UserKnownHostsFile={}", self.known_hosts.display()),
            "GlobalKnownHostsFile=none".into(),
            "UpdateHostKeys=no".into(),
            format!("IdentityFile={}", self.key.display()),
            "IdentitiesOnly=yes".into(),
            "IdentityAgent=none".into(),
            "PasswordAuthentication=no".into(),
            "KbdInteractiveAuthentication=no".into(),
            "ServerAliveInterval=10".into(),
            "ServerAliveCountMax=3".into(),
            "LogLevel=ERROR".into(),
        ] {
            words.push("-o".into());
            words.push(option);
        }
        words
    }
}

pub(super) fn write_private(path: &std::path::Path, text: &[u8]) -> Result<(), BuildError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let io = |source| BuildError::Io { path: path.into(), source };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    file.write_all(text).map_err(io)
}

pub(super) async fn boot_builder(
    site: &BuildContext<'_>,
    wanted: &MachinePlan,
    base: &Image,
) -> Result<Running, BuildError> {
    if let Some(warm) = pool::taken(site).await? {
        return Ok(warm);
    }
    let keys = BuilderKeys::new(&site.plan.run);
    let user_data = cloud_init::builder_user_data(keys.login.public_key(), &keys.host);
    let machine = boot(site, wanted, (base, 0), user_data).await?;
    came_up(site, machine, &keys).await
}

/// A builder that was just booted with user data of these keys, once it is ready for its first
/// step.
pub(super) async fn came_up(
    site: &BuildContext<'_>,
    machine: Machine,
    keys: &BuilderKeys,
) -> Result<Running, BuildError> {
    shows_consoles(site, &machine).await?;
    let deadline = Instant::now() + Duration::from_secs(site.plan.timeouts.ssh);
    let running =
        reached(site, keys.target(&machine, &site.plan.ssh_user), machine, deadline).await?;
    ready::builder(site, &running, deadline).await?;
    Ok(running)
}

/// Login key and host key that are made for one builder.
pub(super) struct BuilderKeys {
    pub login: Arc<PrivateKey>,
    pub host: PrivateKey,
}

impl BuilderKeys {
    pub(super) fn new(run: &str) -> Self {
        let login = Arc::new(keys::generate_key(&format!("factory build key {run}")));
        Self { login, host: keys::generate_key(&format!("factory host key {run}")) }
    }

    pub(super) fn target(&self, machine: &Machine, user: &str) -> Target {
        Target {
            host: machine.host.clone(),
            port: machine.port,
            user: user.to_owned(),
            key: self.login.clone(),
            host_keys: vec![self.host.public_key().clone()],
        }
    }
}

/// A builder whose SSH answers with the pinned key and whose cloud-init ended well.
pub(super) async fn reached(
    site: &BuildContext<'_>,
    target: Target,
    machine: Machine,
    deadline: Instant,
) -> Result<Running, BuildError> {
    let remote = reach(site, &machine, &target, deadline).await?;
    let running = Running::new(machine, target, remote);
    cloud_init_done(site, &running, deadline).await?;
    Ok(running)
}

/// Checks early that the cloud shows consoles, where smoke machines print their host keys: before
/// an hour of provisioning.
pub(super) async fn shows_consoles(
    site: &BuildContext<'_>,
    machine: &Machine,
) -> Result<(), BuildError> {
    if site.plan.smoke.is_none() || !matches!(site.until, Goal::Published) {
        return Ok(());
    }
    match site.cloud.compute().console_log(machine).await {
        Err(CloudError::Unable { what, reason }) => {
            let reason = format!("{reason}; smoke machines tell their host keys there");
            Err(CloudError::refused(what, reason)
                .hint("`build --no-smoke` publishes untested")
                .into())
        }
        // Whatever else is wrong with it may pass.
        _ => Ok(()),
    }
}

/// Possible network causes if SSH is unreachable on a healthy machine: security groups, unroutable
/// addresses.
fn admitted(site: Option<&Placement>, host: &str) -> String {
    let without = site.is_some_and(|site| site.floating_network.is_none()) && !host.contains(':');
    let way = if without {
        "; it has no floating IP: is its address reached from here? `floating_network: NAME` takes \
            one"
    } else {
        ""
    };
    let groups = match site.map(|site| &site.security) {
        Some(Security::Temporary { ssh_from }) => {
            let from = if ssh_from.is_empty() {
                "this machine's address towards it".to_owned()
            } else {
                ssh_from.join(", ")
            };
            format!(
                "; its security group admits SSH from {from}: if it comes from elsewhere (NAT, \
                    VPN), set FACTORY_SSH_FROM"
            )
        }
        Some(Security::Groups(groups)) => {
            let names: Vec<&str> = groups.iter().map(|g| g.name.as_str()).collect();
            format!("; do its security groups ({}) admit SSH from here?", names.join(", "))
        }
        Some(Security::None) | None => String::new(),
    };
    groups + way
}

/// Boots a machine. `grow_gib` is added to the disk that the image needs.
pub(super) async fn boot(
    site: &BuildContext<'_>,
    wanted: &MachinePlan,
    (image, grow_gib): (&Image, u64),
    user_data: String,
) -> Result<Machine, BuildError> {
    let spec = spec(site, wanted, (image, grow_gib), user_data);
    site.cx.events.doing(format!("booting {}", spec.name));
    Ok(site
        .cloud
        .compute()
        .boot(&site.cx.within(Duration::from_secs(site.plan.timeouts.boot)), &spec)
        .await?)
}

/// A machine of the plan, for the cloud.
pub(super) fn spec(
    site: &BuildContext<'_>,
    wanted: &MachinePlan,
    (image, grow_gib): (&Image, u64),
    user_data: String,
) -> BootSpec {
    let place = wanted.flavor.as_ref().zip(site.plan.site.as_ref());
    BootSpec {
        name: wanted.name.clone(),
        image: image.id.clone(),
        cpus: wanted.cpus,
        ram_mib: wanted.ram_mib,
        disk_gib: disk_gib(wanted, image, grow_gib),
        user_data,
        place: place
            .map(|(flavor, site)| MachinePlacement { flavor: flavor.clone(), site: site.clone() }),
    }
}

/// Disk size of a machine, in GiB.
pub(super) fn disk_gib(wanted: &MachinePlan, image: &Image, grow_gib: u64) -> u64 {
    let needs = image.virtual_size.div_ceil(GIB);
    if grow_gib > 0 { needs + grow_gib } else { wanted.disk_gib.unwrap_or(0).max(needs) }
}

/// Retries SSH until it answers. Fails at once if the machine is off, stuck, or in trouble on its
/// console, however long a login hangs.
pub(super) async fn reach(
    site: &BuildContext<'_>,
    machine: &Machine,
    target: &Target,
    deadline: Instant,
) -> Result<Arc<dyn Remote>, BuildError> {
    site.cx.events.doing(format!("waiting for SSH of {}", machine.name));
    tokio::select! {
        biased;
        reached = answers(site, machine, target, deadline) => reached,
        over = signs::hopeless(site, machine) => Err(over),
    }
}

/// Seconds that tries to log in may take, in turn. One that began before the machine listens stays
/// silent until its end, for the network accepts it; a busy machine needs longer than such a one.
const TRIES: [u64; 4] = [3, 3, 3, 15];

/// A young machine fails in any way, so the last error is reported only at the deadline.
async fn answers(
    site: &BuildContext<'_>,
    machine: &Machine,
    target: &Target,
    deadline: Instant,
) -> Result<Arc<dyn Remote>, BuildError> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(250);
    for limit in TRIES.iter().cycle() {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = left.min(Duration::from_secs(*limit)).max(Duration::from_secs(1));
        let attempt = site.connect.connect(target, limit);
        let error = match site.cx.cancel.or(attempt).await? {
            Ok(remote) => return Ok(remote),
            Err(e) => e,
        };
        if Instant::now() > deadline {
            let reason = format!(
                "SSH not ready after {} s: {error}{}",
                begin.elapsed().as_secs(),
                admitted(site.plan.site.as_ref(), &machine.host)
            );
            return Err(not_ready(site, machine, reason).await);
        }
        site.cx.cancel.pause(pause).await?;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
    unreachable!("the tries go round")
}

/// The error of a machine that does not do what it is to do: its own, unless the cloud lost it.
pub(super) async fn not_ready(
    site: &BuildContext<'_>,
    machine: &Machine,
    reason: String,
) -> BuildError {
    if let Err(e) = signs::lost(site, machine).await {
        return e;
    }
    let console = shown_tail(site, machine).await;
    BuildError::NotReady { machine: machine.name.clone(), reason, console }
}

/// The end of the console, which is told too.
pub(super) async fn shown_tail(site: &BuildContext<'_>, machine: &Machine) -> Vec<String> {
    let console = console_tail(site, machine).await;
    for line in &console {
        site.cx.events.output("console", line);
    }
    console
}

async fn console_tail(site: &BuildContext<'_>, machine: &Machine) -> Vec<String> {
    site.cloud
        .compute()
        .console_log(machine)
        .await
        .map(|text| console::tail(&text, 30))
        .unwrap_or_default()
}

/// Waits for cloud-init to finish, and checks its status. Succeeds at once without cloud-init.
pub(super) async fn cloud_init_done(
    site: &BuildContext<'_>,
    running: &Running,
    deadline: Instant,
) -> Result<(), BuildError> {
    site.cx.events.doing(format!("waiting for cloud-init of {}", running.machine.name));
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(10));
    let script = include_str!("../../templates/guest/cloud-init-done.sh");
    let waited = site.cx.cancel.or(say(&*running.remote, script, left)).await?;
    match waited {
        Ok(_) => Ok(()),
        Err(error) => {
            let reason = ready::riddle(&error, &running.target.user);
            let reason = reason.unwrap_or_else(|| format!("cloud-init did not end well: {error}"));
            Err(not_ready(site, &running.machine, reason).await)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Named;

    #[test]
    fn what_may_keep_ssh_out_is_named_by_its_setting() {
        let site = |floating: bool, security| Placement {
            networks: Vec::new(),
            floating_network: floating.then(|| Named { id: "n".into(), name: "public".into() }),
            security,
            zone: None,
            volume: None,
            reached_on: None,
        };
        let own = || Security::Temporary { ssh_from: Vec::new() };
        let said = |site: &Placement, host| admitted(Some(site), host);
        let floating = said(&site(true, own()), "192.0.2.7");
        assert!(
            floating.contains("FACTORY_SSH_FROM") && !floating.contains("floating_network"),
            "{floating}"
        );
        for security in [own(), Security::None] {
            let fixed = said(&site(false, security), "10.0.0.7");
            assert!(
                fixed.contains("no floating IP") && fixed.contains("`floating_network: NAME`"),
                "{fixed}"
            );
        }
        assert_eq!(said(&site(false, Security::None), "2001:db8::7"), "", "of IPv6 there are none");
        assert_eq!(admitted(None, "127.0.0.1"), "");
    }
}
