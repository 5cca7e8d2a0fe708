//! Devices.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use fieldgate_plant::Device;
use serde::Serialize;

use super::lists::{LIMIT, LIMIT_MAX, Page, has};
use crate::answer::Json;
use crate::app::App;
use crate::problem::Problem;
use crate::query::{Names, Query};
use crate::shown::{ShownDevice, ShownFigures, ShownPoint, ShownState};

/// Devices by name.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts, &["q", "state", "after", "limit"])?;
    let states = [("online", 0), ("offline", 1), ("starting", 2)];
    let state = query.word("state", 3, &states)?;
    let limit = query.number("limit", LIMIT, (1, LIMIT_MAX))? as usize;
    let wanted = query.text("q").to_lowercase();
    let after = query.text("after");
    let layout = app.plant().layout();
    let fits = |device: &&Arc<Device>| {
        let about = device.about();
        let shown = ShownState::from(device.state());
        let is_state = match state {
            0 => shown.is("online"),
            1 => shown.is("offline"),
            2 => shown.is("starting"),
            _ => true,
        };
        is_state
            && (has(&about.name, &wanted)
                || about.bus.as_ref().is_some_and(|bus| has(bus, &wanted)))
    };
    let total = after
        .is_empty()
        .then(|| layout.devices.values().filter(fits).count());
    let devices = layout.devices.values();
    let devices = devices.filter(|device| device.about().name.as_str() > after);
    let found: Vec<_> = devices.filter(fits).take(limit + 1).collect();
    let items: Vec<_> = found
        .iter()
        .take(limit)
        .map(|device| ShownDevice::new(device))
        .collect();
    let is_more = found.len() > limit;
    let next = items.last().filter(|_| is_more);
    let next = next.map(|device| device.device.to_owned());
    Ok(Json(Page { next, items, total }).into_response())
}

#[derive(Serialize)]
struct Whole<'d> {
    #[serde(flatten)]
    device: ShownDevice<'d>,
    figures: ShownFigures,
    values: Vec<ShownPoint<'d>>,
}

/// One device with its points and counters.
pub(crate) async fn one(State(app): State<Arc<App>>, names: Names) -> Result<Response, Problem> {
    let device = find(&app, names.get("device"))?;
    let figures = device.figures();
    let readings = device.readings();
    let points = device.points().iter().zip(&readings);
    let values = points.map(|(point, reading)| ShownPoint::new(&device, point, reading.as_ref()));
    let whole = Whole {
        device: ShownDevice::new(&device),
        figures: ShownFigures::new(
            &figures.routine,
            &figures.faults,
            figures.exceptions.as_ref(),
        ),
        values: values.collect(),
    };
    Ok(Json(whole).into_response())
}

/// A device of this name.
pub(crate) fn find(app: &App, name: &str) -> Result<Arc<Device>, Problem> {
    let found = app.plant().device(name);
    found.ok_or_else(|| Problem::missing(format!("there is no device \"{name}\"")))
}
