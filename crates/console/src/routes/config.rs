//! The configuration as text: read, checked, saved, applied, its versions.
//!
//! The text is the truth: what is saved is what was sent, byte for byte, with all its comments.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::answer::Json;
use crate::app::App;
use crate::files::{Mistake, Text, Version};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::{self, Names};
use crate::session::Session;

/// Bytes of a body with a text: 2 MiB of it, were every third character one that JSON escapes.
const BODY_MAX: usize = 4 << 20;
/// Bytes of a text that is edited here. A file may have more, and is edited elsewhere.
const TEXT_MAX: usize = 2 << 20;

#[derive(Serialize)]
struct Whole<'a> {
    text: &'a str,
    tag: &'a str,
    /// The tag of the text that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<&'a str>,
}

fn told(text: &Text, running: Option<&str>) -> Response {
    let whole = Whole {
        text: &text.text,
        tag: &text.tag,
        running,
    };
    let mut response = Json(whole).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", text.tag)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The configuration on the disk.
pub(crate) async fn read(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let _large = app.large().await?;
    let text = app.around.files.read().await?;
    let running = app.around.files.running();
    Ok(told(&text, Some(&running.tag)))
}

/// The configuration that runs.
pub(crate) async fn running(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let _large = app.large().await?;
    Ok(told(&app.around.files.running(), None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    text: String,
}

async fn given(request: Request) -> Result<String, Problem> {
    let given: Given = query::large_json(request.into_body(), BODY_MAX).await?;
    if given.text.len() > TEXT_MAX {
        let text = format!("the text has more than {TEXT_MAX} bytes");
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            text,
        ));
    }
    Ok(given.text)
}

#[derive(Serialize)]
struct Checked {
    mistakes: Vec<Mistake>,
}

/// What is wrong with a text.
pub(crate) async fn check(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let _large = app.large().await?;
    let text = given(request).await?;
    let mistakes = app.around.files.check(text).await?;
    Ok(Json(Checked { mistakes }).into_response())
}

#[derive(Serialize)]
struct Saved {
    tag: String,
}

/// Saves a text in the place of the one that it was made of.
pub(crate) async fn save(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let _large = app.large().await?;
    let tag = headers.get(header::IF_MATCH);
    let tag = tag
        .and_then(|tag| tag.to_str().ok())
        .map(|tag| tag.trim().trim_matches('"'));
    let Some(tag) = tag.map(str::to_owned) else {
        let text =
            "`If-Match` says which text this one was made of: the `ETag` of GET /api/v1/config";
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "no_tag",
            text,
        ));
    };
    let text = given(request).await?;
    let user = session.holder.name().to_owned();
    let tag = app.around.files.save(text, tag, user).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has saved the configuration"
    );
    Ok(Json(Saved { tag }).into_response())
}

/// Has the gateway take over what is on the disk.
pub(crate) async fn apply(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let Nothing {} = query::json(request.into_body()).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has the configuration read again"
    );
    let done = app.around.files.apply().await?;
    Ok(Json(done).into_response())
}

#[derive(Serialize)]
struct Versions {
    items: Vec<Version>,
}

/// The versions that are kept.
pub(crate) async fn versions(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let items = app.around.files.versions().await?;
    Ok(Json(Versions { items }).into_response())
}

/// The text of one of them.
pub(crate) async fn version(
    State(app): State<Arc<App>>,
    names: Names,
) -> Result<Response, Problem> {
    let _large = app.large().await?;
    let version = names.get("version").parse();
    let version = version.map_err(|_| Problem::missing("versions have numbers"))?;
    Ok(told(&app.around.files.version(version).await?, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    text: String,
    offset: usize,
}

/// What can stand at a place.
pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let _large = app.large().await?;
    let at: At = query::large_json(request.into_body(), BODY_MAX).await?;
    if at.text.len() > TEXT_MAX {
        return Err(Problem::bad(format!(
            "the text has more than {TEXT_MAX} bytes"
        )));
    }
    let found = app.around.files.complete(at.text, at.offset).await?;
    Ok(Json(found).into_response())
}
