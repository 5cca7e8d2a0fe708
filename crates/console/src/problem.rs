//! Answers that say what is wrong: problem documents (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::files::{Mistake, NotDone};

/// What is wrong with a request, or what became of it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// A word that a page has a text of its own for.
    code: &'static str,
    /// For people.
    detail: String,
    /// What the device holds, where that is the problem.
    present: Option<Box<RawValue>>,
    /// What is wrong with a file, where that is the problem.
    mistakes: Option<Vec<Mistake>>,
    /// Seconds to wait.
    retry: Option<u64>,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mistakes: Option<&'a [Mistake]>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            present: None,
            mistakes: None,
            retry: None,
        }
    }

    /// A request that makes no sense.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// Something that is not there.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// With what the device holds.
    pub(crate) fn with_present(mut self, present: Option<Box<RawValue>>) -> Self {
        self.present = present;
        self
    }

    /// To be tried again after so many seconds.
    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.retry = Some(seconds);
        self
    }
}

impl From<NotDone> for Problem {
    fn from(not_done: NotDone) -> Self {
        let unprocessable = |code, text| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, text);
        match not_done {
            NotDone::Mistakes(mistakes) => Self {
                mistakes: Some(mistakes),
                ..unprocessable(
                    "mistakes",
                    "there are mistakes; nothing has changed".to_owned(),
                )
            },
            NotDone::Stale => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "stale",
                "the file was changed meanwhile; nothing was written",
            ),
            NotDone::Missing => Self::missing("there is no such thing"),
            NotDone::Password(text) => unprocessable("wrong_password", text),
            NotDone::Refused(text) => unprocessable("refused", text),
            NotDone::Failed(text) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", text),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let written = Written {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            present: self.present.as_deref(),
            mistakes: self.mistakes.as_deref(),
        };
        let text = serde_json::to_vec(&written).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
