//! The body of a stream: what a page is told while it is open, as server-sent events.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::app::App;
use crate::session::Token;
use crate::shown::{ShownChange, ShownDevice, ShownReading, ShownState};
use crate::stream::{Named, Refused, Shared, Wanted, lock};

/// From one event to the next, at least.
const TURN: Duration = Duration::from_millis(250);
/// How often states are told.
const STATES: Duration = Duration::from_secs(1);
/// A sign of life when there is nothing to tell, so that both sides notice a lost connection.
const ALIVE: Duration = Duration::from_secs(15);

/// The body of a stream.
pub(crate) struct Live {
    app: Arc<App>,
    number: u64,
    shared: Arc<Shared>,
    tick: Interval,
    /// The change up to which everything was told.
    seen: u64,
    /// The layout that was told.
    layout: u64,
    next_states: Instant,
    /// How devices were when it was told.
    states: BTreeMap<String, ShownState>,
    told: Instant,
    is_new: bool,
    is_over: bool,
}

impl Live {
    /// Opens a stream; `None` if there are too many.
    pub(crate) fn open(
        app: Arc<App>,
        token: Token,
        points: Vec<Named>,
        states: bool,
    ) -> Option<Result<Self, Refused>> {
        let mut wanted = Wanted::new(states);
        if let Err(refused) = wanted.add(points) {
            return Some(Err(refused));
        }
        let shared = Arc::new(Shared {
            token,
            wanted: Mutex::new(wanted),
        });
        let number = app.streams.open(&shared)?;
        let mut tick = interval(TURN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        Some(Ok(Self {
            seen: app.plant().changes(),
            layout: app.plant().layout().number,
            states: BTreeMap::new(),
            app,
            number,
            shared,
            tick,
            next_states: now,
            told: now,
            is_new: true,
            is_over: false,
        }))
    }

    /// What is to be told now.
    fn turn(&mut self) -> Option<String> {
        let mut out = String::new();
        if std::mem::take(&mut self.is_new) {
            let hello = Hello {
                stream: self.number,
            };
            event(&mut out, "hello", &hello);
        }
        if !self.app.is_in(&self.shared.token) {
            self.is_over = true;
            event(&mut out, "bye", &());
            return Some(out);
        }
        let plant = self.app.plant();
        let layout = plant.layout();
        if layout.number != self.layout {
            self.layout = layout.number;
            self.states
                .retain(|name, _| layout.devices.contains_key(name));
            // Points may have come back.
            let mut wanted = lock(&self.shared.wanted);
            let all = wanted.points.iter();
            let all = all.flat_map(|(device, points)| {
                points.iter().map(|point| (device.clone(), point.clone()))
            });
            wanted.fresh = all.collect();
            drop(wanted);
            event(&mut out, "layout", &());
        }
        self.values(&mut out);
        let now = Instant::now();
        if now >= self.next_states {
            self.next_states = now + STATES;
            self.states(&mut out);
        }
        if out.is_empty() && now - self.told >= ALIVE {
            out.push_str(": alive\n\n");
        }
        if out.is_empty() {
            return None;
        }
        self.told = now;
        Some(out)
    }

    fn values(&mut self, out: &mut String) {
        let plant = self.app.plant();
        let seen = plant.changes();
        let layout = plant.layout();
        let mut wanted = lock(&self.shared.wanted);
        let fresh: BTreeSet<Named> = std::mem::take(&mut wanted.fresh).into_iter().collect();
        let mut changes = Vec::new();
        for (device, point) in &fresh {
            let Some(found) = layout.devices.get(device) else {
                continue;
            };
            let mut points = found.points().iter();
            if let Some(place) = points.position(|known| known.name == *point) {
                let reading = ShownReading::new(found.reading(place).as_ref());
                changes.push(ShownChange {
                    device,
                    point,
                    reading,
                });
            }
        }
        for (device, points) in &wanted.points {
            let Some(found) = layout.devices.get(device) else {
                continue;
            };
            for (place, reading) in found.changed_since(self.seen) {
                let name = found.points().get(place).map(|point| point.name.as_str());
                let Some(point) = name.filter(|name| points.contains(*name)) else {
                    continue;
                };
                if !fresh.contains(&(device.clone(), point.to_owned())) {
                    let reading = ShownReading::new(Some(&reading));
                    changes.push(ShownChange {
                        device,
                        point: points.get(point).map(String::as_str).unwrap_or_default(),
                        reading,
                    });
                }
            }
        }
        if !changes.is_empty() {
            event(out, "values", &changes);
        }
        drop(changes);
        drop(wanted);
        self.seen = seen;
    }

    fn states(&mut self, out: &mut String) {
        if !lock(&self.shared.wanted).states {
            return;
        }
        let layout = self.app.plant().layout();
        let mut changed = Vec::new();
        for (name, device) in &layout.devices {
            let state = ShownState::from(device.state());
            if self.states.get(name) != Some(&state) {
                changed.push(ShownDevice::new(device));
                self.states.insert(name.clone(), state);
            }
        }
        if !changed.is_empty() {
            event(out, "states", &changed);
        }
    }
}

#[derive(Serialize)]
struct Hello {
    stream: u64,
}

fn event(out: &mut String, name: &str, data: &impl Serialize) {
    let data = serde_json::to_string(data).unwrap_or_default();
    out.push_str("event: ");
    out.push_str(name);
    out.push_str("\ndata: ");
    out.push_str(&data);
    out.push_str("\n\n");
}

impl futures_core::Stream for Live {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            ready!(self.tick.poll_tick(cx));
            if let Some(told) = self.turn() {
                return Poll::Ready(Some(Ok(told.into())));
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.app.streams.close(self.number);
    }
}
