//! What `ansible-playbook` meant: out of the lines its default callback prints, the one that says
//! why it failed.
//!
//! Samples of ansible-core 2.14 and 2.19 are in `test-tools/ansible-output`.
use std::fmt;

use serde_json::{Map, Value};

use crate::log::sentences;

pub mod syntax;

/// Why a playbook failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Name of the task, or of the handler; `None` when no task ran (syntax error, missing role),
    /// or when the lines given begin after its heading.
    pub task: Option<String>,
    /// As the inventory names it; `None` when no task ran.
    pub host: Option<String>,
    /// The item of a loop.
    pub item: Option<String>,
    /// One line: the module's `msg`, with the last words of its stderr where `msg` says nothing;
    /// with file, line and column where Ansible knows them.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(task) = &self.task {
            write!(f, "task \"{task}\"")?;
            if let Some(item) = &self.item {
                write!(f, " (item {item})")?;
            }
            if let Some(host) = &self.host {
                write!(f, " on {host}")?;
            }
            write!(f, ": ")?;
        }
        f.write_str(&self.message)
    }
}

/// The failure in the output of a playbook that exited with an error. `lines` are its last lines,
/// stdout and stderr in the order in which they came; colours do not matter. Failures that the
/// playbook ignores or rescues do not count.
pub fn failure(lines: &[impl AsRef<str>]) -> Option<Failure> {
    let lines: Vec<String> = lines.iter().map(|line| sentences::clean(line.as_ref())).collect();
    // Failures by task: `...ignoring` takes back what its task reported.
    let mut failed: Vec<(usize, Failure)> = Vec::new();
    let mut task = None;
    let mut tasks = 0;
    let mut rescued = false;
    for (number, line) in lines.iter().enumerate() {
        if let Some(name) = heading(line) {
            task = Some(name);
            tasks += 1;
        } else if line.starts_with("...ignoring") {
            failed.retain(|(of, _)| *of != tasks);
        } else if let Some(result) = result(&lines[number..]) {
            failed.push((tasks, Failure { task: task.clone(), ..result }));
        } else if let Some((_, count)) = line.rsplit_once("rescued=") {
            rescued |= !count.starts_with('0');
        }
    }
    // The first failure is the cause, later ones come of `always:` blocks. Only where something was
    // rescued is it the last: a rescued failure looks like any other, but the play went on after
    // it.
    if rescued && let Some(last) = failed.last().map(|(of, _)| *of) {
        failed.retain(|(of, _)| *of == last);
    }
    failed.into_iter().next().map(|(_, failure)| failure).or_else(|| refusal(&lines))
}

/// No play of the playbook found a host of its own (`hosts:` names none of the inventory).
/// `ansible-playbook` then does nothing and exits with 0.
pub fn matched_no_hosts(lines: &[impl AsRef<str>]) -> bool {
    let lines: Vec<String> = lines.iter().map(|line| sentences::clean(line.as_ref())).collect();
    lines.iter().any(|line| line == "skipping: no hosts matched")
        && !lines.iter().any(|line| heading(line).is_some())
}

/// What sudo, su and the like say where the kernel makes nobody another user: in namespaces of one
/// user, as behind the wall.
const NO_OTHER_USER: &[&str] = &[
    "no new privileges",
    "effective uid is not 0",
    "must be owned by uid 0 and have the setuid bit set",
    "sudo: PERM_",
    "sudo: unable to change to",
    "sudo: unable to set",
    "sudo: no valid sudoers sources found",
    "sudo: error initializing audit plugin",
    "su: cannot set ",
    "setresuid",
    "setgroups: Operation not permitted",
];

/// Whether a task on the factory itself could not become another user (`become`). `local`: plays
/// may run there.
pub fn could_not_become(lines: &[impl AsRef<str>], local: bool) -> bool {
    let says =
        |line: &str| NO_OTHER_USER.iter().any(|words| line.replace('\\', "").contains(words));
    let here = |line: &str| line.contains("localhost") || line.contains("127.0.0.1");
    lines
        .iter()
        .map(|line| sentences::clean(line.as_ref()))
        .any(|line| says(&line) && (local || here(&line)))
}

/// `line` as a person wants to see it at the end of a failed step: a result is cut down to its
/// message, stars go, of the recap nothing stays.
pub fn brief(line: &str) -> String {
    let line = sentences::shown(line);
    if line.starts_with("PLAY RECAP")
        || (line.contains(" unreachable=") && line.contains(" rescued="))
    {
        return String::new();
    }
    let one = [line];
    match result(&one) {
        Some(failure) if one[0].ends_with('}') => {
            let head = one[0].split_once(" => {").map_or("", |(head, _)| head);
            format!("{head} => {}", failure.message)
        }
        _ => one[0].trim_end_matches('*').trim_end().to_owned(),
    }
}

/// `TASK [role : name] ****`, `RUNNING HANDLER [name] ****`.
fn heading(line: &str) -> Option<String> {
    let rest = line.strip_prefix("TASK [").or_else(|| line.strip_prefix("RUNNING HANDLER ["))?;
    Some(rest.trim_end_matches(['*', ' ']).strip_suffix(']')?.to_owned())
}

/// `fatal: [host]: FAILED! => {…}`, `fatal: [host -> other]: UNREACHABLE! => {…}`, `failed: [host]
/// (item=x) => {…}`; the JSON may go on over the next lines. The task is not filled in.
fn result(lines: &[String]) -> Option<Failure> {
    let line = lines.first()?;
    let rest = line.strip_prefix("fatal: [").or_else(|| line.strip_prefix("failed: ["))?;
    let (host, rest) = rest.split_once(']')?;
    let (head, json) = rest.split_once(" => {").unwrap_or((rest, ""));
    let item = head.split_once("(item=").map(|(_, item)| item.trim_end_matches(')').to_owned());
    let mut text = format!("{{{json}");
    if json.is_empty() {
        for line in lines.iter().skip(1).take_while(|line| *line != "}") {
            text.push_str(line);
        }
        text.push('}');
    }
    let message = match serde_json::from_str(&text) {
        Ok(Value::Object(result)) if !result.is_empty() => message(&result),
        _ => loose_message(&text).unwrap_or_else(|| head.trim_start_matches([':', ' ']).to_owned()),
    };
    Some(Failure {
        task: None,
        host: Some(host.split(" -> ").next().unwrap_or(host).to_owned()),
        item,
        message,
    })
}

/// `msg` of a result that is not whole (cut off, or another line fell in).
fn loose_message(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\"msg\": ")?;
    let msg = serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()?;
    Some(with_place(&msg))
}

fn message(result: &Map<String, Value>) -> String {
    let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or("").trim();
    if result.contains_key("censored") {
        return "failed; its output is hidden (no_log)".to_owned();
    }
    // Since 2.19 each layer puts its own words before the cause.
    let msg = text("msg").trim_start_matches("Task failed: ").trim_start_matches("Module failed: ");
    // These say only that there is a cause; the cause is what the program wrote last.
    let empty = msg.is_empty()
        || ["non-zero return code", "MODULE FAILURE", "The module failed to execute"]
            .iter()
            .any(|m| msg.starts_with(m));
    if !empty {
        return with_place(msg);
    }
    let mut message = if msg.is_empty() { "failed".to_owned() } else { sentences::first_line(msg) };
    if let Some(rc) = result.get("rc").and_then(Value::as_i64) {
        message = format!("{message} ({rc})");
    }
    match ["stderr", "module_stderr", "stdout", "module_stdout"]
        .iter()
        .find_map(|key| text(key).lines().last())
    {
        Some(last) => format!("{message}: {}", sentences::clean(last).trim()),
        None => message,
    }
}

/// Why Ansible refused, before any task ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One line.
    pub message: String,
    /// File, line and column, where Ansible tells them.
    pub place: Option<(String, usize, usize)>,
}

/// `ERROR! …` of ansible-core up to 2.18, `[ERROR]: …` since 2.19. `lines` hold no colours.
pub fn refused(lines: &[String]) -> Option<Refusal> {
    let begins = |line: &String| ["ERROR! ", "[ERROR]: "].iter().any(|mark| line.starts_with(mark));
    // Since 2.19 a task that failed is told so too, one that is ignored as well.
    let of_task = |line: &String| line.starts_with("[ERROR]: Task failed");
    let start = lines
        .iter()
        .position(|line| begins(line) && !of_task(line))
        .or_else(|| lines.iter().position(begins))?;
    let text = lines[start..].join("\n");
    let text = text.trim_start_matches("ERROR! ").trim_start_matches("[ERROR]: ");
    Some(Refusal { message: first_message(text), place: place(text) })
}

fn refusal(lines: &[String]) -> Option<Failure> {
    let Refusal { message, place } = refused(lines)?;
    Some(Failure { task: None, host: None, item: None, message: placed(message, place) })
}

/// First line of an Ansible text, and the place that it names further down.
fn with_place(text: &str) -> String {
    placed(first_message(text), place(text))
}

fn placed(message: String, place: Option<(String, usize, usize)>) -> String {
    match place {
        Some((file, line, column)) => {
            format!("{} ({file}:{line}:{column})", message.trim_end_matches('.'))
        }
        None => message,
    }
}

/// The line that says what is wrong.
fn first_message(text: &str) -> String {
    let mut message = match text.split_once("Syntax Error while loading YAML.") {
        Some((_, why)) => format!("syntax error: {}", sentences::first_line(why)),
        // Which file that is stands in the second line.
        None if text.starts_with("Unable to retrieve file contents") => {
            sentences::first_line(text.split_once('\n').map_or(text, |(_, second)| second))
        }
        None => sentences::first_line(text).replacen("YAML parsing failed: ", "syntax error: ", 1),
    };
    // "The error was: 'x' is undefined. 'x' is undefined": Ansible says it for each layer it
    // passes.
    if let Some((head, tail)) = message.rsplit_once(". ")
        && head.ends_with(tail)
    {
        message.truncate(head.len());
    }
    message
}

/// Of "The error appears to be in 'FILE': line L, column C, but may", since 2.19 "Origin:
/// FILE:L:C".
fn place(text: &str) -> Option<(String, usize, usize)> {
    let number =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    if let Some((_, rest)) = text.split_once("The error appears to be in '") {
        let (file, rest) = rest.split_once("': line ")?;
        let (line, rest) = rest.split_once(", column ")?;
        return Some((file.to_owned(), number(line)?, number(rest)?));
    }
    let origin = text.lines().find_map(|line| line.strip_prefix("Origin: "))?;
    let mut parts = origin.rsplitn(3, ':');
    let (column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
    Some((file.to_owned(), number(line)?, number(column)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! sample {
        ($name:literal) => {
            include_str!(concat!("../../test-tools/ansible-output/", $name, ".out"))
                .lines()
                .collect::<Vec<_>>()
        };
    }

    #[test]
    fn a_become_on_the_factory_is_told_from_one_in_the_machine() {
        let stderr = r#""module_stderr": "sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.\n"#;
        let said = |host: &str| [format!("fatal: [{host}]: FAILED! => {{{stderr}\"}}")];
        assert!(
            could_not_become(&said("builder -> localhost"), false)
                && could_not_become(&said("localhost"), false)
        );
        assert!(
            could_not_become(&said("builder"), true) && !could_not_become(&said("builder"), false)
        );
        assert!(!could_not_become(&["fatal: [localhost]: FAILED! => {\"msg\": \"no\"}"], true));
    }

    macro_rules! says {
        ($name:literal, $expected:literal) => {
            assert_eq!(failure(&sample!($name)).expect($name).to_string(), $expected);
        };
    }

    #[test]
    fn a_failed_task_is_named_with_host_and_cause() {
        says!("failed", r#"task "write the page" on localhost: non-zero return code (1)"#);
        says!("colour", r#"task "write the page" on localhost: non-zero return code (1)"#);
        says!(
            "stderr",
            r#"task "script says why" on localhost: non-zero return code (3): E: broken [x]"#
        );
        says!("loop", r#"task "make directories" (item b) on localhost: non-zero return code (1)"#);
        says!("retry", r#"task "wait for the page" on localhost: non-zero return code (1)"#);
        says!("delegated", r#"task "ask the other" on localhost: non-zero return code (1)"#);
        says!("assert", r#"task "check the sums" on localhost: Assertion failed"#);
        says!(
            "handler",
            r#"task "restart nginx" on localhost: [Errno 2] No such file or directory: b'/bin/nonexistent'"#
        );
        says!("no-log", r#"task "secret" on localhost: failed; its output is hidden (no_log)"#);
        says!(
            "exception",
            r#"task "copy the page" on localhost: Could not find or access 'nothere.html'"#
        );
        says!(
            "interpreter",
            r#"task "broken python" on localhost: The module failed to execute correctly, you probably need to set the interpreter. (127): /bin/sh: 1: /nope/python: not found"#
        );
        says!(
            "unreachable",
            r#"task "Gathering Facts" on 127.0.0.1: Failed to connect to the host via ssh: ssh: connect to host 127.0.0.1 port 1: Connection refused"#
        );
        says!(
            "undefined",
            r#"task "use it" on localhost: The task includes an option with an undefined variable. The error was: 'nope' is undefined (/bundle/ansible/undefined.yml:4:7)"#
        );
    }

    #[test]
    fn what_is_ignored_or_rescued_is_not_the_cause_and_always_blocks_do_not_hide_it() {
        says!(
            "rescued",
            r#"task "apt install" on localhost: No package matching 'nosuchpkg-xyz' is available"#
        );
        says!("always", r#"task "start the service" on localhost: non-zero return code (1)"#);
    }

    #[test]
    fn a_refused_playbook_is_named_with_the_place() {
        says!(
            "syntax",
            "syntax error: mapping values are not allowed in this context \
                (/bundle/ansible/syntax.yml:4:16)"
        );
        says!(
            "module",
            "couldn't resolve module/action 'nosuchmodule_x'. This often indicates a misspelling, \
                missing collection, or incorrect module path (/bundle/ansible/module.yml:3:7)"
        );
        says!("missing", "the playbook: missing.yml could not be found");
        let role = failure(&sample!("role")).unwrap().to_string();
        assert!(
            role.starts_with("the role 'nginx-missing' was not found in /bundle/ansible/roles:"),
            "{role}"
        );
        assert!(role.ends_with(" (/bundle/ansible/role.yml:2:11)"), "{role}");
    }

    /// With 2.19 no reason was found at all for a playbook that Ansible refused.
    #[test]
    fn newer_ansibles_are_understood_too() {
        says!(
            "2.19/syntax",
            "syntax error: Colons in unquoted values must be followed by a non-space character \
                (/bundle/ansible/syntax.yml:4:16)"
        );
        says!(
            "2.19/module",
            "couldn't resolve module/action 'nosuchmodule_x'. This often indicates a misspelling, \
                missing collection, or incorrect module path (/bundle/ansible/module.yml:3:7)"
        );
        says!("2.19/missing", "the playbook: missing.yml could not be found");
        says!(
            "2.19/stderr",
            r#"task "script says why" on localhost: non-zero return code (3): E: broken [x]"#
        );
        says!(
            "2.19/undefined",
            r#"task "use it" on localhost: Finalization of task args for 'ansible.builtin.debug' failed: Error while resolving value for 'msg': 'nope' is undefined"#
        );
        let role = failure(&sample!("2.19/role")).unwrap().to_string();
        assert!(role.starts_with("the role 'nginx-missing' was not found in"), "{role}");
        assert!(role.ends_with(" (/bundle/ansible/role.yml:2:11)"), "{role}");
    }

    /// A failure that is ignored says `[ERROR]` since 2.19; what ends the run comes after it.
    #[test]
    fn what_was_ignored_is_no_refusal() {
        let lines = [
            "[ERROR]: Task failed: Module failed: no",
            "...ignoring",
            "[ERROR]: the role 'x' was not found",
            "Origin: /a b.yml:2:11",
        ];
        let told = refused(&lines.map(str::to_owned)).unwrap();
        assert_eq!(
            told,
            Refusal {
                message: "the role 'x' was not found".into(),
                place: Some(("/a b.yml".into(), 2, 11))
            }
        );
        let missing = [
            "ERROR! Unable to retrieve file contents",
            "Could not find or access '/x.yml' on the Ansible Controller.",
        ];
        assert_eq!(
            refused(&missing.map(str::to_owned)).unwrap().message,
            "Could not find or access '/x.yml' on the Ansible Controller."
        );
    }

    #[test]
    fn a_playbook_without_hosts_is_noticed() {
        assert!(matched_no_hosts(&sample!("no-hosts")));
        assert_eq!(failure(&sample!("no-hosts")), None);
        assert!(!matched_no_hosts(&sample!("failed")));
    }

    #[test]
    fn output_that_is_cut_off_still_tells() {
        let cut =
            [r#"fatal: [h]: FAILED! => {"changed": false, "msg": "No \"x\"", "results": [{"cu"#];
        let failure = failure(&cut).unwrap();
        assert_eq!(
            (failure.task, failure.host.as_deref(), failure.message.as_str()),
            (None, Some("h"), "No \"x\"")
        );
        assert_eq!(super::failure(&["fatal: [h]: UNREACHABLE!"]).unwrap().message, "UNREACHABLE!");
        assert_eq!(super::failure(&["all is well"]), None);
        assert_eq!(super::failure(&[""; 0]), None);
    }

    #[test]
    fn a_result_is_brief() {
        let failed = sample!("stderr").into_iter().find(|line| line.starts_with("fatal:")).unwrap();
        assert_eq!(
            brief(failed),
            "fatal: [localhost]: FAILED! => non-zero return code (3): E: broken [x]"
        );
        assert_eq!(brief("TASK [x] *******"), "TASK [x]");
        assert_eq!(
            sample!("stderr").iter().rev().map(|line| brief(line)).find(|line| !line.is_empty()),
            Some(brief(failed))
        );
        assert_eq!(brief("fatal: [localhost]: FAILED! => {"), "fatal: [localhost]: FAILED! => {");
    }
}
