//! Security groups of the machines.
use super::named::Choices;
use super::{NONE, Project};
use crate::model::diagnostic::Diagnostic;
use crate::model::facts::{Named, Network};
use crate::model::field::Field;
use crate::model::placement::Security;
use crate::plan::Findings;

/// The groups that are named, or one of the run's own. Nova takes none for a machine that has a
/// network without port security.
pub(super) fn security(on: Project<'_>, networks: &[&Network], found: &mut Findings) -> Security {
    let Project { bundle, facts } = on;
    let at = bundle.locations.of(Field::SecurityGroups);
    let key = bundle.locations.key(Field::SecurityGroups);
    let asked = if bundle.security_groups.is_empty() {
        &facts.defaults.security_groups
    } else {
        &bundle.security_groups
    };
    if asked.iter().any(|group| group == NONE) {
        if asked.len() > 1 {
            let message = format!("`{key}` names some, and says `none`");
            found.wrong.push(Diagnostic::error(at, message).hint("either the one or the other"));
        }
        return Security::None;
    }
    let bare: Vec<&str> =
        networks.iter().filter(|n| !n.port_security).map(|n| n.name.as_str()).collect();
    if !bare.is_empty() {
        let message = format!(
            "network {} has no port security: Nova takes no security groups there",
            bare.join(", ")
        );
        if bundle.security_groups.is_empty() && bare.len() == networks.len() {
            found.notes.push(format!("{message}, and none is asked for"));
        } else {
            let hint = format!(
                "`{key}: {NONE}`; on the other networks the project's default group \
                counts then"
            );
            found.wrong.push(
                Diagnostic::error(at.or_else(|| bundle.locations.of(Field::Network)), message)
                    .hint(hint),
            );
        }
        return Security::None;
    }
    if asked.is_empty() {
        return Security::Temporary { ssh_from: facts.ssh_from.clone() };
    }
    // Every project has a default group: without any, the list was kept from us. Nova takes names
    // as well as IDs.
    if facts.security_groups.is_empty() {
        return Security::Groups(
            asked.iter().map(|name| Named { id: name.clone(), name: name.clone() }).collect(),
        );
    }
    let choices = Choices { what: "security group", all: &facts.security_groups, at };
    let find = |name: &String| choices.one(name, &mut found.wrong);
    Security::Groups(asked.iter().filter_map(find).collect())
}
