//! How much of a serial line's time the periods of its devices ask for: an estimate. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use fieldgate_bridge::Poll;

use crate::config::{BusConfig, DeviceConfig, Transport};
use crate::plan::{Breaks, plan};

/// How long units think before they answer, if nothing is known of them: most take 2 to 20 ms.
pub const THINKS: Duration = Duration::from_millis(5);
/// Unit, function, address, count and CRC.
const REQUEST: u32 = 8;
/// Unit, function, number of bytes and CRC.
const ANSWER: u32 = 5;

/// What devices ask of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests of a round over all their points.
    pub requests: usize,
    /// How long such a round takes.
    pub round: Duration,
    /// The share of the line's time that their periods need; 1 is all of it.
    pub share: f64,
}

/// What `devices` ask of the line of `bus`, if every request is answered at once: silent units and
/// commands come on top. `None` without a serial line, whose speed would be known.
///
/// Characters have the bits that the port is set to. Points of different periods count as read
/// apart, which is a little too much where one period is a multiple of another.
pub fn load<'d>(
    bus: &BusConfig,
    devices: impl IntoIterator<Item = &'d DeviceConfig>,
) -> Option<Load> {
    let Transport::Serial(serial) = &bus.transport else {
        return None;
    };
    let cost = |device: &DeviceConfig, points: &[usize]| {
        let requests = plan(device, points, &Breaks::new());
        let time = |count: u16, is_bits: bool| {
            let count = u32::from(count);
            let data = if is_bits {
                count.div_ceil(8)
            } else {
                count * 2
            };
            serial.port.character() * (REQUEST + ANSWER + data) + bus.silence() + THINKS
        };
        let times = requests
            .iter()
            .map(|request| time(request.count, request.table.is_bits()));
        (requests.len(), times.sum::<Duration>())
    };
    let mut load = Load::default();
    for device in devices {
        let mut periods: BTreeMap<Poll, Vec<usize>> = BTreeMap::new();
        for (index, (_, point)) in device.points.iter().enumerate() {
            if let Some(poll) = point.poll {
                periods.entry(poll).or_default().push(index);
            }
        }
        let mut all: Vec<usize> = periods.values().flatten().copied().collect();
        all.sort_unstable();
        let (requests, round) = cost(device, &all);
        load.requests += requests;
        load.round += round;
        for (poll, points) in &periods {
            if let Poll::Every(period) = poll {
                load.share += cost(device, points).1.as_secs_f64() / period.get().as_secs_f64();
            }
        }
    }
    Some(load)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeviceEntry;
    use fieldgate_bridge::Defaults;

    #[test]
    fn a_round_is_its_characters_silences_and_thinking_and_a_share_counts_each_period() {
        let bus = |json: &str| serde_json::from_str::<BusConfig>(json).unwrap();
        let device = |points: &str| {
            let json = format!(r#"{{"bus": "b", "unit": 1, "points": {{{points}}}}}"#);
            let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
            entry.resolve("d", 1, None, &Defaults::default()).unwrap()
        };
        let even = r#"{"serial": {"port": "/p", "baud": 9600, "parity": "even"}}"#;
        let none = r#"{"serial": {"port": "/p", "baud": 115200}, "pause": "10ms"}"#;
        let one = r#""a": {"input": 0, "as": "u16"}"#;
        let many = r#""a": {"input": 0, "as": "string(250)"}, "b": {"coil": 0, "poll": "10s"},
            "c": {"coil": 8, "poll": "once"}"#;
        for (json, points, devices, requests, round, share) in [
            // 15 characters of 11 bits, 3.5 of silence, 5 ms: 17.19 + 4.01 + 5.
            (even, one, 1, 1, 26.2, 0.0262),
            (even, one, 40, 40, 1047.9, 1.0479),
            // 13 + 250, and 13 + 2 or 13 + 1 characters: 310.4, and 26.2 or 25.1 ms.
            (even, many, 1, 2, 336.6, 0.3104 + 0.00251),
            // 15 characters of 10 bits are 1.3 ms, and there is the pause.
            (none, one, 1, 1, 16.3, 0.0163),
        ] {
            let device = device(points);
            let got = load(&bus(json), std::iter::repeat_n(&device, devices)).unwrap();
            assert_eq!(got.requests, requests, "{points}");
            let millis = got.round.as_secs_f64() * 1000.0;
            assert!((millis - round).abs() < 0.1, "{points}: {millis} ms");
            assert!(
                (got.share - share).abs() < 0.0002,
                "{points}: {}",
                got.share
            );
        }
        let tcp = bus(r#"{"tcp": "a:1"}"#);
        assert_eq!(load(&tcp, [&device(one)]), None);
    }
}
