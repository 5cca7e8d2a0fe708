//! The certificate of the gateway: shown, replaced, made.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::answer::{Json, typed};
use crate::app::App;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query;
use crate::session::Session;

/// Names of one certificate that are taken.
const NAMES_MAX: usize = 32;

/// What is there.
pub(crate) async fn look(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let view = app.around.certificates.look().await?;
    Ok(Json(view).into_response())
}

/// The authority, for browsers and clients.
pub(crate) async fn authority(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let bytes = app.around.certificates.authority().await?;
    let mut response = typed(bytes, "application/x-pem-file");
    let name = HeaderValue::from_static("attachment; filename=\"ca.pem\"");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    certificate: String,
    key: String,
}

/// Puts a certificate and a key in the place of what is there.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let given: Given = query::json(request.into_body()).await?;
    let certificates = &app.around.certificates;
    certificates.put(given.certificate, given.key).await?;
    say(&session, peer, "replaced the certificate");
    look(State(app)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    names: Vec<String>,
    #[serde(default)]
    new_authority: bool,
}

/// Makes a certificate.
pub(crate) async fn make(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let wanted: Make = query::json(request.into_body()).await?;
    if wanted.names.is_empty() || wanted.names.len() > NAMES_MAX {
        return Err(Problem::bad(format!(
            "names: expected 1 to {NAMES_MAX} of them"
        )));
    }
    let certificates = &app.around.certificates;
    certificates
        .make(wanted.names, wanted.new_authority)
        .await?;
    say(&session, peer, "made a certificate");
    look(State(app)).await
}

fn say(session: &Session, peer: Peer, what: &str) {
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has {what}"
    );
}
