//! Requests to the services: token, endpoint, timeout, retries, and errors that say what happened.
//!
//! What may be repeated is repeated when the service was away or busy. A POST is, only when it
//! surely had no effect: the connection was refused, or the answer was 401 or 429. Where a token
//! may go is `redirect`'s to say.
use std::sync::Arc;
use std::time::Duration;

use openstack::session::Session;
use rand_core::{OsRng, RngCore};
use reqwest::{Client, Method, Url};
use tokio::sync::OnceCell;

use super::endpoint::{self, Microversions};
pub use super::error::ApiError;
use super::keystone::{Keystone, Token};
use super::login::Login;
use super::session;
use crate::system::cancel::Cancel;

mod asked;
mod call;
mod client;
mod service;

pub(super) use asked::Asked;
pub use call::Call;
pub(super) use call::OnProgress;
use client::client;
pub use service::Service;

/// One attempt may take this long, unless the call says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest pause that a service may ask for.
const LONGEST: u32 = 60;

pub struct Api {
    keystone: Keystone,
    /// Follows no redirect: [`Call::once`] does, where that is safe.
    client: Client,
    microversions: OnceCell<Microversions>,
    /// What a second is to pauses; tests have shorter ones.
    second: Duration,
}

impl Api {
    /// Sends nothing.
    pub fn new(login: Login) -> Result<Self, ApiError> {
        Self::with_pauses(login, Duration::from_secs(1))
    }

    pub(super) fn with_pauses(login: Login, second: Duration) -> Result<Self, ApiError> {
        let client = client(&login)?;
        let keystone = Keystone::new(login, client.clone(), second / 2);
        Ok(Self { keystone, client, microversions: OnceCell::new(), second })
    }

    pub fn name(&self) -> &str {
        &self.keystone.login().name
    }

    async fn token(&self, cancel: &Cancel) -> Result<Arc<Token>, ApiError> {
        cancel.or(self.keystone.token()).await?
    }

    /// ID of the project that we are logged in to.
    pub async fn project(&self, cancel: &Cancel) -> Result<String, ApiError> {
        Ok(self.token(cancel).await?.project.clone())
    }

    /// "user demo, project demo, region RegionOne"
    pub async fn who(&self, cancel: &Cancel) -> Result<String, ApiError> {
        let who = self.token(cancel).await?.who.clone();
        Ok(self
            .keystone
            .login()
            .region
            .as_ref()
            .map_or(who.clone(), |r| format!("{who}, region {r}")))
    }

    /// Whether the catalog has it.
    pub async fn has(&self, service: Service, cancel: &Cancel) -> Result<bool, ApiError> {
        let token = self.token(cancel).await?;
        Ok(self.keystone.endpoint(&token, service.types())?.is_some())
    }

    /// What Nova says of its microversions, asked once. An answer that says nothing is none: Nova
    /// is where the catalog says all the same.
    pub async fn microversions(&self, cancel: &Cancel) -> Result<&Microversions, ApiError> {
        let ask = || async {
            let call = self.get(Service::Compute, &[]).what("find out the version").document();
            match call.send(cancel).await {
                Ok(answer) => Ok(Microversions::read(&answer.body)),
                Err(ApiError::Redirected { to, .. }) => {
                    Ok(Microversions::unknown(format!("a redirect to {to}, which is not followed")))
                }
                Err(ApiError::Refused { status, .. }) if status != 401 => {
                    Ok(Microversions::unknown(format!("HTTP {status}")))
                }
                // The next call tells whether Nova itself does not answer.
                Err(e @ (ApiError::TimedOut { .. } | ApiError::BadAnswer { .. })) => {
                    Ok(Microversions::unknown(e.reason()))
                }
                Err(e) => Err(e),
            }
        };
        self.microversions.get_or_try_init(ask).await
    }

    /// The URL of a service, from an override or the catalog and nowhere else, with the version
    /// that we speak.
    async fn base(
        &self,
        session: &Session,
        token: &Token,
        (service, what): (Service, &str),
    ) -> Result<Url, ApiError> {
        let login = self.keystone.login();
        let special = login.services.get(service.types()[0]);
        if let Some(url) = session::endpoint(session, service).await {
            let overridden = special.is_some_and(|s| s.url.is_some());
            return Ok(endpoint::with_version(url, service, &token.project, overridden));
        }
        // The session's error has no hint.
        self.keystone.endpoint(token, service.types())?;
        let interface = special.and_then(|s| s.interface.as_ref()).unwrap_or(&login.interface);
        Err(ApiError::NotInCatalog {
            what: what.to_owned(),
            service: service.types()[0],
            region: special.and_then(|s| s.region.clone()).or_else(|| login.region.clone()),
            interface: interface.join(" or "),
            has: Keystone::services(token),
        })
    }

    /// Before the next attempt: what the service asks for, or twice as long at most as the time
    /// before, and by chance.
    fn pause(&self, attempt: u32, asked: Option<u32>) -> Duration {
        if let Some(seconds) = asked {
            return self.second * seconds.min(LONGEST);
        }
        let longest = (self.second / 2 * 2u32.pow(attempt.min(6))).min(self.second * 10);
        longest.mul_f64(0.2 + 0.8 * f64::from(OsRng.next_u32()) / f64::from(u32::MAX))
    }

    pub fn call(&self, service: Service, method: Method, path: &[&str]) -> Call<'_> {
        Call::new(self, service, method, path)
    }

    pub fn get(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::GET, path)
    }

    pub fn post(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::POST, path)
    }

    pub fn put(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::PUT, path)
    }

    pub fn patch(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::PATCH, path)
    }

    pub fn delete(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::DELETE, path)
    }
}
