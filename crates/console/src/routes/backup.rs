//! Backups: made and taken back.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::answer::{Json, typed};
use crate::app::App;
use crate::files::Restore;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query;
use crate::session::Session;

/// Bytes of the body of a restore: a backup of 4 MiB in base64, and what stands around it.
const BODY_MAX: usize = 6 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    #[serde(default)]
    password: Option<String>,
}

/// Makes a backup.
pub(crate) async fn make(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let wanted: Make = query::json(request.into_body()).await?;
    let _large = app.large().await?;
    let backup = app
        .around
        .files
        .backup(wanted.password.filter(|given| !given.is_empty()));
    let backup = backup.await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::info!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has taken a backup"
    );
    let mut response = typed(backup.bytes, "application/gzip");
    let name = format!("attachment; filename=\"{}\"", backup.name);
    if let Ok(name) = HeaderValue::from_str(&name) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Take {
    /// In base64.
    archive: String,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    without_keys: bool,
    #[serde(default)]
    check: bool,
}

/// Looks at a backup, or takes it back.
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let _large = app.large().await?;
    let given: Take = query::large_json(request.into_body(), BODY_MAX).await?;
    let archive = STANDARD.decode(given.archive);
    let archive = archive.map_err(|error| Problem::bad(format!("archive: {error}")))?;
    let wanted = Restore {
        archive,
        password: given.password,
        without_keys: given.without_keys,
        check: given.check,
    };
    let done = app.around.files.restore(wanted).await?;
    if !given.check {
        let (user, address) = (session.holder.name(), peer.to_string());
        log::warn!(
            USER = user, REMOTE = address.as_str();
            "{user} at {address} has restored a backup of {} of {}", done.gateway, done.made
        );
    }
    Ok(Json(done).into_response())
}
