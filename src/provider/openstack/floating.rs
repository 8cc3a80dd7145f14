//! A floating IP for a machine, at the first of its ports that has a way there.
use std::sync::Mutex;

use super::boot::tag;
use super::create::{self, New};
use super::nova::Server;
use super::{OpenStack, description_for, neutron};
use crate::model::facts::Named;
use crate::provider::ledger::Kind;
use crate::provider::{BootSpec, CloudError, RunCx};

/// Takes a floating IP of `network` for the machine of `spec`.
pub(super) struct Taking<'t> {
    pub cloud: &'t OpenStack,
    pub cx: &'t RunCx,
    pub spec: &'t BootSpec,
    pub network: &'t Named,
}

impl Taking<'_> {
    /// The address that was taken. Ports are tried in the order in which `networks` are written.
    pub async fn first(&self, networks: &[Named], server: &Server) -> Result<String, CloudError> {
        let Self { cloud, cx, spec, .. } = self;
        let mut ports = neutron::ports(&cloud.api, &server.id, &cx.cancel).await?;
        ports.retain(neutron::Port::takes_floating_ips);
        ports.sort_by_key(|port| {
            networks.iter().position(|n| n.id == port.network_id).unwrap_or(usize::MAX)
        });
        let mut refused = None;
        for port in &ports {
            cx.cancel.check()?;
            // A port without a router is told with 404, and nothing is made.
            match self.at(&port.id).await {
                Ok(ip) => {
                    cloud.seen.made_address(&ip.id, &cx.run);
                    tag(cloud, cx, "floatingips", &ip.id).await;
                    return Ok(ip.floating_ip_address);
                }
                // One that may have been taken all the same is not taken twice.
                Err(Refused::Create(e)) if ports.len() > 1 && !self.is_in_doubt() => {
                    refused = Some(e);
                }
                Err(Refused::Create(e) | Refused::Lookup(e)) => return Err(e),
            }
        }
        Err(refused.unwrap_or_else(|| {
            CloudError::refused(
                format!("boot {}", spec.name),
                "Nova gave it no port with an address of IPv4 for a floating IP",
            )
        }))
    }

    async fn at(&self, port: &str) -> Result<neutron::FloatingIp, Refused> {
        let Self { cloud, cx, spec, network } = self;
        let answered = Mutex::new(None);
        let create = || async {
            let whose = description_for(&cx.run, &spec.name);
            let new = neutron::NewFloatingIp { network, port, description: &whose };
            let ip = neutron::create_floating_ip(&cloud.api, &new, &cx.cancel).await;
            ip.map(|ip| {
                answered.lock().expect("a plain write does not panic").insert(ip).id.clone()
            })
        };
        let new = New { kind: Kind::Address, name: &spec.name };
        let id = create::own(cloud, cx, new, create).await.map_err(Refused::Create)?;
        let ip = match answered.into_inner().expect("a plain write does not panic") {
            Some(ip) => Some(ip),
            None => neutron::floating_ip(&cloud.api, &id, &cx.cancel)
                .await
                .map_err(|e| Refused::Lookup(e.into()))?,
        };
        ip.ok_or_else(|| {
            let what = format!("boot {}", spec.name);
            Refused::Lookup(CloudError::refused(what, "its floating IP is gone"))
        })
    }

    /// Of this machine: one beside it may have lost an answer too.
    fn is_in_doubt(&self) -> bool {
        self.cx
            .ledger
            .entries()
            .iter()
            .any(|e| e.unanswered.is_some() && e.kind == Kind::Address && e.name == self.spec.name)
    }
}

/// Why a port has no floating IP.
enum Refused {
    /// Another port may get one.
    Create(CloudError),
    /// One was taken, and is not to be seen.
    Lookup(CloudError),
}
