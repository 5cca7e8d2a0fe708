//! Points, with their values and their last hour.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use fieldgate_history::Series;
use fieldgate_plant::{Device, Reading};
use serde::Serialize;
use serde_json::value::RawValue;

use super::lists::{LIMIT, LIMIT_MAX, Page, has};
use super::session::may_operate;
use super::stream::named;
use super::{devices, lists};
use crate::answer::Json;
use crate::app::App;
use crate::problem::Problem;
use crate::query::{Names, Query};
use crate::session::Session;
use crate::shown::{self, ShownPoint, ShownState};
use crate::trend::ShownTrend;

/// Points whose last hour is told at once.
const TRENDS_MAX: usize = 100;

/// What a list of points is to hold.
struct Wanted<'q> {
    text: String,
    device: &'q str,
    quality: &'q str,
    writable: bool,
}

impl Wanted<'_> {
    fn fits(&self, device: &Device, place: usize, reading: Option<&Reading>) -> bool {
        let Some(point) = device.points().get(place) else {
            return false;
        };
        let name = || format!("{}/{}", device.about().name, point.name);
        let unit = point.unit.as_deref().unwrap_or_default();
        (self.quality.is_empty() || self.quality == shown::quality(reading))
            && (!self.writable || point.writable)
            && (self.text.is_empty()
                || has(&name(), &self.text)
                || unit.to_lowercase() == self.text)
    }
}

/// Points, by device and in the order of the configuration.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let known = ["q", "device", "quality", "writable", "after", "limit"];
    let query = Query::of(&parts, &known)?;
    let qualities = [
        ("good", "good"),
        ("stale", "stale"),
        ("bad", "bad"),
        ("none", "none"),
    ];
    let wanted = Wanted {
        text: query.text("q").to_lowercase(),
        device: query.text("device"),
        quality: query.word("quality", "", &qualities)?,
        writable: query.word("writable", false, &[("true", true), ("false", false)])?,
    };
    let limit = query.number("limit", LIMIT, (1, lists::LIMIT_MAX))? as usize;
    debug_assert!(limit as u64 <= LIMIT_MAX);
    let (after_device, after_point) = match query.text("after") {
        "" => ("", None),
        after => {
            let (device, point) = named(after)?;
            (device, Some(point))
        }
    };
    let layout = app.plant().layout();
    let (mut found, mut readings) = (Vec::new(), Vec::new());
    let mut total = 0;
    let is_first = after_point.is_none();
    for device in layout.devices.values() {
        let name = device.about().name.as_str();
        let is_meant = wanted.device.is_empty() || wanted.device == name;
        let is_full = found.len() > limit;
        if !is_meant || name < after_device || (is_full && !is_first) {
            continue;
        }
        let all = device.readings();
        let begin = match after_point.filter(|_| name == after_device) {
            None => 0,
            // A point that has gone: the device is told from its begin.
            Some(point) => place(device, point).map_or(0, |place| place + 1),
        };
        for (place, reading) in all.into_iter().enumerate().skip(begin) {
            if !wanted.fits(device, place, reading.as_ref()) {
                continue;
            }
            total += 1;
            if found.len() <= limit {
                found.push((device, place));
                readings.push(reading);
            }
        }
    }
    let shown = found.iter().zip(&readings).take(limit);
    let items = shown.filter_map(|((device, place), reading)| {
        let point = device.points().get(*place)?;
        Some(ShownPoint::new(device, point, reading.as_ref()))
    });
    let items: Vec<_> = items.collect();
    let is_more = found.len() > limit;
    let next = items.last().filter(|_| is_more);
    let next = next.map(|point| format!("{}/{}", point.device, point.point));
    let total = is_first.then_some(total);
    Ok(Json(Page { items, next, total }).into_response())
}

fn place(device: &Device, point: &str) -> Option<usize> {
    let mut points = device.points().iter();
    points.position(|known| known.name == point)
}

#[derive(Serialize)]
struct Whole<'d> {
    #[serde(flatten)]
    point: ShownPoint<'d>,
    bridge: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<&'d str>,
    device_state: ShownState,
    /// What can be written, if that is a choice of few.
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Vec<Box<RawValue>>>,
    /// Whether who asks may write to it.
    may_write: bool,
    /// Whether readings are kept on the card.
    history: bool,
    /// Whether what it counts is kept by the hour.
    counter: bool,
    step_seconds: usize,
    trend: ShownTrend,
}

/// One point.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    names: Names,
) -> Result<Response, Problem> {
    let device = devices::find(&app, names.get("device"))?;
    let (name, wanted) = (names.get("device"), names.get("point"));
    let place = place(&device, wanted);
    let place =
        place.ok_or_else(|| Problem::missing(format!("{name} has no point \"{wanted}\"")))?;
    let reading = device.reading(place);
    let points = device.points();
    let point = points.get(place);
    let point =
        point.ok_or_else(|| Problem::missing(format!("{name} has no point \"{wanted}\"")))?;
    let accounts = &app.around.accounts;
    let trends = app.trends();
    let whole = Whole {
        point: ShownPoint::new(&device, point, reading.as_ref()),
        bridge: &device.about().bridge,
        bus: device.about().bus.as_deref(),
        device_state: device.state().into(),
        options: shown::options(point),
        may_write: point.writable
            && may_operate(&session)
            && accounts.may_write(session.holder.user(), name, wanted),
        history: app.around.history.is_some(),
        counter: app.around.history.as_ref().is_some_and(|history| {
            history.is_counter(&Series {
                device: name.to_owned(),
                point: wanted.to_owned(),
            })
        }),
        step_seconds: trends.step(),
        trend: trends.point(name, place),
    };
    drop(trends);
    Ok(Json(whole).into_response())
}

#[derive(Serialize)]
struct Trends<'t> {
    step_seconds: usize,
    trends: BTreeMap<&'t str, ShownTrend>,
}

/// The last hour of some points.
pub(crate) async fn trends(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["points"])?;
    let points = query.text("points").split(',');
    let points: Vec<&str> = points.filter(|point| !point.is_empty()).collect();
    if points.len() > TRENDS_MAX {
        return Err(Problem::bad(format!("points: at most {TRENDS_MAX}")));
    }
    let layout = app.plant().layout();
    let mut trends = BTreeMap::new();
    let all = app.trends();
    for text in points {
        let (device, point) = named(text)?;
        let found = layout.devices.get(device);
        let place = found.and_then(|found| place(found, point));
        if let Some(place) = place {
            trends.insert(text, all.point(device, place));
        }
    }
    let step_seconds = all.step();
    drop(all);
    Ok(Json(Trends {
        step_seconds,
        trends,
    })
    .into_response())
}
