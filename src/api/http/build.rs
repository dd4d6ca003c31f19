//! From the config to a client.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Url, redirect, retry};
use secrecy::{ExposeSecret as _, SecretString};

use super::{BuildError, cause};
use crate::config;

/// Gateways close idle connections after a minute or more. Ours go first: a roster that is sent into a connection which
/// the other side is just closing is an answer lost.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Reads the base URL: https, or http on loopback.
pub(super) fn base_url(text: &str) -> Result<Url, BuildError> {
    let url = Url::parse(text).map_err(|_| BuildError::BaseUrl("is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BuildError::BaseUrl("holds a user name or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(BuildError::BaseUrl("goes on after its path"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(BuildError::BaseUrl("is http, and only on this machine may it be")),
        _ => Err(BuildError::BaseUrl("is neither https nor http")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// The key as a header, marked so that no HTTP library shows it.
pub(super) fn bearer(key: &SecretString) -> Option<HeaderValue> {
    let key = key.expose_secret().trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Makes the client: time limits, no redirects (the key goes to one host only), no repeats.
pub(super) fn client(config: &config::Api, base: &Url) -> Result<Client, BuildError> {
    if config.key.as_ref().is_some_and(|key| bearer(key).is_none()) {
        return Err(BuildError::Key);
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("a crypto provider is installed already");
    }
    let https = base.scheme() == "https";
    let builder = Client::builder()
        .user_agent(concat!("rosterd/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .timeout(config.timeout)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .https_only(https);
    let builder = if https {
        trusting(builder, config)?
    } else {
        // Trusts nobody, and so does not look for the system's authorities: a bare container has none.
        builder.tls_certs_only([])
    };
    let builder = match &config.proxy {
        _ if is_loopback(base) => builder.no_proxy(),
        Some(proxy) => builder.proxy(Proxy::all(proxy).map_err(|_| BuildError::Proxy)?),
        None => builder,
    };
    builder.build().map_err(|error| BuildError::Client(cause::root(&error)))
}

fn trusting(builder: ClientBuilder, config: &config::Api) -> Result<ClientBuilder, BuildError> {
    let Some(path) = &config.ca_file else { return Ok(builder) };
    let pem = fs::read(path).map_err(|source| BuildError::CaFile { path: path.clone(), source })?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(BuildError::NoCertificate(path.clone()));
    }
    Ok(builder.tls_certs_merge(certificates))
}
