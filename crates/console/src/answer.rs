//! Answers of JSON.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

/// What is told as JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => typed(text, "application/json"),
            // Only a map whose keys are no texts has an error.
            Err(error) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Problem::new(status, "failed", error.to_string()).into_response()
            }
        }
    }
}

/// A body of this kind.
pub(crate) fn typed(body: impl Into<Body>, kind: &'static str) -> Response {
    let mut response = Response::new(body.into());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
