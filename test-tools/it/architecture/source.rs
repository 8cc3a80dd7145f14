//! Parses `src/` as rustc does: from `lib.rs` and `main.rs` down, each module where it is declared.
//! What exists under `cfg(test)` alone is set apart, whole files as well as single items.
use super::tokens::{Named, Token, flatten, macros, paths, raw_strings};
use super::walk::{Declared, Function, Walk};
use proc_macro2::{LineColumn, TokenStream};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use syn::visit;

pub struct Source {
    /// From the root of the repository.
    pub path: String,
    /// `["provider", "ledger"]`; `lib.rs` has none, `main.rs` neither.
    pub module: Vec<String>,
    /// Compiled under `cfg(test)` only.
    pub test: bool,
    pub text: String,
    /// Outside of `cfg(test)`.
    pub names: Vec<Named>,
    /// `name!`
    pub macros: Vec<(String, LineColumn)>,
    pub functions: Vec<Function>,
    pub raw_strings: Vec<Range<usize>>,
    /// Lines that hold a token which `names` was made of.
    seen: Vec<bool>,
    skipped: Vec<Range<LineColumn>>,
    inline: Vec<(String, Range<LineColumn>)>,
    modules: Vec<Declared>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, its unit tests among it.
pub static PROGRAM: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    for begin in ["src/lib.rs", "src/main.rs"] {
        let mut left = vec![(PathBuf::from(begin), Vec::new(), false)];
        // Code before tests: a file that both have is code.
        while let Some((path, module, test)) = left.pop() {
            if found.get(&path).is_some_and(|s: &Source| !s.test || test) {
                continue;
            }
            let source = Source::read(&path, module, test);
            left.extend(source.children());
            found.insert(path, source);
        }
    }
    found.into_values().collect()
});

/// What reaches users, and is held to the layers.
pub fn code() -> impl Iterator<Item = &'static Source> {
    PROGRAM.iter().filter(|s| !s.test)
}

impl Source {
    pub fn read(path: &Path, module: Vec<String>, test: bool) -> Self {
        let text = fs::read_to_string(root().join(path))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::parse(&path.display().to_string(), module, test, text)
    }

    pub fn parse(path: &str, module: Vec<String>, test: bool, text: String) -> Self {
        let stream: TokenStream = text.parse().unwrap_or_else(|e| panic!("{path}: {e}"));
        let file: syn::File = syn::parse2(stream.clone()).unwrap_or_else(|e| {
            let at = e.span().start();
            panic!("{path}:{}:{}: {e}", at.line, at.column)
        });
        let mut walk = Walk::default();
        walk.node(&file, |walk| visit::visit_file(walk, &file));
        let mut tokens = flatten(stream);
        let raw_strings = raw_strings(&tokens);
        let skipped = walk.skipped;
        tokens.retain(|t| !skipped.iter().any(|s| s.contains(&t.at)));
        walk.functions.retain(|(at, _)| !skipped.iter().any(|s| s.contains(at)));
        let mut seen = vec![false; text.lines().count()];
        for Token { at, end, .. } in &tokens {
            seen[at.line - 1..end.line].fill(true);
        }
        Self {
            path: path.to_owned(),
            module,
            test,
            names: paths(&tokens),
            macros: macros(&tokens),
            functions: walk.functions.into_iter().map(|(_, f)| f).collect(),
            raw_strings,
            seen,
            skipped,
            inline: walk.inline,
            modules: walk.modules,
            text,
        }
    }

    /// Modules at a place of this file.
    pub fn module_at(&self, at: LineColumn) -> Vec<&str> {
        let mut module: Vec<&str> = self.module.iter().map(String::as_str).collect();
        let mut around: Vec<_> =
            self.inline.iter().filter(|(_, span)| span.contains(&at)).collect();
        around.sort_by_key(|(_, span)| span.start);
        module.extend(around.iter().map(|(name, _)| name.as_str()));
        module
    }

    /// Lines of code on which nothing was looked at. There are none, or this parser is blind.
    pub fn unseen(&self) -> Vec<usize> {
        let is_code = |line: &str| !line.is_empty() && !line.starts_with("//");
        let skipped =
            |n: usize| self.skipped.iter().any(|s| (s.start.line..=s.end.line).contains(&n));
        (1..)
            .zip(self.text.lines().map(str::trim))
            .filter(|(n, line)| is_code(line) && !self.seen[n - 1] && !skipped(*n))
            .map(|(n, _)| n)
            .collect()
    }

    /// Lines that were looked at.
    pub fn looked_at(&self) -> usize {
        self.seen.iter().filter(|s| **s).count()
    }

    /// Files of the modules declared here: path, module, whether under `cfg(test)` only.
    fn children(&self) -> Vec<(PathBuf, Vec<String>, bool)> {
        let here = Path::new(&self.path);
        let (parent, stem) = (here.parent().unwrap(), here.file_stem().unwrap());
        let owns_its_directory = ["lib", "main", "mod"].iter().any(|n| stem == *n);
        let mut children = Vec::new();
        for declared in &self.modules {
            let mut module: Vec<String> =
                self.module_at(declared.at).into_iter().map(str::to_owned).collect();
            let inside = module[self.module.len()..].iter().collect::<PathBuf>();
            let below = if owns_its_directory {
                parent.join(inside)
            } else {
                parent.join(stem).join(inside)
            };
            let name = declared.name.trim_start_matches("r#");
            let path = match &declared.path {
                Some(path) => normal(&parent.join(path)),
                None => [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")]
                    .into_iter()
                    .find(|p| root().join(p).exists())
                    .unwrap_or_else(|| panic!("{}: no file for `mod {name};`", self.path)),
            };
            module.push(name.to_owned());
            let test =
                self.test || declared.test || self.skipped.iter().any(|s| s.contains(&declared.at));
            children.push((path, module, test));
        }
        children.sort_by_key(|(_, _, test)| !test);
        children
    }
}

/// `a/b/../c` is `a/c`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}
