//! Buses.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::answer::Json;
use crate::app::App;
use crate::shown::ShownFigures;
use crate::trend::ShownTrend;

#[derive(Serialize)]
pub(crate) struct ShownBus {
    bus: String,
    bridge: String,
    devices: Vec<String>,
    figures: ShownFigures,
    step_seconds: usize,
    /// Shares of its time that were taken, from 0 to 1.
    busy: ShownTrend,
}

#[derive(Serialize)]
struct Buses {
    items: Vec<ShownBus>,
}

/// All buses.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    Json(Buses { items: all(&app) }).into_response()
}

/// All buses with their devices.
pub(crate) fn all(app: &App) -> Vec<ShownBus> {
    let layout = app.plant().layout();
    let mut devices: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, device) in &layout.devices {
        if let Some(bus) = device.about().bus.as_deref() {
            devices.entry(bus).or_default().push(name.clone());
        }
    }
    let trends = app.trends();
    let buses = layout.buses.iter();
    let buses = buses.map(|(name, bus)| {
        let figures = bus.figures();
        ShownBus {
            bus: name.clone(),
            bridge: bus.bridge.clone(),
            devices: devices.remove(name.as_str()).unwrap_or_default(),
            figures: ShownFigures::new(
                &figures.routine,
                &figures.faults,
                figures.exceptions.as_ref(),
            ),
            step_seconds: trends.step(),
            busy: trends.bus(name),
        }
    });
    buses.collect()
}
