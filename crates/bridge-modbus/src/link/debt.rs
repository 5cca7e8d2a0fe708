//! Answers that units still owe. Pure.
//!
//! RTU answers do not say which request they answer. One that comes after its time would be
//! taken for that of the next request of the same shape, so a unit that owes an answer is left
//! alone for as long again, and what comes from it meanwhile is known to be late.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::wire::pdu::Request;

/// The units of one line that owe answers.
#[derive(Debug, Default)]
pub(crate) struct Debts(BTreeMap<u8, Debt>);

#[derive(Debug)]
struct Debt {
    /// Function and, where it is known, length of the answers.
    owed: Vec<(u8, Option<usize>)>,
    /// Until when the unit is left alone.
    until: Instant,
}

/// At least so long is a unit left alone that owes an answer.
const REST_MIN: Duration = Duration::from_millis(100);
/// More than so many debts are one: the unit is gone, not late.
const OWED_MAX: usize = 8;

impl Debts {
    /// A unit did not answer within `limit`.
    pub(crate) fn add(&mut self, unit: u8, request: &Request, limit: Duration, now: Instant) {
        let debt = self.0.entry(unit).or_insert_with(|| Debt {
            owed: Vec::new(),
            until: now,
        });
        debt.until = now + limit.max(REST_MIN);
        let owed = (request.function(), request.answer_length());
        if debt.owed.len() < OWED_MAX && !debt.owed.contains(&owed) {
            debt.owed.push(owed);
        }
    }

    /// Whether a unit owes an answer.
    pub(crate) fn has(&self, unit: u8) -> bool {
        self.0.contains_key(&unit)
    }

    /// The unit has paid: what comes from it now is new.
    pub(crate) fn clear(&mut self, unit: u8) {
        self.0.remove(&unit);
    }

    /// Until when a unit has to be left alone.
    pub(crate) fn rest(&self, unit: u8) -> Option<Instant> {
        self.0.get(&unit).map(|debt| debt.until)
    }

    /// Whether an answer to this request could be one that is owed.
    pub(crate) fn is_doubtful(&self, unit: u8, request: &Request) -> bool {
        let (function, length) = (request.function(), request.answer_length());
        self.0.get(&unit).is_some_and(|debt| {
            debt.owed.iter().any(|(other, owed)| {
                *other == function && (length.is_none() || owed.is_none() || *owed == length)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Table;

    fn read(table: Table, count: u16) -> Request {
        Request::Read {
            table,
            address: 0,
            count,
        }
    }

    #[test]
    fn only_an_answer_of_the_shape_that_is_owed_is_doubtful() {
        let (mut debts, now) = (Debts::default(), Instant::now());
        debts.add(7, &read(Table::Holding, 2), Duration::from_secs(1), now);
        for (unit, request, want) in [
            (7, read(Table::Holding, 2), true),
            (7, read(Table::Holding, 3), false),
            (7, read(Table::Input, 2), false),
            (8, read(Table::Holding, 2), false),
            (7, Request::Raw(vec![3, 0, 0, 0, 2]), true),
        ] {
            assert_eq!(debts.is_doubtful(unit, &request), want, "{request:?}");
        }
        assert_eq!(debts.rest(7), Some(now + Duration::from_secs(1)));
        assert_eq!((debts.rest(8), debts.has(8)), (None, false));
        debts.clear(7);
        assert!(!debts.has(7));
    }
}
