//! Networks that machines are on, and how this machine reaches them.
use super::named::Choices;
use super::{NONE, Project};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::facts::{Named, Network};
use crate::model::field::Field;
use crate::plan::Findings;

/// In the order in which they are written: the first is the machine's first interface.
pub(super) fn networks<'a>(on: Project<'a>, wrong: &mut Vec<Diagnostic>) -> Vec<&'a Network> {
    let Project { bundle, facts } = on;
    let at = bundle.locations.of(Field::Network);
    let asked = if bundle.network.is_empty() { &facts.defaults.networks } else { &bundle.network };
    if !asked.is_empty() {
        let all: Vec<Named> = facts.networks.iter().map(Network::named).collect();
        let choices = Choices { what: "network", all: &all, at };
        let find = |name: &String| choices.one(name, wrong);
        let found: Vec<Named> = asked.iter().filter_map(find).collect();
        return found.iter().filter_map(|f| facts.networks.iter().find(|n| n.id == f.id)).collect();
    }
    let own: Vec<&Network> = facts.networks.iter().filter(|n| n.own && !n.external).collect();
    let usable: Vec<&Network> = if own.is_empty() {
        facts.networks.iter().filter(|n| n.shared || n.own).collect()
    } else {
        own
    };
    if usable.len() == 1 {
        return usable;
    }
    let key = bundle.locations.key(Field::Network);
    let what = match usable.len() {
        0 => "there is no network to boot machines on".to_owned(),
        n => format!("there are {n} networks to boot machines on, and none is named"),
    };
    let names: Vec<&str> = usable.iter().map(|n| n.name.as_str()).collect();
    wrong.push(Diagnostic::error(at, what).hint(match names.is_empty() {
        true => format!("have one made, or name one by `{key}` or FACTORY_NETWORK_ID"),
        false => format!(
            "name one by `{key}`, `--set {key}=` or FACTORY_NETWORK_ID: {}",
            names.join(", ")
        ),
    }));
    Vec::new()
}

/// How this machine reaches the others: by a floating IP of the first, at a fixed address on the
/// second. A floating IP is taken if it was asked for by name; and if not, where machines come up
/// on private networks that this machine is not in, and there is one external network.
pub(super) fn reach(
    project: Project<'_>,
    networks: &[&Network],
    found: &mut Findings,
) -> (Option<Named>, Option<Named>) {
    let Project { bundle, facts } = project;
    let at = bundle.locations.of(Field::FloatingNetwork);
    let key = bundle.locations.key(Field::FloatingNetwork);
    let external: Vec<Named> =
        facts.networks.iter().filter(|n| n.external).map(Network::named).collect();
    let direct = networks.iter().find(|n| n.is_direct()).map(|n| n.named());
    // A floating IP is IPv4's.
    let v6_only = !networks.is_empty() && networks.iter().all(|n| n.v6_only);
    let on = networks.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    match bundle.floating_network.as_deref() {
        Some(NONE) => (None, direct),
        Some(name) => {
            let choices = Choices { what: "floating network", all: &external, at: at.clone() };
            let Some(asked) = choices.one(name, &mut found.wrong) else {
                return (None, direct);
            };
            // An address on that very network is as good.
            if networks.iter().any(|n| n.id == asked.id) {
                return (None, Some(asked));
            }
            if v6_only {
                let message =
                    format!("network {on} has subnets of IPv6 alone, and a floating IP is IPv4's");
                found.wrong.push(
                    Diagnostic::error(at, message)
                        .hint(format!("`{key}: {NONE}`: SSH goes to the IPv6 address")),
                );
            }
            (Some(asked), None)
        }
        None if direct.is_some() || networks.is_empty() => (None, direct),
        None if v6_only => {
            found.notes.push(format!(
                "network {on} has subnets of IPv6 alone: no floating IP is \
                taken, and SSH goes to the IPv6 address"
            ));
            (None, None)
        }
        None => (the_external_one(bundle, &external, &on, found), None),
    }
}

/// The external network that gives floating IPs, if there is one and one only. `on`: the machines'
/// networks.
fn the_external_one(
    bundle: &Definition,
    external: &[Named],
    on: &str,
    found: &mut Findings,
) -> Option<Named> {
    let at = bundle.locations.of(Field::FloatingNetwork);
    let names = external.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    match external {
        [one] => Some(one.clone()),
        [] => {
            let text = "no external network gives floating IPs: SSH goes to the fixed address, \
                which this machine has to reach";
            found.notes.push(format!("network {on}: {text}"));
            None
        }
        several => {
            let message = format!(
                "network {on} is not reached from here, and {} external networks give floating \
                    IPs",
                several.len()
            );
            let hint = format!(
                "say `{}: NAME`, or `{NONE}` if the fixed address is reached: {names}",
                bundle.locations.key(Field::FloatingNetwork)
            );
            found.wrong.push(
                Diagnostic::error(at.or_else(|| bundle.locations.of(Field::Network)), message)
                    .hint(hint),
            );
            None
        }
    }
}
