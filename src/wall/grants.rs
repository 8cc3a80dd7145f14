//! What a definition gets of the factory's environment, and whether it may do without the wall.
use std::collections::BTreeMap;

use super::{Wall, shipped};
use crate::model::definition::{Definition, Source};
use crate::plan::{Origin, Plan};
use crate::system::exec::env;

impl Wall {
    /// Of the factory's environment: what passes by itself, and what is asked for and allowed.
    pub(super) fn env(&self, plan: &Plan) -> BTreeMap<String, String> {
        let gets =
            |name: &String, value: &String| env::passes(name, value) || self.grants(plan, name);
        let mut env: BTreeMap<_, _> = self
            .config
            .env
            .iter()
            .filter(|(n, v)| gets(n, v))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        env.entry("PATH".into()).or_insert_with(|| self.path().to_owned());
        env
    }

    /// Of the factory's environment: what is asked for and allowed.
    pub fn passed_on(&self, plan: &Plan) -> BTreeMap<&str, &str> {
        let all = self.config.env.iter().filter(|(name, _)| self.grants(plan, name));
        all.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(super) fn grants(&self, plan: &Plan, name: &str) -> bool {
        let asked = plan.asks.env.iter().any(|asked| asked == name);
        asked
            && (self.config.settings.allows_env(&plan.bundle, &plan.asks, name)
                || (shipped::ENV.contains(&name) && self.is_shipped(plan)))
    }

    /// Variables that a definition asks for and does not get, and what the owner has to write so
    /// that it does; `None`: it gets all.
    pub fn how_to_grant<'b>(&self, bundle: &'b Definition) -> Option<(Vec<&'b str>, String)> {
        let (label, settings) = (&bundle.label, &self.config.settings);
        let shipped = || match &bundle.source {
            Some(Source::Script(script)) => {
                bundle.label == shipped::DEFINITION && shipped::is_ours(&bundle.dir, script)
            }
            _ => false,
        };
        let granted = |name: &str| {
            settings.allows_env(label, &bundle.asks, name)
                || (shipped::ENV.contains(&name) && shipped())
        };
        let missing: Vec<&str> =
            bundle.asks.env.iter().map(String::as_str).filter(|name| !granted(name)).collect();
        let rule = format!(
            "{{definition: {}, env: [{}]}}",
            crate::settings::quoted(label),
            missing.join(", ")
        );
        (!missing.is_empty()).then(|| (missing, settings.how_to_add("allow", &rule)))
    }

    pub(super) fn lets_out(&self, plan: &Plan) -> bool {
        plan.asks.unwalled
            && (self.config.settings.allows_unwalled(&plan.bundle, &plan.asks)
                || self.is_shipped(plan))
    }

    pub(super) fn is_shipped(&self, plan: &Plan) -> bool {
        // The script is named by build-vars.yml, which a stranger may change: it has to be one of
        // the files compared.
        let Origin::Script(script) = &plan.origin else { return false };
        plan.bundle == shipped::DEFINITION && shipped::is_ours(&plan.bundle_dir, script)
    }
}
