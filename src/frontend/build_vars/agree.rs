//! Reports settings that contradict each other, and settings without effect.
use super::{Definition, Step, StepKind, Tests};
use crate::model::diagnostic::Diagnostic;
use crate::model::field::Locations;
use crate::model::step::Form;

/// Settings of checks, and the check that uses each.
const OF_CHECKS: [(&str, &str); 3] =
    [("dns_name", "dns"), ("package", "cloud-init-package"), ("volume_size", "volume")];
/// Parts of tidy whose absence makes a mandatory check fail.
const PROVED: [(&str, &str); 1] = [("machine-id", "machine-id-unique")];

/// Variables that a build adds for templates. They override everything else.
pub const RESULTS: [&str; 7] = [
    "result_img_id",
    "result_img_name",
    "result_img_checksum",
    "bundle_target_name",
    "run_id",
    "build_date",
    "git_commit",
];

/// Variables that control how Ansible reaches the builder.
const CONNECTION: [&str; 11] = [
    "ansible_host",
    "ansible_ssh_host",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_private_key_file",
    "ansible_ssh_private_key_file",
    "ansible_private_key",
    "ansible_ssh_private_key",
];
const USERS: [&str; 3] = ["ansible_user", "ansible_ssh_user", "ansible_remote_user"];
/// Ansible's magic variables, which override extra variables.
const MAGIC: [&str; 12] = [
    "inventory_hostname",
    "inventory_hostname_short",
    "inventory_dir",
    "inventory_file",
    "hostvars",
    "groups",
    "group_names",
    "playbook_dir",
    "play_hosts",
    "role_name",
    "role_path",
    "omit",
];

/// Findings on values that are valid individually.
pub(super) fn check(bundle: &Definition) -> Vec<Diagnostic> {
    let mut found = Found { places: &bundle.locations, all: Vec::new() };
    found.properties(bundle);
    found.tests(bundle);
    found.publication(bundle);
    found.login(bundle);
    found.variables(bundle);
    found.no_steps(bundle);
    for (index, step) in bundle.steps.iter().enumerate() {
        found.step(step, &format!("steps[{}]", index + 1));
    }
    found.all
}

/// The setting that enables a disabled check. It contradicts nothing else in `tests`.
fn switches_on(tests: &Tests, check: &str) -> String {
    let is_in = |list: &[String]| list.iter().any(|id| id == check);
    let listed = tests.only.as_deref().is_none_or(is_in);
    match (&tests.only, is_in(&tests.skip)) {
        (Some(_), true) if !listed => {
            format!("`{check}` in `tests.only`, and not in `tests.skip`, switches it on")
        }
        (_, true) => format!("`{check}` out of `tests.skip` switches it on"),
        (Some(_), false) => format!("`{check}` in `tests.only` switches it on"),
        (None, false) if tests.add.is_empty() => {
            format!("`tests: {{add: [{check}]}}` switches it on")
        }
        (None, false) => format!("`{check}` in `tests.add` switches it on"),
    }
}

/// The setting that disables an enabled check.
fn switches_off(tests: &Tests, check: &str) -> String {
    let is_in = |list: &[String]| list.iter().any(|id| id == check);
    match (&tests.only, is_in(&tests.add)) {
        (Some(_), true) => format!("`{check}` out of `tests.only` and `tests.add`"),
        (Some(_), false) => format!("`{check}` out of `tests.only`"),
        (None, true) => format!("`{check}` out of `tests.add` and into `tests.skip`"),
        (None, false) if tests.skip.is_empty() => format!("`tests: {{skip: [{check}]}}`"),
        (None, false) => format!("`{check}` in `tests.skip`"),
    }
}

struct Found<'b> {
    places: &'b Locations,
    all: Vec<Diagnostic>,
}

impl Found<'_> {
    fn refuse(&mut self, at: &str, message: impl Into<String>, hint: &str) {
        self.all.push(Diagnostic::error(self.places.of_key(at).cloned(), message).hint(hint));
    }

    fn warn(&mut self, at: &str, message: impl Into<String>, hint: &str) {
        self.all.push(Diagnostic::warning(self.places.of_key(at).cloned(), message).hint(hint));
    }

    fn properties(&mut self, bundle: &Definition) {
        for (key, value) in &bundle.properties {
            if let Some(other) = bundle.glance.properties.get(key).filter(|other| *other != value) {
                let message = format!(
                    "the property `{key}` is `{value}` in `bundle.properties`, and `{other}` in \
                        `final_glance_options`"
                );
                self.refuse(&format!("bundle.properties.{key}"), message, "say it once");
            }
        }
    }

    fn tests(&mut self, bundle: &Definition) {
        let tests = &bundle.tests;
        let lists = [("add", Some(&tests.add)), ("only", tests.only.as_ref())];
        for (list, ids) in lists.into_iter().filter_map(|(list, ids)| Some((list, ids?))) {
            for id in ids.iter().filter(|id| tests.skip.contains(id)) {
                self.refuse(
                    "tests.skip",
                    format!("`{id}` is both in `tests.skip` and in `tests.{list}`"),
                    "name it in one of them",
                );
            }
        }
        let chosen = tests.chosen(bundle.kind);
        if chosen.is_empty() && tests.own().is_empty() {
            let at = if tests.only.is_some() { "tests.only" } else { "tests.skip" };
            self.warn(
                at,
                "no check is left: the image is published untested",
                "`build --no-smoke` leaves the checks of one build out",
            );
        }
        for (key, check) in OF_CHECKS {
            if self.places.of_key(&format!("tests.{key}")).is_some() && !chosen.contains(&check) {
                let message =
                    format!("`tests.{key}` does nothing: the check `{check}` is not made");
                self.warn(&format!("tests.{key}"), message, &switches_on(tests, check));
            }
        }
        for (part, check) in PROVED.into_iter().filter(|(part, check)| {
            bundle.tidy_off.iter().any(|off| off == part) && chosen.contains(check)
        }) {
            let at = [part.to_owned(), part.replace('-', "_")].map(|part| format!("tidy.{part}"));
            let at = at
                .iter()
                .find(|at| self.places.of_key(at).is_some())
                .map_or("tidy", String::as_str)
                .to_owned();
            self.warn(
                &at,
                format!("without it the check `{check}` fails"),
                &format!("{}, if the image is for one machine", switches_off(tests, check)),
            );
        }
    }

    fn publication(&mut self, bundle: &Definition) {
        if bundle.keep.is_some() && bundle.glance.protected == Some(true) {
            let message =
                "`keep` removes nothing: `final_glance_options` makes every image a protected one";
            self.warn("keep", message, "leave one of them out");
        }
        let alone = [("source", bundle.source.is_some()), ("volume", bundle.volume.is_some())];
        if let Some((key, _)) = alone.iter().find(|(_, there)| *there) {
            if bundle.warm > 0 {
                let message =
                    format!("`warm` keeps no builder: a builder with `{key}` is no warm one");
                self.warn("warm", message, "leave `warm` out");
            }
            if bundle.checkpoints {
                let message =
                    format!("`checkpoints` keeps nothing of a builder with `{key}` on OpenStack");
                self.warn("checkpoints", message, "leave `checkpoints` out");
            }
        }
        let groups = &bundle.security_groups;
        if groups.len() > 1 && groups.iter().any(|group| group == "none") {
            self.refuse(
                "security_groups",
                "`security_groups` names some, and says `none`",
                "`security_groups: none`, or the groups",
            );
        }
    }

    fn login(&mut self, bundle: &Definition) {
        if bundle.ssh_user.as_deref() == Some("root")
            && bundle.tests.chosen(bundle.kind).contains(&"root-ssh")
        {
            let message = "the check `root-ssh` fails for every image that `root` logs in to: root \
                gets no shell over SSH";
            let hint = format!(
                "another user, or {} if root has to log in",
                switches_off(&bundle.tests, "root-ssh")
            );
            self.warn("ssh_user", message, &hint);
        }
    }

    /// Names in `vars` with another meaning where they are used, and variables that lead Ansible
    /// away from the builder.
    fn variables(&mut self, bundle: &Definition) {
        for name in bundle.vars.keys() {
            let at = format!("vars.{name}");
            let key = bundle.as_written.get(name).is_some();
            if key || RESULTS.contains(&name.as_str()) {
                let whose = if key {
                    format!("the key `{name}` of build-vars.yml")
                } else {
                    "what the build found out".to_owned()
                };
                let message =
                    format!("in templates `{{{{ {name} }}}}` is {whose}, not this variable");
                self.warn(
                    &at,
                    message,
                    &format!("`{{{{ vars.{name} }}}}` is this one; another name is plainer"),
                );
            }
        }
        let steps =
            bundle.steps.iter().enumerate().filter_map(|(index, step)| match &step.action {
                StepKind::Ansible { extra_vars, .. } => {
                    Some((format!("steps[{}].extra_vars", index + 1), extra_vars))
                }
                _ => None,
            });
        for (map, variables) in [("vars".to_owned(), &bundle.vars)].into_iter().chain(steps) {
            for (name, value) in variables {
                self.variable(bundle, &format!("{map}.{name}"), (name, value));
            }
        }
    }

    fn variable(
        &mut self,
        bundle: &Definition,
        at: &str,
        (name, value): (&str, &serde_json::Value),
    ) {
        if MAGIC.contains(&name) {
            let message = format!(
                "playbooks never see this `{name}`: Ansible sets it itself, over all that is given"
            );
            return self.warn(at, message, "another name");
        }
        if USERS.contains(&name) {
            let user = value.as_str();
            if user == bundle.ssh_user.as_deref() && user.is_some() {
                return;
            }
            let message = format!(
                "`{name}` takes the place of the factory's: only the user of `ssh_user` has the \
                    key of the build"
            );
            let hint = "`ssh_user` says who logs in; `become_user` and `ansible_become_user`, who \
                does the work";
            // It may be the base's own user, which is not known here.
            return if bundle.ssh_user.is_none() {
                self.warn(at, message, hint)
            } else {
                self.refuse(at, message, hint)
            };
        }
        if CONNECTION.contains(&name) {
            let message = format!(
                "`{name}` cannot be set: it takes the place of the factory's, and the builder is \
                    not reached"
            );
            self.refuse(
                at,
                message,
                "leave it out; the factory knows the builder's address, port and key",
            );
        }
    }

    /// An empty list counts as no list: the default playbook still runs.
    fn no_steps(&mut self, bundle: &Definition) {
        if bundle.has_bootstrap && bundle.steps.is_empty() && self.places.of_key("steps").is_some()
        {
            let message =
                "`steps` is empty, so that `ansible/bootstrap.yml` runs as it does without `steps`";
            self.warn(
                "steps",
                message,
                "leave `steps` out if that is meant; else list what is \
                done, or rename the playbook",
            );
        }
    }

    fn step(&mut self, step: &Step, at: &str) {
        let Form { what, no_sudo, no_env, .. } = *step.action.form();
        if let Some(hint) = no_sudo.filter(|_| step.sudo) {
            self.warn(&format!("{at}.sudo"), format!("`sudo` does nothing for {what}"), hint);
        }
        if let Some(hint) = no_env.filter(|_| !step.env.is_empty()) {
            self.warn(&format!("{at}.env"), format!("`env` does nothing for {what}"), hint);
        }
    }
}
