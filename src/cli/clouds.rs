//! What the environment says of clouds: variables, and where clouds.yaml is looked for.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Common, Failure};

use crate::frontend;
use crate::provider::openstack::login::Places;

/// Fails if a variable of the login is no text.
pub fn check_text() -> Result<(), Failure> {
    let no_text = |(key, value): &(OsString, OsString)| {
        key.to_string_lossy().starts_with("OS_") && value.to_str().is_none()
    };
    match std::env::vars_os().find(no_text) {
        Some((key, _)) => Err(Failure::cloud(format!("{} is not UTF-8", key.display()))
            .hint("what logs in is text: set it in an UTF-8 locale")),
        None => Ok(()),
    }
}

/// Variables of the environment that select and open a provider.
pub fn variables(common: &Common) -> Result<BTreeMap<String, String>, Failure> {
    // One that is no text is none of ours; `vars` would panic at it.
    let all = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let mut env: BTreeMap<String, String> = all
        .filter(|(key, _)| ["OS_", "FACTORY_"].iter().any(|prefix| key.starts_with(prefix)))
        .collect();
    if let Some(file) = &common.clouds_file {
        let file =
            file.to_str().ok_or_else(|| Failure::usage("--clouds-file: the name is not UTF-8"))?;
        env.insert("OS_CLIENT_CONFIG_FILE".into(), file.into());
    }
    Ok(env)
}

pub fn places(common: &Common) -> Places {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    // An empty path would mean the current directory.
    let home = set("HOME").map(PathBuf::from);
    let of_home = [
        set("XDG_CONFIG_HOME").map(PathBuf::from),
        home.as_deref().map(|home| home.join(".config")),
    ];
    let all = of_home
        .into_iter()
        .flatten()
        .chain(["/etc/xdg", "/etc"].map(PathBuf::from))
        .map(|dir| dir.join("openstack"));
    let mut config: Vec<PathBuf> = all.collect();
    config.dedup();
    let here = std::env::current_dir().ok();
    let trees = [here.as_deref(), common.tree.as_deref()]
        .map(|start| frontend::find_tree(&start?.canonicalize().ok()?));
    let trees: Vec<PathBuf> = trees.into_iter().flatten().collect();
    // Authors of the tree may also control the files around it in its repository.
    let around = here.as_deref().is_some_and(|here| trees.iter().any(|tree| around(here, tree)));
    Places { here, around, config, home, distrusted: trees }
}

/// Whether `here` contains the tree, or shares a repository with it.
fn around(here: &Path, tree: &Path) -> bool {
    let Ok(here) = here.canonicalize() else { return true };
    let repository = tree.ancestors().find(|dir| dir.join(".git").exists());
    tree.starts_with(&here) || repository.is_some_and(|repository| here.starts_with(repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_a_tree_is_of_the_same_hand() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        for name in ["repo/.git", "repo/factory/images", "repo/docs", "other"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        let tree = at("repo/factory");
        for (here, wanted) in [
            ("repo", true),
            ("repo/docs", true),
            ("repo/factory/images", true),
            ("other", false),
            ("", true),
        ] {
            assert_eq!(around(&at(here), &tree), wanted, "{here}");
        }
    }
}
