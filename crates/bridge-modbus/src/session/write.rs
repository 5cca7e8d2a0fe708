//! Writes, and their read-back: it waits its time while the device is polled as ever.

use std::sync::Arc;

use fieldgate_bridge::{Begun, DriverError};
use fieldgate_model::{Command, Outcome, Sample, Value};
use jiff::Timestamp;
use tokio::time::Instant;

use super::ModbusSession;
use super::commands::{Batch, Item, Verification, prepare};
use crate::bus::Priority;
use crate::config::Table;
use crate::data::{BusError, Data, ReadRequest, WriteRequest};
use crate::decode::values;
use crate::plan::{plan, split};
use crate::wire::pdu::Answer;

fn set_outcomes(items: &mut [Item], places: &[usize], outcome: &Outcome) {
    for place in places {
        if let Some(item) = items.get_mut(*place) {
            item.outcome = Some(outcome.clone());
        }
    }
}

/// What a read-back shows of a value that was written.
fn compared(value: Value, readback: Option<Value>) -> Outcome {
    if readback.as_ref() == Some(&value) {
        Outcome::Done { value, readback }
    } else {
        Outcome::Mismatch { value, readback }
    }
}

impl ModbusSession {
    /// Writes what a client asked for, and notes what is to be read back.
    pub(super) async fn write(&mut self, commands: &[Command], out: &mut Vec<Sample>) -> Begun {
        let device = Arc::clone(&self.device);
        let (mut items, batches) = match prepare(&device, commands) {
            Ok(prepared) => prepared,
            Err(refused) => return refused,
        };
        // What was written before is about to be overwritten: it can no longer be read back.
        for command in commands {
            self.supersede(command.point);
        }
        let mut failure: Option<String> = None;
        for batch in batches {
            if let Some(failure) = &failure {
                let outcome = Outcome::Failed(format!("not written, because before it {failure}"));
                set_outcomes(&mut items, &batch.items, &outcome);
                continue;
            }
            let masks = device.mask_write;
            match self
                .bus
                .write(device.unit, batch.write.clone(), masks)
                .await
            {
                Ok(Answer::Data(data)) => {
                    self.accept_exchange(&batch, &mut items, &data, out);
                }
                Ok(_) => {}
                Err(error) => {
                    let text = match &error {
                        BusError::Exception { .. }
                        | BusError::Connect { .. }
                        | BusError::Unsent { .. } => error.to_string(),
                        _ => format!("{error}; it may have taken effect"),
                    };
                    set_outcomes(&mut items, &batch.items, &Outcome::Failed(text));
                    failure = Some(error.to_string());
                }
            }
        }
        self.read_back_later(items)
    }

    /// A write to a point makes the read-back of an earlier one pointless.
    fn supersede(&mut self, point: usize) {
        for wait in &mut self.verifications {
            wait.settle(point, |value| Outcome::Done {
                value,
                readback: None,
            });
        }
        self.collect_finished();
    }

    /// Takes what function 23 read.
    fn accept_exchange(
        &mut self,
        batch: &Batch,
        items: &mut [Item],
        data: &Data,
        out: &mut Vec<Sample>,
    ) {
        let WriteRequest::Exchange { address, words } = &batch.write else {
            return;
        };
        let device = Arc::clone(&self.device);
        let points = batch.items.iter().filter_map(|place| items.get(*place));
        let request = ReadRequest {
            table: Table::Holding,
            address: *address,
            count: u16::try_from(words.len()).unwrap_or(u16::MAX),
            points: points.map(|item| item.point).collect(),
        };
        self.accept(&request, data, Timestamp::now(), out);
        for (point, value) in values(&device, &request, data) {
            for item in items.iter_mut().filter(|item| item.point == point) {
                item.outcome = Some(compared(item.value.clone(), value.clone().ok()));
            }
        }
    }

    fn read_back_later(&mut self, mut items: Vec<Item>) -> Begun {
        for item in items.iter_mut().filter(|item| item.outcome.is_none()) {
            let point = self.device.points.get(item.point);
            if point.is_some_and(|(_, point)| point.readback.is_none()) {
                item.outcome = Some(Outcome::Done {
                    value: item.value.clone(),
                    readback: None,
                });
            }
        }
        let left = items.iter().filter(|item| item.outcome.is_none());
        let points: Vec<usize> = left.map(|item| item.point).collect();
        let configs = points
            .iter()
            .filter_map(|point| self.device.points.get(*point));
        let longest = configs.filter_map(|(_, point)| point.readback).max();
        let verification = Verification {
            number: self.next_number,
            due: Instant::now() + longest.unwrap_or_default(),
            requests: plan(&self.device, &points, &self.breaks).into(),
            items,
        };
        if verification.is_over() {
            return Begun::Done(verification.outcomes());
        }
        self.next_number = self.next_number.wrapping_add(1);
        let number = verification.number;
        self.verifications.push(verification);
        Begun::Later(number)
    }

    /// Reads back one request of the writes at `place`.
    pub(super) async fn verify(
        &mut self,
        place: usize,
        out: &mut Vec<Sample>,
    ) -> Result<(), DriverError> {
        let device = Arc::clone(&self.device);
        let next = self
            .verifications
            .get_mut(place)
            .and_then(|wait| wait.requests.pop_front());
        let Some(request) = next else {
            // Nothing is left to ask, so what is not known will not be.
            let wait = self.verifications.remove(place);
            self.finished.push((wait.number, wait.outcomes()));
            return Ok(());
        };
        let retries = self.bus.config().retries;
        let answer = self
            .bus
            .read(device.unit, &request, Priority::Command, retries)
            .await;
        let mut result = Ok(());
        let settled: Vec<(usize, Settled)> = match answer {
            Ok(data) => {
                self.accept(&request, &data, Timestamp::now(), out);
                values(&device, &request, &data)
                    .map(|(point, value)| (point, Settled::Read(value.ok())))
                    .collect()
            }
            Err(BusError::Exception { exception, .. }) if exception.is_about_addresses() => {
                match (split(&device, &request), self.verifications.get_mut(place)) {
                    (Some((first, second)), Some(wait)) => {
                        wait.requests.push_front(second);
                        wait.requests.push_front(first);
                        Vec::new()
                    }
                    // There are registers that can only be written.
                    _ => all(&request, &Settled::Unreadable),
                }
            }
            Err(error) => {
                let text = format!("written, but not read back: {error}");
                if !matches!(&error, BusError::Exception { exception, .. } if !exception.is_silence())
                {
                    result = Err(error.into());
                }
                all(&request, &Settled::Failed(text))
            }
        };
        if let Some(wait) = self.verifications.get_mut(place) {
            for (point, settled) in settled {
                wait.settle(point, |value| match settled.clone() {
                    Settled::Read(readback) => compared(value, readback),
                    Settled::Unreadable => Outcome::Done {
                        value,
                        readback: None,
                    },
                    Settled::Failed(text) => Outcome::Failed(text),
                });
            }
        }
        self.collect_finished();
        result
    }

    fn collect_finished(&mut self) {
        let (over, left) = std::mem::take(&mut self.verifications)
            .into_iter()
            .partition(Verification::is_over);
        self.verifications = left;
        let over: Vec<Verification> = over;
        let finished = over.into_iter().map(|wait| (wait.number, wait.outcomes()));
        self.finished.extend(finished);
    }
}

/// What a read-back showed of one point.
#[derive(Clone)]
enum Settled {
    Read(Option<Value>),
    Unreadable,
    Failed(String),
}

fn all(request: &ReadRequest, settled: &Settled) -> Vec<(usize, Settled)> {
    let points = request.points.iter();
    points.map(|point| (*point, settled.clone())).collect()
}
