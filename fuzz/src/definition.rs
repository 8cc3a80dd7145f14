//! What a bundle brings: build-vars.yml and templates.
use std::path::{Path, PathBuf};

use image_factory::testing::{build_vars, report};

/// Puts a tree with one bundle there; gives the tree.
fn tree(vars: &[u8], template: Option<&[u8]>) -> PathBuf {
    let tree = super::scratch().join(if template.is_some() { "templates" } else { "vars" });
    let dir = tree.join("images/x");
    std::fs::create_dir_all(dir.join("output")).unwrap();
    std::fs::write(dir.join("build-vars.yml"), vars).unwrap();
    if let Some(text) = template {
        std::fs::write(dir.join("output/x.txt.j2"), text).unwrap();
    }
    tree
}

fn load(
    tree: &Path,
) -> Result<build_vars::Loaded, Vec<image_factory::testing::diagnostic::Diagnostic>> {
    build_vars::load(tree, &tree.join("images/x"))
}

/// A bundle, or findings that stand inside the file, and not more of them than anybody reads; twice
/// the same.
pub fn build_vars(data: &[u8]) {
    let tree = tree(data, None);
    let first = super::in_time(|| load(&tree));
    match (&first, load(&tree)) {
        (Ok(first), Ok(second)) => assert_eq!(format!("{first:?}"), format!("{second:?}")),
        (Err(first), Err(second)) => assert_eq!(first, &second),
        _ => panic!("sound once, and once not"),
    }
    let Err(findings) = first else { return };
    assert!(!findings.is_empty(), "not sound, and nothing says why");
    assert!(findings.len() <= data.len() + 2, "{} findings", findings.len());
    let lines = data.split(|b| *b == b'\n' || *b == b'\r').count();
    for finding in &findings {
        let line = finding.place.as_ref().map_or(0, |place| place.line);
        assert!(line <= lines + 1, "line {line} of {lines}: {}", finding.message);
        let long = finding.message.len();
        assert!(long <= 4 * data.len() + 1000, "a message of {long} bytes");
    }
}

const VARS: &[u8] = b"bundle: {name: x, img_base: base}\nsteps: [{shell: 'true'}]\nvars: \
    {list: [1, two, {a: b}], word: w}\n";

/// A text, or findings; in time, whatever the template does.
pub fn template(data: &[u8]) {
    let tree = tree(VARS, Some(&data[..data.len().min(4096)]));
    let bundle = load(&tree).expect("the settings are sound").bundle;
    // By a process of its own, as always: nothing else bounds what a template takes.
    let renderer = report::Renderer::new(super::program(), "render-templates");
    let cancel = image_factory::testing::cancel::Cancel::default();
    let findings = super::in_time(|| {
        super::block_on(renderer.check(&[(&bundle, &build_vars::Doubts::default())], &cancel))
    });
    let findings = findings.expect("nobody cancelled").remove(0);
    assert!(findings.len() <= 200, "{} findings", findings.len());
    let size: usize = findings.iter().map(|f| f.message.len()).sum();
    assert!(size <= 64 << 10, "findings of {size} bytes");
}
