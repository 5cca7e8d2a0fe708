//! What `test` tells of serial devices, for a person at a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use fieldgate_bridge::show::{counted, shown as shown_value};
use fieldgate_bridge::{DriverError, Tell, Untested};

use crate::bytes::{hex, shown};
use crate::{Probe, Seen, SerialConfig, probe};

/// How long a device that is not asked is listened to, if it does not say itself.
const LISTEN: Duration = Duration::from_secs(10);
/// The most bytes that are shown on a line.
const LINE: usize = 16;

/// Looks at one device and shows everything.
///
/// # Errors
///
/// If the port cannot be opened, or points were not seen.
pub(crate) async fn test(device: &SerialConfig, tell: &mut Tell<'_>) -> Result<(), Untested> {
    let listen = device.timeout.unwrap_or(LISTEN);
    let way = match device.requests.len() {
        0 => format!("listening for {listen:?} at most"),
        count => counted(count, "request"),
    };
    tell(&format!(
        "{}: {}, {}, {way}\n",
        device.name,
        device.port,
        counted(device.points.len(), "point")
    ));
    let probe = probe(device.clone(), listen).await.map_err(device_error)?;
    tell(&account(device, &probe));
    match probe.missing.len() {
        0 => Ok(()),
        _ => {
            let points = probe
                .missing
                .iter()
                .filter_map(|index| device.points.get(*index));
            let names: Vec<&str> = points.map(|(name, _)| name.as_str()).collect();
            Err(Untested::Device(format!(
                "nothing was seen of {}",
                names.join(", ")
            )))
        }
    }
}

fn device_error(error: DriverError) -> Untested {
    Untested::Device(error.to_string())
}

/// The frames, and below each what it says about points.
fn account(device: &SerialConfig, probe: &Probe) -> String {
    let mut text = String::new();
    let mut asked = None;
    for seen in &probe.seen {
        if seen.request != asked {
            asked = seen.request;
            if let Some(request) = asked.and_then(|index| device.requests.get(index)) {
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "\nrequest {} \"{}\"",
                    request.name,
                    shown(&request.send)
                );
            }
        }
        describe(&mut text, device, seen);
    }
    let counts = &probe.counts;
    let _ = writeln!(text, "\n{} bytes, {} frames", counts.bytes, counts.frames);
    let faults = counts.faults();
    if !faults.is_empty() {
        let _ = writeln!(text, "not usable: {faults}");
    }
    if counts.bytes == 0 {
        text.push_str(
            "Nothing came: is it the right port, the right baud rate, are the wires crossed?\n",
        );
    } else if counts.frames == 0 {
        let _ = writeln!(
            text,
            "No frame ended ({} bytes wait for their end): does `frame` fit? `fieldgate monitor {}` shows what comes.",
            probe.rest, device.port.port
        );
    }
    text
}

fn describe(text: &mut String, device: &SerialConfig, seen: &Seen) {
    let millis = seen.after.as_secs_f64() * 1000.0;
    let _ = writeln!(text, "\n{millis:9.1} ms  \"{}\"", shown(&seen.frame));
    for line in seen.frame.chunks(LINE) {
        let _ = writeln!(text, "              {}", hex(line));
    }
    if let Some(why) = &seen.unfit {
        let _ = writeln!(text, "    does not fit: {why}");
    } else if seen.values.is_empty() {
        text.push_str("    fits, and says nothing about any point\n");
    }
    for (index, value) in &seen.values {
        let Some((name, point)) = device.points.get(*index) else {
            continue;
        };
        let unit = point.unit.as_deref().unwrap_or_default();
        let (value, quality) = match value {
            Ok(value) => (shown_value(value), "good".to_owned()),
            Err(error) => ("-".to_owned(), format!("bad: {error}")),
        };
        let _ = writeln!(text, "    {name:<20} {value:>20} {unit:<6} {quality}");
    }
}
