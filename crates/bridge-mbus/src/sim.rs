//! Simulated meters: several on one line, whose values move. A state machine without I/O, and
//! what serves it on a line or behind a TCP port.

mod mapping;
mod meter;
mod serve;

use std::time::Duration;

use crate::address::{Address, SELECTED};
use crate::config::MbusConfig;
use crate::link::{FCB, Frame, Framer, REQ_UD2, SND_NKE, SND_UD};
pub use meter::{SimCoding, SimMeter, SimRecord};
pub use serve::{SimServer, serve};

/// The meters of one line.
#[derive(Debug, Default)]
pub struct SimLine {
    meters: Vec<State>,
    framer: Framer,
    /// The line gives back what is sent on it, as some level converters do.
    pub echoes: bool,
}

#[derive(Debug)]
struct State {
    meter: SimMeter,
    is_selected: bool,
    /// The frame count bit of the last request.
    count_bit: Option<u8>,
    /// The telegram that is told next.
    next: usize,
    access: u8,
    /// What it said last, for a request that is repeated.
    last: Option<Vec<u8>>,
}

/// Addresses that all meters hear: with an answer, and without.
const TEST: u8 = 254;
const ALL: u8 = 255;

impl SimLine {
    /// A line with these meters.
    pub fn new(meters: Vec<SimMeter>) -> Self {
        let state = |meter| State {
            meter,
            is_selected: false,
            count_bit: None,
            next: 0,
            access: 0,
            last: None,
        };
        Self {
            meters: meters.into_iter().map(state).collect(),
            framer: Framer::default(),
            echoes: false,
        }
    }

    /// A line with a meter for each of these devices: it sends what the points of the device
    /// choose. Devices that share an address share a meter.
    pub fn of(devices: &[&MbusConfig]) -> Self {
        let mut meters: Vec<SimMeter> = Vec::new();
        for (number, device) in (1..).zip(devices) {
            let meter = mapping::meter(device, number);
            let is_same = |other: &&mut SimMeter| match device.address {
                Address::Primary(address) => other.address == address,
                Address::Secondary(mask) => mask.matches(other.secondary),
            };
            match meters.iter_mut().find(is_same) {
                Some(other) => other.share(meter),
                None => meters.push(meter),
            }
        }
        Self::new(meters)
    }

    /// A meter, to change it.
    pub fn meter(&mut self, index: usize) -> Option<&mut SimMeter> {
        self.meters.get_mut(index).map(|state| &mut state.meter)
    }

    /// Takes what was sent, `now` after the start. Returns what comes back, and how long after
    /// the request: more than one answer at once garbles them.
    pub fn take(&mut self, bytes: &[u8], now: Duration) -> Vec<(Duration, Vec<u8>)> {
        let mut requests = Vec::new();
        self.framer.feed(bytes, &mut requests);
        let mut said = Vec::new();
        for request in requests {
            if self.echoes {
                said.push((Duration::ZERO, request.encode()));
            }
            let answers: Vec<_> = self
                .meters
                .iter_mut()
                .filter_map(|state| state.answer(&request, now))
                .collect();
            said.extend(together(answers));
        }
        said
    }
}

/// Answers that come at the same time are on the line as one: a space of any is a space of all.
fn together(answers: Vec<(Duration, Vec<u8>)>) -> Vec<(Duration, Vec<u8>)> {
    let mut said: Vec<(Duration, Vec<u8>)> = Vec::new();
    for (delay, bytes) in answers {
        match said.iter_mut().find(|(other, _)| *other == delay) {
            None => said.push((delay, bytes)),
            Some((_, mixed)) => {
                for (place, byte) in bytes.into_iter().enumerate() {
                    match mixed.get_mut(place) {
                        Some(other) => *other &= byte,
                        None => mixed.push(byte),
                    }
                }
            }
        }
    }
    said.sort_by_key(|(delay, _)| *delay);
    said
}

impl State {
    fn answer(&mut self, request: &Frame, now: Duration) -> Option<(Duration, Vec<u8>)> {
        if self.meter.is_dead {
            return None;
        }
        let bytes = match request {
            Frame::Short { control, address } if self.hears(*address) => match control & !FCB {
                SND_NKE => {
                    self.count_bit = None;
                    self.next = 0;
                    self.is_selected &= *address != SELECTED;
                    Some(Frame::Ack.encode())
                }
                REQ_UD2 => Some(self.readings(control & FCB, now)),
                _ => None,
            },
            Frame::Long {
                control,
                address: SELECTED,
                ci: 0x52,
                data,
            } if control & !FCB == SND_UD => {
                let mask = data.first_chunk::<8>()?;
                let mask = crate::address::Secondary::from_bytes(*mask);
                self.is_selected = mask.matches(self.meter.secondary);
                self.count_bit = None;
                self.next = 0;
                self.is_selected.then(|| Frame::Ack.encode())
            }
            _ => None,
        }?;
        if self.meter.loses > 0 {
            self.meter.loses -= 1;
            return None;
        }
        let is_to_all = matches!(request, Frame::Short { address: ALL, .. });
        (!is_to_all).then_some((self.meter.delay, bytes))
    }

    fn hears(&self, address: u8) -> bool {
        match address {
            TEST | ALL => true,
            SELECTED => self.is_selected,
            address => address == self.meter.address,
        }
    }

    /// A request with the same frame count bit as the last one asks for the same telegram.
    fn readings(&mut self, count_bit: u8, now: Duration) -> Vec<u8> {
        if self.count_bit == Some(count_bit)
            && let Some(last) = &self.last
        {
            return last.clone();
        }
        let telegrams = self.meter.telegrams.len();
        let telegram = self.next.min(telegrams.saturating_sub(1));
        let bytes = self.meter.telegram(telegram, self.access, now).encode();
        self.access = self.access.wrapping_add(1);
        self.next = if telegram + 1 < telegrams {
            telegram + 1
        } else {
            0
        };
        self.count_bit = Some(count_bit);
        self.last = Some(bytes.clone());
        bytes
    }
}

#[cfg(test)]
mod tests;
