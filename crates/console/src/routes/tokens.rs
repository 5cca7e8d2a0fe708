//! Tokens of users: made and removed. Their texts are told once.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::users::role;
use crate::answer::Json;
use crate::app::App;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::{self, Names};
use crate::session::Session;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    token: String,
    console: String,
    #[serde(default)]
    until: Option<String>,
}

#[derive(Serialize)]
struct Made {
    /// What a script shows.
    secret: String,
}

/// Makes a token.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    let wanted: Wanted = query::json(request.into_body()).await?;
    let name = names.get("user");
    let role = role(&wanted.console)?;
    let accounts = &app.around.accounts;
    let made = accounts.add_token(name, &wanted.token, role, wanted.until.as_deref());
    let secret = made.await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has made the token \"{}\" of {name}", wanted.token
    );
    Ok(Json(Made { secret }).into_response())
}

/// Removes a token.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    names: Names,
) -> Result<StatusCode, Problem> {
    let (name, token) = (names.get("user"), names.get("token"));
    app.around.accounts.remove_token(name, token).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has removed the token \"{token}\" of {name}"
    );
    Ok(StatusCode::NO_CONTENT)
}
