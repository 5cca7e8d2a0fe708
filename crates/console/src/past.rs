//! The last hour before the start, from what history kept of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldgate_history::{Columns, Numbers, Range, Reader, Series};
use fieldgate_model::Quality;
use jiff::Timestamp;

use crate::app::App;
use crate::trend::Missing;

/// Fills in what points were before this process looked at them. It takes about a millisecond a point.
pub(crate) fn fill(
    app: &Arc<App>,
    history: &Reader,
    missing: Vec<Missing>,
    go_on: &dyn Fn() -> bool,
) {
    let begun = Instant::now();
    let count = missing.len();
    for point in missing {
        let window = app.trends().window(Instant::now());
        if window.cells == 0 || !go_on() {
            return;
        }
        let series = Series {
            device: point.device.clone(),
            point: point.point.clone(),
        };
        let length = window.cells as i64 * window.step as i64 * 1_000;
        let from = Timestamp::now().as_millisecond() - millis(window.age);
        let range = Range {
            from,
            to: from + length,
        };
        match history.columns(&series, range, window.cells, go_on) {
            Ok(columns) => {
                let past = cells(&columns, from, window.cells);
                app.trends().fill(&point, window, &past);
            }
            Err(error) => log::debug!("{}/{}: {error}", point.device, point.point),
        }
    }
    log::debug!(
        "the last hour of {count} points was read in {:?}",
        begun.elapsed()
    );
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Least and greatest value of each cell. What is published on change holds until the next value.
fn cells(columns: &Columns, from: i64, count: usize) -> Vec<Option<(f64, f64)>> {
    let both = |value: f64| Some((value, value));
    let before = columns.before.as_ref();
    let before = before.filter(|reading| reading.quality == Quality::Good);
    let before = before.and_then(|reading| reading.number.as_ref());
    let mut held = before
        .map(fieldgate_history::Number::to_f64)
        .filter(|value| value.is_finite());
    let mut told = columns.cells.iter().peekable();
    let cell = |number: i64| {
        let start = from + number * columns.step;
        let Some(cell) = told.next_if(|cell| cell.start <= start) else {
            return held.and_then(both);
        };
        let span = |all: Numbers| (all.min, all.max);
        let shown = cell.numbers.map(span).or_else(|| held.and_then(both));
        let last = cell.numbers.map(|all| all.last);
        held = last.filter(|_| cell.worst == Quality::Good);
        shown
    };
    (0..count as i64).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use fieldgate_history::{Cell, Number, Reading};

    use super::*;

    #[test]
    fn a_value_holds_until_the_next_and_not_across_a_gap() {
        let numbers = |min, max, last| Numbers {
            min,
            max,
            mean: min,
            first: min,
            last,
        };
        let cell = |start, numbers: Option<Numbers>, worst| Cell {
            start,
            count: u64::from(numbers.is_some()),
            numbers,
            worst,
        };
        let columns = Columns {
            step: 10_000,
            cells: vec![
                cell(20_000, Some(numbers(3.0, 5.0, 4.0)), Quality::Good),
                cell(40_000, Some(numbers(6.0, 6.0, 6.0)), Quality::Stale),
                cell(70_000, Some(numbers(1.0, 2.0, 2.0)), Quality::Good),
            ],
            before: Some(Reading {
                at: -5,
                number: Some(Number::F64(9.0)),
                quality: Quality::Good,
                is_clock_set: true,
            }),
        };
        let want = [(9.0, 9.0), (9.0, 9.0), (3.0, 5.0), (4.0, 4.0), (6.0, 6.0)].map(Some);
        let found = cells(&columns, 0, 9);
        assert_eq!(found[..5], want);
        assert_eq!(found[5..], [None, None, Some((1.0, 2.0)), Some((2.0, 2.0))]);
    }
}
