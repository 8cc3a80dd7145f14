//! Machines that answer every script, and one on which a step never ends.
use super::*;
use crate::guest::{Command, Exit, OnOutput, OnProgress, Orphan, Stream, Transfer};

/// Of the script that asks a machine to go off.
const ASKED_OFF: &str = "image-factory-off ] ||";

/// Machines that answer every script; some answers can be set.
#[derive(Clone, Default)]
pub(crate) struct Fake(pub Arc<Mutex<Answers>>);

#[derive(Default)]
pub(crate) struct Answers {
    /// A script that contains the text ends with this code.
    pub exits: Vec<(String, i32)>,
    /// The same machine-id for all.
    pub same_machine_id: bool,
    pub build_key_opens: bool,
    /// The key that the first machine was logged in to with.
    pub first_key: Option<String>,
    /// The same boot ID at every question, as of a machine that does not boot again.
    pub never_reboots: bool,
    /// Boot IDs told so far.
    pub boots: u32,
    /// Root is let in, and is root.
    pub root_opens: bool,
    /// Cancels the run when a script contains the text.
    pub stop_at: Option<(String, Cancel)>,
    /// A script that contains the text ends well, and takes all sessions that there are with it.
    pub restarts_at: Option<String>,
    /// A script that contains the text is lost with all sessions, once, and goes on in the machine.
    pub lost_at: Option<String>,
    /// A script that contains the second text never ends, once one with the first has run.
    pub hangs_after: Option<(String, String)>,
    /// Lost and not ended.
    pub orphans: Vec<Orphan>,
    /// Goes off by itself when it is asked to.
    pub goes_off: bool,
    /// Nothing is heard of it once it was asked to.
    pub falls_silent: bool,
    /// Restarts so far; a session of before is lost.
    pub restarts: u32,
    /// What was run, with the port of the machine.
    pub scripts: Vec<(u16, String)>,
    /// Environment of what was run, by the script.
    pub told: BTreeMap<String, BTreeMap<String, String>>,
}

/// Port, and the restarts there had been at its begin.
struct FakeRemote(Fake, u16, u32);

impl FakeRemote {
    fn alive(&self) -> Result<(), RemoteError> {
        let restarts = self.0.0.lock().unwrap().restarts;
        if restarts == self.2 { Ok(()) } else { Err(RemoteError::Lost("it was restarted".into())) }
    }
}

/// What a machine prints that runs `script`: of a question the answer between its marks.
fn answer(script: &str, text: &str) -> String {
    let marks =
        script.split_once("trap 'printf \"\\036").and_then(|(_, rest)| rest.split_once(' '));
    marks.map_or(text.to_owned(), |(id, _)| format!("\x1e{id} answer\n{text}\x1e{id} end\n"))
}

impl Answers {
    fn hangs(&self, script: &str) -> bool {
        let ran = |text: &String| self.scripts.iter().any(|(_, script)| script.contains(text));
        let after = self.hangs_after.as_ref();
        after.is_some_and(|(first, text)| script.contains(text) && ran(first))
    }
}

/// Of the script that has one of the texts, its exit code.
fn code_of(exits: &[(String, i32)], script: &str) -> i32 {
    exits.iter().find(|(text, _)| script.contains(text.as_str())).map_or(0, |(_, code)| *code)
}

#[async_trait]
impl Connect for Fake {
    async fn connect(&self, target: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        let mut answers = self.0.lock().unwrap();
        let key = target.key.public_key().to_openssh().unwrap();
        let first = answers.first_key.get_or_insert_with(|| key.clone()).clone();
        let root = target.user == "root" && !answers.root_opens;
        let foreign = key == first && target.port > 3 && !answers.build_key_opens;
        if root || foreign {
            return Err(RemoteError::Refused {
                user: target.user.clone(),
                host: target.host.clone(),
                port: target.port,
            });
        }
        Ok(Arc::new(FakeRemote(self.clone(), target.port, answers.restarts)))
    }

    async fn is_silent(&self, _: &str, port: u16) -> bool {
        let answers = self.0.lock().unwrap();
        let asked = |(of, script): &(u16, String)| *of == port && script.contains(ASKED_OFF);
        answers.falls_silent && answers.scripts.iter().any(asked)
    }
}

#[async_trait]
impl Remote for FakeRemote {
    async fn exec(&self, command: Command, mut output: OnOutput) -> Result<Exit, RemoteError> {
        self.alive()?;
        let script = String::from_utf8_lossy(&command.script).into_owned();
        let hangs = self.0.0.lock().unwrap().hangs(&script);
        if hangs {
            std::future::pending::<()>().await;
        }
        let mut answers = self.0.0.lock().unwrap();
        answers.scripts.push((self.1, script.clone()));
        answers.told.insert(script.clone(), command.env.clone());
        if answers.restarts_at.as_ref().is_some_and(|text| script.contains(text)) {
            answers.restarts += 1;
        }
        if answers.lost_at.as_ref().is_some_and(|text| script.contains(text)) {
            answers.lost_at = None;
            answers.restarts += 1;
            answers.orphans.push(Orphan { groups: vec![4242], sudo: command.sudo });
            return Err(RemoteError::Lost("the network is gone".into()));
        }
        if let Some((text, cancel)) = &answers.stop_at
            && script.contains(text.as_str())
        {
            cancel.signal();
        }
        let check = |text: &str| (code_of(&answers.exits, text), "all is well".into());
        if let Some(text) = played(&script, &command.args, check) {
            output(Stream::Stdout, text.as_bytes());
            return Ok(Exit::Code(0));
        }
        if script.contains("/etc/machine-id") && !command.sudo {
            let id = if answers.same_machine_id { 7 } else { self.1 };
            output(Stream::Stdout, answer(&script, &format!("{id:032x}\n")).as_bytes());
        } else if script.contains("boot_id") {
            answers.boots += u32::from(!answers.never_reboots);
            let id = format!("00000000-0000-4000-8000-{:012x}\n", answers.boots);
            output(Stream::Stdout, answer(&script, &id).as_bytes());
        } else if script.contains(ASKED_OFF) && answers.goes_off {
            output(Stream::Stdout, answer(&script, "going\n").as_bytes());
        } else if script.ends_with("\nid -u") {
            output(Stream::Stdout, answer(&script, "0\n").as_bytes());
        } else {
            output(Stream::Stdout, answer(&script, "all is well\n").as_bytes());
        }
        let code = code_of(&answers.exits, &script);
        Ok(Exit::Code(code))
    }

    async fn put(&self, _: &Transfer<'_>, _: OnProgress) -> Result<(), RemoteError> {
        Ok(())
    }

    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        self.alive()
    }

    fn take_orphans(&self) -> Vec<Orphan> {
        match self.alive() {
            Ok(()) => Vec::new(),
            Err(_) => std::mem::take(&mut self.0.0.lock().unwrap().orphans),
        }
    }
}

/// A machine on which a step never ends.
pub(crate) struct Hang(pub Fake);

struct HangRemote(Arc<dyn Remote>);

#[async_trait]
impl Connect for Hang {
    async fn connect(
        &self,
        target: &Target,
        limit: Duration,
    ) -> Result<Arc<dyn Remote>, RemoteError> {
        Ok(Arc::new(HangRemote(self.0.connect(target, limit).await?)))
    }
}

#[async_trait]
impl Remote for HangRemote {
    async fn exec(&self, command: Command, output: OnOutput) -> Result<Exit, RemoteError> {
        if String::from_utf8_lossy(&command.script).contains("install-it") {
            std::future::pending().await
        } else {
            self.0.exec(command, output).await
        }
    }
    async fn put(&self, transfer: &Transfer<'_>, progress: OnProgress) -> Result<(), RemoteError> {
        self.0.put(transfer, progress).await
    }
    async fn ping(&self, limit: Duration) -> Result<(), RemoteError> {
        self.0.ping(limit).await
    }
}

/// Nobody wants a prompt.
pub(crate) struct Nobody;

#[async_trait]
impl Interactive for Nobody {
    async fn open(&self, _: &SshAccess, _: Option<&BuildError>) {
        panic!("a prompt that nobody wants");
    }
}
