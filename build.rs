//! Puts files into the program: those of `os/debian-12`, so that it knows the script that it ships
//! from one that somebody changed since (`wall::shipped`), and the checks that run in machines,
//! whose headers say what they are (`model::check`).
use std::path::Path;

/// Checks that run in machines.
const CHECKS: &str = "templates/guest/checks";

/// The only definition of this tree whose source script needs what no wall lets it have.
const DEFINITION: &str = "os/debian-12";

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rerun-if-changed=build.rs");
    checks(&Path::new(&root).join(CHECKS));
    let dir = Path::new(&root).join(DEFINITION);
    let mut files = Vec::new();
    collect(&dir, &mut files);
    files.sort();
    let mut text = format!("pub(super) const DEFINITION: &str = {DEFINITION:?};\n");
    text.push_str(
        "/// Path in the definition, content.\npub(super) const FILES: &[(&str, &[u8])] = &[\n",
    );
    for file in &files {
        let name = file.strip_prefix(&format!("{}/", dir.display())).expect("it was found there");
        text.push_str(&format!("    ({name:?}, include_bytes!({file:?})),\n"));
    }
    text.push_str("];\n");
    write("shipped.rs", &text);
}

fn write(name: &str, text: &str) {
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&out).join(name), text).expect("OUT_DIR can be written");
}

/// The table of the checks, by their headers, in the order of execution.
fn checks(dir: &Path) {
    let mut files = Vec::new();
    collect(dir, &mut files);
    // An editor leaves others beside them.
    let is_check = |file: &&String| {
        file.ends_with(".sh") && !file.rsplit('/').next().is_some_and(|n| n.starts_with('.'))
    };
    let mut rows: Vec<(u32, String)> = files.iter().filter(is_check).map(|f| check(f)).collect();
    rows.sort();
    let doubled = rows.windows(2).find(|pair| pair[0].0 == pair[1].0);
    assert!(doubled.is_none(), "two checks have one order: {doubled:?}");
    let rows: String = rows.into_iter().map(|(_, row)| row).collect();
    write("checks.rs", &format!("pub const SCRIPTS: &[ScriptCheck] = &[\n{rows}];\n"));
}

/// A row of the table, and its place.
fn check(file: &str) -> (u32, String) {
    let text = std::fs::read_to_string(file).expect("a check can be read");
    let header: Vec<&str> = text.lines().skip(1).map_while(|l| l.strip_prefix("# ")).collect();
    let field = |name: &str| {
        let of = |line: &&str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
        header.iter().find_map(of).unwrap_or_else(|| panic!("{file}: no line `# {name}: `"))
    };
    let (id, what) = (field("check"), field("what"));
    assert!(file.ends_with(&format!("/{id}.sh")), "{file} is not the file of check {id}");
    let by_default = match field("default").as_str() {
        "all" => "All",
        "os" => "Os",
        other => panic!("{file}: `default` is all or os, not {other}"),
    };
    let sudo = match field("as").as_str() {
        "root" => true,
        "user" => false,
        other => panic!("{file}: `as` is root or user, not {other}"),
    };
    let slow = header.contains(&"slow");
    let alone = slow || header.contains(&"last");
    let order = field("order").parse().unwrap_or_else(|e| panic!("{file}: order: {e}"));
    let row = format!(
        "    ScriptCheck {{ id: {id:?}, what: {what:?}, by_default: ByDefault::{by_default}, \
            sudo: {sudo}, slow: {slow}, alone: {alone}, script: script!({file:?}) }},\n"
    );
    (order, row)
}

fn collect(dir: &Path, files: &mut Vec<String>) {
    println!("cargo:rerun-if-changed={}", dir.display());
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path.display().to_string()),
        }
    }
}
