//! Network of a machine: `passt` behind a [`super::wire`] that isolates it from this host.
//!
//! Two private socket pairs connect QEMU, the wire and `passt`: if QEMU ends, the others end too.
//! Where isolation is not available ([`Reach`] gives the reason), QEMU's own user network is used,
//! through which a guest reaches all services of this host; the run reports that.
use std::fs::{self, File};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::process::Child;

use super::machine::MachineDir;
use crate::provider::ledger::{Kind, Made};
use crate::provider::{CloudError, RunCx};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::process::Proc;
use crate::system::exec::{self, Cmd, PROCESS_MARK};
use crate::system::wait::{Deadline, Wait};

#[cfg(test)]
mod tests;

/// Output of `passt` and the wire, beside QEMU's log.
pub const LOG: &str = "network.log";
/// Time limit; `passt` listens within milliseconds.
const START: Duration = Duration::from_secs(20);
/// Delay before the second attempt, in which processes of the first end and release the port.
const AGAIN: Duration = Duration::from_secs(1);
/// Same as QEMU's user network, so that a guest sees the same addresses with both.
const ADDRESSES: [&str; 6] = ["-a", "10.0.2.15", "-n", "255.255.255.0", "-g", "10.0.2.2"];

/// The network of one start of a machine.
pub struct Network {
    /// Value of `-netdev`.
    pub option: String,
    /// QEMU's end of the wire, which it inherits.
    pub end: Option<Arc<OwnedFd>>,
    /// Host port that leads to the guest's port 22. `None`: QEMU chooses it.
    pub port: Option<u16>,
    /// Its processes, as `pid:start time`.
    pub processes: Vec<String>,
}

impl Network {
    /// QEMU's own network. QEMU chooses a free port itself (0), so that no other process can take
    /// it. No IPv6: on a host without it, every connection of the guest would first fail over IPv6.
    fn of_qemu(port: u16, restrict: bool) -> Self {
        let restrict = if restrict { ",restrict=on" } else { "" };
        let option = format!("user,id=net,ipv6=off{restrict},hostfwd=tcp:127.0.0.1:{port}-:22");
        Self { option, end: None, port: None, processes: Vec::new() }
    }
}

/// Prerequisites of an isolated network.
#[derive(Debug, Clone)]
pub struct Means {
    /// This program, which also is the wire.
    program: PathBuf,
    resolvers: Vec<Ipv4Addr>,
}

/// How guests are isolated from this host.
#[derive(Debug, Clone)]
pub enum Reach {
    /// By [`super::wire`].
    Closed(Means),
    /// This host has no IPv4 route: guests get no network.
    Nowhere,
    /// Not isolated, with the reason.
    Open(String),
}

impl Reach {
    /// Text for `doctor` and the first lines of a run.
    pub fn text(&self) -> String {
        match self {
            Self::Closed(_) => "guests cannot reach this host".into(),
            Self::Nowhere => {
                "guests have no network (this host has no IPv4 route but to itself)".into()
            }
            Self::Open(why) => format!("GUESTS CAN REACH SERVICES OF THIS HOST ({why})"),
        }
    }
}

/// Determines the isolation available on this host. `program` is the running image-factory.
pub async fn reach(program: Option<&Path>, cancel: &Cancel) -> Result<Reach, Cancelled> {
    if !fs::read_to_string("/proc/net/route").is_ok_and(|table| leads_out(&table)) {
        return Ok(Reach::Nowhere);
    }
    let Some(program) = program else {
        return Ok(Reach::Open("the path of this program is not known".into()));
    };
    let version = Cmd::new("passt", Duration::from_secs(20)).arg("--version");
    if let Err(e) = exec::output(&version, cancel).await {
        cancel.check()?;
        return Ok(Reach::Open(format!("{e}: run `make deps`, or install passt")));
    }
    let resolvers = resolvers(|path| fs::read_to_string(path).ok());
    if resolvers.is_empty() {
        return Ok(Reach::Open(no_resolver(&fs::read_to_string(ETC).unwrap_or_default()).into()));
    }
    Ok(Reach::Closed(Means { program: program.into(), resolvers }))
}

/// Whether a route leads out of this host, if only to a neighbour. `*` is an unreachable route.
/// Lines look like `eth0 00000000 0100000A 0003 0 0 0 00000000 …`.
fn leads_out(table: &str) -> bool {
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().next())
        .any(|interface| !["lo", "*"].contains(&interface))
}

/// The host's resolver configuration.
const ETC: &str = "/etc/resolv.conf";
/// The upstream resolvers of systemd-resolved.
const SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";

/// Name servers in a resolv.conf.
fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
}

/// Why guests have no usable resolver, judged by the text of [`ETC`].
fn no_resolver(etc: &str) -> &'static str {
    if nameservers(etc).next().is_none() {
        return "/etc/resolv.conf names no resolver";
    }
    match nameservers(etc).any(|address| address.is_ipv4() || address.is_loopback()) {
        true => {
            "its resolver is on the loopback, and /run/systemd/resolve/resolv.conf names no other"
        }
        false => "/etc/resolv.conf names resolvers by IPv6 alone, and guests have IPv4 alone",
    }
}

/// Resolvers that a guest can query. Replaces systemd-resolved on the loopback by its upstream
/// resolvers.
fn resolvers(read: impl Fn(&str) -> Option<String>) -> Vec<Ipv4Addr> {
    let named = |path: &&str| -> Vec<Ipv4Addr> {
        let text = read(path).unwrap_or_default();
        let named = nameservers(&text)
            .filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None });
        named
            .filter(|address| !address.is_loopback() && !address.is_unspecified())
            .take(3)
            .collect()
    };
    [ETC, SYSTEMD].iter().map(named).find(|all| !all.is_empty()).unwrap_or_default()
}

/// Starts the network of a machine whose SSH is reachable at `port` of 127.0.0.1 (0: a free one).
/// `goes_on`: address of a machine that does not boot.
pub async fn start(
    cx: &RunCx,
    reach: &Reach,
    place: &MachineDir,
    (port, goes_on): (u16, Option<&str>),
) -> Result<Network, CloudError> {
    let why = match reach {
        Reach::Nowhere => return Ok(Network::of_qemu(port, true)),
        Reach::Open(why) => why.clone(),
        Reach::Closed(means) => {
            match twice(&cx.cancel, || carried(cx, means, place, (port, goes_on))).await {
                Ok(network) => return Ok(network),
                Err(CloudError::Cancelled(c)) => return Err(c.into()),
                Err(e) => e.to_string(),
            }
        }
    };
    let name = &place.name;
    cx.events
        .warn(format!("{name} can reach services of this host, those on its loopback too: {why}"));
    Ok(Network::of_qemu(port, false))
}

/// Retries once. A port that is still in use, or a briefly slow host, must not lead to the open
/// network.
async fn twice<T, F>(cancel: &Cancel, attempt: impl Fn() -> F) -> Result<T, CloudError>
where
    F: Future<Output = Result<T, CloudError>>,
{
    match attempt().await {
        Ok(done) => Ok(done),
        Err(CloudError::Cancelled(c)) => Err(c.into()),
        Err(_) => {
            cancel.pause(AGAIN).await?;
            attempt().await
        }
    }
}

fn what(place: &MachineDir) -> String {
    format!("network of {}", place.name)
}

async fn carried(
    cx: &RunCx,
    means: &Means,
    place: &MachineDir,
    (port, goes_on): (u16, Option<&str>),
) -> Result<Network, CloudError> {
    let (run, name, what) = (&place.run, &place.name, what(place));
    let io = || CloudError::io(what.clone());
    let log = File::options().create(true).append(true).open(place.file(LOG)).map_err(io())?;
    let held = hold(port).map_err(io())?;
    let port = held.local_addr().map_err(io())?.port();
    let (end, guest) = pair().map_err(io())?;
    let (world, outside) = pair().map_err(io())?;
    let mark = |cmd: Cmd, part: &str| cmd.mark(run).env(PROCESS_MARK, format!("{name}-{part}"));
    let passt = Cmd::new("passt", Duration::MAX)
        .args([
            "-f",
            "-q",
            "-4",
            "--no-map-gw",
            "-u",
            "none",
            "-t",
            &format!("127.0.0.1/{port}:22"),
        ])
        .args(ADDRESSES)
        .args(means.resolvers.iter().flat_map(|r| ["-D".to_owned(), r.to_string()]))
        .args(["--fd", &outside.as_raw_fd().to_string()])
        .hand(outside);
    let wire = Cmd::new(&means.program, Duration::MAX)
        .args([
            "guest-wire",
            "--guest",
            &guest.as_raw_fd().to_string(),
            "--world",
            &world.as_raw_fd().to_string(),
        ])
        .args(means.resolvers.iter().flat_map(|r| ["--resolver".to_owned(), r.to_string()]))
        .args(goes_on.into_iter().flat_map(|mac| ["--mac", mac]))
        .args(
            place.growing().into_iter().flat_map(|file| ["--bound".into(), file.into_os_string()]),
        )
        .hand(guest)
        .hand(world);
    let (mut child, first) = begin(cx, &mark(passt, "passt"), &log, &what).await?;
    listening(cx, &mut child, port, place).await?;
    reap(child);
    let (child, second) = begin(cx, &mark(wire, "wire"), &log, &what).await?;
    reap(child);
    let option = format!("socket,id=net,fd={}", end.as_raw_fd());
    Ok(Network {
        option,
        end: Some(end),
        port: Some(port),
        processes: vec![second.to_string(), first.to_string()],
    })
}

/// A socket pair, one end for each of two programs.
fn pair() -> std::io::Result<(Arc<OwnedFd>, Arc<OwnedFd>)> {
    let (one, other) = UnixStream::pair()?;
    Ok((Arc::new(one.into()), Arc::new(other.into())))
}

/// Binds a port without listening, so that no other process gets it before `passt` listens.
fn hold(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

async fn begin(cx: &RunCx, cmd: &Cmd, log: &File, what: &str) -> Result<(Child, Proc), CloudError> {
    let name = cmd.env.get(PROCESS_MARK).cloned().unwrap_or_default();
    let start = || async {
        let child = exec::spawn(cmd, log).map_err(super::machine::convert_error(what))?;
        let proc = child.id().and_then(|pid| Proc::of(pid as i32));
        let proc = proc.ok_or_else(|| CloudError::refused(what, "a process was gone at once"))?;
        Ok::<_, CloudError>(Made { id: proc.to_string(), value: (child, proc) })
    };
    cx.ledger.own(Kind::Process, &name, start).await
}

/// Waits until `passt` listens. If it exited, the error holds its output.
async fn listening(
    cx: &RunCx,
    child: &mut Child,
    port: u16,
    place: &MachineDir,
) -> Result<(), CloudError> {
    let what = what(place);
    let mut wait = Wait::new(&what, &cx.cancel, Deadline::after(START), Duration::from_millis(20));
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            let said = format!(
                "passt ended ({}): {}",
                exec::status_text(status),
                place.last_words_in(LOG)
            );
            return Err(CloudError::refused(&what, said));
        }
        if fs::read_to_string("/proc/net/tcp").is_ok_and(|table| listens(&table, port)) {
            return Ok(());
        }
        wait.pause().await?;
    }
}

/// Matches `0: 0100007F:1E8E 00000000:0000 0A …`; state 0A is LISTEN. Source: proc(5).
fn listens(table: &str, port: u16) -> bool {
    let at = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(1) == Some(&at.as_str()) && fields.get(3) == Some(&"0A")
    })
}

/// Collects the exit status, so that no zombie remains.
fn reap(mut child: Child) {
    tokio::spawn(async move { child.wait().await });
}
