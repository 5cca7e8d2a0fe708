//! A counter that never falls, made of one that may. Pure.

use fieldgate_model::Decimal;

/// A counter that shows its old number again within this time never lost it, in milliseconds. Some meters say zero
/// while they start.
const RETURN: i64 = 3_600_000;
const NINE: i64 = 9;
const TEN: i64 = 10;

/// What a counter shows, and what its falls have taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What it shows.
    pub value: Decimal,
    /// What it had shown before each reset, added up.
    pub offset: Decimal,
}

impl Count {
    /// What it would show without resets.
    pub fn total(self) -> Option<Decimal> {
        self.value.checked_add(self.offset)
    }
}

/// Follows a counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    pub(crate) count: Count,
    /// From what it fell last, and when.
    fallen: Option<(Decimal, i64)>,
}

impl Meter {
    pub(crate) fn new(count: Count) -> Self {
        Self {
            count,
            fallen: None,
        }
    }

    pub(crate) fn first(value: Decimal) -> Self {
        let offset = Decimal::ZERO;
        Self::new(Count { value, offset })
    }

    /// Takes up what it shows at `at`. A fall by more than a tenth is a reset: from then on it counts from zero. A
    /// smaller one is the noise of a meter that calculates, and counts when the number before is reached again.
    pub(crate) fn take(&mut self, value: Decimal, at: i64) {
        let Count {
            value: before,
            offset,
        } = self.count;
        if value >= before {
            self.count.value = value;
            let returned = self
                .fallen
                .filter(|(from, when)| value >= *from && at.saturating_sub(*when) <= RETURN);
            if let Some((from, _)) = returned {
                self.count.offset = offset.checked_sub(from).unwrap_or(offset);
                self.fallen = None;
            }
            return;
        }
        let of = |factor: i64, number: Decimal| number.checked_mul(Decimal::from(factor));
        let is_noise =
            matches!((of(TEN, value), of(NINE, before)), (Some(now), Some(most)) if now >= most);
        if is_noise {
            return;
        }
        if let Some(offset) = offset.checked_add(before) {
            self.count = Count { value, offset };
            self.fallen = Some((before, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_is_a_reset_unless_it_is_small_or_taken_back() {
        for (shown, total, offset) in [
            (vec![(0, "100"), (1, "100.5"), (2, "103")], "103", "0"),
            (vec![(0, "100"), (1, "0"), (2, "4")], "104", "100"),
            (
                vec![(0, "100"), (1, "40"), (2, "30"), (3, "31")],
                "171",
                "140",
            ),
            // Noise counts nothing, and is not counted twice.
            (
                vec![
                    (0, "100"),
                    (1, "99.9"),
                    (2, "100"),
                    (3, "99.9"),
                    (4, "100.2"),
                ],
                "100.2",
                "0",
            ),
            (vec![(0, "100"), (1, "90")], "100", "0"),
            (vec![(0, "100"), (1, "89.9")], "189.9", "100"),
            // It starts, says zero, and goes on; or it has counted for long.
            (vec![(0, "100"), (1, "0"), (2, "101")], "101", "0"),
            (vec![(0, "100"), (1, "0"), (4_000_000, "101")], "201", "100"),
        ] {
            let mut shown_: Vec<(i64, Decimal)> = shown
                .iter()
                .map(|(at, text)| (*at, text.parse().unwrap()))
                .collect();
            let (_, first) = shown_.remove(0);
            let mut meter = Meter::first(first);
            for (at, value) in shown_ {
                meter.take(value, at);
            }
            assert_eq!(
                meter.count.total(),
                Some(total.parse().unwrap()),
                "{shown:?}"
            );
            assert_eq!(meter.count.offset, offset.parse().unwrap(), "{shown:?}");
        }
    }
}
