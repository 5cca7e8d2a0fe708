//! What `check` and `test` tell of GPIO devices, for a person at a terminal.

use std::fmt::Write as _;

use fieldgate_bridge::Tell;
use fieldgate_bridge::show::{counted, shown};
use fieldgate_model::Value;

use crate::{Backend, GpioConfig, Kernel, Kind, PointConfig, Seen, SimChip, probe};

/// How the gateway names itself to other programs, quoted as they are shown.
const OURS: &str = "\"fieldgate ";

/// The lines and channels of a device.
pub(crate) fn listed(device: &GpioConfig) -> Vec<String> {
    let chip = match (&device.chip, device.simulated) {
        (_, true) => " (simulated)".to_owned(),
        (Some(chip), false) => format!(" of {}", chip.escape_debug()),
        (None, false) => String::new(),
    };
    let points = device.points.iter();
    points
        .filter_map(|(name, point)| {
            let place = place(point)?;
            let key = point.kind.key();
            Some(format!("{}/{name}: {key} {place}{chip}", device.name))
        })
        .collect()
}

fn place(point: &PointConfig) -> Option<String> {
    match &point.kind {
        Kind::Pwm(pwm) => Some(pwm.channel.to_string()),
        kind => Some(kind.line()?.line.to_string()),
    }
}

/// Looks at one device and shows everything. Nothing is switched.
///
/// # Errors
///
/// If there are lines that a gateway could not have.
pub(crate) fn test(device: &GpioConfig, tell: &mut Tell<'_>) -> Result<(), String> {
    let simulated = SimChip::new();
    let (backend, way): (&dyn Backend, _) = match (&device.chip, device.simulated) {
        (_, true) => (&simulated, "simulated".to_owned()),
        (Some(chip), false) => (&Kernel, format!("chip {}", chip.escape_debug())),
        (None, false) => (&Kernel, "any chip".to_owned()),
    };
    let points = counted(device.points.len(), "point");
    tell(&format!("{}: {way}, {points}\n\n", device.name));
    let mut failed = Vec::new();
    for seen in probe(device, backend) {
        let Some((name, point)) = device.points.get(seen.point) else {
            continue;
        };
        let (text, is_failed) = describe(point, &seen);
        tell(&format!("    {name:<20} {:<5} {text}\n", point.kind.key()));
        if is_failed {
            failed.push(name.as_str());
        }
    }
    match failed.len() {
        0 => Ok(()),
        _ => Err(format!("the gateway could not have {}", failed.join(", "))),
    }
}

/// A point in words, and whether the gateway could not have it.
fn describe(point: &PointConfig, seen: &Seen) -> (String, bool) {
    let info = match &seen.line {
        Some(Ok(info)) => info,
        Some(Err(error)) => return (format!("FAILED: {error}"), true),
        None => {
            let text = match &point.kind {
                Kind::Pwm(pwm) => format!("channel {}; it is set, not read", pwm.channel),
                _ => "made of another point".to_owned(),
            };
            return (text, false);
        }
    };
    let place = place(point).unwrap_or_default();
    let way = if info.is_output { "output" } else { "input" };
    let mut text = format!("{place:<12} {} {:<3} {way:<6} ", info.chip, info.offset);
    if let Some(consumer) = &info.consumer {
        // Writing to a string does not fail.
        let _ = write!(text, " in use by {consumer}");
        return (text, !consumer.starts_with(OURS));
    }
    match &seen.level {
        Some(Ok(level)) => {
            let _ = write!(text, " {}", u8::from(*level));
            let label = point.labels.as_ref();
            if let Some(label) = label.and_then(|labels| labels.label(&Value::Bool(*level))) {
                let _ = write!(text, " {}", shown(label));
            }
            (text, false)
        }
        Some(Err(error)) => (format!("FAILED: {error}"), true),
        None => (text + " free", false),
    }
}
