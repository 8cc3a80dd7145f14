//! Permissions by this machine's owner: the settings, and the wall made from them.
use std::path::PathBuf;
use std::sync::Arc;

use super::{Context, Failure};
use crate::jobs::RunError;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::field::Field;
use crate::settings;
use crate::wall::{self, Wall};

/// `$XDG_CONFIG_HOME`, or its default.
fn config_home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .filter(|dir| dir.is_absolute())
}

impl Context {
    /// Files searched for the owner's settings; later files win.
    pub fn settings_files() -> Vec<PathBuf> {
        let config = config_home().map(|dir| dir.join("image-factory"));
        [Some(PathBuf::from("/etc/image-factory")), config]
            .into_iter()
            .flatten()
            .map(|dir| dir.join("config.yml"))
            .collect()
    }

    /// The wall, made from the owner's settings.
    pub fn wall(&self) -> Result<&Arc<Wall>, Failure> {
        if let Some(wall) = self.wall.get() {
            return Ok(wall);
        }
        let tree = self.tree().ok();
        // SAFETY: plain system call without arguments.
        let user = unsafe { libc::getuid() };
        let settings = settings::load(&Self::settings_files(), tree.as_deref(), user)
            .map_err(|found| Failure::from(RunError::Refused(found)))?;
        // What is no text is no variable that anybody needs, and would not go into a plan.
        let env = std::env::vars_os()
            .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let home = std::env::var_os("HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let mut hidden = vec![
            self.home.data.clone(),
            self.home.runtime.clone(),
            "/etc/image-factory".into(),
            "/etc/openstack".into(),
        ];
        hidden.extend(
            config_home()
                .into_iter()
                .flat_map(|dir| [dir.join("openstack"), dir.join("image-factory")]),
        );
        let wall = Wall::new(wall::Config { settings, env, home, hidden });
        Ok(self.wall.get_or_init(|| Arc::new(wall)))
    }

    /// Instructions for the owner to allow plays of this definition on this machine; `None` if
    /// allowed.
    pub fn how_to_allow_local(&self, bundle: &Definition) -> Result<Option<String>, Failure> {
        Ok(self.wall()?.settings().how_to_allow_local(&bundle.label, &bundle.asks))
    }

    /// Reports variables that a definition requests and does not get.
    pub fn not_granted(&self, bundle: &Definition) -> Result<Option<Diagnostic>, Failure> {
        let Some((missing, rule)) = self.wall()?.how_to_grant(bundle) else { return Ok(None) };
        let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = format!(
            "`{}` asks for {names}, which the factory's owner does not let this definition \
                have",
            bundle.locations.key(Field::Environment)
        );
        Ok(Some(
            Diagnostic::warning(bundle.locations.of(Field::Environment), message)
                .hint(format!("the owner allows it: {rule}")),
        ))
    }
}
