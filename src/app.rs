//! The composition root: makes the provider and the factory from what was read elsewhere. It prints
//! nothing and reads no environment.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::run_dir::Home;
use crate::guest::ssh::Ssh;
use crate::jobs::Factory;
use crate::model::facts::PlacementDefaults;
use crate::provider::openstack::login::{self, Login, LoginError, Places};
use crate::provider::openstack::{self, OpenStack};
use crate::provider::qemu::{Accel, Local, LocalConfig};
use crate::provider::{CloudError, Provider};
use crate::report;
use crate::system::http::{Proxies, ProxyError};
use crate::wall::Wall;

/// The provider that needs no login: QEMU on this machine.
pub const LOCAL: &str = "local";

/// A provider as options and environment select it.
pub struct Selection {
    /// `local`, or the name or URL of a cloud.
    pub name: String,
    /// Entry of clouds.yaml; `None` if variables supply everything.
    pub entry: Option<String>,
    /// Selected by name, and not by default.
    pub named: bool,
    /// Variables of the environment: `OS_*` and `FACTORY_*`.
    pub variables: BTreeMap<String, String>,
    /// Where clouds.yaml is looked for.
    pub places: Places,
    pub accel: Accel,
    /// This program.
    pub program: Option<PathBuf>,
    /// How much checkpoints of local machines may take, in bytes.
    pub checkpoints: u64,
    /// This machine's name.
    pub host: String,
}

/// A provider cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Provider(#[from] CloudError),
}

/// Opens the selected provider. `warn` receives what its user should know.
pub fn open(
    selection: Selection,
    home: &Home,
    proxies: &Proxies,
    warn: &mut dyn FnMut(&str),
) -> Result<Arc<dyn Provider>, OpenError> {
    match selection.name.as_str() {
        LOCAL => Ok(Arc::new(qemu(selection, home, warn))),
        _ => Ok(Arc::new(openstack(selection, home, proxies, warn)?)),
    }
}

fn qemu(selection: Selection, home: &Home, warn: &mut dyn FnMut(&str)) -> Local {
    let entry = login::entry_named_local(&selection.variables, &selection.places);
    if let Some(file) = entry.filter(|_| selection.named) {
        warn(&format!(
            "`local` is QEMU on this machine; the entry `local` of {} needs another name to be \
                used",
            file.display()
        ));
    }
    Local::new(LocalConfig {
        home: home.data.clone(),
        runtime: home.runtime.clone(),
        accel: selection.accel,
        program: selection.program,
        checkpoints: selection.checkpoints,
    })
}

fn openstack(
    selection: Selection,
    home: &Home,
    proxies: &Proxies,
    warn: &mut dyn FnMut(&str),
) -> Result<OpenStack, OpenError> {
    let Selection { entry, variables, places, host, .. } = selection;
    let login = login::login(entry.as_deref(), &variables, &places)?;
    let login = Login { proxies: proxies.clone(), ..login };
    proxies.check(&login.auth_url)?;
    login.warnings.iter().for_each(|warning| warn(warning));
    let words = |name: &str| -> Vec<String> {
        let text = variables.get(name).map(String::as_str).unwrap_or_default();
        text.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let (ids, names) = (words("FACTORY_SECURITY_GROUP_ID"), words("FACTORY_SECURITY_GROUP_NAME"));
    let config = openstack::Config {
        login,
        home: home.data.clone(),
        runtime: home.runtime.clone(),
        defaults: PlacementDefaults {
            networks: words("FACTORY_NETWORK_ID"),
            security_groups: if ids.is_empty() { names } else { ids },
        },
        owner: host,
        ssh_from: words("FACTORY_SSH_FROM"),
    };
    Ok(OpenStack::new(config)?)
}

/// What all runs share besides the provider.
pub struct Shared {
    pub wall: Arc<Wall>,
    pub proxies: Proxies,
    pub home: Home,
    pub templates: report::Renderer,
}

/// The factory, whose machines are reached over SSH.
pub fn factory(provider: Arc<dyn Provider>, shared: Shared) -> Arc<Factory> {
    let Shared { wall, proxies, home, templates } = shared;
    Arc::new(Factory { provider, connect: Arc::new(Ssh), wall, proxies, home, templates })
}
