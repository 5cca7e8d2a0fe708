//! `monitor --modbus`: what others say on a serial line.

use fieldgate_bridge_modbus::config::SerialConfig;
use fieldgate_bridge_modbus::monitor::{Heard, Monitor, What, shown};
use fieldgate_field_line::Port;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::args;
use crate::output::print;
use crate::stop::Stop;
use std::time::Duration;

/// USB adapters deliver every 16 ms at worst.
const LATENCY: Duration = Duration::from_millis(20);
/// Read at once; a line delivers at most a few bytes each time.
const CHUNK: usize = 256;

/// Listens until it is interrupted.
///
/// # Errors
///
/// If the port cannot be opened, or goes away.
pub(crate) async fn monitor(args: &args::Monitor) -> Result<(), Stop> {
    let serial = SerialConfig::new(args.settings());
    let port = Port::open(&serial.port).await;
    let mut port = port.map_err(Stop::Device)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Stop::Other)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Stop::Other)?;
    let begun = Instant::now();
    let mut monitor = Monitor::new(serial.silence() + LATENCY, begun);
    print(&format!("listening on {serial}; end with Ctrl-C\n"));
    let mut bytes = [0; CHUNK];
    let result = loop {
        let deadline = monitor.deadline();
        let wake = deadline.unwrap_or(begun);
        let heard = tokio::select! {
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
            read = port.read(&mut bytes) => match read {
                Ok(0) => break Err(Stop::Device(format!("{}: the port has gone", serial.port.port))),
                Ok(length) => {
                    let bytes = bytes.get(..length).unwrap_or_default();
                    monitor.feed(bytes, Instant::now())
                }
                Err(error) => break Err(Stop::Device(format!("{}: {error}", serial.port.port))),
            },
            () = sleep_until(wake), if deadline.is_some() => monitor.silence(Instant::now()),
        };
        for heard in &heard {
            print(&line(heard, begun));
        }
    };
    let tally = monitor.tally();
    print(&format!(
        "{} requests, {} answers ({} exceptions), {} unanswered, {} answers without a request, \
         {} wrong CRCs, {} times noise\n",
        tally.requests,
        tally.answers,
        tally.exceptions,
        tally.unanswered,
        tally.strays,
        tally.wrong_crcs,
        tally.noises
    ));
    result
}

/// Time since the start, silence before, and what it is.
fn line(heard: &Heard, begun: Instant) -> String {
    let at = heard.at.saturating_duration_since(begun).as_secs_f64();
    let gap = heard.gap.map_or_else(String::new, |gap| {
        format!("+{:.1} ms", gap.as_secs_f64() * 1000.0)
    });
    let text = match &heard.what {
        What::Request { unit, request } => format!("> {}", request.describe(*unit)),
        What::Answer {
            unit,
            answer,
            after,
            ..
        } => {
            let said = match answer {
                Ok(Ok(answer)) => shown(answer),
                Ok(Err(exception)) => format!("exception {exception}"),
                Err(why) => format!("WRONG ANSWER: {why}"),
            };
            let millis = after.as_secs_f64() * 1000.0;
            format!("< unit {unit}: {said} (after {millis:.1} ms)")
        }
        What::Stray { unit, pdu } => format!("< unit {unit}, request not heard: {}", hex(pdu)),
        What::Unanswered { unit, request } => {
            format!("! NO ANSWER: {}", request.describe(*unit))
        }
        What::WrongCrc(bytes) => format!("! WRONG CRC: {}", hex(bytes)),
        What::Noise(bytes) => format!("! NOISE: {}", hex(bytes)),
    };
    format!("{at:10.3} {gap:>11}  {text}\n")
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(" ")
}
