//! Readings that are kept on the card: columns for a chart, and all of them as a file.

use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fieldgate_history::export::{Chosen, Format};
use fieldgate_history::{Cell, Columns, Error, Numbers, Range, Reader, Reading, Series, WIDTH_MAX};
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

/// Where each kind of file is.
pub(super) const EXPORTS: [(&str, Kind); 4] = [
    ("/api/v1/history.csv", CSV),
    (
        "/api/v1/history.jsonl",
        Kind {
            format: Format::Jsonl,
            suffix: "jsonl",
            media: "application/x-ndjson",
        },
    ),
    (
        "/api/v1/history.parquet",
        Kind {
            format: Format::Parquet,
            suffix: "parquet",
            media: "application/vnd.apache.parquet",
        },
    ),
    (
        "/api/v1/history.line",
        Kind {
            format: Format::Line,
            suffix: "line",
            media: "text/plain; charset=utf-8",
        },
    ),
];
pub(super) const CSV: Kind = Kind {
    format: Format::Csv,
    suffix: "csv",
    media: "text/csv; charset=utf-8",
};

/// A kind of file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    format: Format,
    /// Of its name.
    suffix: &'static str,
    media: &'static str,
}

/// Every reading of a device, or of one of its points, as it was published.
pub(super) async fn export(
    kind: Kind,
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["device", "point", "from", "to"])?;
    let reader = reader(&app)?;
    let range = range(&query)?;
    let name = query.text("device").to_owned();
    if name.is_empty() {
        return Err(Problem::bad("device: expected the name of a device"));
    }
    let chosen = chosen(&query);
    let permit = Arc::clone(&app.exports).try_acquire_owned().map_err(|_| {
        let text = "other exports are running; try again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).after(10)
    })?;
    let (sender, parts) = mpsc::channel(PARTS);
    let layout = app.plant().layout();
    tokio::task::spawn_blocking(move || {
        let unit = |series: &Series| {
            let device = layout.devices.get(&series.device);
            let mut points = device.into_iter().flat_map(|device| device.points());
            let found = points.find(|point| point.name == series.point);
            found
                .and_then(|point| point.unit.clone())
                .unwrap_or_default()
        };
        let out = BufWriter::with_capacity(PART, Sending(&sender));
        let written = reader.export((&chosen, range), &unit, kind.format, out);
        if let Err(error) = written {
            // One who has gone is told nothing. All others see that the body ends too early.
            if sender
                .blocking_send(Err(io::Error::other(error.to_string())))
                .is_ok()
            {
                log::warn!("the console: an export ends too early: {error}");
            }
        }
        drop(permit);
    });
    Ok(attached(&name, kind, Body::from_stream(Parts(parts))))
}

/// Which points a query means.
pub(super) fn chosen(query: &Query) -> Chosen {
    let given = |key| query.given(key).map(str::to_owned);
    Chosen {
        device: given("device"),
        points: given("point").into_iter().collect(),
    }
}

/// What a browser keeps as a file.
pub(super) fn attached(name: &str, kind: Kind, body: Body) -> Response {
    let mut response = typed(body, kind.media);
    let (name, suffix) = (file_name(name), kind.suffix);
    let name = format!("attachment; filename=\"{name}.{suffix}\"");
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

type Part = Result<Bytes, io::Error>;

/// Where the parts go, until the visitor has gone.
struct Sending<'s>(&'s mpsc::Sender<Part>);

impl Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A row group of Parquet comes as a whole.
        let part = bytes.get(..PART).unwrap_or(bytes);
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(part)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts of an export as they come.
struct Parts(mpsc::Receiver<Part>);

impl Stream for Parts {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        self.0.poll_recv(context)
    }
}
