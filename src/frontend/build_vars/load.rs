//! `build-vars.yml` -> [`Definition`], or everything that is wrong with it.
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::decode::{self, Field, Fields, Reader};
use super::doubts::Doubts;
use super::links::{self, Bounds, Leads};
use super::overrides::{self, Override};
use super::yaml::{Entry, Node, Position, Value};
use super::{
    Asks, Definition, FILE, agree, checks, files, image, keys, near, source, steps, syntax,
};
use crate::frontend::tree::kind;
use crate::frontend::{Loaded, Rest, Unsound};
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::field::Locations;
use crate::system::paths::real_so_far;
use crate::system::reading;

/// Settings longer than this are none.
const MAX_BYTES: u64 = 1 << 20;
/// Of one bundle; more are counted only.
const MOST_FINDINGS: usize = 500;

/// Reads `build-vars.yml` of `dir`, or what is left of a definition that has errors. Outside of
/// `tree`, it is an OS image if its parent directory is named `os` or it has a `source`.
pub(super) fn load_whole(
    tree: &Path,
    dir: &Path,
    overrides: &[Override],
) -> Result<Loaded, Unsound> {
    let (tree, home) = (real_so_far(tree), real_so_far(dir));
    let label = match home.strip_prefix(&tree) {
        Ok(inner) if inner.components().count() > 0 => inner.to_owned(),
        _ => dir.to_owned(),
    };
    let (here, file) = (Here { tree, home, label: label.clone() }, label.join(FILE));
    if let Some(finding) = misplaced(&here.tree, dir, &here.home, &label) {
        return Err(vec![finding].into());
    }
    let text = settings(&here.tree, &here.home, &label, &file).map_err(|finding| vec![finding])?;
    let read = syntax::read(&file, &text);
    let mut reader = Reader::new(file.clone(), read.findings);
    reader.lost = read.lost;
    let root = read.root.map(|mut root| {
        overrides::apply(overrides, &mut root);
        root
    });
    let (mut bundle, doubts) = match root {
        Some(root) if matches!(root.value, Value::Null | Value::Map(_)) => {
            whole(&mut reader, &here, &root)
        }
        // What lies in the directory can be looked at without, unless the settings may name another
        // one.
        root => {
            if let Some(root) = root {
                let message = format!("{FILE} must be a map, not {}", root.what());
                reader.error(root.spot, message, "lines of `key: value`");
            }
            let rest = without_settings(&mut reader, &here);
            (rest.filter(|_| !text.contains("path")), Doubts::everything())
        }
    };
    // What lies in another directory would be told as what does not.
    if doubts.home {
        reader.forget_files();
    }
    let mut findings = reader.findings;
    agreement(bundle.as_ref(), &mut findings);
    findings.iter_mut().for_each(|finding| overrides::tell(overrides, &file, finding));
    bundle
        .iter_mut()
        .flat_map(|b| b.locations.places_mut())
        .for_each(|place| overrides::place(overrides, &file, place));
    outcome(bundle, doubts, in_order(findings, file))
}

/// A definition's place.
struct Here {
    /// The factory tree.
    tree: PathBuf,
    /// The directory of build-vars.yml.
    home: PathBuf,
    label: PathBuf,
}

/// A definition whose settings are a map.
fn whole(reader: &mut Reader, here: &Here, root: &Node) -> (Option<Definition>, Doubts) {
    let read = bundle(reader, here, root);
    let shown = read
        .as_ref()
        .map_or(here.label.clone(), |b| b.dir.strip_prefix(&b.tree).unwrap_or(&b.dir).to_owned());
    let dir = read.as_ref().map_or(&here.home, |b| &b.dir);
    let doubts = Doubts::of(root, reader, dir, &shown);
    (read, doubts)
}

/// Adds findings on values that are valid by themselves. If others are not, adds contradictions
/// only.
fn agreement(bundle: Option<&Definition>, findings: &mut Vec<Diagnostic>) {
    let wrong = findings.iter().any(Diagnostic::is_error);
    let agree = bundle.into_iter().flat_map(agree::check);
    findings.extend(agree.filter(|finding| !wrong || finding.is_error()));
    findings.extend(bundle.into_iter().filter(|_| !wrong).flat_map(near::in_bundle));
}

fn outcome(
    bundle: Option<Definition>,
    doubts: Doubts,
    findings: Vec<Diagnostic>,
) -> Result<Loaded, Unsound> {
    match bundle {
        Some(bundle) if !findings.iter().any(Diagnostic::is_error) => {
            Ok(Loaded { bundle, warnings: findings })
        }
        rest => {
            let rest =
                rest.filter(|_| !doubts.home).map(|bundle| Box::new(Rest { bundle, doubts }));
            Err(Unsound { findings, rest })
        }
    }
}

/// Findings sorted by place, each once, and no more than anybody reads.
fn in_order(mut findings: Vec<Diagnostic>, file: PathBuf) -> Vec<Diagnostic> {
    findings.sort_by(|a, b| {
        (&a.place, a.severity, &a.message).cmp(&(&b.place, b.severity, &b.message))
    });
    // An aliased value is read wherever it is used, and would be found wrong as often.
    findings.dedup();
    if let Some(more) = findings.len().checked_sub(MOST_FINDINGS).filter(|more| *more > 0) {
        findings.truncate(MOST_FINDINGS);
        let place = Location { file, line: 0, column: 0 };
        findings.push(Diagnostic::error(place, format!("and {more} findings more")));
    }
    findings
}

/// Of a definition whose settings cannot be read: its files, and what is wrong with them whatever
/// the settings say.
fn without_settings(reader: &mut Reader, here: &Here) -> Option<Definition> {
    let mut apart = Reader::new(reader.file.clone(), Vec::new());
    let spot = Position { line: 0, column: 0 };
    // Steps that are not known run some playbook, not the default one.
    let steps =
        Entry { key: "steps".into(), spot, value: Node { spot, value: Value::Null, raw: false } };
    let empty = Node { spot, value: Value::Map(vec![steps]), raw: false };
    let bundle = bundle(&mut apart, here, &empty);
    let of_files = apart
        .findings
        .into_iter()
        .filter(|d| d.place.as_ref().is_some_and(|p| p.file != reader.file));
    reader.findings.extend(of_files);
    bundle
}

/// What no definition may be called, and where none may lie.
fn misplaced(tree: &Path, dir: &Path, home: &Path, label: &Path) -> Option<Diagnostic> {
    let at = |path: &Path| Location { file: path.to_owned(), line: 0, column: 0 };
    // It names runs, and stands in their logs.
    if label.to_string_lossy().contains(char::is_control) {
        let finding = Diagnostic::error(
            at(label),
            "the name of this directory has a control character in it",
        );
        return Some(finding.hint("give it another name"));
    }
    if without_up(dir).starts_with(tree) && !home.starts_with(tree) {
        let finding =
            Diagnostic::error(at(dir), "this directory is a link that leads out of the tree");
        return Some(finding.hint(
            "a definition lies in the tree; one that lies elsewhere is named by its own path",
        ));
    }
    None
}

/// The whole path as it is named, but for `..`, which leads from where links lead to.
fn without_up(path: &Path) -> PathBuf {
    let mut at = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        if part == Component::ParentDir {
            at = at.canonicalize().unwrap_or(at);
            at.pop();
        } else {
            at.push(part);
        }
    }
    at
}

fn settings(tree: &Path, home: &Path, label: &Path, file: &Path) -> Result<String, Diagnostic> {
    let place = |line, column| Location { file: file.to_owned(), line, column };
    let path = home.join(FILE);
    let shown = if label.as_os_str().is_empty() {
        "this directory".into()
    } else {
        label.display().to_string()
    };
    if path.is_symlink() && matches!(Bounds::new(tree, home).leads(&path), Leads::Out) {
        let finding =
            Diagnostic::error(place(0, 0), format!("{FILE} is a link that leads out of the tree"));
        return Err(finding.hint("what a bundle needs lies in its directory"));
    }
    match reading::bytes(&path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
            let sound =
                String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()])
                    .into_owned();
            let last = sound.rsplit('\n').next().unwrap_or_default();
            let place = place(sound.matches('\n').count() + 1, last.chars().count() + 1);
            Diagnostic::error(place, "not UTF-8").hint("save the file as UTF-8")
        }),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Err(Diagnostic::error(place(0, 0), format!("{FILE} is not a file")))
        }
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            Err(Diagnostic::error(place(0, 0), "too long for a file of settings (more than 1 MiB)"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(match home.is_dir() {
            false => Diagnostic::error(place(0, 0), format!("there is no directory {shown}")),
            true => {
                let finding = Diagnostic::error(place(0, 0), format!("{shown} has no {FILE}"));
                match near::settings(home) {
                    Some(other) => finding.hint(format!("rename {other} to {FILE}")),
                    None => finding.hint("it holds at least `bundle: {name: ..., img_base: ...}`"),
                }
            }
        }),
        Err(error) => Err(Diagnostic::error(place(0, 0), format!("cannot be read: {error}"))),
    }
}

/// The path by which a definition is found from the tree's root. One outside of the tree may have
/// been named by a path from another directory.
fn path_of(here: &Here) -> &Path {
    let inner = here.home.strip_prefix(&here.tree).is_ok_and(|inner| inner == here.label);
    if inner { &here.label } else { &here.home }
}

fn bundle(reader: &mut Reader, here: &Here, root: &Node) -> Option<Definition> {
    let Here { tree, home, label } = here;
    let start = Position { line: 0, column: 0 };
    let empty = Node { spot: start, value: Value::Map(Vec::new()), raw: false };
    let root = match &root.value {
        Value::Null => &empty,
        _ => root,
    };
    let top = reader.fields(&Field { path: String::new(), key: start, node: root }, keys::TOP)?;
    let sourced = top.get("source").is_some();
    let kind = kind(tree, home, sourced);
    let named = image::named(reader, &top, sourced);
    let dir = files_at(reader, &top, here);
    let shown = dir.strip_prefix(tree).map_or_else(
        |_| if dir.ends_with(label) { label.clone() } else { dir.clone() },
        Path::to_owned,
    );

    if let Some(field) = top.get("packer_file") {
        reader.error(
            field.key,
            "`packer_file` is not supported yet by this version",
            "say what it does in `steps`",
        );
    }
    let env = pass_env(reader, &top);
    let vars = reader
        .watched("vars", |reader| top.read("vars", |f| steps::variables(reader, f)))
        .unwrap_or_default();
    let place = steps::Lies { dir: &dir, shown: &shown, pass_env: &env, vars: &vars };
    let steps =
        reader.watched("steps", |reader| top.read("steps", |f| steps::steps(reader, f, &place)));
    let has_bootstrap = dir.join("ansible/bootstrap.yml").is_file();
    if has_bootstrap {
        bootstrap(reader, &top, &place);
    }
    for (path, trouble) in links::wrong(tree, &dir) {
        reader.file_error(shown.join(path), (0, 0), trouble);
    }
    let glance = top.read("final_glance_options", |f| image::glance(reader, f)).unwrap_or_default();
    let visibility = top.read("visibility", |f| image::visibility(reader, f, &glance));
    let templates = templates(reader, &dir, &shown);
    let tidy = top.read("tidy", |f| image::tidy(reader, f)).unwrap_or_default();
    Some(Definition {
        source: top.read("source", |f| source::source(reader, f, kind, &dir)),
        target_name: top.read("bundle_target_name", |f| image::target_name(reader, f)),
        flavor: top.read("vm_flavor", |f| reader.word(f)),
        test_flavor: top.read("test_flavor", |f| reader.word(f)),
        ssh_user: top.read("ssh_user", |f| image::ssh_user(reader, f)),
        tests: checks::tests(reader, top.get("tests").as_ref(), &dir, &shown),
        network: top.read("network", |f| reader.word_or_words(f)).unwrap_or_default(),
        security_groups: top
            .read("security_groups", |f| reader.word_or_words(f))
            .unwrap_or_default(),
        floating_network: top.read("floating_network", |f| reader.word(f)),
        availability_zone: top.read("availability_zone", |f| reader.word(f)),
        volume: top.read("volume", |f| image::volume(reader, f)),
        machine: top.read("machine", |f| image::machine(reader, f)).unwrap_or_default(),
        timeouts: top.read("timeouts", |f| image::timeouts(reader, f)).unwrap_or_default(),
        tags: top.read("tags", |f| reader.words(f)).unwrap_or_default(),
        members: top
            .read("members", |f| image::members(reader, f, visibility.or(glance.visibility)))
            .unwrap_or_default(),
        keep: top.read("keep", |f| reader.whole(f, 1)),
        warm: top.read("warm", |f| reader.whole(f, 0)).unwrap_or_default(),
        checkpoints: top.read("checkpoints", |f| reader.truth(f)).unwrap_or_default(),
        asks: Asks {
            tree: tree.clone(),
            definition: home.clone(),
            env,
            unwalled: source::unwalled(reader, &top),
        },
        tidy_off: tidy.off,
        tidy_on: tidy.on,
        vars,
        base_family: None,
        base_maker: None,
        as_written: decode::as_written(root, &mut Vec::new()),
        locations: Locations::new(keys::FIELDS, reader.places.clone()),
        needs: std::mem::take(&mut reader.needs),
        label: path_of(here).display().to_string(),
        name: named.name.unwrap_or_default(),
        base: named.base,
        properties: named.properties,
        steps: steps.unwrap_or_default(),
        tree: tree.clone(),
        dir,
        kind,
        glance,
        visibility,
        templates,
        has_bootstrap,
    })
}

/// The directory of the definition's files: `bundle.path`, or its own.
fn files_at(reader: &mut Reader, top: &Fields, here: &Here) -> PathBuf {
    let Here { tree, home, .. } = here;
    let path = top.get("bundle").and_then(|f| match &f.node.value {
        Value::Map(_) => reader.map(&f)?.read("path", |f| {
            let found = directory(reader, f, tree, home);
            reader.doubtful_home = found.is_none();
            found
        }),
        _ => None,
    });
    path.unwrap_or_else(|| home.clone())
}

/// Checks the default playbook, which runs where no steps are listed.
fn bootstrap(reader: &mut Reader, top: &Fields, place: &steps::Lies<'_>) {
    let none_listed = top
        .get("steps")
        .is_some_and(|f| matches!(&f.node.value, Value::List(items) if items.is_empty()));
    if !none_listed && !top.lacks("steps", keys::TOP) {
        return;
    }
    match files::file(place.dir, "ansible/bootstrap.yml") {
        Ok(path) => steps::check_playbook(reader, place, &path, &steps::Gives::default()),
        Err(trouble) => {
            reader.file_error(place.shown.join("ansible/bootstrap.yml"), (0, 0), trouble);
        }
    }
}

/// `output/*.j2` of `dir`, which messages call `shown`.
fn templates(reader: &mut Reader, dir: &Path, shown: &Path) -> Vec<PathBuf> {
    let mut templates = Vec::new();
    for found in files::templates(dir) {
        match found {
            Ok(path) => templates.push(path),
            Err((path, trouble)) => reader.file_error(shown.join(path), (0, 0), trouble),
        }
    }
    templates
}

/// A definition must do something: steps, a playbook where the default one lies, or a source.
pub fn check_work(bundle: &Definition) -> Option<Diagnostic> {
    if !bundle.steps.is_empty() || bundle.has_bootstrap || bundle.source.is_some() {
        return None;
    }
    let file =
        bundle.locations.of_key("bundle").map(|p| Location { line: 0, column: 0, ..p.clone() });
    let finding =
        Diagnostic::error(file, "nothing to do: no `steps`, and no ansible/bootstrap.yml");
    Some(finding.hint("write ansible/bootstrap.yml, or list `steps`"))
}

/// `pass_env`: variables of the factory's environment that the definition asks for.
fn pass_env(reader: &mut Reader, top: &Fields) -> Vec<String> {
    let Some(field) = top.get("pass_env") else { return Vec::new() };
    let names = reader.words(&field).unwrap_or_default();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    for name in &names {
        let named = name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit());
        if !named {
            reader.error(
                field.node.spot,
                format!("`{name}` in `pass_env` is no name of a variable"),
                "like `OS_CLOUD`",
            );
        } else if crate::system::exec::env::reserved(name).is_some() {
            reader.error(
                field.node.spot,
                format!("`{name}` in `pass_env` is the factory's own"),
                "leave it out",
            );
        }
    }
    names
}

/// `bundle.path`: from the definition's directory, or from the tree.
fn directory(reader: &mut Reader, field: &Field, tree: &Path, home: &Path) -> Option<PathBuf> {
    let text = reader.word(field)?;
    let found = [home, tree].into_iter().map(|from| from.join(&text)).find(|dir| dir.is_dir());
    if found.is_none() {
        let message = format!("`bundle.path`: there is no directory `{text}`");
        reader.error(
            field.node.spot,
            message,
            "it is relative to build-vars.yml or to the factory tree, and may be left out",
        );
    }
    let found = real_so_far(&found?);
    // A tree's definitions share directories of the tree; one that lies in no tree has its own.
    let bound = if home.starts_with(tree) { tree } else { home };
    if found.starts_with(bound) && (bound == home || found != tree) {
        return Some(found);
    }
    reader.error(
        field.node.spot,
        format!("`bundle.path`: `{text}` leads out of the factory tree"),
        "what a bundle needs lies in the tree",
    );
    None
}
