//! What counters counted in each hour, day or month.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use fieldgate_history::counters::used::{By, SPANS_MAX, Used};
use fieldgate_history::csv::{self, local};
use fieldgate_history::{Consumption, Question, Range};
use fieldgate_model::Decimal;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::RawValue;

use super::history::{CSV, Gone, attached, chosen, failed, moment, reader, unread};
use crate::answer::Json;
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// Spans of all counters of an answer at most: 12 MB of text.
const ALL_MAX: usize = 100_000;
const DAY: i64 = 86_400_000;

#[derive(Serialize)]
struct Shown {
    /// The board's time zone.
    zone: String,
    by: &'static str,
    counters: Vec<ShownCounter>,
    /// Places in the files that are damaged.
    damaged: u64,
}

#[derive(Serialize)]
struct ShownCounter {
    device: String,
    point: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    /// Those in which it was read.
    spans: Vec<ShownSpan>,
}

#[derive(Serialize)]
struct ShownSpan {
    from: String,
    to: String,
    used: Option<Box<RawValue>>,
    value: Option<Box<RawValue>>,
    hours: usize,
    hours_of: usize,
    resets: usize,
}

fn number(number: Option<Decimal>) -> Option<Box<RawValue>> {
    RawValue::from_string(number?.to_string()).ok()
}

impl ShownCounter {
    fn new(used: Used, zone: &TimeZone, now: i64) -> Self {
        let spans = used.spans.iter().filter(|span| span.hours > 0);
        let spans = spans.map(|span| ShownSpan {
            from: local(span.from, zone),
            to: local(span.to, zone),
            used: number(span.used),
            value: number(span.value),
            hours: span.hours,
            hours_of: span.hours_until(now),
            resets: span.resets,
        });
        Self {
            spans: spans.collect(),
            device: used.named.series.device,
            point: used.named.series.point,
            unit: Some(used.named.unit).filter(|unit| !unit.is_empty()),
        }
    }
}

/// A question, and the word for its spans.
fn asked(query: &Query) -> Result<(Question, &'static str), Problem> {
    let words = [
        ("hour", ("hour", By::Hour, 2)),
        ("day", ("day", By::Day, 31)),
        ("month", ("month", By::Month, 730)),
    ];
    let (word, by, days) = query.word("by", words[1].1, &words)?;
    let to = moment(query, "to")?.unwrap_or_else(|| Timestamp::now().as_millisecond());
    let from = moment(query, "from")?.unwrap_or_else(|| to.saturating_sub(days * DAY));
    if from >= to {
        return Err(Problem::bad("from: expected a time before that of to"));
    }
    let question = Question {
        chosen: chosen(query),
        range: Range { from, to },
        by,
        zone: TimeZone::system(),
    };
    Ok((question, word))
}

async fn answered(app: &App, question: Question) -> Result<Consumption, Problem> {
    let reader = reader(app)?;
    let _large = app.large().await?;
    let gone = Gone::default();
    let has_gone = Arc::clone(&gone.0);
    let work = move || reader.consumption(&question, &|| !has_gone.load(Ordering::Relaxed));
    let told = tokio::task::spawn_blocking(work).await;
    let told = told.map_err(|error| failed(error.to_string()))?;
    let told = told.map_err(unread)?;
    let told = told.filter(|told| {
        let spans = told.counters.iter().map(|used| used.spans.len());
        spans.sum::<usize>() <= ALL_MAX
    });
    told.ok_or_else(|| {
        Problem::bad(format!(
            "from: expected a range of at most {SPANS_MAX} spans of a counter, and {ALL_MAX} of all"
        ))
    })
}

/// What counters counted, and what was asked.
struct Told {
    counters: Vec<Used>,
    damaged: u64,
    by: &'static str,
    device: Option<String>,
    zone: TimeZone,
    /// When, in milliseconds since 1970.
    now: i64,
}

async fn told(app: &App, request: Request) -> Result<Told, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["device", "point", "by", "from", "to"])?;
    let (question, by) = asked(&query)?;
    let device = question.chosen.device.clone();
    let (zone, now) = (question.zone.clone(), Timestamp::now().as_millisecond());
    let Consumption { counters, damaged } = answered(app, question).await?;
    Ok(Told {
        counters,
        damaged,
        by,
        device,
        zone,
        now,
    })
}

/// What counters counted.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let told = told(&app, request).await?;
    let counters = told.counters.into_iter();
    let counters = counters.map(|used| ShownCounter::new(used, &told.zone, told.now));
    Ok(Json(Shown {
        zone: told.zone.iana_name().unwrap_or("local time").to_owned(),
        by: told.by,
        counters: counters.collect(),
        damaged: told.damaged,
    })
    .into_response())
}

/// The same as comma-separated values.
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let told = told(&app, request).await?;
    let mut text = csv::COUNTERS.to_owned();
    for used in &told.counters {
        csv::append_used(&mut text, used, &told.zone, told.now);
    }
    let name = format!(
        "{}-{}",
        told.device.as_deref().unwrap_or("counters"),
        told.by
    );
    Ok(attached(&name, CSV, text.into()))
}
