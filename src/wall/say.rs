//! Messages about the wall before a run: requests of the definition that are not granted, and parts
//! that run without a wall.
use crate::model::step::StepKind;
use std::path::{Path, PathBuf};

use super::{Availability, Wall, definition, shipped};
use crate::model::diagnostic::Diagnostic;
use crate::plan::{Origin, Plan, StepPlan};
use crate::settings::{Mode, quoted};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::env;

pub(super) const NO_NAMESPACES: &str = "user namespaces are needed: on Ubuntu 23.10 and later \
    AppArmor keeps them from ordinary users \
     (`sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or a profile for /usr/bin/bwrap); \
     in a container it has to allow \
     them (seccomp, `--security-opt`)";

/// Why a plan cannot run.
#[derive(Debug, Default)]
pub struct PlanRefusal {
    pub errors: Vec<Diagnostic>,
    /// The owner or this machine refuses; otherwise the definition has errors.
    pub refuses: bool,
}

impl Wall {
    /// All reasons why the plan cannot run here; empty if there are none.
    pub async fn unfit(&self, plan: &Plan, cancel: &Cancel) -> Result<PlanRefusal, Cancelled> {
        let mut errors = reserved(plan);
        errors.extend(
            definition::places(&plan.asks, &plan.bundle_dir, self.config.home.as_deref()).err(),
        );
        let mut refused = self.not_granted(plan);
        refused.extend(self.not_local(plan));
        refused.extend(self.not_readable(plan));
        let standing = self.availability(cancel).await?;
        if let (Mode::Required, Availability::Lacking { reason, hint }) =
            (self.config.settings.wall, standing)
        {
            let finding = Diagnostic::error(
                None,
                format!(
                    "the owner's settings require the wall, and this machine has none: {reason}"
                ),
            );
            refused.push(finding.hint(hint.clone()));
        }
        let wants_out = plan.asks.unwalled && matches!(plan.origin, Origin::Script(_));
        if wants_out && matches!(standing, Availability::Up { .. }) && !self.lets_out(plan) {
            let message = format!(
                "the source script of {} asks to run without the wall, which nobody has allowed",
                plan.bundle
            );
            let why = match plan.bundle == shipped::DEFINITION {
                true => {
                    "it is not the one that this program was built with; build it anew if you \
                        changed it, or allow it"
                }
                false => "allow it",
            };
            refused
                .push(Diagnostic::error(None, message).hint(format!("{why}: {}", self.rule(plan))));
        }
        let refuses = !refused.is_empty();
        errors.append(&mut refused);
        Ok(PlanRefusal { errors, refuses })
    }

    /// Steps that request the factory itself. `validate` reports them with locations; this also
    /// covers bases that are built first.
    fn not_local(&self, plan: &Plan) -> Option<Diagnostic> {
        if !wants_local(plan) || self.config.settings.allows_local(&plan.bundle, &plan.asks) {
            return None;
        }
        let message = format!(
            "{} asks to run plays on the factory itself, which nobody has allowed",
            plan.bundle
        );
        Some(Diagnostic::error(None, message).hint(format!("allow it: {}", self.rule(plan))))
    }

    /// The one rule by which the owner grants everything that `plan` requests and lacks.
    fn rule(&self, plan: &Plan) -> String {
        let settings = &self.config.settings;
        let mut rule = format!("definition: {}", quoted(&plan.bundle));
        if wants_local(plan) && !settings.allows_local(&plan.bundle, &plan.asks) {
            rule.push_str(", local: true");
        }
        if plan.asks.unwalled && matches!(plan.origin, Origin::Script(_)) && !self.lets_out(plan) {
            rule.push_str(", unwalled: true");
        }
        let env: Vec<String> = self.refused_env(plan).map(|name| quoted(name)).collect();
        if !env.is_empty() {
            rule.push_str(&format!(", env: [{}]", env.join(", ")));
        }
        let idle = settings
            .allow
            .iter()
            .find(|rule| rule.is_for_nothing() && rule.definition == plan.bundle);
        let idle = idle.and_then(|rule| rule.tree.as_ref()).map(|tree| {
            format!("; the one there is for {}, which is no directory", tree.display())
        });
        format!(
            "{}{}",
            settings.how_to_add("allow", &format!("{{{rule}}}")),
            idle.unwrap_or_default()
        )
    }

    fn refused_env<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = &'p String> {
        plan.asks
            .env
            .iter()
            .filter(|name| self.config.env.contains_key(*name) && !self.grants(plan, name))
    }

    /// Local files of `source` that the factory must not read. It reads them as its own user and
    /// makes an image of them, so they must be in the tree or where the owner allows reading. A
    /// missing file is reported on reading.
    fn not_readable(&self, plan: &Plan) -> Vec<Diagnostic> {
        let Origin::Url { wish: download, .. } = &plan.origin else { return Vec::new() };
        let real = |paths: Vec<PathBuf>| {
            paths.into_iter().filter_map(|p| p.canonicalize().ok()).collect::<Vec<_>>()
        };
        let tree = [plan.asks.tree.clone(), plan.asks.definition.clone(), plan.bundle_dir.clone()];
        let tree = real(tree.into_iter().filter(|dir| !dir.as_os_str().is_empty()).collect());
        let (hidden, shown) =
            (real(self.config.hidden.clone()), real(self.config.settings.read_only.clone()));
        let below = |path: &Path, dirs: &[PathBuf]| dirs.iter().any(|dir| path.starts_with(dir));
        let files =
            download.files().into_iter().filter_map(|path| Some((path, path.canonicalize().ok()?)));
        let outside = files.filter(|(_, real)| {
            !below(real, &shown) && (!below(real, &tree) || below(real, &hidden))
        });
        outside
            .map(|(path, _)| {
                let message = format!(
                    "{} reads {}, which lies outside the tree",
                    plan.bundle,
                    path.display()
                );
                let dir = quoted(&path.parent().unwrap_or(path).to_string_lossy());
                let allow = self.config.settings.how_to_add("read_only", &dir);
                Diagnostic::error(None, message)
                    .hint(format!("put it beside the definition, or allow it: {allow}"))
            })
            .collect()
    }

    fn not_granted(&self, plan: &Plan) -> Vec<Diagnostic> {
        self.refused_env(plan)
            .map(|name| {
                let message = format!(
                    "{} asks for {name} of the factory's environment, which nobody has allowed",
                    plan.bundle
                );
                Diagnostic::error(None, message)
                    .hint(format!("unset it, or allow it: {}", self.rule(plan)))
            })
            .collect()
    }

    /// For the first lines of a run: (is a warning, text).
    pub async fn lines(
        &self,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<Vec<(bool, String)>, Cancelled> {
        let mut lines = Vec::new();
        let without =
            "what the definition brings runs as the factory's user, and can read what that can";
        match self.availability(cancel).await? {
            Availability::Up { .. } => {}
            Availability::Off => {
                lines.push((true, format!("wall: off, as the owner's settings say; {without}")))
            }
            Availability::Lacking { reason, .. } => {
                lines.push((true, format!("wall: none ({reason}); {without}")))
            }
        }
        if matches!(plan.origin, Origin::Script(_)) && self.lets_out(plan) {
            lines.push((
                false,
                format!(
                    "wall: the source script of {} runs without it, as is allowed",
                    plan.bundle
                ),
            ));
        }
        for name in self.config.env.keys().filter(|name| self.grants(plan, name)) {
            lines.push((
                false,
                format!(
                    "{name} of the factory's environment is passed on, as is asked for and allowed"
                ),
            ));
        }
        let kept =
            self.config.env.iter().filter(|(n, v)| {
                env::is_proxy(n) && env::holds_password(v) && !self.grants(plan, n)
            });
        for (name, _) in kept {
            lines.push((
                true,
                format!(
                    "{name} holds a password and is not passed on; `pass_env: [{name}]` asks for it"
                ),
            ));
        }
        lines.extend(self.dropped(plan).map(|text| (true, text)));
        lines.extend(self.direct(plan).map(|text| (false, text)));
        Ok(lines)
    }

    /// Notes that machines do not get this machine's proxies: builders and the machines of their
    /// images are on other networks. `None` without a proxy or builder.
    pub fn direct(&self, plan: &Plan) -> Option<String> {
        let proxy = |(name, value): &(&String, &String)| {
            env::is_proxy(name) && !name.eq_ignore_ascii_case("no_proxy") && !value.is_empty()
        };
        let names: Vec<&str> =
            self.config.env.iter().filter(proxy).map(|(name, _)| name.as_str()).collect();
        let settings =
            "`Acquire::http::Proxy` in /etc/apt/apt.conf.d, `proxy=` in /etc/dnf/dnf.conf";
        (plan.builder.is_some() && !names.is_empty()).then(|| {
            format!(
                "machines are not told of {}: a bundle whose packages come through a proxy \
                says so itself ({settings}; BUNDLES.md, *Behind a proxy*)",
                names.join(", ")
            )
        })
    }

    /// Ansible settings in the caller's environment that playbooks do not get.
    fn dropped(&self, plan: &Plan) -> Option<String> {
        let plays = |step: &StepPlan| matches!(step.action, StepKind::Ansible { .. });
        let kept = self
            .config
            .env
            .keys()
            .filter(|name| name.starts_with("ANSIBLE_") && !self.grants(plan, name));
        let names: Vec<&str> = kept.map(String::as_str).collect();
        if names.is_empty() || !plan.steps.iter().any(plays) {
            return None;
        }
        let names = names.join(", ");
        Some(format!(
            "{names} of the environment does not reach playbooks: an ansible.cfg of the bundle, \
                `env` of a step or `pass_env` says the same"
        ))
    }

    /// Summary for `doctor`: whether all is well, and the state.
    pub async fn summary(&self, cancel: &Cancel) -> Result<(bool, String), Cancelled> {
        let mode = self.config.settings.wall.name();
        Ok(match self.availability(cancel).await? {
            Availability::Up { version, nested: false } => (true, format!("{mode}: {version}")),
            Availability::Up { version, nested: true } => (
                true,
                format!("{mode}: {version}, which lets namespaces be made behind it; 0.8 does not"),
            ),
            Availability::Off => {
                (true, "off: definitions run as this user, and can read what it can".into())
            }
            Availability::Lacking { reason, hint } => (false, format!("{mode}: {reason}; {hint}")),
        })
    }
}

fn wants_local(plan: &Plan) -> bool {
    let asks = |step: &StepPlan| matches!(step.action, StepKind::Ansible { local: true, .. });
    plan.steps.iter().any(asks)
}

/// Variables of playbook steps that would disable protections of the factory.
fn reserved(plan: &Plan) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let StepKind::Ansible { extra_vars, .. } = &step.action else { continue };
        let variables =
            step.env.keys().filter_map(|name| Some((format!("env.{name}"), env::reserved(name)?)));
        let extra = extra_vars
            .keys()
            .filter_map(|name| Some((format!("extra_vars.{name}"), env::reserved_variable(name)?)));
        for (what, why) in variables.chain(extra) {
            let message =
                format!("step {}, {}: `{what}` cannot be set: {why}", index + 1, step.name);
            errors.push(Diagnostic::error(None, message).hint("leave it out"));
        }
    }
    errors
}
