//! The log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use log::Level;
use serde::Serialize;

use crate::answer::Json;
use crate::app::App;
use crate::logs::{Entry, Wanted};
use crate::problem::Problem;
use crate::query::Query;
use crate::shown::time;

/// Lines of one answer.
const LIMIT: u64 = 200;
const LIMIT_MAX: u64 = 1_000;

const LEVELS: [(&str, Level); 5] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

#[derive(Serialize)]
pub(crate) struct ShownLine {
    number: u64,
    at: String,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    text: String,
}

#[derive(Serialize)]
struct Lines {
    items: Vec<ShownLine>,
    /// To be given as `after` for what comes later.
    last: u64,
}

/// The newest lines that are wanted.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["level", "q", "subject", "after", "limit"])?;
    let text = query.text("q").to_lowercase();
    let wanted = Wanted {
        level: query.word("level", Level::Info, &LEVELS)?,
        text: &text,
        subject: query.text("subject"),
        after: query.number("after", 0, (0, u64::MAX))?,
        limit: query.number("limit", LIMIT, (1, LIMIT_MAX))? as usize,
    };
    let (found, last) = app.around.logs.find(&wanted);
    let items = found.iter().map(|entry| shown(entry)).collect();
    Ok(Json(Lines { items, last }).into_response())
}

/// The newest lines that say that something is wrong.
pub(crate) fn troubles(app: &App, limit: usize) -> Vec<ShownLine> {
    let wanted = Wanted {
        level: Level::Warn,
        text: "",
        subject: "",
        after: 0,
        limit,
    };
    let (found, _) = app.around.logs.find(&wanted);
    found.iter().rev().map(|entry| shown(entry)).collect()
}

fn shown(entry: &Entry) -> ShownLine {
    let mut levels = LEVELS.iter();
    let level = levels.find(|(_, level)| *level == entry.level);
    ShownLine {
        number: entry.number,
        at: time(entry.at),
        level: level.map_or("info", |(name, _)| *name),
        subject: entry.subject.clone(),
        text: entry.text.clone(),
    }
}
