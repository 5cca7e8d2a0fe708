//! The last hour of every point and every bus, in memory: the least and the greatest value of each ten seconds, of each
//! half minute, or of each minute, as many points as there are.
//!
//! It is looked at about once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldgate_model::{Point, Quality, Value};
use fieldgate_plant::{Layout, Plant, Reading};

/// What one cell can stand for, in seconds: the first of which all points have an hour.
const STEPS: [usize; 3] = [10, 30, 60];
/// What a series reaches back, in seconds.
const REACH: usize = 3_600;
/// All cells together: 4 MiB. With too many points for an hour of minutes each has fewer.
const CELLS_MAX: usize = (4 << 20) / size_of::<Cell>();
/// Fewer cells than this show nothing.
const CELLS_LEAST: usize = 10;
/// A bus whose counters stay for so long does nothing.
const IDLE: Duration = Duration::from_secs(25);
/// The least and the greatest value; NaN for none.
type Cell = [f32; 2];
const NONE: Cell = [f32::NAN; 2];

/// The cells of one series, by number modulo their count; none until there is a number.
type Ring = Option<Box<[Cell]>>;

/// All series.
#[derive(Debug)]
pub(crate) struct Trends {
    start: Instant,
    /// The layout that the series are for.
    layout: u64,
    /// The change up to which everything was seen.
    seen: u64,
    /// The number of the cell of now.
    cell: usize,
    /// Cells of each series, and the seconds that one stands for.
    cells: usize,
    step: usize,
    devices: BTreeMap<String, Series>,
    buses: BTreeMap<String, Bus>,
    /// Points whose past is not known.
    missing: Vec<Missing>,
}

/// A point that is new here, and may have been read before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) device: String,
    pub(crate) point: String,
    /// The cell since which it is looked at.
    until: usize,
}

/// The cells that a series has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The number of the first.
    first: usize,
    pub(crate) cells: usize,
    /// Seconds of each.
    pub(crate) step: usize,
    /// How long ago the first began.
    pub(crate) age: Duration,
}

#[derive(Debug)]
struct Series {
    points: Arc<[Point]>,
    rings: Vec<Ring>,
}

/// How much of a bus's time was taken.
#[derive(Debug, Default)]
struct Bus {
    ring: Ring,
    /// Milliseconds that it was busy when that changed last, and when it did.
    busy: Option<(u64, Instant)>,
    /// What was found then.
    share: Option<f32>,
}

/// A series as it is told: of the last cells, the newest last.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct ShownTrend {
    /// The least values; none where there was no number.
    lo: Vec<Option<f32>>,
    /// The greatest.
    hi: Vec<Option<f32>>,
}

impl Trends {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            start: now,
            layout: 0,
            seen: 0,
            cell: 0,
            cells: REACH / STEPS[0],
            step: STEPS[0],
            devices: BTreeMap::new(),
            buses: BTreeMap::new(),
            missing: Vec::new(),
        }
    }

    /// The number of the cell of a time. Those of the hour before the start have numbers, too.
    fn cell_at(&self, now: Instant) -> usize {
        let passed = usize::try_from((now - self.start).as_secs()).unwrap_or(usize::MAX);
        (passed / self.step).saturating_add(self.cells)
    }

    /// Points whose past is to be filled in. They are told once.
    pub(crate) fn take_missing(&mut self) -> Vec<Missing> {
        std::mem::take(&mut self.missing)
    }

    /// The cells of now.
    pub(crate) fn window(&self, now: Instant) -> Window {
        let next = self.cell.saturating_add(1);
        let seconds = |cells: usize| Duration::from_secs((cells * self.step) as u64);
        // The cells from the start on have the numbers behind those of the hour before.
        let passed = (now - self.start) + seconds(2 * self.cells);
        Window {
            first: next.saturating_sub(self.cells),
            cells: self.cells,
            step: self.step,
            age: passed.saturating_sub(seconds(next)),
        }
    }

    /// Fills in what a point was in the cells of a window, before it was looked at.
    pub(crate) fn fill(&mut self, missing: &Missing, window: Window, past: &[Option<(f64, f64)>]) {
        let (cells, now) = (self.cells, self.cell);
        let series = self.devices.get_mut(&missing.device);
        if (window.cells, window.step) != (cells, self.step) {
            return;
        }
        let Some(ring) = series.and_then(|series| {
            let mut points = series.points.iter();
            let place = points.position(|point| point.name == missing.point)?;
            series.rings.get_mut(place)
        }) else {
            return;
        };
        for (number, cell) in (window.first..).zip(past) {
            let is_there = number < missing.until && number <= now && now < number + cells;
            if let (Some((least, most)), true) = (cell, is_there) {
                for value in [*least as f32, *most as f32] {
                    take(ring, cells, number % cells, value);
                }
            }
        }
    }

    /// Takes up what the plant has told since the last look.
    pub(crate) fn look(&mut self, plant: &Plant, now: Instant) {
        let seen = plant.changes();
        let layout = plant.layout();
        if layout.number != self.layout {
            self.change(&layout, now);
        }
        let cell = self.cell_at(now);
        let is_next = cell != self.cell;
        if is_next {
            self.turn(cell);
        }
        if self.cells == 0 {
            return;
        }
        self.buses(&layout, is_next, now);
        let (place, cells) = (self.cell % self.cells, self.cells);
        for (name, device) in &layout.devices {
            let Some(series) = self.devices.get_mut(name) else {
                continue;
            };
            // A value that stays is one of the new cell too.
            let changed = match is_next {
                true => device.changed_since(0),
                false => device.changed_since(self.seen),
            };
            for (point, reading) in changed {
                if let (Some(value), Some(ring)) = (number(&reading), series.rings.get_mut(point)) {
                    take(ring, cells, place, value);
                }
            }
        }
        self.seen = seen;
    }

    /// Series for what is there now; those of points that stay go on.
    fn change(&mut self, layout: &Layout, now: Instant) {
        self.layout = layout.number;
        let devices = layout.devices.values();
        let count: usize = devices.map(|device| device.points().len()).sum();
        let (step, cells) = sizes(count);
        if (step, cells) != (self.step, self.cells) {
            log::debug!("the console keeps {cells} times {step} s of each of {count} points");
            (self.step, self.cells) = (step, cells);
            self.cell = usize::MAX;
            self.devices.clear();
            self.buses.clear();
        }
        let until = self.cell_at(now);
        let mut old = std::mem::take(&mut self.devices);
        for (name, device) in &layout.devices {
            let points = Arc::clone(&device.about().points);
            let mut before = old.remove(name);
            if before.is_none() {
                let points = points.iter().map(|point| point.name.clone());
                self.missing.extend(points.map(|point| Missing {
                    device: name.clone(),
                    point,
                    until,
                }));
            }
            let rings = points.iter().map(|point| {
                let before = before.as_mut()?;
                let place = before
                    .points
                    .iter()
                    .position(|old| old.name == point.name)?;
                before.rings.get_mut(place)?.take()
            });
            let rings = rings.collect();
            self.devices.insert(name.clone(), Series { points, rings });
        }
        self.buses.retain(|name, _| layout.buses.contains_key(name));
    }

    /// Goes on to another cell; those between stay empty.
    fn turn(&mut self, cell: usize) {
        let between = cell.abs_diff(self.cell).min(self.cells);
        self.cell = cell;
        let rings = self.devices.values_mut();
        let rings = rings.flat_map(|series| &mut series.rings);
        let rings = rings.chain(self.buses.values_mut().map(|bus| &mut bus.ring));
        for ring in rings.flatten() {
            for back in 0..between {
                let place = cell.saturating_sub(back) % self.cells;
                if let Some(cell) = ring.get_mut(place) {
                    *cell = NONE;
                }
            }
        }
    }

    /// The share of each bus. Its counters are looked at less often than this asks: the share is known when they
    /// change, and holds until then.
    fn buses(&mut self, layout: &Layout, is_next: bool, now: Instant) {
        for (name, bus) in &layout.buses {
            let figures = bus.figures();
            let mut counts = figures.routine.iter();
            let Some((_, busy)) = counts.find(|(name, _)| *name == "busy_ms") else {
                continue;
            };
            let kept = self.buses.entry(name.clone()).or_default();
            let (before, at) = *kept.busy.get_or_insert((*busy, now));
            let passed = now - at;
            let is_known = *busy != before || passed >= IDLE;
            if is_known {
                // A bus that was started anew counts from zero.
                let taken = busy.saturating_sub(before) as f32;
                kept.share = Some((taken / (passed.as_secs_f32() * 1_000.0).max(1.0)).min(1.0));
                kept.busy = Some((*busy, now));
            }
            if let (true, Some(share)) = (is_known || is_next, kept.share) {
                take(&mut kept.ring, self.cells, self.cell % self.cells, share);
            }
        }
    }

    /// Seconds that one cell stands for.
    pub(crate) fn step(&self) -> usize {
        self.step
    }

    /// The series of a point.
    pub(crate) fn point(&self, device: &str, point: usize) -> ShownTrend {
        let series = self.devices.get(device);
        let ring = series.and_then(|series| series.rings.get(point));
        self.shown(ring.and_then(Option::as_deref))
    }

    /// The series of a bus: shares from 0 to 1.
    pub(crate) fn bus(&self, bus: &str) -> ShownTrend {
        let bus = self.buses.get(bus);
        self.shown(bus.and_then(|bus| bus.ring.as_deref()))
    }

    fn shown(&self, ring: Option<&[Cell]>) -> ShownTrend {
        let Some(ring) = ring else {
            return ShownTrend::default();
        };
        let first = self.cell.saturating_sub(self.cells - 1);
        let cells = (first..=self.cell).filter_map(|cell| ring.get(cell % self.cells));
        let cells = cells.skip_while(|[least, _]| least.is_nan());
        let some = |value: f32| Some(value).filter(|value| !value.is_nan());
        let (lo, hi) = cells.map(|[lo, hi]| (some(*lo), some(*hi))).unzip();
        ShownTrend { lo, hi }
    }
}

/// The seconds of a cell, and the cells of each of so many series; none if there is room for too few.
fn sizes(count: usize) -> (usize, usize) {
    let most = CELLS_MAX / count.max(1);
    let [.., longest] = STEPS;
    let whole = STEPS.iter().find(|step| REACH / **step <= most);
    let step = *whole.unwrap_or(&longest);
    let cells = most.min(REACH / step);
    (step, if cells < CELLS_LEAST { 0 } else { cells })
}

/// What of a reading can be drawn.
fn number(reading: &Reading) -> Option<f32> {
    if reading.quality != Quality::Good {
        return None;
    }
    let value = match reading.value.as_ref()? {
        Value::Bool(on) => f64::from(u8::from(*on)),
        other => other.as_f64()?,
    };
    let value = value as f32;
    value.is_finite().then_some(value)
}

fn take(ring: &mut Ring, cells: usize, place: usize, value: f32) {
    let ring = ring.get_or_insert_with(|| vec![NONE; cells].into());
    if let Some([least, greatest]) = ring.get_mut(place) {
        // NaN gives way to a number.
        *least = least.min(value);
        *greatest = greatest.max(value);
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_model::{Decimal, Sample};
    use fieldgate_plant::About;
    use jiff::Timestamp;

    use super::*;

    fn plant(points: &[&str]) -> Plant {
        let plant = Plant::default();
        layout(&plant, points);
        plant
    }

    fn layout(plant: &Plant, points: &[&str]) {
        let point = |name: &&str| Point {
            name: (*name).to_owned(),
            unit: None,
            writable: false,
            labels: None,
        };
        let device = plant.new_device(About {
            name: "d".into(),
            bridge: "x".into(),
            bus: None,
            points: points.iter().map(point).collect(),
            requests: fieldgate_bridge::channel(1).0,
            raw: None,
        });
        plant.change(|layout| {
            layout.devices.insert("d".into(), device);
        });
    }

    fn tell(plant: &Plant, point: usize, value: i64) {
        let value = Value::Decimal(Decimal::from(value));
        let sample = Sample::good(point, value, Timestamp::UNIX_EPOCH);
        plant.device("d").unwrap().take(&[sample]);
    }

    fn pairs(trend: &ShownTrend) -> Vec<Option<(f32, f32)>> {
        let pairs = trend.lo.iter().zip(&trend.hi);
        pairs.map(|(lo, hi)| Some(((*lo)?, (*hi)?))).collect()
    }

    #[test]
    fn each_ten_seconds_have_their_least_and_greatest_value() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let plant = plant(&["a", "b"]);
        let mut trends = Trends::new(start);
        for (seconds, values) in [(1, vec![5, 3]), (2, vec![9]), (11, vec![]), (22, vec![4])] {
            values.iter().for_each(|value| {
                tell(&plant, 1, *value);
                trends.look(&plant, at(seconds));
            });
            trends.look(&plant, at(seconds));
        }
        let want = [Some((3.0, 9.0)), Some((9.0, 9.0)), Some((4.0, 4.0))];
        assert_eq!(pairs(&trends.point("d", 1)), want);
        assert_eq!(pairs(&trends.point("d", 0)), []);
        assert_eq!(pairs(&trends.point("x", 0)), []);
        plant.device("d").unwrap().abandon("unplugged");
        trends.look(&plant, at(65));
        let gone = pairs(&trends.point("d", 1));
        assert_eq!(gone.len(), 7);
        assert_eq!(gone[3..], [None; 4]);
    }

    #[test]
    fn what_was_before_the_start_is_filled_in_and_nothing_else() {
        let start = Instant::now();
        let plant = plant(&["a"]);
        let mut trends = Trends::new(start);
        let at = start + Duration::from_secs(25);
        tell(&plant, 0, 7);
        trends.look(&plant, start);
        trends.look(&plant, at);
        let missing = trends.take_missing();
        assert_eq!((missing.len(), trends.take_missing()), (1, Vec::new()));
        let window = trends.window(at);
        assert_eq!(
            (window.cells, window.step, window.age.as_secs()),
            (360, 10, 3_595)
        );
        // The last three cells are of after the start.
        let past: Vec<_> = (0..360_u16)
            .map(|cell| Some((f64::from(cell), 400.0)))
            .collect();
        trends.fill(&missing[0], window, &past);
        let found = pairs(&trends.point("d", 0));
        assert_eq!(found.len(), 360);
        assert_eq!(
            (found[0], found[356]),
            (Some((0.0, 400.0)), Some((356.0, 400.0)))
        );
        assert_eq!(found[357..], [Some((7.0, 7.0)), None, Some((7.0, 7.0))]);
        // A series of another length is not of this window.
        let other = Window { step: 30, ..window };
        trends.fill(&missing[0], other, &[Some((-1.0, -1.0)); 360]);
        assert_eq!(pairs(&trends.point("d", 0)), found);
        let gone = Missing {
            point: "b".into(),
            ..missing[0].clone()
        };
        trends.fill(&gone, window, &past);
    }

    #[test]
    fn a_series_has_an_end_and_survives_a_reload() {
        let start = Instant::now();
        let plant = plant(&["a"]);
        let mut trends = Trends::new(start);
        for number in 0..500_u32 {
            tell(&plant, 0, number.into());
            trends.look(&plant, start + Duration::from_secs(10) * number);
        }
        let found = pairs(&trends.point("d", 0));
        assert_eq!(found.len(), 360);
        assert_eq!(found.last(), Some(&Some((499.0, 499.0))));
        assert_eq!(found.first(), Some(&Some((140.0, 140.0))));
        layout(&plant, &["new", "a"]);
        trends.look(&plant, start + Duration::from_secs(10) * 500);
        let moved = pairs(&trends.point("d", 1));
        assert_eq!(
            (moved.len(), moved[358], moved[359]),
            (360, Some((499.0, 499.0)), None)
        );
        assert_eq!(pairs(&trends.point("d", 0)), []);
    }

    #[test]
    fn more_points_have_longer_steps_and_then_less_than_an_hour() {
        for (points, want) in [
            (0, (10, 360)),
            (1_456, (10, 360)),
            (1_457, (30, 120)),
            (5_000, (60, 60)),
            (8_738, (60, 60)),
            (20_000, (60, 26)),
            (52_428, (60, 10)),
            (52_429, (60, 0)),
            (usize::MAX, (60, 0)),
        ] {
            assert_eq!(sizes(points), want, "{points}");
        }
    }
}
