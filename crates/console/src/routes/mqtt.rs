//! Clients of the broker, kept messages, and one sent by hand.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::lists::{LIMIT, LIMIT_MAX, Page};
use crate::answer::Json;
use crate::app::App;
use crate::messages::Sent;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::session::Session;

/// Clients by identifier.
pub(crate) async fn clients(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["q", "after", "limit"])?;
    let limit = query.number("limit", LIMIT, (1, LIMIT_MAX))? as usize;
    let after = query.text("after");
    let (mut items, total) = app
        .around
        .messages
        .clients(query.text("q"), after, limit + 1);
    let is_more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| is_more)
        .map(|last| last.client.clone());
    let total = after.is_empty().then_some(total);
    Ok(Json(Page { items, next, total }).into_response())
}

/// One level of the topics of kept messages.
pub(crate) async fn retained(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["below", "after", "limit"])?;
    let limit = query.number("limit", LIMIT, (1, LIMIT_MAX))? as usize;
    let after = query.given("after");
    let mut items = app
        .around
        .messages
        .levels(query.given("below"), after, limit + 1);
    let is_more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| is_more)
        .map(|last| last.level.clone());
    let total = None;
    Ok(Json(Page { items, next, total }).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    topic: String,
    #[serde(default)]
    payload: String,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
}

/// Sends a message.
pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let given: Given = query::json(request.into_body()).await?;
    if given.qos > 2 {
        return Err(Problem::bad("qos: expected 0, 1 or 2"));
    }
    let sent = Sent {
        topic: given.topic,
        payload: given.payload,
        qos: given.qos,
        retain: given.retain,
    };
    let (user, address, topic) = (session.holder.name(), peer.to_string(), sent.topic.clone());
    let done = app.around.messages.send(session.holder.user(), sent).await;
    done.map_err(|text| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", text))?;
    log::info!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has published to {topic}"
    );
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
