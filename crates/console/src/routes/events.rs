//! What happened: devices that came and went, commands, starts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use fieldgate_history::{Asked, Event, Happened, Kind, Range, csv};
use jiff::Timestamp;
use serde::Serialize;

use super::history::{CSV, Gone, attached, failed, moment, reader, unread};
use crate::answer::Json;
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// Events of an answer when nothing is asked for, and at most.
const LIMIT: u64 = 200;
const LIMIT_MAX: u64 = 2_000;
/// The same of a file.
const FILE_MAX: usize = 100_000;
/// The range of an answer when nothing is asked for, in milliseconds: a day.
const RANGE: i64 = 86_400_000;
const KEYS: [&str; 6] = ["from", "to", "device", "gateway", "kind", "limit"];

#[derive(Serialize)]
struct Shown {
    /// The oldest first.
    events: Vec<ShownEvent>,
    /// Whether there are older ones in the range.
    more: bool,
}

/// An event. What it has not is left out.
#[derive(Serialize)]
struct ShownEvent {
    at: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    device: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(skip_serializing_if = "is_none")]
    left_out: u64,
    clock_set: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl From<Event> for ShownEvent {
    fn from(event: Event) -> Self {
        let at = Timestamp::from_microsecond(event.at).unwrap_or_default();
        Self {
            at: format!("{at:.6}"),
            kind: event.kind.name(),
            device: event.device,
            name: event.name,
            value: event.value,
            text: event.text,
            by: event.by,
            left_out: event.left_out,
            clock_set: event.is_clock_set,
        }
    }
}

/// What a query asks for: the last day if it says nothing.
fn asked(query: &Query, most: usize) -> Result<Asked, Problem> {
    // One that has just happened is meant, too.
    let now = Timestamp::now().as_millisecond().saturating_add(1);
    let to = moment(query, "to")?.unwrap_or(now);
    let from = moment(query, "from")?.unwrap_or_else(|| to.saturating_sub(RANGE));
    if from >= to {
        return Err(Problem::bad("from: expected a time before that of to"));
    }
    let kinds = query
        .text("kind")
        .split(',')
        .filter(|name| !name.is_empty());
    let kinds = kinds.map(|name| {
        Kind::of_name(name).ok_or_else(|| {
            let known: Vec<_> = Kind::all().map(Kind::name).collect();
            Problem::bad(format!("kind: expected some of: {}", known.join(", ")))
        })
    });
    Ok(Asked {
        range: Range { from, to },
        device: query.given("device").map(str::to_owned),
        with_gateway: query.word("gateway", false, &[("true", true), ("false", false)])?,
        kinds: kinds.collect::<Result<_, _>>()?,
        most,
    })
}

async fn answered(app: &App, asked: Asked) -> Result<Happened, Problem> {
    let reader = reader(app)?;
    let _large = app.large().await?;
    let gone = Gone::default();
    let has_gone = Arc::clone(&gone.0);
    let work = move || reader.events(&asked, &|| !has_gone.load(Ordering::Relaxed));
    let told = tokio::task::spawn_blocking(work).await;
    let told = told.map_err(|error| failed(error.to_string()))?;
    told.map_err(unread)
}

/// What happened in a range, the newest if it is too much.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &KEYS)?;
    let most = query.number("limit", LIMIT, (1, LIMIT_MAX))? as usize;
    let told = answered(&app, asked(&query, most)?).await?;
    Ok(Json(Shown {
        more: told.is_cut,
        events: told.events.into_iter().map(ShownEvent::from).collect(),
    })
    .into_response())
}

/// The same as comma-separated values.
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &KEYS[..5])?;
    let told = answered(&app, asked(&query, FILE_MAX)?).await?;
    let mut text = csv::EVENTS.to_owned();
    for event in &told.events {
        csv::append_event(&mut text, event);
    }
    let name = query.given("device").filter(|device| !device.is_empty());
    let name = format!("{}-events", name.unwrap_or("gateway"));
    Ok(attached(&name, CSV, text.into()))
}
