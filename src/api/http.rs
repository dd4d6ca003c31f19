//! The API over HTTP. Sends, reads what comes back up to a limit, and leaves what it means to [`super::verdict`].
//!
//! Nothing is repeated here: whether an answer that was lost may be asked for again is the caller's to decide, who
//! knows whether the roster is still the latest.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::time::Instant;

use super::verdict::{self, Asked, Heard, Incomplete};
use super::wire::{self, Page};
use super::{Accepted, Answer, ApiError, Group, MemberSync, Plan, Progress};
use crate::clock::Clock;
use crate::config::{self, PhoneFormat};
use crate::roster::Entry;
use crate::roster::ids::{GroupId, GroupRef, RequestId};

mod build;
mod cause;

/// Results of the largest roster that the API takes are below 1 MiB; whatever is far above is not an answer.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Bodies of failures hold a message; a gateway's page beyond this tells nothing more.
const MAX_FAILURE_BODY: usize = 64 * 1024;

/// The API's largest page.
const PAGE_LIMIT: u64 = 100;

/// A list with more pages than this (100,000 items) does not end.
const MAX_PAGES: u64 = 1000;

const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Why no client can be made of the config. For the operator, once, at the start; none of it quotes the key or a URL.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The base URL is of no use.
    #[error("api.base_url {0}")]
    BaseUrl(&'static str),
    /// The key holds characters that a header cannot carry.
    #[error("the API key holds characters that a key cannot have; is there a line break in its file?")]
    Key,
    /// The file of certificate authorities cannot be read.
    #[error("api.ca_file {path} cannot be read")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file of certificate authorities is not what it should be.
    #[error("api.ca_file {0} holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    /// The proxy's URL is none.
    #[error("api.proxy is not the URL of a proxy")]
    Proxy,
    /// The rate is zero, negative or beyond measure.
    #[error("api.requests_per_second is out of range")]
    Rate,
    /// The HTTP client cannot be made; most often the system has no certificate authorities.
    #[error("no HTTPS client can be made: {0}")]
    Client(String),
}

/// The API over HTTP: one connection pool, one rate limit.
pub struct HttpApi {
    client: Client,
    base: Url,
    key: Option<SecretString>,
    phone: PhoneFormat,
    limiter: DefaultDirectRateLimiter,
    /// Whoever asks the limiter, one at a time and in turn: it wakes all who wait for the same moment, and lets one of them pass.
    turn: tokio::sync::Mutex<()>,
    clock: Clock,
    max_body: usize,
}

/// Shows where to, and no key.
impl fmt::Debug for HttpApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpApi").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// One request. `kind` names the endpoint in logs, where the path itself would be noise.
struct Ask<'a> {
    asked: Asked,
    method: Method,
    kind: &'static str,
    path: &'a [&'a str],
    page: Option<u64>,
    body: Option<Vec<u8>>,
}

impl<'a> Ask<'a> {
    fn read(kind: &'static str, path: &'a [&'a str]) -> Self {
        Self { asked: Asked::Read, method: Method::GET, kind, path, page: None, body: None }
    }

    fn change(asked: Asked, method: Method, kind: &'static str, path: &'a [&'a str], body: Vec<u8>) -> Self {
        Self { asked, method, kind, path, page: None, body: Some(body) }
    }
}

fn headers(key: &SecretString, has_body: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    // Was tried when the client was built.
    if let Some(value) = build::bearer(key) {
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

/// The requests of one second, at least one.
fn burst(config: &config::Api) -> NonZeroU32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the config allows 1000 a second at most"
    )]
    let requests = config.requests_per_second.clamp(1.0, f64::from(u16::MAX)) as u32;
    NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN)
}

impl HttpApi {
    /// Makes a client of the config. Reads the CA file; connects to nothing.
    ///
    /// # Errors
    /// [`BuildError`] says which setting is of no use.
    pub fn new(config: &config::Api, clock: Clock) -> Result<Self, BuildError> {
        let base = build::base_url(&config.base_url)?;
        let period = std::time::Duration::try_from_secs_f64(config.requests_per_second.recip());
        // As many requests as a second may hold can leave at once after a pause; then one by one. A small export is then on its way
        // in a moment, and in the long run the rate holds.
        let quota = period.ok().and_then(Quota::with_period).ok_or(BuildError::Rate)?.allow_burst(burst(config));
        Ok(Self {
            client: build::client(config, &base)?,
            base,
            key: config.key.clone(),
            phone: config.phone_format,
            limiter: RateLimiter::direct(quota),
            turn: tokio::sync::Mutex::default(),
            clock,
            max_body: MAX_BODY,
        })
    }

    async fn ask(&self, ask: Ask<'_>) -> Result<Heard, ApiError> {
        let Ask { asked, method, kind, path, page, body } = ask;
        let url = self.url(path).ok_or(ApiError::NotFound)?;
        // Without a key the answer is known. Commands that only read the state get along without one.
        let Some(key) = &self.key else { return Err(ApiError::Unauthorized { status: 401 }) };
        {
            let _turn = self.turn.lock().await;
            self.limiter.until_ready().await;
        }
        let begun = Instant::now();
        let mut request = self.client.request(method.clone(), url).headers(headers(key, body.is_some()));
        if let Some(page) = page {
            request = request.query(&[("limit", PAGE_LIMIT), ("page", page)]);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let heard = match request.send().await {
            Ok(response) => Ok(self.hear(response).await),
            Err(error) => Err(verdict::silence(asked, cause::of(&error, &self.base))),
        };
        let elapsed_ms = begun.elapsed().as_millis();
        match &heard {
            Ok(heard) => tracing::debug!(%method, kind, status = heard.status, elapsed_ms, "the API answered"),
            Err(error) => tracing::debug!(%method, kind, %error, elapsed_ms, "the API did not answer"),
        }
        heard
    }

    /// `None` for an id that is `.` or `..`: URLs have no way to write these as names, and what they would ask for
    /// is another endpoint.
    fn url(&self, path: &[&str]) -> Option<Url> {
        if path.iter().any(|segment| matches!(*segment, "." | "..")) {
            return None;
        }
        let mut url = self.base.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        Some(url)
    }

    async fn hear(&self, response: Response) -> Heard {
        let status = response.status();
        let at = self.clock.now();
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let after = verdict::wait(header(RETRY_AFTER), header(RATE_LIMIT_RESET), at);
        let body = if status.is_success() {
            read_body(response, self.max_body).await
        } else {
            // What a gateway's page says beyond the limit, or did not get to say, changes nothing.
            Ok(read_start(response, MAX_FAILURE_BODY).await)
        };
        let body = body.map(|body| if !status.is_success() && self.echoes_key(&body) { Vec::new() } else { body });
        Heard { status: status.as_u16(), after, at, body }
    }

    fn echoes_key(&self, body: &[u8]) -> bool {
        self.key.as_ref().is_some_and(|key| {
            let key = key.expose_secret().trim().as_bytes();
            body.windows(key.len().max(1)).any(|window| window == key)
        })
    }

    /// Reads a list to its end: until `total_pages`, or, since that may be missing and pages may shift, an empty page
    /// or one that brings nothing new.
    async fn list<T>(
        &self,
        kind: &'static str,
        judge: fn(&Heard) -> Result<Page<T>, ApiError>,
        is_same: fn(&T, &T) -> bool,
    ) -> Result<Vec<T>, ApiError> {
        let path = ["v1", kind];
        let mut all: Vec<T> = Vec::new();
        for number in 1..=MAX_PAGES {
            let heard = self.ask(Ask { page: Some(number), ..Ask::read(kind, &path) }).await?;
            let page = match judge(&heard) {
                // Some servers have no page past the end, where others have an empty one.
                Err(ApiError::NotFound) if number > 1 => return Ok(all),
                judged => judged?,
            };
            let known = all.len();
            for item in page.items {
                if !all.iter().any(|other| is_same(other, &item)) {
                    all.push(item);
                }
            }
            if all.len() == known || page.total_pages.is_some_and(|total| total <= number) {
                return Ok(all);
            }
        }
        tracing::warn!(kind, pages = MAX_PAGES, "a list of the API does not end");
        Err(ApiError::Later { status: 200, after: None })
    }
}

/// Reads a body to its end, or says why that was not possible.
async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, Incomplete> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Incomplete::TooLarge),
            Err(error) if error.is_timeout() => return Err(Incomplete::TimedOut),
            Err(_) => return Err(Incomplete::Cut),
        }
    }
}

/// Reads what comes of a body, up to the limit.
async fn read_start(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend(chunk.iter().take(limit - body.len()));
        if body.len() == limit {
            break;
        }
    }
    body
}

/// Tells the log, which is all that a caller of a question would not learn from the error.
fn noted<T>(heard: &Heard, judged: Result<T, ApiError>) -> Result<T, ApiError> {
    if judged.is_err() && (200..=299).contains(&heard.status) {
        tracing::warn!(status = heard.status, "an answer of the API cannot be used");
    }
    judged
}

impl MemberSync for HttpApi {
    fn submit<'a>(&'a self, group: &'a GroupId, members: Arc<Vec<Entry>>) -> Answer<'a, Accepted> {
        Box::pin(async move {
            let body = wire::roster_body(&members, self.phone);
            drop(members);
            let path = ["v1", "groups", group.as_str(), "members", "sync"];
            let heard = self.ask(Ask::change(Asked::Submit, Method::POST, "member sync", &path, body)).await?;
            noted(&heard, verdict::submitted(group, &heard))
        })
    }

    fn results<'a>(&'a self, group: &'a GroupId, request: &'a RequestId) -> Answer<'a, Progress> {
        Box::pin(async move {
            let path = ["v1", "groups", group.as_str(), "members", "sync", request.as_str()];
            let heard = self.ask(Ask::read("member sync results", &path)).await?;
            noted(&heard, verdict::polled(group, request, &heard))
        })
    }

    fn groups(&self) -> Answer<'_, Vec<Group>> {
        Box::pin(self.list("groups", |heard| noted(heard, verdict::group_page(heard)), |a, b| a.id == b.id))
    }

    fn group<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Group> {
        Box::pin(async move {
            let heard = self.ask(Ask::read("group", &["v1", "groups", group.as_str()])).await?;
            noted(&heard, verdict::group(Asked::Read, Some(group), &heard))
        })
    }

    fn create_group<'a>(&'a self, reference: &'a GroupRef, name: &'a str) -> Answer<'a, Group> {
        Box::pin(async move {
            let body = wire::new_group_body(reference, name);
            let heard = self.ask(Ask::change(Asked::Write, Method::POST, "groups", &["v1", "groups"], body)).await?;
            noted(&heard, verdict::group(Asked::Write, None, &heard))
        })
    }

    fn update_group<'a>(
        &'a self,
        group: &'a GroupId,
        name: Option<&'a str>,
        reference: Option<&'a GroupRef>,
    ) -> Answer<'a, Group> {
        Box::pin(async move {
            let body = wire::group_change_body(name, reference);
            let path = ["v1", "groups", group.as_str()];
            let heard = self.ask(Ask::change(Asked::Write, Method::PATCH, "group", &path, body)).await?;
            noted(&heard, verdict::group(Asked::Write, Some(group), &heard))
        })
    }

    fn plans(&self) -> Answer<'_, Vec<Plan>> {
        Box::pin(self.list("plans", |heard| noted(heard, verdict::plan_page(heard)), |a, b| a.id == b.id))
    }
}

#[cfg(test)]
mod tests;
