//! The corpus of `test-tools/render-corpus`: we render what ansible-core renders, or refuse with a
//! reason.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::frontend;
use crate::jinja::{FILTERS, TESTS};
use crate::report::templates::Job;

#[derive(serde::Deserialize)]
struct Entry {
    topic: String,
    template: String,
    /// What the newer ansible-core made of it; `None`: it refused.
    text: Option<String>,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-tools/render-corpus")
}

fn golden() -> Vec<Entry> {
    serde_json::from_str(&fs::read_to_string(corpus().join("golden.json")).unwrap()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in
        walkdir::WalkDir::new(from).into_iter().flatten().filter(|e| e.file_type().is_file())
    {
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(entry.path(), target).unwrap();
    }
}

/// What we make of each.
fn rendered(entries: &[Entry]) -> Vec<Result<String, String>> {
    let tree = tempfile::tempdir().unwrap();
    let dir = tree.path().join("images/demo");
    copy(&corpus().join("bundle"), &dir);
    fs::create_dir_all(dir.join("ansible")).unwrap();
    fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: all\n").unwrap();
    let mut bundle = frontend::load(tree.path(), &dir).unwrap().bundle;
    let one = |entry: &Entry| {
        let name = if entry.topic.ends_with(".j2") {
            entry.topic.clone()
        } else {
            "construct.txt.j2".into()
        };
        let path = Path::new("output").join(name);
        fs::write(dir.join(&path), &entry.template).unwrap();
        bundle.templates = vec![path];
        let done = Job::to_check(&bundle).render(|_| ());
        done.map(|mut all| all.remove(0).text).map_err(|found| found[0].to_string())
    };
    entries.iter().map(one).collect()
}

#[test]
fn as_ansible_core_renders_or_refused() {
    let entries = golden();
    // As much stack as the process that renders has.
    let worker = std::thread::Builder::new().stack_size(16 << 20);
    let (entries, ours) = worker
        .spawn(|| (rendered(&entries), entries))
        .unwrap()
        .join()
        .map(|(a, b)| (b, a))
        .unwrap();
    let (mut equal, mut both, mut refused, mut differ) = (0, 0, Vec::new(), Vec::new());
    for (entry, ours) in entries.iter().zip(ours) {
        match (ours, &entry.text) {
            (Ok(ours), Some(text)) if ours == *text => equal += 1,
            (Err(_), None) => both += 1,
            (Err(why), Some(_)) => refused.push((&entry.template, why)),
            (ours, text) => differ.push((&entry.template, ours, text)),
        }
    }
    for (template, why) in &refused {
        println!("refused: {template}\n    {why}");
    }
    let (count, same) = (entries.len(), equal + both);
    println!(
        "{count} compared: {same} equal ({both} of them refused by Ansible, too), {} refused, {} \
            differ",
        refused.len(),
        differ.len()
    );
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(same * 100 >= count * 95, "{same} of {count} are equal");
    assert!(
        refused.iter().all(|(_, why)| why.contains(": error: ") && why.len() > 60),
        "a refusal without a reason"
    );
}

/// golden.json is of this corpus, and nothing that ansible-core ships is left out of it.
#[test]
fn the_corpus_is_whole() {
    let entries = golden();
    let mut sources = BTreeSet::new();
    for file in fs::read_dir(corpus().join("constructs")).unwrap().flatten() {
        let text = fs::read_to_string(file.path()).unwrap();
        sources.extend(text.split('\n').filter(|l| !l.is_empty()).map(|l| l.replace('⏎', "\n")));
    }
    assert!(sources.len() >= 300, "{} constructs", sources.len());
    let templates = fs::read_dir(corpus().join("bundle/output"))
        .unwrap()
        .flatten()
        .filter(|f| f.path().extension().is_some());
    let templates: Vec<String> = templates.map(|f| fs::read_to_string(f.path()).unwrap()).collect();
    assert!(templates.len() >= 40, "{} templates", templates.len());
    sources.extend(templates);
    let known: BTreeSet<String> = entries.iter().map(|e| e.template.clone()).collect();
    let odd: Vec<_> = sources.symmetric_difference(&known).collect();
    assert!(odd.is_empty(), "run `make render-corpus`: {odd:#?}");
    let all: String = known.into_iter().collect::<Vec<_>>().join("\n");
    let speaks = |before: &str, name: &str| {
        let word =
            regex::Regex::new(&format!("{before}\\s*(not )?{}\\b", regex::escape(name))).unwrap();
        word.is_match(&all)
    };
    let missing: Vec<&&str> =
        FILTERS.iter().filter(|f| !speaks("(\\||filter|map\\('|set x \\|)", f)).collect();
    assert!(missing.is_empty(), "filters without a construct: {missing:?}");
    let words = TESTS.iter().filter(|t| t.starts_with(char::is_alphabetic));
    let missing: Vec<&&str> = words.filter(|t| !speaks("(is|select\\('|'|is not)", t)).collect();
    assert!(missing.is_empty(), "tests without a construct: {missing:?}");
    for tag in [
        "if",
        "for",
        "set",
        "with",
        "filter",
        "autoescape",
        "macro",
        "call",
        "block",
        "extends",
        "include",
        "import",
        "from",
        "print",
        "raw",
    ] {
        assert!(all.contains(&format!("{{% {tag}")), "{tag}");
    }
}

/// names.txt is the newer ansible-core's own list of its filters and tests, with Jinja's. Each is
/// one of ours, or its error says why not; and we have none that Ansible would not know.
#[test]
fn every_name_of_ansible_core_is_known() {
    let text = fs::read_to_string(corpus().join("names.txt")).unwrap();
    let of = |kind: &str| {
        text.lines()
            .filter_map(|l| l.strip_prefix(kind)?.strip_prefix(' '))
            .collect::<BTreeSet<&str>>()
    };
    for (kind, ours, least) in [("filter", FILTERS, 120), ("test", TESTS, 80)] {
        let (core, ours) = (
            of(kind),
            ours.iter().copied().filter(|name| name.starts_with(char::is_alphabetic)).collect(),
        );
        assert!(core.len() >= least, "{} names of kind {kind}", core.len());
        assert_eq!(core.symmetric_difference(&ours).collect::<Vec<_>>(), [&""; 0], "{kind}");
    }
    let entry = |template: String| Entry { topic: "names".into(), template, text: None };
    let uses = |prefix: &str| {
        let filters = of("filter")
            .into_iter()
            .map(|name| entry(format!("{{{{ 'a' | {prefix}{name} }}}}")))
            .collect::<Vec<_>>();
        filters
            .into_iter()
            .chain(
                of("test")
                    .into_iter()
                    .map(|name| entry(format!("{{{{ 'a' is {prefix}{name} }}}}"))),
            )
            .collect::<Vec<_>>()
    };
    for entries in [uses(""), uses("ansible.builtin.")] {
        let wrong: Vec<_> = entries
            .iter()
            .zip(rendered(&entries))
            .filter_map(|(entry, ours)| Some((&entry.template, ours.err()?)))
            .collect();
        let unknown: Vec<_> = wrong
            .iter()
            .filter(|(_, why)| why.contains("unknown") || why.contains("did you mean"))
            .collect();
        assert!(unknown.is_empty(), "{unknown:#?}");
    }
    // The look finds what is not there.
    let strange =
        rendered(&["{{ 'a' | to_latex }}", "{{ 'a' is prime }}"].map(|text| entry(text.into())));
    assert!(
        strange.iter().all(|ours| ours.as_ref().is_err_and(|why| why.contains("unknown"))),
        "{strange:?}"
    );
}
