//! Faults that a test can order: what real devices and gateways do on a bad day.

use std::{collections::BTreeMap, time::Duration};

use crate::pdu::Exception;

/// What goes wrong with the answers of one unit. A request is carried out before its answer is
/// spoilt, except for [`Fault::Exception`] and [`Fault::Silence`], which leave the unit untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer comes this much later. Later requests of the same connection wait.
    Delay(Duration),
    /// No answer; the connection stays open.
    Silence,
    /// This exception instead of the answer.
    Exception(Exception),
    /// The connection is closed instead of the answer; on a serial line there is none.
    Close,
    /// The answer carries a transaction identifier that is one too high; RTU has none.
    WrongTransaction,
    /// Only this many bytes of the answer are sent, header included, and a connection closes.
    Truncate(usize),
    /// The answer says that it is from the next higher unit.
    WrongUnit,
    /// The CRC of an RTU answer is wrong; Modbus TCP has none, and answers as ever.
    WrongCheck,
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For the next so many requests.
    Next(u32),
    /// Until it is cleared or replaced.
    Always,
}

/// The ordered faults, at most one for each unit.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<u8, (Fault, Times)>);

impl Faults {
    /// Orders a fault; it replaces an earlier one of the same unit.
    pub(crate) fn set(&mut self, unit: u8, fault: Fault, times: Times) {
        self.0.insert(unit, (fault, times));
    }

    /// The unit answers properly again.
    pub(crate) fn clear(&mut self, unit: u8) {
        self.0.remove(&unit);
    }

    /// The fault for one request to `unit`, which uses up one of its times.
    pub(crate) fn take(&mut self, unit: u8) -> Option<Fault> {
        let (fault, times) = self.0.get_mut(&unit)?;
        let fault = *fault;
        match times {
            Times::Always => return Some(fault),
            Times::Next(0) => {
                self.0.remove(&unit);
                return None;
            }
            Times::Next(left) => *left -= 1,
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_as_often_as_it_was_ordered_and_hits_its_own_unit_only() {
        for (times, want) in [
            (Times::Next(0), [false, false, false]),
            (Times::Next(2), [true, true, false]),
            (Times::Always, [true, true, true]),
        ] {
            let mut faults = Faults::default();
            faults.set(7, Fault::Close, times);
            for want in want {
                assert_eq!(faults.take(7).is_some(), want, "{times:?}");
                assert_eq!(faults.take(8), None);
            }
            faults.clear(7);
            assert_eq!(faults.take(7), None, "{times:?}");
        }
    }
}
