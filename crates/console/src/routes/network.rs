//! The addresses of the board: shown, changed, confirmed.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::answer::Json;
use crate::app::App;
use crate::guard;
use crate::network::Addressing;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query;
use crate::session::Session;

/// What is there.
pub(crate) async fn look(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    Ok(Json(app.around.network.look().await).into_response())
}

/// Tries a setting.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let wanted: Addressing = query::json(request.into_body()).await?;
    let interface = wanted.interface.clone();
    app.around.network.change(wanted).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} changes the address of {interface}"
    );
    look(State(app)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirm {
    id: String,
}

/// Keeps a change.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let at = guard::address(&parts.headers);
    let Confirm { id } = query::json(body).await?;
    app.around.network.confirm(id, at).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} keeps the change of the address"
    );
    look(State(app)).await
}
