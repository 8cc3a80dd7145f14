//! Puts the files of `os/debian-12` into the program, so that it knows the script that it ships
//! from one that somebody changed since (`wall::shipped`).
use std::path::Path;

/// The only definition of this tree whose source script needs what no wall lets it have.
const DEFINITION: &str = "os/debian-12";

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let dir = Path::new(&root).join(DEFINITION);
    println!("cargo:rerun-if-changed=build.rs");
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
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&out).join("shipped.rs"), text).expect("OUT_DIR can be written");
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
