//! Streams of changes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use crate::app::App;
use crate::live::Live;
use crate::problem::Problem;
use crate::query::{self, Names, Query};
use crate::session::Token;
use crate::stream::{Named, POINTS_MAX, Refused, STREAMS_MAX};

/// A point as it is named in queries: `device/point`.
pub(crate) fn named(text: &str) -> Result<(&str, &str), Problem> {
    text.split_once('/')
        .ok_or_else(|| Problem::bad(format!("\"{text}\" is no device/point")))
}

fn all_named<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Vec<Named>, Problem> {
    let all = texts.map(|text| {
        let (device, point) = named(text)?;
        Ok((device.to_owned(), point.to_owned()))
    });
    all.collect()
}

/// Opens a stream.
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Extension(token): Extension<Token>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["points", "states"])?;
    let points = query.text("points").split(',');
    let points = all_named(points.filter(|point| !point.is_empty()))?;
    let states = query.word("states", false, &[("true", true), ("false", false)])?;
    let opened = Live::open(app, token, points, states);
    let live = opened.ok_or_else(|| {
        let text = format!("{STREAMS_MAX} streams are open already");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many", text).after(10)
    })?;
    let live = live.map_err(refused)?;
    let mut response = Response::new(Body::from_stream(live));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Change {
    add: Vec<String>,
    remove: Vec<String>,
}

/// Changes which points a stream tells of.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Extension(token): Extension<Token>,
    names: Names,
    request: Request,
) -> Result<StatusCode, Problem> {
    let change: Change = query::json(request.into_body()).await?;
    let number = names.get("stream").parse().ok();
    let number = number.ok_or_else(|| refused(Refused::NoSuchStream))?;
    let add = all_named(change.add.iter().map(String::as_str))?;
    let remove = all_named(change.remove.iter().map(String::as_str))?;
    let changed = app.streams.change(number, &token, add, &remove);
    changed.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn refused(refused: Refused) -> Problem {
    match refused {
        Refused::NoSuchStream => Problem::missing("this session has no such stream"),
        Refused::TooManyPoints => Problem::bad(format!("a stream has at most {POINTS_MAX} points")),
    }
}
