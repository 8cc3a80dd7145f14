//! Variables of the factory's environment that playbooks and their templates look up, and do not
//! get behind the wall.
use std::sync::LazyLock;

use regex::Regex;

use crate::system::exec::env;

/// `lookup('env', 'HOME', 'USER')`
static LOOKUP: LazyLock<Regex> = LazyLock::new(|| {
    let text = concat!(
        r#"\b(?:lookup|query|q)\s*\(\s*['"](?:ansible\.\w+\.)?env['"]"#,
        r#"((?:\s*,\s*(?:'[^']*'|"[^"]*"))+)"#,
    );
    Regex::new(text).expect("the pattern is fixed")
});
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"['"]([A-Za-z_][A-Za-z0-9_]*)['"]"#).expect("the pattern is fixed")
});

/// Set for every program behind the wall, and for playbooks.
const SET: [&str; 6] =
    ["HOME", "PWD", "TMPDIR", "FACTORY_RUN", "FACTORY_BUNDLE", "FACTORY_IMAGE_NAME"];

/// Names that a text looks up, each with the byte where it stands.
pub fn looked_up(text: &str) -> Vec<(usize, &str)> {
    let lists = LOOKUP.captures_iter(text).filter_map(|found| found.get(1));
    lists
        .flat_map(|list| {
            NAME.captures_iter(list.as_str())
                .filter_map(move |n| n.get(1).map(|n| (list.start() + n.start(), n.as_str())))
        })
        .collect()
}

/// Whether a playbook gets a variable of this name without its being asked for, if the factory has
/// it.
pub fn is_there(name: &str) -> bool {
    SET.contains(&name) || env::passes(name, "")
}
