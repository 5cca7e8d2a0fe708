//! What became of a command, as an event.

use fieldgate_model::{Outcome, Value};
use jiff::Timestamp;

use super::{Event, Kind};

impl Event {
    /// A command to a point of a device. `value` is what was asked for; what was written in its place is told.
    pub fn command(at: Timestamp, (device, point): (&str, &str), value: &Value) -> Self {
        let event = Self::new(Kind::Command, at).of(device).named(point);
        event.with(&value.to_string())
    }

    /// The same with what became of it.
    #[must_use]
    pub fn ended(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done { value, readback } => {
                let event = self.with(&value.to_string());
                match readback {
                    Some(readback) if readback != value => {
                        event.saying(&format!("read back {readback}"))
                    }
                    _ => event,
                }
            }
            Outcome::Mismatch { value, readback } => {
                let holds = readback.as_ref().map(Value::to_string);
                let holds = holds.unwrap_or_else(|| "nothing that can be read".to_owned());
                self.failed(&format!("the device accepted {value} but holds {holds}"))
            }
            Outcome::Failed(why) => self.failed(why),
        }
    }

    /// The same, refused or failed.
    #[must_use]
    pub fn failed(self, why: &str) -> Self {
        let kind = Kind::CommandFailed;
        Self { kind, ..self }.saying(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_what_was_written_or_why_not() {
        let number = |text: &str| Value::Decimal(text.parse().unwrap());
        let done = |readback| Outcome::Done {
            value: number("66"),
            readback,
        };
        let mismatch = |readback| Outcome::Mismatch {
            value: number("66"),
            readback,
        };
        for (outcome, want) in [
            (done(None), ("command", "66", "")),
            (done(Some(number("66"))), ("command", "66", "")),
            (
                done(Some(number("65.5"))),
                ("command", "66", "read back 65.5"),
            ),
            (
                mismatch(Some(number("7"))),
                (
                    "command_failed",
                    "65.7",
                    "the device accepted 66 but holds 7",
                ),
            ),
            (
                mismatch(None),
                (
                    "command_failed",
                    "65.7",
                    "the device accepted 66 but holds nothing that can be read",
                ),
            ),
            (
                Outcome::Failed("busy\u{7}".to_owned()),
                ("command_failed", "65.7", "busy\u{7}"),
            ),
        ] {
            let event = Event::command(
                Timestamp::UNIX_EPOCH,
                ("boiler", "setpoint"),
                &number("65.7"),
            );
            let event = event.ended(&outcome);
            let found = (event.kind.name(), &*event.value, &*event.text);
            assert_eq!(found, want);
            assert_eq!((&*event.device, &*event.name), ("boiler", "setpoint"));
        }
    }
}
