//! The cloud that the options and the environment name, opened.
use std::sync::Arc;

use super::arguments::AccelArg;
use super::{Context, Failure, clouds, err};
use crate::model::facts::PlacementDefaults;
use crate::provider::Provider;
use crate::provider::openstack::login::Login;
use crate::provider::openstack::{self, OpenStack};
use crate::provider::qemu::{Accel, Local, LocalConfig};

impl Context {
    /// The cloud, and a line that says which and why. Whatever is done there may be written down
    /// below our directories.
    pub fn cloud(&self) -> Result<(Arc<dyn Provider>, String), Failure> {
        let open = self.home.check()?;
        if !self.common.quiet {
            open.iter().for_each(|one| err(&format!("warning: {one}")));
        }
        let set = |name: &'static str| {
            std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| (name, v))
        };
        let (name, why) = match (&self.common.cloud, set("OS_CLOUD").or_else(|| set("OS_AUTH_URL")))
        {
            (Some(name), _) => (name.clone(), "--cloud".to_owned()),
            (None, Some((variable, value))) => (value, format!("{variable} is set")),
            (None, None) => ("local".to_owned(), "no --cloud, OS_CLOUD or OS_AUTH_URL".to_owned()),
        };
        if let (Some(file), None) = (
            &self.common.clouds_file,
            self.common.cloud.as_ref().or(set("OS_CLOUD").map(|_| &name)),
        ) {
            let failure = Failure::usage(format!(
                "--clouds-file {}: no cloud of it is named",
                file.display()
            ));
            return Err(failure.hint(
                "--cloud NAME or OS_CLOUD names one; without --clouds-file \
                this machine is the cloud",
            ));
        }
        if name != "local" {
            // A URL is no name in clouds.yaml: then the environment says it all.
            let named =
                self.common.cloud.clone().or_else(|| set("OS_CLOUD").map(|(_, value)| value));
            return Ok((
                Arc::new(self.openstack(named.as_deref())?),
                format!("cloud: {name} ({why})"),
            ));
        }
        // Said to whoever asked for it by name.
        let asked = self.common.cloud.is_some() || set("OS_CLOUD").is_some();
        if let Some(warning) =
            clouds::local_is_no_entry(&self.common)?.filter(|_| asked && !self.common.quiet)
        {
            err(&format!("warning: {warning}"));
        }
        let accel = match self.common.accel {
            AccelArg::Auto => Accel::Auto,
            AccelArg::Tcg => Accel::Tcg,
            AccelArg::Kvm => Accel::Kvm,
        };
        let config = LocalConfig {
            home: self.home.data.clone(),
            runtime: self.home.runtime.clone(),
            accel,
            program: std::env::current_exe().ok(),
        };
        Ok((Arc::new(Local::new(config)), format!("cloud: local ({why})")))
    }

    fn openstack(&self, named: Option<&str>) -> Result<OpenStack, Failure> {
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let login = Login { proxies: self.proxies.clone(), ..clouds::login(&self.common, named)? };
        self.proxies.check(&login.auth_url)?;
        if !self.common.quiet {
            login.warnings.iter().for_each(|warning| err(&format!("warning: {warning}")));
        }
        let words = |name: &str| -> Vec<String> {
            set(name)
                .map(|v| v.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let (ids, names) =
            (words("FACTORY_SECURITY_GROUP_ID"), words("FACTORY_SECURITY_GROUP_NAME"));
        let config = openstack::Config {
            login,
            home: self.home.data.clone(),
            runtime: self.home.runtime.clone(),
            defaults: PlacementDefaults {
                networks: words("FACTORY_NETWORK_ID"),
                security_groups: if ids.is_empty() { names } else { ids },
            },
            owner: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            ssh_from: words("FACTORY_SSH_FROM"),
        };
        Ok(OpenStack::new(config)?)
    }
}
