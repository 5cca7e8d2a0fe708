//! Readings that are kept on the card: columns for a chart, and all of them as comma-separated values.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fieldgate_history::{
    Cell, Columns, Error, Numbers, Range, Reader, Reading, Series, WIDTH_MAX, csv,
};
use fieldgate_model::Quality;
use futures_core::Stream;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::answer::{Json, typed};
use crate::app::App;
use crate::problem::Problem;
use crate::query::{Names, Query};
use crate::shown::time;

/// Columns of an answer when nothing is asked for.
const WIDTH: u64 = 600;
/// The range of an answer when nothing is asked for, in milliseconds.
const RANGE: i64 = 3_600_000;
/// Bytes of a part of an export, and parts that wait for the visitor.
const PART: usize = 32 * 1024;
const PARTS: usize = 2;

/// A series in columns. Those without a reading are left out.
#[derive(Debug, Default, Serialize)]
struct Shown {
    device: String,
    point: String,
    from: String,
    to: String,
    /// What a column stands for.
    step_ms: i64,
    /// When each column begins, in milliseconds since 1970.
    at: Vec<i64>,
    min: Vec<Option<f64>>,
    max: Vec<Option<f64>>,
    mean: Vec<Option<f64>>,
    first: Vec<Option<f64>>,
    last: Vec<Option<f64>>,
    /// Good numbers in each.
    count: Vec<u64>,
    /// The worst quality in each.
    worst: Vec<&'static str>,
    /// The last reading before the range.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Before>,
    /// The oldest reading of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

#[derive(Debug, Serialize)]
struct Before {
    at: String,
    value: Option<f64>,
    quality: &'static str,
}

fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Good => "good",
        Quality::Stale => "stale",
        Quality::Bad => "bad",
    }
}

pub(super) fn reader(app: &App) -> Result<Reader, Problem> {
    app.around.history.clone().ok_or_else(|| {
        let text = "no history is kept: the configuration has no `history`";
        Problem::new(StatusCode::NOT_FOUND, "no_history", text)
    })
}

/// A time that a query may name.
pub(super) fn moment(query: &Query, key: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = query.given(key) else {
        return Ok(None);
    };
    let moment: Timestamp = text.parse().map_err(|_| {
        Problem::bad(format!(
            "{key}: expected a time such as 2026-11-27T08:00:00Z"
        ))
    })?;
    Ok(Some(moment.as_millisecond()))
}

/// The range that a query asks for: the hour until now if it says nothing.
fn range(query: &Query) -> Result<Range, Problem> {
    let to = moment(query, "to")?.unwrap_or_else(|| Timestamp::now().as_millisecond());
    let from = moment(query, "from")?.unwrap_or_else(|| to.saturating_sub(RANGE));
    if from >= to {
        return Err(Problem::bad("from: expected a time before that of to"));
    }
    Ok(Range { from, to })
}

fn shown_time(at: i64) -> String {
    time(Timestamp::from_millisecond(at).unwrap_or_default())
}

/// Says when it is dropped, as it is with the request when the visitor has gone.
#[derive(Default)]
pub(super) struct Gone(pub(super) Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What one point was in a range, in columns.
pub(crate) async fn columns(
    State(app): State<Arc<App>>,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["from", "to", "width"])?;
    let reader = reader(&app)?;
    let range = range(&query)?;
    let width = query.number("width", WIDTH, (1, WIDTH_MAX as u64))? as usize;
    let series = Series {
        device: names.get("device").to_owned(),
        point: names.get("point").to_owned(),
    };
    let _large = app.large().await?;
    let gone = Gone::default();
    let has_gone = Arc::clone(&gone.0);
    let asked = series.clone();
    let since = reader.figures().since;
    let work = move || reader.columns(&asked, range, width, &|| !has_gone.load(Ordering::Relaxed));
    let answered = tokio::task::spawn_blocking(work).await;
    let columns = answered
        .map_err(|error| failed(error.to_string()))?
        .map_err(unread)?;
    Ok(Json(shown(series, range, &columns, since)).into_response())
}

pub(super) fn failed(text: String) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", text)
}

pub(super) fn unread(error: Error) -> Problem {
    failed(format!("history cannot be read: {error}"))
}

fn shown(series: Series, range: Range, columns: &Columns, since: Option<i64>) -> Shown {
    let numbers = |of: fn(&Numbers) -> f64| -> Vec<Option<f64>> {
        let cells = columns.cells.iter();
        cells.map(|cell| cell.numbers.as_ref().map(of)).collect()
    };
    let cells = || columns.cells.iter();
    let before = columns.before.as_ref().map(|reading| Before {
        at: shown_time(reading.at),
        value: value(reading),
        quality: quality(reading.quality),
    });
    Shown {
        device: series.device,
        point: series.point,
        from: shown_time(range.from),
        to: shown_time(range.to),
        step_ms: columns.step,
        at: cells().map(|cell: &Cell| cell.start).collect(),
        min: numbers(|all| all.min),
        max: numbers(|all| all.max),
        mean: numbers(|all| all.mean),
        first: numbers(|all| all.first),
        last: numbers(|all| all.last),
        count: cells().map(|cell| cell.count).collect(),
        worst: cells().map(|cell| quality(cell.worst)).collect(),
        before,
        since: since.map(shown_time),
    }
}

fn value(reading: &Reading) -> Option<f64> {
    let number = reading
        .number
        .as_ref()
        .map(fieldgate_history::Number::to_f64);
    number.filter(|number| number.is_finite())
}

/// Every reading of a device, or of one of its points, as it was published.
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["device", "point", "from", "to"])?;
    let reader = reader(&app)?;
    let range = range(&query)?;
    let device = query.text("device").to_owned();
    if device.is_empty() {
        return Err(Problem::bad("device: expected the name of a device"));
    }
    let point = query.given("point").map(str::to_owned);
    let permit = Arc::clone(&app.exports).try_acquire_owned().map_err(|_| {
        let text = "other exports are running; try again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).after(10)
    })?;
    let (sender, parts) = mpsc::channel(PARTS);
    let name = device.clone();
    tokio::task::spawn_blocking(move || {
        write(&reader, &device, point.as_deref(), range, &sender);
        drop(permit);
    });
    Ok(attached(&name, Body::from_stream(Parts(parts))))
}

/// Comma-separated values that a browser keeps as a file.
pub(super) fn attached(name: &str, body: Body) -> Response {
    let mut response = typed(body, "text/csv; charset=utf-8");
    let name = format!("attachment; filename=\"{}.csv\"", file_name(name));
    if let Ok(name) = HeaderValue::from_str(&name) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// What every system takes as the name of a file.
fn file_name(device: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    device.chars().map(plain).collect()
}

type Part = Result<Bytes, std::io::Error>;

/// Writes the lines, part after part, until there are no more or the visitor has gone.
fn write(
    reader: &Reader,
    device: &str,
    point: Option<&str>,
    range: Range,
    parts: &mpsc::Sender<Part>,
) {
    let mut text = csv::HEADER.to_owned();
    let written = lines(reader, device, point, range, &mut text, parts);
    let last = match written {
        Ok(()) => Ok(Bytes::from(text)),
        // The visitor sees that the body ends too early.
        Err(error) => Err(std::io::Error::other(error)),
    };
    // Who has gone needs nothing.
    let _ = parts.blocking_send(last);
}

fn lines(
    reader: &Reader,
    device: &str,
    point: Option<&str>,
    range: Range,
    text: &mut String,
    parts: &mpsc::Sender<Part>,
) -> Result<(), Error> {
    for series in reader.series(range)? {
        if series.device != device || point.is_some_and(|point| point != series.point) {
            continue;
        }
        let each = &mut |reading: &Reading| {
            csv::append(text, &series, reading);
            if text.len() < PART {
                return ControlFlow::Continue(());
            }
            match parts.blocking_send(Ok(Bytes::from(std::mem::take(text)))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        reader.readings(&series, range, each)?;
        if parts.is_closed() {
            break;
        }
    }
    Ok(())
}

/// The parts of an export as they come.
struct Parts(mpsc::Receiver<Part>);

impl Stream for Parts {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        self.0.poll_recv(context)
    }
}
