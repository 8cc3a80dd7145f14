//! Handlers: who notifies which, and what `meta` may say.
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::calls::Call;
use super::tasks::{may_not_run, module_of};
use super::{Scope, Walk, is_template, scalar, tail, texts};
use crate::frontend::build_vars::keys;
use crate::frontend::build_vars::yaml::{Entry, Node, Value};
use crate::model::diagnostic::{Diagnostic, Location};

/// Source: ansible-core, `StrategyBase._execute_meta`.
const META: &[&str] = &[
    "noop",
    "flush_handlers",
    "refresh_inventory",
    "clear_facts",
    "clear_host_errors",
    "end_play",
    "end_host",
    "end_batch",
    "end_role",
    "reset_connection",
];

/// Modules that change nothing, as long as no `changed_when` says that they do; and what takes in
/// tasks when it runs, whose `notify` is not that of those tasks.
const UNCHANGING: &[&str] = &[
    "assert",
    "debug",
    "fail",
    "find",
    "gather_facts",
    "include_role",
    "include_tasks",
    "include_vars",
    "meta",
    "package_facts",
    "pause",
    "ping",
    "service_facts",
    "set_fact",
    "setup",
    "slurp",
    "stat",
    "wait_for",
    "wait_for_connection",
];

#[derive(Default)]
pub(super) struct Handlers {
    /// Names and topics, of whichever play: a file that two plays take in is read once.
    names: HashSet<String>,
    /// Of those that are taken in when a handler runs, which is too late for whoever notifies them.
    late: HashSet<String>,
    /// Not all names are written out.
    open: bool,
    /// Files that were read for handlers.
    files: BTreeSet<PathBuf>,
    notified: Vec<Notified>,
}

struct Notified {
    place: Location,
    name: String,
    /// Its task may change something.
    sure: bool,
}

/// How a task stands to the handlers of its play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Handling {
    /// It is none.
    #[default]
    No,
    /// It may be notified.
    Yes,
    /// A handler takes it in when that runs.
    Late,
}

impl Handlers {
    /// A file of tasks comes next; `known`: it was read before, and is not read again.
    pub fn reads(&mut self, file: &Path, scope: &Scope, known: bool) {
        if scope.handlers == Handling::Yes && self.files.insert(file.to_owned()) {
            self.open |= known;
        }
    }

    /// `needed`: Ansible does not go on without a handler.
    pub fn findings(self, needed: bool) -> Vec<Diagnostic> {
        let Self { names, late, open, notified, .. } = self;
        // `role : name`
        let bare = |name: &str| name.rsplit(" : ").next().unwrap_or_default().trim().to_owned();
        let among = |names: &HashSet<String>, name: &str| {
            names.contains(name) || names.contains(&bare(name))
        };
        let missing =
            notified.into_iter().filter(|notified| !open && !among(&names, &notified.name));
        missing
            .map(|Notified { place, name, sure }| {
                let message = format!("no handler is called `{name}`, or listens to it");
                let finding = match sure && needed {
                    true => Diagnostic::error(place, message),
                    false => Diagnostic::warning(place, message),
                };
                if among(&late, &name) {
                    return finding.hint(
                        "the one of that name is known only when the handler that takes it in \
                            runs: `import_tasks` takes it in before; \
                         or notify the name of the `include_tasks`, which runs all of its file",
                    );
                }
                match keys::nearest(&name, names.iter().map(String::as_str)) {
                    Some(near) => finding.hint(format!("did you mean `{near}`?")),
                    None => finding.hint(
                        "a task under `handlers` of the play, or in \
                        `handlers/main.yml` of a role, has that `name`",
                    ),
                }
            })
            .collect()
    }
}

impl Walk<'_> {
    /// What a task notifies, and of a handler what it is called.
    pub(super) fn notifies(&mut self, entries: &[Entry], scope: &Scope) {
        let module = module_of(entries).map(tail);
        // Ansible puts the tasks in the place of what names them, and knows the name of a block for
        // its messages alone.
        let nameless = module.is_none() || module == Some("import_tasks");
        for entry in entries {
            match entry.key.as_str() {
                "notify" => {
                    let sure = !scope.may_not_run()
                        && !may_not_run(entries)
                        && may_change(entries, module);
                    let named =
                        texts(&entry.value).into_iter().filter(|(name, _)| !is_template(name));
                    let notified = |(name, spot): (&str, _)| Notified {
                        place: self.place(&scope.file, spot),
                        name: name.to_owned(),
                        sure,
                    };
                    let notified: Vec<_> = named.map(notified).collect();
                    self.handlers.notified.extend(notified);
                }
                "name" if nameless => {}
                "name" | "listen" if scope.handlers == Handling::Late => {
                    self.handlers
                        .late
                        .extend(texts(&entry.value).into_iter().map(|(name, _)| name.to_owned()));
                }
                "name" | "listen" if scope.handlers == Handling::Yes => {
                    for (name, _) in texts(&entry.value) {
                        self.handlers.open |= is_template(name);
                        self.handlers.names.insert(name.to_owned());
                    }
                }
                _ => {}
            }
        }
    }

    /// `meta: flush_handlers`
    pub(super) fn meta_task(&mut self, call: &Call, scope: &Scope) {
        let Some(word) = scalar(call.value)
            .map(str::trim)
            .filter(|word| !is_template(word) && !word.contains('='))
        else {
            return;
        };
        if !META.contains(&word) {
            let hint = match keys::nearest(word, META.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", META.join(", ")),
            };
            self.error(
                &scope.file,
                call.value.spot,
                format!("`meta: {word}` is nothing that Ansible does"),
                hint,
            );
        }
    }

    /// What cannot be a handler. `entries`: of one, or of what a handler takes in.
    pub(super) fn no_handler(&mut self, entries: &[Entry], scope: &Scope) {
        if scope.handlers == Handling::No {
            return;
        }
        for entry in entries {
            let flushes = tail(&entry.key) == "meta"
                && scalar(&entry.value).is_some_and(|word| word.trim() == "flush_handlers");
            // Ansible reads these before it is known who is notified, and a handler that flushes
            // ends the run.
            let named = entries.iter().any(|e| e.key == "name" || e.key == "listen")
                || scope.handlers == Handling::Late;
            match tail(&entry.key) {
                module @ ("include_role" | "import_role") => {
                    let hint =
                        "`include_tasks` with a file of the role, or a handler of the role itself";
                    self.error(
                        &scope.file,
                        entry.spot,
                        format!("`{module}` cannot be a handler"),
                        hint,
                    );
                }
                _ if flushes && named => {
                    let hint = "a task between the others flushes them; a handler may notify one \
                        that comes after it";
                    self.error(
                        &scope.file,
                        entry.spot,
                        "`meta: flush_handlers` cannot be a handler",
                        hint,
                    );
                }
                _ if flushes => {
                    let hint = "leave it out: without a name nobody notifies it";
                    self.warn(
                        &scope.file,
                        entry.spot,
                        "`meta: flush_handlers` cannot be a handler",
                        hint,
                    );
                }
                _ => {}
            }
        }
    }
}

/// Whether a task may notify somebody.
fn may_change(entries: &[Entry], module: Option<&str>) -> bool {
    let said = entries.iter().find(|e| e.key == "changed_when");
    !said.is_some_and(|e| is_false(&e.value))
        && (said.is_some() || !module.is_some_and(|module| UNCHANGING.contains(&module)))
}

/// `false`, or a list of conditions with such a one in it.
fn is_false(node: &Node) -> bool {
    match &node.value {
        Value::Scalar { text, plain } => {
            text.eq_ignore_ascii_case("false")
                || *plain && ["no", "off"].contains(&text.to_lowercase().as_str())
        }
        Value::List(items) => items.iter().any(is_false),
        _ => false,
    }
}
