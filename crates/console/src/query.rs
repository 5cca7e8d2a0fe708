//! What stands behind the question mark of an address, and what a body holds.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;

use crate::problem::Problem;

/// Bytes of a body.
pub(crate) const BODY_MAX: usize = 64 * 1024;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The same of one that may be large.
const LARGE_TIME: Duration = Duration::from_secs(60);
/// Bytes of a body that may be large, whatever it is of.
pub(crate) const LARGE_MAX: usize = 8 << 20;
/// Keys of a query.
const KEYS_MAX: usize = 16;

/// The keys and values of a query. Each key is there once.
#[derive(Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads a query in which only these keys are known.
    pub(crate) fn of(parts: &Parts, known: &[&str]) -> Result<Self, Problem> {
        let mut found = BTreeMap::new();
        let query = parts.uri.query().unwrap_or_default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()).take(KEYS_MAX) {
            if !known.contains(&key.as_ref()) {
                let known = known.join(", ");
                let text = format!("unknown query key \"{key}\"; expected one of: {known}");
                return Err(Problem::bad(text));
            }
            found.insert(key.into_owned(), value.into_owned());
        }
        Ok(Self(found))
    }

    /// The text of a key; empty if it is not there.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0.get(key).map(String::as_str).unwrap_or_default()
    }

    /// The text of a key, if it is there.
    pub(crate) fn given(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number(
        &self,
        key: &str,
        usual: u64,
        (least, most): (u64, u64),
    ) -> Result<u64, Problem> {
        let text = self.text(key);
        if text.is_empty() {
            return Ok(usual);
        }
        let number = text.parse().ok();
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| Problem::bad(format!("{key}: expected a number {least}..={most}")))
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(
        &self,
        key: &str,
        usual: T,
        words: &[(&str, T)],
    ) -> Result<T, Problem> {
        let text = self.text(key);
        if text.is_empty() {
            return Ok(usual);
        }
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meant)| *meant).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Problem::bad(format!("{key}: expected one of: {}", words.join(", ")))
        })
    }
}

/// The parts of a path that stand for names.
#[derive(Debug)]
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    /// One of them.
    pub(crate) fn get(&self, name: &str) -> &str {
        let mut all = self.0.iter();
        let found = all.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        let found = found.map_err(|_| Problem::bad("the address is not UTF-8 text"))?;
        let all = found.iter();
        Ok(Self(
            all.map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ))
    }
}

/// The whole body of a request.
pub(crate) async fn bytes(body: Body) -> Result<Bytes, Problem> {
    up_to(body, BODY_MAX, BODY_TIME).await
}

async fn up_to(body: Body, most: usize, time: Duration) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(time, to_bytes(body, most)).await;
    match read {
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "the body did not come in time",
        )),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body ends too early, or has more than {most} bytes"),
        )),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

/// A body of JSON.
pub(crate) async fn json<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = bytes(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad(error.to_string()))
}

/// The same of those few requests that may bring more.
pub(crate) async fn large_json<T: serde::de::DeserializeOwned>(
    body: Body,
    most: usize,
) -> Result<T, Problem> {
    let bytes = up_to(body, most, LARGE_TIME).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad(error.to_string()))
}
