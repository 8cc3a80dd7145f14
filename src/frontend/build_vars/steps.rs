//! `steps`: programs to run, and their files.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ansible_cfg::Config;
use super::decode::{Field, Fields, Reader};
use super::yaml::{Position, Value};
use super::{Step, StepKind, files, keys, lint, playbooks, scripts};
use crate::model::diagnostic::Diagnostic;
use crate::model::step::{FORMS, Shape, Written};
use crate::system::exec::env;

/// Context shared by all steps of a bundle.
pub(super) struct Lies<'a> {
    /// Directory of the files, and its name in locations.
    pub dir: &'a Path,
    pub shown: &'a Path,
    /// Factory environment variables that the bundle requests.
    pub pass_env: &'a [String],
    pub vars: &'a Variables,
}

pub(super) type Variables = serde_json::Map<String, serde_json::Value>;

/// Inputs of a step's playbook.
#[derive(Default)]
pub(super) struct Gives<'a> {
    pub local: bool,
    pub env: Option<&'a BTreeMap<String, String>>,
    pub extra_vars: Option<&'a Variables>,
    /// With their location.
    pub tags: Option<(Position, &'a [String])>,
}

pub(super) fn steps(reader: &mut Reader, field: &Field, lies: &Lies<'_>) -> Option<Vec<Step>> {
    let items = reader.list(field)?;
    Some(items.iter().filter_map(|item| step(reader, item, lies)).collect())
}

fn step(reader: &mut Reader, field: &Field, lies: &Lies<'_>) -> Option<Step> {
    let step = reader.fields(field, &keys::STEP)?;
    let plays = one_action(reader, &step) == Some(PLAYBOOK);
    let extra_vars = step.read("extra_vars", |f| variables(reader, f)).unwrap_or_default();
    let tags = step.read("tags", |f| reader.word_or_words(f)).unwrap_or_default();
    let env = step.read("env", |f| environment(reader, f, plays)).unwrap_or_default();
    let tagged = step.get("tags").map(|field| (field.key, tags.as_slice()));
    // Every action is read, for its findings; with more than one the bundle is refused anyway.
    let mut action = None;
    for form in FORMS {
        let read = step.read(form.word, |f| match form.shape {
            Shape::Playbook => {
                let (env, extra_vars) = (Some(&env), Some(&extra_vars));
                let gives = Gives { local: false, env, extra_vars, tags: tagged };
                let Played { playbook, local, plain } = playbook(reader, f, lies, gives)?;
                let (extra_vars, tags) = (extra_vars.cloned().unwrap_or_default(), tags.clone());
                Some(StepKind::Ansible { playbook, extra_vars, tags, local, plain })
            }
            _ => {
                let written = value(reader, f, &form.shape, lies)?;
                let why = match (form.make)(written) {
                    Ok(kind) => return Some(kind),
                    Err(why) => why,
                };
                reader.error(f.node.spot, format!("`{}` {why}", f.path), "");
                None
            }
        });
        action = action.or(read);
    }
    let name = step.read("name", |f| reader.word(f));
    let timeout = step.read("timeout", |f| reader.duration(f));
    let retries = step.read("retries", |f| reader.whole(f, 0)).unwrap_or(0);
    let sudo = step.read("sudo", |f| reader.truth(f)).unwrap_or(false);
    let fresh = step.read("fresh", |f| reader.duration(f));
    Some(Step { name, action: action?, timeout, retries, env, sudo, fresh })
}

/// The action that runs on the factory.
const PLAYBOOK: &str = "ansible";

/// Reports a step with no action or several, and options of playbooks for other actions. Gives
/// `PLAYBOOK` if that is among them, else the first.
fn one_action<'n>(reader: &mut Reader, step: &'n Fields<'n>) -> Option<&'n str> {
    let actions: Vec<&str> = step
        .all()
        .map(|(key, _)| key)
        .filter(|key| keys::actions().any(|one| one == *key))
        .collect();
    if actions.is_empty() {
        let all: Vec<&str> = keys::actions().collect();
        reader.error(
            step.spot,
            "this step does nothing",
            &format!("a step has one of {}", all.join(", ")),
        );
    }
    for second in actions.iter().skip(1).filter_map(|key| step.get(key)) {
        let which = second.path.rsplit('.').next().unwrap_or_default().to_owned();
        reader.error(
            second.key,
            format!("a step does one thing: `{which}` beside `{}`", actions[0]),
            "make it a step of its own",
        );
    }
    if actions.contains(&PLAYBOOK) {
        return Some(PLAYBOOK);
    }
    for key in ["extra_vars", "tags"] {
        if let Some(field) = step.get(key) {
            reader.error(
                field.key,
                format!("`{key}` goes with `ansible` only"),
                if key == "tags" { "" } else { "see `env`" },
            );
        }
    }
    actions.first().copied()
}

/// A value of a shape. Playbooks are read by [`playbook`].
fn value(reader: &mut Reader, field: &Field, shape: &Shape, lies: &Lies<'_>) -> Option<Written> {
    match shape {
        Shape::Playbook => None,
        Shape::Lines => lines(reader, field).map(Written::Text),
        Shape::Script => script(reader, field, lies).map(Written::Path),
        Shape::Files => path(reader, field, lies.dir, files::upload).map(Written::Path),
        Shape::Word => reader.word(field).map(Written::Text),
        Shape::True => only_true(reader, field).then_some(Written::True),
        Shape::Mode => mode(reader, field).map(Written::Mode),
        Shape::Optional(shape) => value(reader, field, shape, lies),
        Shape::Map(parts) => {
            let valid: Vec<&str> = parts.iter().map(|(key, _)| *key).collect();
            let fields = reader.fields(field, &valid)?;
            let optional = |shape: &Shape| matches!(shape, Shape::Optional(_));
            for (key, _) in parts.iter().filter(|(_, shape)| !optional(shape)) {
                if fields.lacks(key, &valid) {
                    required(reader, &fields, key);
                }
            }
            let all: Vec<_> = parts
                .iter()
                .map(|(key, shape)| match fields.get(key) {
                    None => optional(shape).then_some(Written::Absent),
                    Some(field) => value(reader, &field, shape, lies),
                })
                .collect();
            all.into_iter().collect::<Option<_>>().map(Written::All)
        }
    }
}

/// Three octal digits, with a 0 before them or without. As written: to YAML `0640` is a number.
fn mode(reader: &mut Reader, field: &Field) -> Option<u32> {
    let text = field.node.scalar().unwrap_or_default();
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    let sound = digits.len() == 3 && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = sound.then(|| u32::from_str_radix(digits, 8).ok()).flatten();
    if mode.is_none() {
        let message = format!("`{}` is no mode of a file", field.path);
        reader.error(field.node.spot, message, "three octal digits, as in `0640`");
    }
    mode
}

pub(super) fn path(
    reader: &mut Reader,
    field: &Field,
    dir: &Path,
    check: fn(&Path, &str) -> Result<PathBuf, files::Trouble>,
) -> Option<PathBuf> {
    let text = reader.word(field)?;
    match check(dir, &text) {
        Ok(path) => Some(path),
        Err(trouble) => {
            reader.lost_file(field.node.spot, trouble);
            None
        }
    }
}

/// `script`: sent to the machine as text, and run there by its first line.
fn script(reader: &mut Reader, field: &Field, lies: &Lies<'_>) -> Option<PathBuf> {
    let Lies { dir, shown, .. } = *lies;
    let path = path(reader, field, dir, files::script)?;
    let hint = "a program gets to the machine by `upload`, and a step `shell` runs it";
    reader.told(&shown.join(&path), scripts::sent(&dir.join(&path), hint));
    Some(path)
}

/// The value of `ansible`.
struct Played {
    playbook: PathBuf,
    local: bool,
    plain: bool,
}

/// `ansible: path`, or `ansible: {playbook: path, local: true, accelerator: false}`.
fn playbook(
    reader: &mut Reader,
    field: &Field,
    lies: &Lies<'_>,
    gives: Gives<'_>,
) -> Option<Played> {
    if !matches!(field.node.value, Value::Map(_)) {
        let path = path(reader, field, lies.dir, files::file)?;
        check_playbook(reader, lies, &path, &gives);
        return Some(Played { playbook: path, local: false, plain: false });
    }
    let fields = reader.fields(field, keys::ANSIBLE)?;
    if fields.lacks("playbook", keys::ANSIBLE) {
        required(reader, &fields, "playbook");
    }
    let local = fields.read("local", |f| reader.truth(f)).unwrap_or(false);
    let plain = fields.read("accelerator", |f| reader.truth(f)) == Some(false);
    let playbook = fields.read("playbook", |f| path(reader, f, lies.dir, files::file))?;
    check_playbook(reader, lies, &playbook, &Gives { local, ..gives });
    Some(Played { playbook, local, plain })
}

/// Findings are located in the playbook itself, and in the files it uses.
pub(super) fn check_playbook(reader: &mut Reader, lies: &Lies<'_>, path: &Path, gives: &Gives<'_>) {
    let Lies { dir, shown, .. } = *lies;
    let sound = files::playbook(&dir.join(path), &reader.lint.trees);
    let nothing = BTreeMap::new();
    let config = Config::of(dir, gives.env.unwrap_or(&nothing));
    let review = sound.is_ok()
        && reader
            .reviewed
            .insert((path.to_owned(), format!("{}{:?}", config.identity(), gives.tags)));
    if let Err((trouble, line, column)) = sound {
        reader.file_error(shown.join(path), (line, column), trouble);
    }
    let mut variables = lies.vars.clone();
    variables.extend(
        gives.extra_vars.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())),
    );
    let env =
        gives.env.into_iter().flat_map(BTreeMap::keys).chain(lies.pass_env).cloned().collect();
    let given = lint::Given { variables, env, config: config.clone() };
    let mut found = lint::playbook(
        &mut reader.lint,
        &lint::Playbook { dir, shown, path, given, local: gives.local },
    );
    if review {
        let review = playbooks::review(
            &playbooks::Reviewed { dir, path, shown, trees: &reader.lint.trees },
            &config,
        );
        if let Some((spot, tags)) = gives.tags {
            for tag in review.without_tasks(tags) {
                let message = format!("no task of {} has the tag `{tag}`", path.display());
                reader.warn(
                    spot,
                    message,
                    "Ansible runs what has one of the tags, and is content with nothing",
                );
            }
        }
        // That it cannot be read is said with its place.
        let wrong = |finding: &Diagnostic| {
            review.found.iter().any(|d| {
                d.is_error()
                    && d.place.as_ref().map(|p| &p.file) == finding.place.as_ref().map(|p| &p.file)
            })
        };
        found.retain(|finding| {
            !(finding.message.starts_with(lint::NOT_READ) && !finding.is_error() && wrong(finding))
        });
        reader.findings.extend(review.found);
        let new = review
            .needs
            .into_iter()
            .filter(|need| !reader.needs.contains(need))
            .collect::<Vec<_>>();
        reader.needs.extend(new);
    }
    reader.findings.extend(found);
}

/// A program's text, or its lines.
fn lines(reader: &mut Reader, field: &Field) -> Option<String> {
    let Value::List(items) = &field.node.value else { return shell_text(reader, field) };
    if items.is_empty() {
        reader.error(field.node.spot, format!("`{}` is empty", field.path), "");
    }
    let lines: Vec<String> =
        reader.list(field)?.iter().filter_map(|line| shell_text(reader, line)).collect();
    Some(lines.join("\n"))
}

fn shell_text(reader: &mut Reader, field: &Field) -> Option<String> {
    let text = reader.source_text(field)?;
    if text.contains('\r') {
        let message = format!(
            "`{}` holds a carriage return, which the shell takes for a part of a word",
            field.path
        );
        reader.warn(
            field.node.spot,
            message,
            "leave it out; `printf '\\r'` writes one where it is meant",
        );
    }
    Some(text)
}

fn required(reader: &mut Reader, fields: &Fields, key: &str) {
    reader.error(fields.spot, format!("`{}.{key}` is missing", fields.path), "");
}

fn only_true(reader: &mut Reader, field: &Field) -> bool {
    let written = reader.truth(field);
    if written == Some(false) {
        let key = field.path.rsplit('.').next().unwrap_or_default();
        let message = format!("`{key}: false` does nothing");
        reader.error(field.node.spot, message, "leave the step out");
    }
    written == Some(true)
}

/// Variables for playbooks, typed like Ansible. Refuses those that disable protections of the
/// factory.
pub(super) fn variables(
    reader: &mut Reader,
    field: &Field,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    for (name, value) in reader.map(field)?.all() {
        let why = lint::variable(name)
            .or_else(|| (name == "ansible_connection").then_some("the builder is reached by SSH"));
        if let Some(why) = why {
            reader.error(value.key, format!("`{name}` cannot be set: {why}"), "leave it out");
        }
    }
    reader.free(field)
}

/// `on_factory`: the step's program runs on the factory.
fn environment(
    reader: &mut Reader,
    field: &Field,
    on_factory: bool,
) -> Option<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for (name, value) in reader.map(field)?.all() {
        let sound = !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !sound || name.is_empty() {
            reader.error(
                value.key,
                format!("`{name}` is no name of an environment variable"),
                "letters, digits and `_`; no digit first",
            );
        } else if let Some(why) = env::reserved(name).filter(|_| on_factory) {
            reader.error(value.key, format!("`{name}` cannot be set: {why}"), "leave it out");
        }
        if let Some(text) = reader.text(&value) {
            env.insert(name.to_owned(), text);
        }
    }
    Some(env)
}
