//! Why a request got no answer: told from the chain of causes, never from its text, and shown without URLs, which may
//! hold a proxy's password.

use std::error::Error;
use std::io::{self, ErrorKind};

use reqwest::Url;

use crate::api::verdict::Silence;

/// Longest text of a TLS library that is passed on, in characters.
const MAX_DETAIL_CHARS: usize = 200;

/// What the error means for a request that may or may not have left.
pub(super) fn of(error: &reqwest::Error, base: &Url) -> Silence {
    if error.is_connect() || error.is_builder() {
        let host = base.host_str().unwrap_or_default();
        let port = base.port_or_known_default().unwrap_or_default();
        Silence::Unreached(format!("{host}:{port}: {}", unreached(error)))
    } else if error.is_timeout() {
        Silence::TimedOut
    } else {
        Silence::Cut
    }
}

fn unreached(error: &reqwest::Error) -> String {
    if error.is_dns() {
        return "the name cannot be resolved".to_owned();
    }
    if let Some(tls) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return format!("TLS: {}", shorten(&tls.to_string()));
    }
    if error.is_timeout() {
        return "connecting took too long".to_owned();
    }
    let kind = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind);
    match kind {
        Some(ErrorKind::Other) | None => "no connection can be made".to_owned(),
        Some(kind) => kind.to_string(),
    }
}

/// The last cause of an error: what the library at the bottom says.
pub(super) fn root(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "unknown cause".to_owned(), |cause| shorten(&cause.to_string()))
}

fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| next(*cause))
}

/// An I/O error that wraps another error names that one's cause as its own and leaves the wrapped one out, and TLS errors
/// come wrapped twice.
fn next<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_DETAIL_CHARS).collect()
}
