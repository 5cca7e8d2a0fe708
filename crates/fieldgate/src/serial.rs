//! `monitor` for serial ports. What it prints is for a person at a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use fieldgate_bridge::DriverError;
use fieldgate_bridge_serial::bytes::{hex, shown};
use fieldgate_bridge_serial::frame::{FrameConfig, Framer};
use fieldgate_field_line::Port;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::args::{Framing, Monitor};
use crate::output::print;
use crate::stop::Stop;

/// The most bytes that are shown on a line.
const LINE: usize = 16;

fn device_error(error: DriverError) -> Stop {
    Stop::Device(error.to_string())
}

/// Shows what comes in, until it is interrupted.
///
/// # Errors
///
/// If the port cannot be opened or is lost.
pub(crate) async fn monitor(monitor: &Monitor) -> Result<(), Stop> {
    let config = monitor.settings();
    let frame = match monitor.frame {
        // What breaks off is shown with what comes next.
        Framing::Line => FrameConfig {
            gap: None,
            ..FrameConfig::lines()
        },
        Framing::Silence => FrameConfig::silence(Duration::from_millis(monitor.gap)),
    };
    let mut port = Port::open(&config).await.map_err(Stop::Device)?;
    print(&format!("{config}; end with Ctrl-C\n"));
    let mut framer = Framer::new(frame);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Stop::Other)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Stop::Other)?;
    let mut chunk = vec![0; 4096];
    let mut last = None;
    loop {
        let mut frames = Vec::new();
        // Longer than any caller waits, if no frame is underway.
        let far = Instant::now() + Duration::from_secs(3600);
        let silence = framer.deadline().map_or(far, Instant::from_std);
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            read = port.receive(&mut chunk) => {
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
