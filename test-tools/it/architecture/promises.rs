//! Every sentence of the users' documents is listed in docs/promises.md, with the test that holds
//! it or with the reason why it promises nothing. The standard library suffices for this file:
//! `test-tools/lint-promises` compiles it alone, so that `make check` has not to build the rest.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const LISTING: &str = "docs/promises.md";

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "BUNDLES.md",
    "SECURITY.md",
    "CLI.md",
    "docs/jenkins.md",
    "docs/life-of-an-image.md",
    "docs/openstack.md",
    "docs/operating-systems.md",
];

/// Why a sentence promises nothing; the head of the listing explains them. `bool`: the sentence may
/// have a word of [`STRONG`] all the same.
const REASONS: [(&str, bool); 7] = [
    ("advice", false),
    ("meaning", false),
    ("measured", false),
    ("heading", true),
    ("elsewhere", true),
    ("limit", true),
    ("people", true),
];

/// A sentence with one of these promises something.
const STRONG: [&str; 13] = [
    "never",
    "always",
    "nothing",
    "nobody",
    "cannot",
    "refuses",
    "refused",
    "at most",
    "at least",
    "within",
    "guarantees",
    "leaves no",
    "is an error",
];

/// So does one with a bound in words.
const BOUNDS: [&str; 4] = ["second", "minute", "hour", "days"];

#[test]
fn every_sentence_is_held_by_a_test_or_promises_nothing() {
    let listing = fs::read_to_string(LISTING).unwrap();
    let documents = DOCUMENTS.map(|name| (name, fs::read_to_string(name).unwrap()));
    let documents: Vec<(&str, Vec<String>)> =
        documents.iter().map(|(name, text)| (*name, sentences(name, text))).collect();
    let tests = all_tests();
    let wrong = compare(&listing, &documents, &tests);
    let sentences: usize = documents.iter().map(|(_, list)| list.len()).sum();
    println!("{sentences} sentences, {} tests", tests.len());
    assert!(sentences > 900 && tests.len() > 900, "{sentences} sentences, {} tests", tests.len());
    let list = wrong.join("\n");
    assert!(wrong.is_empty(), "{LISTING} has to be mended in {} places:\n{list}", wrong.len());
}

/// One line of the listing: the begin of a sentence, and what holds it.
struct Entry<'a> {
    document: &'a str,
    begin: &'a str,
    /// The sentence has no more than that.
    whole: bool,
    held_by: &'a str,
}

impl Entry<'_> {
    fn means(&self, sentence: &str) -> bool {
        if self.whole { sentence == self.begin } else { sentence.starts_with(self.begin) }
    }
}

/// Everything in which the listing, the documents and the tests differ.
fn compare(
    listing: &str,
    documents: &[(&str, Vec<String>)],
    tests: &BTreeSet<String>,
) -> Vec<String> {
    let items = items(listing);
    let mut wrong = Vec::new();
    let mut entries = Vec::new();
    for (document, item) in &items {
        let Some((quoted, held_by)) = item.rsplit_once(" — ") else {
            wrong.push(format!("{document}: without ` — ` and what holds it: {item}"));
            continue;
        };
        let begin = quoted.strip_suffix('…');
        let whole = begin.is_none();
        entries.push(Entry { document, begin: begin.unwrap_or(quoted), whole, held_by });
    }
    let mut gone = Vec::new();
    for entry in &entries {
        let sentences = documents.iter().find(|(name, _)| *name == entry.document);
        let sentences = sentences.map_or(&[][..], |(_, list)| list);
        let meant: Vec<&String> = sentences.iter().filter(|s| entry.means(s)).collect();
        let Entry { document, begin, held_by, .. } = entry;
        match meant[..] {
            [sentence] => {
                let left_out = bound(&sentence[begin.len()..]);
                let left_out = left_out.map(|b| format!("`{b}` stands in what is left out"));
                let why = unheld(sentence, held_by, tests).or(left_out);
                wrong.extend(why.map(|why| format!("{document}: {why}: {sentence}")));
            }
            [] => {
                gone.push(entry);
                wrong.push(format!("{document}: no sentence is or begins so (any more): {begin}"));
            }
            _ => wrong.push(format!("{document}: {} sentences begin so: {begin}", meant.len())),
        }
    }
    for (document, sentences) in documents {
        for sentence in sentences {
            let count =
                entries.iter().filter(|e| e.document == *document && e.means(sentence)).count();
            let held_by = likely(document, sentence, &gone);
            match count {
                0 => wrong.push(format!("{document}: is not listed: * {sentence} — {held_by}")),
                1 => {}
                _ => wrong.push(format!("{document}: is listed twice: {sentence}")),
            }
        }
    }
    wrong
}

/// What held the sentence that this one may have been: half of its words are here.
fn likely<'a>(document: &str, sentence: &str, gone: &[&Entry<'a>]) -> &'a str {
    let words: BTreeSet<&str> = sentence.split(' ').collect();
    let alike = |entry: &&&Entry| entry.begin.split(' ').filter(|w| words.contains(w)).count();
    let mut near: Vec<_> = gone.iter().filter(|entry| entry.document == document).collect();
    near.retain(|entry| 2 * alike(entry) >= entry.begin.split(' ').count());
    near.into_iter().max_by_key(alike).map_or("`TEST`", |entry| entry.held_by)
}

/// What changes a sentence's sense alone, so that the listing has it: a number, a bound, a strong
/// word.
fn bound(text: &str) -> Option<&str> {
    let words = text.split(|c: char| c.is_whitespace() || "`,;:()".contains(c));
    let mut numbers = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let said = STRONG.into_iter().chain(BOUNDS).find(|word| text.contains(word));
    said.or_else(|| numbers.next())
}

/// Why a sentence has nothing that holds it.
fn unheld(sentence: &str, held_by: &str, tests: &BTreeSet<String>) -> Option<String> {
    if let Some((reason, strong_too)) = REASONS.iter().find(|(reason, _)| *reason == held_by) {
        let lower = sentence.to_lowercase();
        let strong = STRONG.iter().find(|word| lower.contains(**word) && !strong_too)?;
        return Some(format!("`{strong}` is a promise, not {reason}"));
    }
    let names = held_by
        .split(", ")
        .map(|name| name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).ok_or(name));
    for name in names {
        match name {
            Err(name) => {
                return Some(format!("`{name}` is neither a test in backticks nor a reason"));
            }
            Ok(name) if !exists(name, tests) => return Some(format!("there is no test `{name}`")),
            Ok(_) => {}
        }
    }
    None
}

/// A test, all tests of a module (`module::*`), or a script that CI runs. Of a long path its end is
/// enough.
fn exists(name: &str, tests: &BTreeSet<String>) -> bool {
    let end = format!("::{name}");
    match name.strip_suffix('*') {
        Some(module) => module.ends_with("::") && tests.iter().any(|t| t.starts_with(module)),
        None if name.starts_with("test-tools/") => Path::new(name).is_file(),
        None => tests.contains(name) || tests.iter().filter(|t| t.ends_with(&end)).count() == 1,
    }
}

/// List items of the listing, in one line each, with the document whose name is the heading.
fn items(listing: &str) -> Vec<(String, String)> {
    let (mut document, mut items) = (String::new(), Vec::<(String, String)>::new());
    let mut open = false;
    for line in listing.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut document);
        }
        let item = line.strip_prefix("* ").filter(|_| !document.is_empty());
        open = item.is_some() || open && line.starts_with("  ");
        if let Some(item) = item {
            items.push((document.clone(), item.trim().to_owned()));
        } else if open && let Some((_, last)) = items.last_mut() {
            *last = format!("{last} {}", line.trim());
        }
    }
    items
}

/// The sentences of a document, each once. Headings and output of programs have none; a row of a
/// table is one, and so is the remark on a line of code.
fn sentences(document: &str, text: &str) -> Vec<String> {
    let blocks = if document == "CLI.md" { help(text) } else { blocks(text) };
    let mut found = Vec::new();
    for sentence in blocks.iter().flat_map(|block| split(&plain(block))) {
        if !found.contains(&sentence) && !is_list_of_tests(&sentence) {
            found.push(sentence);
        }
    }
    found
}

/// Paragraphs, items and rows, and remarks on code.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    let mut code = false;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let is_rule = |line: &str| line.starts_with("|-");
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            code = !code;
            blocks.push(String::new());
        } else if code {
            blocks.extend(remark(line).map(str::to_owned));
        } else if trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with("![") {
            blocks.push(String::new());
        } else if trimmed.starts_with('|') {
            let heads = lines.get(at + 1).is_some_and(|next| is_rule(next));
            if !heads && !is_rule(trimmed) {
                let cells = trimmed.trim_matches('|').split('|').map(str::trim);
                blocks.push(cells.collect::<Vec<_>>().join(" | "));
            }
        } else if let Some(item) = item(trimmed) {
            blocks.push(item.to_owned());
        } else {
            let last = blocks.last_mut().expect("there is one from the begin");
            *last = format!("{last} {trimmed}");
        }
    }
    blocks
}

/// Text of a list item.
fn item(line: &str) -> Option<&str> {
    let bullet = line.strip_prefix("* ").or_else(|| line.strip_prefix("- "));
    bullet.or_else(|| {
        let (number, rest) = line.split_once(". ")?;
        number.bytes().all(|b| b.is_ascii_digit()).then_some(rest)
    })
}

/// The remark on a line of code: after `#`, or after a gap of two blanks. A line that begins with a
/// bracket is a program's output.
fn remark(line: &str) -> Option<&str> {
    if line.starts_with('[') {
        return None;
    }
    let after = line.match_indices('#').find_map(|(at, _)| {
        let apart = line[..at].chars().next_back().is_none_or(char::is_whitespace);
        line[at + 1..].strip_prefix(' ').filter(|_| apart)
    });
    after.map(str::trim).or_else(|| after_gap(line))
}

/// What follows the first gap of two blanks inside of a line.
fn after_gap(line: &str) -> Option<&str> {
    let (_, rest) = line.trim().split_once("  ")?;
    Some(rest.trim_start())
}

/// The same of the help texts in CLI.md, which are code to Markdown.
fn help(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    let (mut code, mut bracket, mut last) = (false, false, 0);
    for line in text.lines().map(str::trim_end) {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            (code, bracket) = (!code, false);
            blocks.push(String::new());
            continue;
        }
        if bracket {
            bracket = !trimmed.ends_with(']');
            continue;
        }
        let indent = line.len() - trimmed.len();
        let ends = trimmed.is_empty() || trimmed.starts_with('#') && !code;
        let heading = indent == 0 && trimmed.ends_with(':') || trimmed == "Possible values:";
        if ends || code && (heading || trimmed.starts_with("Usage:")) {
            blocks.push(String::new());
            continue;
        }
        if indent < last || indent == 2 {
            blocks.push(String::new());
        }
        last = indent;
        // What clap writes below an option.
        if ["[default", "[env", "[possible"].iter().any(|b| trimmed.starts_with(b)) {
            bracket = !trimmed.ends_with(']');
            blocks.push(String::new());
        } else if let Some(value) = trimmed.strip_prefix("- ") {
            blocks.push(value.to_owned());
        } else if is_option(trimmed, indent) || indent == 2 && after_gap(line).is_some() {
            blocks.push(after_gap(line).unwrap_or_default().to_owned());
        } else {
            let last = blocks.last_mut().expect("there is one from the begin");
            *last = format!("{last} {trimmed}");
        }
    }
    blocks
}

/// A line that names an option, an argument or a command.
fn is_option(trimmed: &str, indent: usize) -> bool {
    (2..10).contains(&indent)
        && (trimmed.starts_with(['-', '<', '[']) || trimmed.starts_with("image-factory"))
}

/// A text in one line, with the words of links alone.
fn plain(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut from = 0;
    while let Some(middle) = text[from..].find("](").map(|at| at + from) {
        let (begin, end) = (text[..middle].rfind('['), text[middle..].find(')'));
        if let (Some(begin), Some(end)) = (begin, end) {
            text.replace_range(middle..=middle + end, "");
            text.remove(begin);
        }
        from = middle.min(text.len());
    }
    text
}

/// Sentences of a paragraph. A number with a full stop begins one.
fn split(text: &str) -> Vec<String> {
    let (mut found, mut begin) = (Vec::new(), 0);
    for (at, _) in text.match_indices(['.', '!', '?']) {
        let behind = text[at + 1..].trim_start_matches(['*', ')', '"', '\'', '`']);
        let next = behind.strip_prefix(' ').unwrap_or_default();
        let starts = next.starts_with(|c: char| c.is_uppercase() || "`*\"([".contains(c))
            || next.starts_with("--");
        let so_far = text.get(begin..at).unwrap_or_default().trim_start_matches('*');
        if starts && !so_far.is_empty() && !so_far.bytes().all(|b| b.is_ascii_digit()) {
            let end = text.len() - behind.len();
            found.push(text[begin..end].to_owned());
            begin = end + 1;
        }
    }
    found.extend(text.get(begin..).filter(|rest| !rest.is_empty()).map(str::to_owned));
    found
}

/// SECURITY.md names tests in sentences of their own; another test holds these.
fn is_list_of_tests(sentence: &str) -> bool {
    let Some((name, _)) = sentence.strip_prefix('`').and_then(|s| s.split_once('`')) else {
        return false;
    };
    name.contains("::") || !name.contains(' ') && name.matches('_').count() > 2
}

/// `module::name` of every test, as cargo prints it; `it `, `vm ` and the like stand before those
/// of test-tools.
fn all_tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (root, files) in ["src", "test-tools"].map(|root| (root, rust_files(Path::new(root)))) {
        for file in files {
            let below = file.strip_prefix(root).unwrap().with_extension("");
            let mut module: Vec<&str> = below.iter().map(|part| part.to_str().unwrap()).collect();
            module.pop_if(|last| ["mod", "main", "lib"].contains(last));
            let suite =
                if root == "src" || module.is_empty() { None } else { Some(module.remove(0)) };
            let path = suite.map_or(String::new(), |s| format!("{s} ")) + &module.join("::");
            tests.extend(tests_of(&path, &fs::read_to_string(&file).unwrap()));
        }
    }
    tests
}

fn rust_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|x| x == "rs") {
            files.push(path);
        }
    }
    files
}

/// Tests of a file as rustfmt writes it; a test without a line of code is none.
fn tests_of(path: &str, text: &str) -> Vec<String> {
    let mut modules = vec![(0, path.to_owned())];
    let (mut tests, mut marked, mut begun) = (Vec::new(), false, None);
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let within = modules.last().expect("the file itself").1.clone();
        let join = |name: &str| {
            let apart = if within.is_empty() || within.ends_with(' ') { "" } else { "::" };
            format!("{within}{apart}{name}")
        };
        if !trimmed.is_empty() && !trimmed.starts_with("//") {
            tests.extend(begun.take().filter(|_| trimmed != "}"));
        }
        let words = trimmed.strip_prefix("pub ").unwrap_or(trimmed);
        let words = words.strip_prefix("async ").unwrap_or(words);
        if let Some(name) = words.strip_prefix("mod ").and_then(|m| m.strip_suffix(" {")) {
            modules.push((indent, join(name)));
        } else if trimmed == "}" && modules.len() > 1 && modules.last().unwrap().0 == indent {
            modules.pop();
        } else if trimmed.starts_with("#[test]") || trimmed.starts_with("#[tokio::test") {
            marked = true;
        } else if marked && let Some(rest) = words.strip_prefix("fn ") {
            marked = false;
            let name = rest.split('(').next().unwrap_or_default();
            begun = Some(join(name)).filter(|_| !line.ends_with("{}"));
        }
    }
    tests
}

fn said(listing: &str, document: &str) -> Vec<String> {
    let documents = [("README.md", sentences("README.md", document))];
    let tests = ["a::tests::held".to_owned(), "it b::held_too".to_owned()];
    compare(&format!("## README.md\n\n{listing}"), &documents, &tests.into())
}

#[test]
fn a_promise_without_a_test_is_told() {
    let document = "Nothing leaks. The [wall](x.md) holds.\n\n* Ask us.\n";
    let sound = "* Nothing leaks. — `a::tests::held`, `it b::*`\n* The wall… — `it\n  \
                 b::held_too`\n* Ask us. — advice\n";
    assert_eq!(said(sound, document), [""; 0]);
    for (listing, document, expected) in [
        (
            sound,
            &*format!("{document}* It never ends.\n"),
            "is not listed: * It never ends. — `TEST`",
        ),
        (sound, "Nothing leaks now.", "* Nothing leaks now. — `a::tests::held`, `it b::*`"),
        (sound, "Nothing leaks. The wall holds. Ask them.", "or begins so (any more): Ask us."),
        (sound, "Nothing leaks. The wall holds. The wall is.\n\nAsk us.", "2 sentences begin so"),
        (&sound.replace("::held`", "::gone`"), document, "there is no test `a::tests::gone`"),
        (&sound.replace("b::*", "c::*"), document, "there is no test `it c::*`"),
        (&sound.replace("advice", "none"), document, "neither a test in backticks nor a reason"),
        (&sound.replace("`a::tests::held`, `it b::*`", "advice"), document, "is a promise"),
        (&sound.replace(" — advice", ""), document, "without ` — `"),
        (&format!("{sound}* Ask… — advice\n"), document, "is listed twice"),
        ("* It… — `a::tests::held`", "It ends in 5 s.", "`5` stands in what is left out"),
    ] {
        let wrong = said(listing, document);
        assert!(wrong.iter().any(|w| w.contains(expected)), "{expected}: {wrong:#?}");
    }
}

#[test]
fn sentences_are_found_wherever_they_stand() {
    let text = "# Head\n\nOne is\n1.5 long. `two` is\n**bold.** 3 is no begin.\n\n1. **4. Four.**\n\
        ```\nrun --it   # five\nx.yml     six\n[00:00] output  of a run\n```\n\n| a | b |\n\
        |---|---|\n| `7` | seven |\n\n* eight\n  goes on ([link](a.md)).\n";
    let expected = [
        "One is 1.5 long.",
        "`two` is **bold.** 3 is no begin.",
        "**4. Four.**",
        "five",
        "six",
        "`7` | seven",
        "eight goes on (link).",
    ];
    assert_eq!(sentences("README.md", text), expected);
    let text = "## `image-factory x`\n\n```text\nDoes it\nwell.\n\nUsage: x [OPTIONS]\n\n\
        Options:\n  -x, --it <X>\n          The one\n\n          [default: a\n          b]\n\n\
        \x20         Possible values:\n          - a: first\n  -h, --help\n          Help\n\n\
        Examples:\n  image-factory x   shows it\n  image-factory y\n```\n";
    let expected = ["Does it well.", "The one", "a: first", "Help", "shows it"];
    assert_eq!(sentences("CLI.md", text), expected);
}

#[test]
fn tests_are_found_with_their_modules() {
    let text = "#[test]\nfn one() {\n    code\n}\n\nfn none() {\n    code\n}\n\nmod inner {\n    \
        #[tokio::test]\n    async fn two() {\n        code\n    }\n\n    #[test]\n    fn empty() \
        {}\n\n    #[test]\n    fn hollow() {\n        // code\n    }\n}\n\n#[test]\n\
        #[ignore = \"x\"]\nfn three() {\n    code\n}\n";
    assert_eq!(tests_of("it a", text), ["it a::one", "it a::inner::two", "it a::three"]);
}
