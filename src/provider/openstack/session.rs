//! Session of the `openstack` crate: authenticates requests and resolves service URLs.
//!
//! Tokens and endpoint rules are our own ([`Keystone`]). The crate's version discovery is unused,
//! because it trusts a service's statement about its own address.
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use openstack::auth::AuthType;
use openstack::session::Session;
use openstack::{EndpointFilters, Error, ErrorKind};
use reqwest::{Client, RequestBuilder, Url};

use super::api::{ApiError, Service};
use super::keystone::{Keystone, Token};

/// One login. Identifies which token was rejected.
struct LoggedIn {
    keystone: Keystone,
    token: Arc<Token>,
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoggedIn({:?})", self.keystone)
    }
}

#[async_trait]
impl AuthType for LoggedIn {
    async fn authenticate(
        &self,
        _: &Client,
        request: RequestBuilder,
    ) -> Result<RequestBuilder, Error> {
        Ok(request.header("x-auth-token", self.token.expose()))
    }

    /// Ignores the filters: the login has interface, region and overrides.
    async fn get_endpoint(
        &self,
        _: &Client,
        service: &str,
        _: &EndpointFilters,
    ) -> Result<Url, Error> {
        let missing =
            || Error::new(ErrorKind::EndpointNotFound, format!("no endpoint of {service}"));
        let known = Service::ALL
            .into_iter()
            .find(|known| known.types()[0] == service)
            .ok_or_else(missing)?;
        let found = self.keystone.endpoint(&self.token, known.types());
        found
            .map_err(|e| Error::new(ErrorKind::EndpointNotFound, e.to_string()))?
            .ok_or_else(missing)
    }

    /// Replaces a rejected or expiring token.
    async fn refresh(&self, _: &Client) -> Result<(), Error> {
        Ok(())
    }
}

/// Sends nothing.
pub async fn begin(
    client: &Client,
    keystone: &Keystone,
    token: Arc<Token>,
) -> Result<Session, ApiError> {
    let login = LoggedIn { keystone: keystone.clone(), token };
    Session::new_with_client(client.clone(), login)
        .await
        .map_err(|e| ApiError::bad_answer("begin a session", e.to_string()))
}

/// `None` if the service does not exist.
pub async fn endpoint(session: &Session, service: Service) -> Option<Url> {
    session.client().get_endpoint(service.types()[0], &EndpointFilters::default()).await.ok()
}

pub async fn authenticate(
    session: &Session,
    request: RequestBuilder,
) -> Result<RequestBuilder, ApiError> {
    let done = session.auth_type().authenticate(session.client().inner(), request).await;
    done.map_err(|e| ApiError::bad_answer("authenticate", e.to_string()))
}
