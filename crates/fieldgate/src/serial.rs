//! `test` and `monitor` for serial ports. What they print is for a person at a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use fieldgate_bridge::DriverError;
use fieldgate_bridge_serial::bytes::{hex, shown};
use fieldgate_bridge_serial::config::Parity;
use fieldgate_bridge_serial::frame::{FrameConfig, Framer};
use fieldgate_bridge_serial::{Port, PortConfig, Probe, Seen, SerialConfig, probe};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::args::{self, Framing, Monitor};
use crate::commands::{counted, print, shown as shown_value};
use crate::stop::Stop;

/// How long a device that nobody asks is listened to, if it does not say itself.
const LISTEN: Duration = Duration::from_secs(10);
/// The most bytes that are shown on a line.
const LINE: usize = 16;

/// Looks at one device and shows everything.
///
/// # Errors
///
/// If the port cannot be opened, or points were not seen.
pub(crate) async fn test(device: &SerialConfig) -> Result<(), Stop> {
    let listen = device.timeout.unwrap_or(LISTEN);
    let way = match device.requests.len() {
        0 => format!("listening for {listen:?} at most"),
        count => counted(count, "request"),
    };
    print(&format!(
        "{}: {}, {}, {way}\n",
        device.name,
        settings(&device.port),
        counted(device.points.len(), "point")
    ));
    let probe = probe(device.clone(), listen).await.map_err(device_error)?;
    print(&account(device, &probe));
    match probe.missing.len() {
        0 => Ok(()),
        _ => {
            let points = probe
                .missing
                .iter()
                .filter_map(|index| device.points.get(*index));
            let names: Vec<&str> = points.map(|(name, _)| name.as_str()).collect();
            Err(Stop::Device(format!(
                "nothing was seen of {}",
                names.join(", ")
            )))
        }
    }
}

fn device_error(error: DriverError) -> Stop {
    Stop::Device(error.to_string())
}

fn settings(port: &PortConfig) -> String {
    let parity = match port.parity {
        Parity::None => 'N',
        Parity::Even => 'E',
        Parity::Odd => 'O',
        Parity::Mark => 'M',
        Parity::Space => 'S',
    };
    let PortConfig {
        port,
        baud,
        data_bits,
        stop_bits,
        ..
    } = port;
    format!("{port} at {baud} baud {data_bits}{parity}{stop_bits}")
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

/// Shows what comes in, until it is interrupted.
///
/// # Errors
///
/// If the port cannot be opened or is lost.
pub(crate) async fn monitor(monitor: &Monitor) -> Result<(), Stop> {
    let path = monitor.port.to_string_lossy();
    let config = PortConfig {
        data_bits: monitor.data_bits,
        stop_bits: monitor.stop_bits,
        parity: match monitor.parity {
            args::Parity::None => Parity::None,
            args::Parity::Even => Parity::Even,
            args::Parity::Odd => Parity::Odd,
        },
        ..PortConfig::new(path, monitor.baud)
    };
    let frame = match monitor.frame {
        // What breaks off is shown with what comes next.
        Framing::Line => FrameConfig {
            gap: None,
            ..FrameConfig::lines()
        },
        Framing::Silence => FrameConfig::silence(Duration::from_millis(monitor.gap)),
    };
    let port = Port::open(&config).map_err(device_error)?;
    print(&format!("{}; end with Ctrl-C\n", settings(&config)));
    let mut framer = Framer::new(frame);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Stop::Other)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Stop::Other)?;
    let mut chunk = vec![0; 4096];
    let mut last = None;
    loop {
        let mut frames = Vec::new();
        // Longer than anybody waits, if no frame is underway.
        let far = Instant::now() + Duration::from_secs(3600);
        let silence = framer.deadline().map_or(far, Instant::from_std);
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            read = port.read(&mut chunk) => {
                let count = read.map_err(device_error)?;
                let bytes = chunk.get(..count).unwrap_or_default();
                framer.feed(bytes, Instant::now().into_std(), &mut frames);
            }
            () = sleep_until(silence) => framer.tick(Instant::now().into_std(), &mut frames),
        }
        for frame in frames {
            print(&frame_text(&frame, &mut last));
        }
    }
    let rejected = framer.rejected();
    let faults = rejected.iter().filter(|(_, count)| *count > 0);
    let faults: Vec<String> = faults
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if !faults.is_empty() {
        print(&format!("not shown: {}\n", faults.join(", ")));
    }
    Ok(())
}

/// A frame with the time when it was complete, and how long after the one before.
fn frame_text(frame: &[u8], last: &mut Option<Instant>) -> String {
    let now = Instant::now();
    let since = last
        .replace(now)
        .map(|last| now.duration_since(last).as_secs_f64() * 1000.0);
    let since = since
        .map(|millis| format!(" +{millis:.1} ms"))
        .unwrap_or_default();
    let mut text = format!(
        "{:.3}{since}, {} bytes: \"{}\"\n",
        Timestamp::now(),
        frame.len(),
        shown(frame)
    );
    for line in frame.chunks(LINE) {
        let _ = writeln!(text, "    {}", hex(line));
    }
    text
}
