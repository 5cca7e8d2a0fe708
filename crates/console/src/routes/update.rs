//! The system of the board: its slots, an update by upload, going back, restarts.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::answer::Json;
use crate::app::App;
use crate::appliance::{Task, Upload};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query;
use crate::session::Session;

/// How long the next piece of an upload may take to come.
const SILENCE: Duration = Duration::from_secs(30);

/// What is there.
pub(crate) async fn look(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    Ok(Json(app.around.appliance.look().await).into_response())
}

/// Takes an update. It goes to the card as it comes.
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(length) = length.filter(|length| *length > 0) else {
        let text = "an upload says how many bytes it has: `Content-Length`";
        return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "no_length", text));
    };
    let mut upload = app.around.appliance.upload(length).await?;
    receive(request.into_body(), upload.as_mut()).await?;
    upload.whole().await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::info!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has uploaded an update of {length} bytes"
    );
    look(State(app)).await
}

async fn receive(mut body: Body, upload: &mut dyn Upload) -> Result<(), Problem> {
    loop {
        let next =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
        let next = tokio::time::timeout(SILENCE, next).await;
        let frame = match next {
            Err(_) => {
                let text = "the rest of the upload does not come";
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", text));
            }
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => {
                return Err(Problem::bad(format!("the upload ends too early: {error}")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(bytes) = frame.into_data() {
            upload.take(bytes).await?;
        }
    }
}

/// Removes what was uploaded.
pub(crate) async fn discard(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.around.appliance.discard().await?;
    look(State(app)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Installs what was uploaded.
pub(crate) async fn install(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let Nothing {} = query::json(request.into_body()).await?;
    begin(app, &session, peer, Task::Install).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Next {
    slot: String,
}

/// Has the next start take a slot.
pub(crate) async fn next(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let Next { slot } = query::json(request.into_body()).await?;
    begin(app, &session, peer, Task::Next(slot)).await
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Restarted {
    Gateway,
    Board,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    what: Restarted,
}

/// Restarts the gateway or the board.
pub(crate) async fn restart(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let Restart { what } = query::json(request.into_body()).await?;
    let task = match what {
        Restarted::Gateway => Task::RestartGateway,
        Restarted::Board => Task::RestartBoard,
    };
    begin(app, &session, peer, task).await
}

async fn begin(
    app: Arc<App>,
    session: &Session,
    peer: Peer,
    task: Task,
) -> Result<Response, Problem> {
    let does = match &task {
        Task::Install => "installs the update that was uploaded".to_owned(),
        Task::Next(slot) => format!("has the next start take slot {slot}"),
        Task::RestartGateway => "restarts the gateway".to_owned(),
        Task::RestartBoard => "restarts the board".to_owned(),
    };
    app.around.appliance.begin(task).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} {does}"
    );
    look(State(app)).await
}
