//! Reports roles and collections that a definition uses but does not contain.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Context, Failure};
use crate::frontend::build_vars;
use crate::model::definition::{Definition, Need, NeedKind};
use crate::model::diagnostic::Diagnostic;
use crate::model::step::StepKind;
use crate::system::paths::real;
use crate::text::shell;

impl Context {
    /// Roles and collections that neither the definition nor this machine has. Without Ansible on
    /// this machine they are only warnings, because then another machine builds.
    pub fn missing(&self, bundle: &Definition) -> Result<Vec<Diagnostic>, Failure> {
        let mut found = Vec::new();
        for need in &bundle.needs {
            let wall = self.wall()?;
            if wall.has(need) {
                continue;
            }
            let (what, list) = match need.kind {
                NeedKind::Collection => ("collection", "collections"),
                NeedKind::Role => ("role", "roles"),
            };
            if let Some(dir) = beside(bundle, need) {
                let shown =
                    dir.strip_prefix(real(&bundle.tree)).unwrap_or(&dir).display().to_string();
                let message = format!(
                    "the {what} `{}` lies in {shown}, outside of the bundle: a run sees the bundle \
                        alone",
                    need.name
                );
                found.push(
                    Diagnostic::error(need.place.clone(), message).hint(link(bundle, &dir, list)),
                );
                continue;
            }
            let mut message = format!(
                "the {what} `{}` is neither in the definition nor on this machine",
                need.name
            );
            if !need.sure {
                message.push_str("; a run may do without, or get it as a dependency");
            }
            let finding = match need.sure && wall.has_ansible() {
                true => Diagnostic::error(need.place.clone(), message),
                false => Diagnostic::warning(need.place.clone(), message),
            };
            found.push(finding.hint(bring(bundle, need, list)));
        }
        Ok(found)
    }
}

/// Directory of the tree, outside of the bundle, that contains it and is in Ansible's
/// configuration.
fn beside(bundle: &Definition, need: &Need) -> Option<PathBuf> {
    let inner = match need.kind {
        NeedKind::Role => PathBuf::from(&need.name),
        NeedKind::Collection => {
            let (namespace, name) = need.name.split_once('.')?;
            Path::new("ansible_collections").join(namespace).join(name)
        }
    };
    let (tree, own) = (real(&bundle.tree), real(&bundle.dir));
    // A definition without steps runs its one playbook with no environment of its own.
    let steps = bundle
        .steps
        .iter()
        .filter(|step| matches!(step.action, StepKind::Ansible { .. }))
        .map(|step| step.env.clone());
    let named = steps.chain([BTreeMap::new()]).flat_map(|env| {
        let (roles, collections) = build_vars::search_paths(&bundle.dir, &env);
        if need.kind == NeedKind::Role { roles } else { collections }
    });
    // Nothing outside of the tree is looked at.
    let of_tree = named
        .map(|path| build_vars::plain(Path::new(&path)))
        .filter(|path| path.starts_with(&bundle.tree) || path.starts_with(&tree));
    let mut there = of_tree.filter(|dir| dir.join(&inner).is_dir()).map(|dir| real(&dir));
    there.find(|dir| dir.starts_with(&tree) && !dir.starts_with(&own))
}

/// Instructions for adding it to the bundle.
fn bring(bundle: &Definition, need: &Need, list: &str) -> String {
    let name = &need.name;
    if need.kind == NeedKind::Role && bundle.dir.join("roles").join(name).is_dir() {
        return format!(
            "it lies in roles/{name} of the bundle, where Ansible does not look: move it to roles/ \
                beside the playbook, or `roles_path = roles` \
             under `[defaults]` of an ansible.cfg in the bundle's directory"
        );
    }
    // Roles of the galaxy are called OWNER.ROLE.
    if need.kind == NeedKind::Role && !name.contains('.') {
        return format!(
            "roles/{name} beside the playbook, or `roles: [{{src: https://…, name: {name}}}]` in a \
                requirements.yml beside it: the run installs it"
        );
    }
    format!("`{list}: [{name}]` in a requirements.yml beside the playbook: the run installs it")
}

/// Instructions for adding the directory through a link in the bundle.
fn link(bundle: &Definition, dir: &Path, list: &str) -> String {
    let (tree, own) = (real(&bundle.tree), real(&bundle.dir));
    let up = own.strip_prefix(&tree).map_or(0, |below| below.components().count());
    let target = Path::new(&"../".repeat(up)).join(dir.strip_prefix(&tree).unwrap_or(dir));
    let own = own.strip_prefix(&tree).unwrap_or(&own);
    format!(
        "`ln -s {} {}`, and `{list}_path = {list}`: what a link leads to in the tree belongs to \
            the definition",
        shell::path(&target),
        shell::path(&own.join(list))
    )
}
