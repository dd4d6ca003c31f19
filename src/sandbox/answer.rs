//! Answers: status, headers, body, and how they reach the client. Pure.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::switches::ErrorBody;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// How an answer reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// At once and whole.
    Whole,
    /// Not at all: the connection is reset.
    Reset,
    /// The connection ends in the middle of the body.
    Half,
    /// That much later.
    Late(Duration),
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const GATEWAY_PAGE: &str =
    "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: vec![("content-type", JSON.to_owned())], body: body.to_string() }
    }

    pub(super) fn html_502() -> Self {
        Self { status: 502, headers: vec![("content-type", HTML.to_owned())], body: GATEWAY_PAGE.to_owned() }
    }

    /// An error in the given form. `trace` is quoted as the trace id.
    pub(super) fn error(status: u16, message: &str, form: ErrorBody, (trace, now): (&str, DateTime<Utc>)) -> Self {
        match form {
            ErrorBody::Flat => Self::json(
                status,
                &json!({
                    "timestamp": now.to_rfc3339_opts(SecondsFormat::AutoSi, true),
                    "message": message,
                    "error": message,
                    "app_error_code": null,
                    "trace_id": trace,
                }),
            ),
            ErrorBody::Nested => Self::json(status, &json!({ "error": { "code": code(status), "message": message } })),
            ErrorBody::Html => Self {
                status,
                headers: vec![("content-type", HTML.to_owned())],
                body: format!("<html><body><h1>{status}</h1></body></html>"),
            },
            ErrorBody::Empty => Self { status, headers: Vec::new(), body: String::new() },
        }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first half of the document.
    pub(super) fn into_broken(mut self) -> Self {
        let half = self.body.chars().count() / 2;
        self.body = self.body.chars().take(half).collect();
        self
    }

    /// One header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

fn code(status: u16) -> &'static str {
    match status {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "rate_limited",
        500.. => "server_error",
        0..500 => "bad_request",
    }
}

/// How a time is written; both endings occur in the API's own samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Z,
    Offset,
}

pub(super) fn time(time: DateTime<Utc>, ending: Ending) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, ending == Ending::Z)
}

/// An HTTP date, rounded up to a second.
pub(super) fn http_date(time: DateTime<Utc>) -> String {
    (time + TimeDelta::milliseconds(999)).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Whole seconds, rounded up.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() != 0)
}
