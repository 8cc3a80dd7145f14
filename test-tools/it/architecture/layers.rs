//! A module imports only from those before it in `lib.rs`.
use super::source::{PROGRAM, Source, code, root};
use std::collections::BTreeSet;

/// `mod` lines of `lib.rs`, in their order.
fn order() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared =
        syn::parse_file(&text).unwrap().items.into_iter().filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        });
    declared.collect()
}

/// Imports of `source` from modules that are not before its own, with their places.
fn upwards(source: &Source, order: &[String]) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for named in &source.names {
        let module = source.module_at(named.at);
        // lib.rs itself is above all modules.
        let Some(own) = module.first() else { continue };
        let Some(own) = order.iter().position(|m| m == own) else { continue };
        let Some(target) = top_level(named, &module) else { continue };
        let place = format!("{}:{}", source.path, named.at.line);
        match order.iter().position(|m| *m == target) {
            Some(later) if later > own => {
                wrong.insert(format!("{place}: {} imports from {target}, a later one", order[own]));
            }
            Some(_) => {}
            None => {
                wrong.insert(format!("{place}: `{}` names no module", named.segments.join("::")));
            }
        }
    }
    wrong.into_iter().collect()
}

/// The module below the root that a path leads to, if it says so.
fn top_level(named: &super::tokens::Named, module: &[&str]) -> Option<String> {
    let segments = &named.segments;
    let next = |n: usize| Some(segments.get(n).cloned().unwrap_or_else(|| "the root".to_owned()));
    let selfs = segments.iter().take_while(|s| *s == "self").count();
    let supers = segments[selfs..].iter().take_while(|s| *s == "super").count();
    match segments[0].as_str() {
        "crate" if segments.len() == 1 && ["(", "extern"].contains(&named.before.as_str()) => None,
        "crate" => next(1),
        "image_factory" => Some("image_factory".to_owned()),
        _ if supers > 0 && segments.len() > selfs + supers && supers == module.len() => {
            next(selfs + supers)
        }
        _ => None,
    }
}

#[test]
fn modules_import_only_from_those_before_them() {
    let order = order();
    let wrong: Vec<_> = code().flat_map(|source| upwards(source, &order)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let known = code().filter(|s| s.module.first().is_some_and(|m| order.contains(m))).count();
    assert_eq!(known + 2, code().count(), "all but lib.rs and main.rs belong to a module");
}

#[test]
fn the_program_begins_at_the_command_line() {
    let main = code().find(|s| s.path == "src/main.rs").unwrap();
    let called: Vec<_> = main
        .names
        .iter()
        .filter(|n| n.segments[0] == "image_factory")
        .map(|n| n.segments.join("::"))
        .collect();
    assert_eq!(called, ["image_factory::main"]);
}

/// A private module shows dead code to the compiler. `testing` is what tests need of them.
#[test]
fn modules_are_private() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let public = |item| match item {
        syn::Item::Mod(syn::ItemMod { vis: syn::Visibility::Public(_), ident, .. }) => {
            Some(ident.to_string())
        }
        _ => None,
    };
    let public: Vec<_> =
        syn::parse_file(&text).unwrap().items.into_iter().filter_map(public).collect();
    assert_eq!(public, ["testing"], "modules are declared by `mod x;`");
}

/// Each file of `src/` was parsed, as code or as tests, and each line of code was looked at.
#[test]
fn nothing_is_left_out() {
    let found: BTreeSet<String> = super::rust_files("src").into_iter().collect();
    let parsed: BTreeSet<String> = PROGRAM.iter().map(|s| s.path.clone()).collect();
    let missing: Vec<_> = found.difference(&parsed).collect();
    assert!(missing.is_empty(), "no `mod` leads to {missing:?}");
    let blind: Vec<_> = code()
        .filter_map(|s| Some((&s.path, s.unseen())).filter(|(_, lines)| !lines.is_empty()))
        .collect();
    assert!(blind.is_empty(), "lines that were not looked at: {blind:?}");
    let (files, lines) = (code().count(), code().map(Source::looked_at).sum::<usize>());
    println!("{files} files of code, {lines} lines looked at, {} files in all", parsed.len());
    assert!(files > 200 && lines > 20_000, "{files} files, {lines} lines");
}

/// Every way to name a module is found, and nothing of a test.
#[test]
fn each_form_of_import_is_found() {
    let text = r##"
        #[cfg(test)]
        use crate::m10::x;
        use crate::m1::x;
        use crate::{m2::{self, y}, m3};
        use super::super::m4;
        pub use super::super::{m5::Z};
        #[cfg(not(test))]
        fn f(a: crate::m6::T) -> u8 { #[cfg(test)] crate::m11::f(); crate::m7::f(super::g()) }
        #[serde(with = "crate::m8::iso")]
        struct S { #[cfg(all(test, unix))] a: crate::m12::T, b: Vec<crate::m9::T> }
        /// Not [`crate::m13`].
        macro_rules! m { () => { $crate::m14::call!() } }
        mod inner { use super::super::super::m15; use super::super::of_low; fn f() { other::x() } }
        pub(crate) fn g() { println!("{}", crate::m16::NAME) }
        use crate as alias;
        use crate::*;
        #[cfg(test)]
        mod tests { use crate::m17; }
        #[cfg(any(test, feature = "x"))]
        use crate::m18::x;
    "##;
    let mut order = vec!["low".to_owned()];
    order.extend((1..=18).map(|n| format!("m{n}")));
    let module = vec!["low".to_owned(), "deep".to_owned()];
    let source = Source::parse("low/deep.rs", module, false, text.to_owned());
    let wrong = upwards(&source, &order);
    let found = |n: usize| wrong.iter().any(|w| w.contains(&format!("from m{n},")));
    let all: Vec<usize> = (1..=18).filter(|n| found(*n)).collect();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 18], "{wrong:#?}");
    let nameless = wrong.iter().filter(|w| w.contains("names no module")).count();
    assert_eq!(nameless, 2, "the root under another name, and all of it: {wrong:#?}");
}
