//! Commands: outputs are switched, channels set, counters preset.

use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::Period;
use fieldgate_model::{Command, Decimal, Outcome, Sample, Value};

use super::outputs::Failure;
use super::{GpioSession, State, switch_value};
use crate::config::{CountConfig, Kind, PointConfig, PwmConfig};
use crate::handover::Channel;
use crate::output_states::{Refusal, Wanted};

impl GpioSession {
    pub(super) async fn command(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        let config = Arc::clone(&self.config);
        let Some((_, point)) = config.points.get(command.point) else {
            return Outcome::Failed("no such point".to_owned());
        };
        let done = match &point.kind {
            Kind::Out(_) => self.switch(command.point, point, &command.value),
            Kind::Pwm(pwm) => self.set_duty(command.point, pwm, &command.value).await,
            Kind::Count(count) if count.write => self.preset(command.point, count, &command.value),
            _ => Err("the point is read-only".to_owned()),
        };
        self.counts.change(|counts| match &done {
            Ok(_) => counts.commands += 1,
            Err(_) => counts.refused += 1,
        });
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(error) => return Outcome::Failed(error),
        };
        if let Err(error) = self.tell(command.point, out) {
            self.lost = Some(error);
        }
        outcome
    }

    fn switch(
        &mut self,
        index: usize,
        point: &PointConfig,
        value: &Value,
    ) -> Result<Outcome, String> {
        let wanted = wanted(point, value)?;
        let (step, level) = match self.outputs.switch(index, wanted) {
            Ok(switched) => switched,
            Err(Failure::Refused(refusal)) => return Err(self.refusal(refusal)),
            Err(Failure::Line(error)) => {
                let text = error.to_string();
                self.lost = Some(super::lost(error));
                return Err(text);
            }
        };
        let value = switch_value(point, step.level);
        let readback = Some(switch_value(point, level));
        Ok(match level == step.level {
            true => Outcome::Done { value, readback },
            false => Outcome::Mismatch { value, readback },
        })
    }

    fn refusal(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Interlocked(other) => {
                let other = self.config.points.get(other);
                let other = other.map_or("", |(name, _)| name.as_str());
                format!("interlocked: \"{other}\" is on")
            }
            Refusal::TooLong(max) => format!("longer than pulse_max, {max:?}"),
            Refusal::Unknown => "no such output".to_owned(),
        }
    }

    async fn set_duty(
        &mut self,
        index: usize,
        pwm: &PwmConfig,
        value: &Value,
    ) -> Result<Outcome, String> {
        let limits = Decimal::ZERO..=Decimal::from(100);
        let duty = value.to_decimal().filter(|duty| limits.contains(duty));
        let duty =
            duty.ok_or_else(|| format!("expected a duty of 0 to 100 percent, found {value}"))?;
        let percent = duty.to_f64();
        let Some(State::Pwm(channel)) = self.states.get_mut(index) else {
            return Err("no such channel".to_owned());
        };
        let set = match channel {
            Some(channel) => channel.set(percent),
            None => Channel::take(&self.backend, pwm, percent)
                .await
                .map(|taken| *channel = Some(taken)),
        };
        set.map_err(|error| error.to_string())?;
        Ok(Outcome::Done {
            value: Value::Decimal(duty),
            readback: None,
        })
    }

    /// Sets a count. It must be a whole number of pulses.
    fn preset(
        &mut self,
        index: usize,
        count: &CountConfig,
        value: &Value,
    ) -> Result<Outcome, String> {
        let number = value.to_decimal();
        let number = number.ok_or_else(|| format!("expected a number, found {value}"))?;
        let pulses = number.checked_div_whole(count.scale);
        let pulses = pulses.ok_or_else(|| format!("{number} is between two counts"))?;
        let total = u64::try_from(pulses).map_err(|_| format!("{number} is out of range"))?;
        let Some(State::Counter { counter, .. }) = self.states.get_mut(index) else {
            return Err("no such counter".to_owned());
        };
        counter.preset(total);
        // What was counted before does not matter any more.
        if let Some((name, _)) = self.config.points.get(index) {
            self.owed.remove(name);
        }
        // It is kept at the next occasion, and that is soon.
        if let Some((due, _)) = &mut self.save {
            *due = tokio::time::Instant::now();
        }
        Ok(Outcome::Done {
            value: Value::Decimal(number),
            readback: Some(Value::Decimal(number)),
        })
    }
}

/// What a client wants of an output: a switch, a name of the `enum`, or a pulse.
fn wanted(point: &PointConfig, value: &Value) -> Result<Wanted, String> {
    if let Value::Object(members) = value {
        return pulse(point, members).map(Wanted::Pulse);
    }
    let meant = point.labels.as_ref().and_then(|labels| labels.meant(value));
    let raw = meant.map_or(value, |(raw, _)| raw);
    match raw.to_switch() {
        Some(true) => Ok(Wanted::On),
        Some(false) => Ok(Wanted::Off),
        None => Err(format!("expected 0, 1 or a pulse, found {value}")),
    }
}

fn pulse(point: &PointConfig, members: &[(String, Option<Value>)]) -> Result<Duration, String> {
    let mut length = None;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("pulse", Some(Value::Text(text))) => length = Period::parse(text).map(Period::get),
            ("value", Some(value)) if wanted(point, value) == Ok(Wanted::On) => {}
            ("value", _) => return Err("a pulse switches on: its value can only be 1".to_owned()),
            _ => {}
        }
    }
    length.ok_or_else(|| "pulse: expected a time such as \"500ms\" or \"2s\"".to_owned())
}
