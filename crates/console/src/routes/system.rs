//! Pages, figures, and whether the console is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::answer::{Json, typed};
use crate::app::App;
use crate::assets;
use crate::metrics::{self, Format};
use crate::query::Names;

/// The document that describes this interface.
pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");

/// The page.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    assets::page(&headers)
}

/// A file of the page.
pub(crate) async fn file(names: Names, headers: HeaderMap) -> Response {
    assets::file(names.get("build"), names.get("file"), &headers)
}

/// Says that the console is there.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// Figures for Prometheus.
pub(crate) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let format = Format::of(accept.unwrap_or_default());
    let text = metrics::write(&app, format).await;
    typed(text, format.content_type())
}

/// The document that describes this interface.
pub(crate) async fn openapi() -> Response {
    typed(OPENAPI, "application/json")
}

/// Figures by name; those with a label are named `name.label`.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The figures of the rest of the program.
pub(crate) fn figures(app: &App) -> Figures {
    let all = app.around.house.figures().into_iter();
    let named = all.map(|figure| {
        let name = match figure.label {
            None => figure.name.to_owned(),
            Some((_, label)) => format!("{}.{label}", figure.name),
        };
        (name, figure.value)
    });
    named.collect()
}

/// The same as an answer.
pub(crate) async fn broker(State(app): State<Arc<App>>) -> Response {
    Json(figures(&app)).into_response()
}
