//! Writes: which requests they take, and what is read back afterwards.
//!
//! Nothing is written unless all of a command can be. Requests go out in the order of the
//! command; neighbours share one. After one that fails, the rest is not written.

use std::collections::VecDeque;

use fieldgate_bridge::Begun;
use fieldgate_model::{Command, Outcome, Value};
use tokio::time::Instant;

use crate::config::{DeviceConfig, PointConfig};
use crate::data::{ReadRequest, WriteRequest};
use crate::encode::encode;

/// One command, checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) point: usize,
    /// The value in the point's own type.
    pub(super) value: Value,
    /// What became of it, once that is known.
    pub(super) outcome: Option<Outcome>,
}

/// One request and the items that it writes, by their place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) write: WriteRequest,
    pub(super) items: Vec<usize>,
}

/// Writes that wait to be read back.
#[derive(Debug)]
pub(super) struct Verification {
    pub(super) number: u64,
    pub(super) due: Instant,
    pub(super) requests: VecDeque<ReadRequest>,
    pub(super) items: Vec<Item>,
}

impl Verification {
    /// Whether everything is known.
    pub(super) fn is_over(&self) -> bool {
        self.items.iter().all(|item| item.outcome.is_some())
    }

    /// The outcomes, one for each command.
    pub(super) fn outcomes(self) -> Vec<Outcome> {
        let unknown = || Outcome::Failed("written, but not read back".into());
        let items = self.items.into_iter();
        items
            .map(|item| item.outcome.unwrap_or_else(unknown))
            .collect()
    }

    /// Ends the wait for one point; `outcome` is told of what was written.
    pub(super) fn settle(&mut self, point: usize, outcome: impl Fn(Value) -> Outcome) {
        for item in &mut self.items {
            if item.point == point && item.outcome.is_none() {
                item.outcome = Some(outcome(item.value.clone()));
            }
        }
        let left: Vec<usize> = self
            .items
            .iter()
            .filter(|item| item.outcome.is_none())
            .map(|item| item.point)
            .collect();
        self.requests
            .retain(|request| request.points.iter().any(|point| left.contains(point)));
    }
}

/// Checks commands and decides on their requests.
///
/// # Errors
///
/// One outcome for each command if one of them cannot be written; nothing is written then.
pub(super) fn prepare(
    device: &DeviceConfig,
    commands: &[Command],
) -> Result<(Vec<Item>, Vec<Batch>), Begun> {
    let encoded: Vec<Result<(WriteRequest, Value), String>> = commands
        .iter()
        .map(|command| match device.points.get(command.point) {
            Some((_, point)) => encode(point, &command.value),
            None => Err("no such point".into()),
        })
        .collect();
    if let Some(bad) = encoded.iter().position(Result::is_err) {
        let name = commands
            .get(bad)
            .and_then(|command| device.points.get(command.point))
            .map_or("a point", |(name, _)| name.as_str());
        let outcomes = encoded.into_iter().map(|encoded| {
            Outcome::Failed(match encoded {
                Ok(_) => format!("not written, because `{name}` was refused"),
                Err(error) => error,
            })
        });
        return Err(Begun::Done(outcomes.collect()));
    }
    let mut items = Vec::new();
    let mut batches: Vec<Batch> = Vec::new();
    for (command, (write, value)) in commands.iter().zip(encoded.into_iter().flatten()) {
        let place = items.len();
        items.push(Item {
            point: command.point,
            value,
            outcome: None,
        });
        let joined = batches.last().and_then(|last| join(&last.write, &write));
        match (joined, batches.last_mut()) {
            (Some(write), Some(last)) => {
                last.write = write;
                last.items.push(place);
            }
            _ => batches.push(Batch {
                write,
                items: vec![place],
            }),
        }
    }
    for batch in &mut batches {
        exchange(device, &items, batch);
    }
    Ok((items, batches))
}

/// The most registers and coils of one write.
const REGISTERS_MAX: usize = 123;
const COILS_MAX: usize = 1968;
/// The most registers that function 23 writes.
const EXCHANGE_MAX: usize = 121;

/// One request instead of two, if the second goes on where the first ends, or the other way round.
fn join(first: &WriteRequest, second: &WriteRequest) -> Option<WriteRequest> {
    match (first, second) {
        (
            WriteRequest::Registers { address, words },
            WriteRequest::Registers {
                address: next,
                words: more,
            },
        ) => {
            let (address, words) = adjoin((*address, words), (*next, more), REGISTERS_MAX)?;
            Some(WriteRequest::Registers { address, words })
        }
        (
            WriteRequest::Mask {
                address,
                mask,
                bits,
            },
            WriteRequest::Mask {
                address: next,
                mask: more,
                bits: on,
            },
        ) if address == next && mask & more == 0 => Some(WriteRequest::Mask {
            address: *address,
            mask: mask | more,
            bits: bits & mask | on & more,
        }),
        _ => {
            let (first, second) = (coils(first)?, coils(second)?);
            let (address, bits) = adjoin((first.0, &first.1), (second.0, &second.1), COILS_MAX)?;
            Some(WriteRequest::Coils { address, bits })
        }
    }
}

fn coils(write: &WriteRequest) -> Option<(u16, Vec<bool>)> {
    match write {
        WriteRequest::Coil { address, on } => Some((*address, vec![*on])),
        WriteRequest::Coils { address, bits } => Some((*address, bits.clone())),
        _ => None,
    }
}

fn adjoin<T: Clone>(
    first: (u16, &Vec<T>),
    second: (u16, &Vec<T>),
    most: usize,
) -> Option<(u16, Vec<T>)> {
    let ends_at = |(address, values): (u16, &Vec<T>), at: u16| {
        usize::from(address) + values.len() == usize::from(at)
    };
    let (low, high) = if ends_at(first, second.0) {
        (first, second)
    } else if ends_at(second, first.0) {
        (second, first)
    } else {
        return None;
    };
    let values: Vec<T> = low.1.iter().chain(high.1).cloned().collect();
    (values.len() <= most).then_some((low.0, values))
}

/// Reads back with the same request, where the device is said to know how and nothing has to be
/// waited for.
fn exchange(device: &DeviceConfig, items: &[Item], batch: &mut Batch) {
    let is_prompt = batch.items.iter().all(|place| {
        let point = items.get(*place).and_then(|item| point(device, item));
        point.is_some_and(|point| point.readback.is_some_and(|after| after.is_zero()))
    });
    if let WriteRequest::Registers { address, words } = &batch.write
        && device.read_write
        && is_prompt
        && words.len() <= EXCHANGE_MAX
    {
        batch.write = WriteRequest::Exchange {
            address: *address,
            words: words.clone(),
        };
    }
}

fn point<'d>(device: &'d DeviceConfig, item: &Item) -> Option<&'d PointConfig> {
    device.points.get(item.point).map(|(_, point)| point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeviceEntry;
    use fieldgate_bridge::Defaults;

    const POINTS: &str = r#"
        "r0": {"holding": 0, "as": "u16", "write": {"max": 9}},
        "r1": {"holding": 1, "as": "u32", "write": true},
        "r3": {"holding": 3, "as": "u16", "write": true, "readback": "1s"},
        "r9": {"holding": 9, "as": "u16", "write": true},
        "b0": {"holding": 20, "as": "bit(0)", "write": true},
        "b1": {"holding": 20, "as": "bit(1)", "write": true},
        "c0": {"coil": 0, "write": true},
        "c1": {"coil": 1, "write": true},
        "no": {"input": 0, "as": "u16"}"#;

    fn device(layout: &str) -> DeviceConfig {
        let json =
            format!(r#"{{"bus": "b", "unit": 1, "modbus": {{{layout}}}, "points": {{{POINTS}}}}}"#);
        let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
        entry.resolve("d", 1, None, &Defaults::default()).unwrap()
    }

    fn commands(device: &DeviceConfig, writes: &[(&str, &str)]) -> Vec<Command> {
        let writes = writes.iter().map(|(name, value)| Command {
            point: device
                .points
                .iter()
                .position(|(other, _)| other == name)
                .unwrap(),
            value: fieldgate_model::parse_command_value(value.as_bytes()).unwrap(),
        });
        writes.collect()
    }

    fn batches(layout: &str, writes: &[(&str, &str)]) -> Vec<String> {
        let device = device(layout);
        let (_, batches) = prepare(&device, &commands(&device, writes)).unwrap();
        batches
            .iter()
            .map(|batch| match &batch.write {
                WriteRequest::Coil { address, on } => format!("coil {address} {on}"),
                WriteRequest::Coils { address, bits } => format!("coils {address} {bits:?}"),
                WriteRequest::Registers { address, words } => format!("{address} {words:?}"),
                WriteRequest::Exchange { address, words } => format!("rw {address} {words:?}"),
                WriteRequest::Mask {
                    address,
                    mask,
                    bits,
                } => {
                    format!("mask {address} {mask:x} {bits:x}")
                }
            })
            .collect()
    }

    #[test]
    fn neighbours_share_a_request_and_the_order_is_kept() {
        for (layout, writes, want) in [
            ("", vec![("r0", "7")], vec!["0 [7]"]),
            (
                "",
                vec![("r0", "7"), ("r1", "65538"), ("r3", "5")],
                vec!["0 [7, 1, 2, 5]"],
            ),
            ("", vec![("r1", "2"), ("r0", "7")], vec!["0 [7, 0, 2]"]),
            (
                "",
                vec![("r0", "7"), ("r9", "1"), ("r1", "2")],
                vec!["0 [7]", "9 [1]", "1 [0, 2]"],
            ),
            (
                "",
                vec![("c1", "1"), ("c0", "0"), ("r0", "1")],
                vec!["coils 0 [false, true]", "0 [1]"],
            ),
            ("", vec![("c1", "1")], vec!["coil 1 true"]),
            ("", vec![("b0", "1"), ("b1", "0")], vec!["mask 20 3 1"]),
            (
                "\"read_write\": true",
                vec![("r0", "7"), ("r9", "1")],
                vec!["rw 0 [7]", "rw 9 [1]"],
            ),
            // What takes effect later is read back later.
            ("\"read_write\": true", vec![("r3", "7")], vec!["3 [7]"]),
        ] {
            assert_eq!(batches(layout, &writes), want, "{writes:?}");
        }
    }

    #[test]
    fn nothing_is_written_unless_all_can_be() {
        let device = device("");
        for (writes, want) in [
            (
                vec![("r1", "1"), ("r0", "10")],
                vec![
                    "not written, because `r0` was refused",
                    "10 is outside the limits ..=9",
                ],
            ),
            (
                vec![("no", "1"), ("r0", "x")],
                vec!["the point is read-only", "expected a number, got `x`"],
            ),
        ] {
            let Err(Begun::Done(outcomes)) = prepare(&device, &commands(&device, &writes)) else {
                panic!("{writes:?}");
            };
            let want: Vec<_> = want
                .into_iter()
                .map(|text| Outcome::Failed(text.into()))
                .collect();
            assert_eq!(outcomes, want);
        }
    }
}
