//! Writing to a point.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fieldgate_history::Event;
use fieldgate_model::{Outcome, Value, parse_command_value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::devices;
use crate::answer::Json;
use crate::app::App;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::{self, Names};
use crate::session::Session;
use crate::shown;

/// How long the result is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What may become of a command that says nothing itself.
const NO_RESULT: &str = "no result within 10 s; the value may still be written";
const REMOVED: &str = "the device was removed meanwhile";

/// What stands beside what is to be written.
#[derive(Default, Deserialize)]
struct Beside {
    #[serde(default, deserialize_with = "there")]
    expect: Option<Option<Value>>,
}

/// What is there, were it `null`.
fn there<'de, D: serde::Deserializer<'de>>(given: D) -> Result<Option<Option<Value>>, D::Error> {
    Option::deserialize(given).map(Some)
}

#[derive(Serialize)]
struct Written {
    status: &'static str,
    value: Option<Box<RawValue>>,
    /// What the device holds now, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    readback: Option<Box<RawValue>>,
}

/// Has a value written, and waits for what becomes of it.
pub(crate) async fn write(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    let (device, point) = (names.get("device"), names.get("point"));
    let body = query::bytes(request.into_body()).await?;
    let beside: Beside = serde_json::from_slice(&body).map_err(|error| {
        let text = format!("expected {{\"value\": ...}}: {error}");
        Problem::bad(text)
    })?;
    let value = parse_command_value(&body).map_err(Problem::bad)?;
    let found = devices::find(&app, device)?;
    let mut points = found.points().iter();
    let place = points.position(|known| known.name == point);
    let place =
        place.ok_or_else(|| Problem::missing(format!("{device} has no point \"{point}\"")))?;
    let user = session.holder.name();
    let accounts = &app.around.accounts;
    if !accounts.may_write(session.holder.user(), device, point) {
        let text = "a rule of the users file denies this user to write here";
        return Err(Problem::new(StatusCode::FORBIDDEN, "denied", text));
    }
    if let Some(expected) = &beside.expect {
        let present = found.reading(place).and_then(|reading| reading.value);
        if !is_same(expected.as_ref(), present.as_ref()) {
            let text = "the value has changed meanwhile; nothing was written";
            let problem = Problem::new(StatusCode::CONFLICT, "changed", text);
            return Err(problem.with_present(shown::json(present.as_ref())));
        }
    }
    let shown = value.to_string();
    let address = peer.to_string();
    let event = Event::command(Timestamp::now(), (device, point), &value);
    let event = event.by(&format!("{user} at {address}"));
    let tell = |event| {
        if let Some(events) = &app.around.events {
            events.event(event);
        }
    };
    let answer = found.write(point, value).map_err(|unsent| {
        tell(event.clone().failed(&unsent.0));
        unwritable(unsent.0)
    })?;
    let outcome = tokio::time::timeout(PATIENCE, answer).await;
    tell(match &outcome {
        Ok(Ok(outcome)) => event.ended(outcome),
        Ok(Err(_)) => event.failed(REMOVED),
        Err(_) => event.failed(NO_RESULT),
    });
    let (result, told) = told(outcome);
    log::info!(
        DEVICE = device, USER = user, REMOTE = address.as_str();
        "{user} at {address} wrote {shown} to {point}: {told}"
    );
    result
}

fn is_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            let numbers = one.to_decimal().zip(other.to_decimal());
            numbers.map_or(one.to_string() == other.to_string(), |(one, other)| {
                one == other
            })
        }
        _ => false,
    }
}

fn unwritable(text: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_written", text)
}

type Awaited<E> = Result<Result<Outcome, E>, tokio::time::error::Elapsed>;

/// The answer to what became of a command, and the same for the log.
fn told<E>(outcome: Awaited<E>) -> (Result<Response, Problem>, String) {
    match outcome {
        Err(_) => {
            let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "no_result", NO_RESULT);
            (Err(problem), NO_RESULT.to_owned())
        }
        Ok(Err(_)) => (Err(unwritable(REMOVED.to_owned())), REMOVED.to_owned()),
        Ok(Ok(Outcome::Done { value, readback })) => {
            let written = Written {
                status: "ok",
                value: shown::json(Some(&value)),
                readback: shown::json(readback.as_ref()),
            };
            (Ok(Json(written).into_response()), "ok".to_owned())
        }
        Ok(Ok(Outcome::Mismatch { value, readback })) => {
            let holds = readback
                .as_ref()
                .map_or("nothing that can be read".to_owned(), Value::to_string);
            let text = format!("the device accepted {value} but holds {holds}");
            let problem = Problem::new(StatusCode::CONFLICT, "mismatch", text.clone());
            (
                Err(problem.with_present(shown::json(readback.as_ref()))),
                text,
            )
        }
        Ok(Ok(Outcome::Failed(text))) => (Err(unwritable(text.clone())), text),
    }
}
