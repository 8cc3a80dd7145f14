//! A module imports only from those before it in `lib.rs`; so do the modules of a floor in its
//! `mod.rs`.
use super::source::{PROGRAM, Source, code, root};
use std::collections::BTreeSet;

/// Floors of many modules. Each lists them in the order of use.
const FLOORS: [&str; 3] = ["model", "system", "lifecycle"];

/// `mod` lines of a file, in their order.
fn order(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let declared =
        syn::parse_file(&text).unwrap().items.into_iter().filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        });
    declared.collect()
}

/// Imports of `source` from modules that are not before its own, with their places. `order` is
/// that of the modules below `floor`, which is empty for those of `lib.rs`.
fn upwards(source: &Source, floor: &[&str], order: &[String]) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for named in &source.names {
        let module = source.module_at(named.at);
        if !module.starts_with(floor) {
            continue;
        }
        // lib.rs, and the mod.rs of a floor, are above all modules that they list.
        let Some(own) = module.get(floor.len()) else { continue };
        let Some(own) = order.iter().position(|m| m == own) else { continue };
        let Some(target) = target(named, &module, floor) else { continue };
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

/// The module below `floor` that a path leads to, if it leads there.
fn target(named: &super::tokens::Named, module: &[&str], floor: &[&str]) -> Option<String> {
    let segments = &named.segments;
    let next = |n: usize| Some(segments.get(n).cloned().unwrap_or_else(|| "the root".to_owned()));
    if !floor.is_empty() && segments[0] == "crate" {
        let inside = segments[1..].iter().zip(floor).filter(|(a, b)| a == *b).count();
        return if inside == floor.len() { next(1 + floor.len()) } else { None };
    }
    let selfs = segments.iter().take_while(|s| *s == "self").count();
    let supers = segments[selfs..].iter().take_while(|s| *s == "super").count();
    match segments[0].as_str() {
        "crate" if segments.len() == 1 && ["(", "extern"].contains(&named.before.as_str()) => None,
        "crate" => next(1),
        "image_factory" => Some("image_factory".to_owned()),
        _ if supers > 0
            && segments.len() > selfs + supers
            && supers + floor.len() == module.len() =>
        {
            next(selfs + supers)
        }
        _ => None,
    }
}

#[test]
fn modules_import_only_from_those_before_them() {
    let order = order("src/lib.rs");
    let wrong: Vec<_> = code().flat_map(|source| upwards(source, &[], &order)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let known = code().filter(|s| s.module.first().is_some_and(|m| order.contains(m))).count();
    assert_eq!(known + 2, code().count(), "all but lib.rs and main.rs belong to a module");
}

#[test]
fn modules_of_a_floor_import_only_from_those_before_them() {
    for floor in FLOORS {
        let order = order(&format!("src/{floor}/mod.rs"));
        let on = |s: &&Source| s.module.first().is_some_and(|m| m == floor);
        let wrong: Vec<_> =
            code().filter(on).flat_map(|source| upwards(source, &[floor], &order)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let known = code().filter(on).filter(|s| s.module.len() > 1).count();
        assert!(known >= order.len() && order.len() > 1, "{floor}: this test is blind");
    }
}

/// Neither a floor's own modules nor its parents hide an import.
#[test]
fn each_form_of_import_inside_of_a_floor_is_found() {
    let text = r##"
        use super::super::m1::X;
        use crate::floor::{m2, low::f};
        use crate::other::m3;
        use super::m4;
        use crate::floor;
        fn f() { super::super::m5::f(); crate::floor::m6::f(); super::super::low::f() }
        mod inner { use super::super::super::m7; use super::super::m8; }
        #[cfg(test)]
        use super::super::m9;
    "##;
    let mut order = vec!["low".to_owned()];
    order.extend((1..=9).map(|n| format!("m{n}")));
    let module = ["floor", "low", "deep"].map(str::to_owned).to_vec();
    let source = Source::parse("floor/low/deep.rs", module, false, text.to_owned());
    let wrong = upwards(&source, &["floor"], &order);
    let found = |n: usize| wrong.iter().any(|w| w.contains(&format!("from m{n},")));
    assert_eq!((1..=9).filter(|n| found(*n)).collect::<Vec<_>>(), [1, 2, 5, 6, 7], "{wrong:#?}");
    assert_eq!(wrong.len(), 6, "the floor as a whole names no module: {wrong:#?}");
    assert!(upwards(&source, &["other"], &order).is_empty());
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
    let wrong = upwards(&source, &[], &order);
    let found = |n: usize| wrong.iter().any(|w| w.contains(&format!("from m{n},")));
    let all: Vec<usize> = (1..=18).filter(|n| found(*n)).collect();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 18], "{wrong:#?}");
    let nameless = wrong.iter().filter(|w| w.contains("names no module")).count();
    assert_eq!(nameless, 2, "the root under another name, and all of it: {wrong:#?}");
}
