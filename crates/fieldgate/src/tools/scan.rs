//! `scan`: which units of a bus answer, and what they are.

use std::io::{self, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use fieldgate_bridge::Search;
use fieldgate_bridge_modbus::wire::pdu::Answer;
use fieldgate_bridge_modbus::{BusConfig, BusError, Buses, Data, Table, Transport};
use fieldgate_config::kinds::Kind;
use fieldgate_config::{self as config, Config};

use super::Line;
use fieldgate_field_line::Parity;

use crate::args::Scan;
use crate::control::Ask;
use crate::control::client::Client;
use crate::kinds::KINDS;
use crate::output::print;
use crate::stop::Stop;

const BAR: usize = 24;
/// Modbus units that can answer.
pub(crate) const UNITS: RangeInclusive<u8> = 1..=247;
/// Primary addresses of M-Bus meters.
const ADDRESSES: RangeInclusive<u8> = 0..=250;
/// How long a unit may take to answer, in milliseconds, if the command does not say it.
const TIMEOUT: u32 = 300;

/// Asks every unit for a register, and those that answer for what they are.
///
/// # Errors
///
/// Those of the command line, and of a bus that cannot be opened.
pub(crate) async fn scan(scan: &Scan) -> Result<(), Stop> {
    let config = config::load(&scan.on.config, KINDS)
        .map_err(Stop::Config)?
        .config;
    let on = &scan.on;
    let bus = config.buses.get(&on.bus);
    if let Some(kind) =
        bus.and_then(|bus| KINDS.find(bus.kind).filter(|_| bus.of::<Buses>().is_none()))
    {
        return search(kind, &config, scan).await;
    }
    let units = units(scan.units.as_deref().unwrap_or("1-247"), UNITS);
    let units = units.map_err(|why| Stop::Usage(format!("--units: {why}")))?;
    let mut line = Line::open(&on.config, &config, &on.bus, on.control.as_deref()).await?;
    let ways = ways(&line.config, scan).map_err(Stop::Usage)?;
    if line.is_gateways() && ways != [line.config.clone()] {
        return Err(Stop::Usage(format!(
            "bus {} is in use by the running gateway with its own baud rate and parity; stop the \
             gateway to try others (`systemctl stop fieldgate`)",
            scan.on.bus
        )));
    }
    let is_terminal = io::stderr().is_terminal();
    let mut progress = Progress::new(units.len() * ways.len(), Instant::now());
    let mut found = 0;
    let limit = scan.timeout.unwrap_or(TIMEOUT);
    let own = line.config.clone();
    for config in &ways {
        if *config != own || ways.len() > 1 {
            line = line.reopen(config.clone()).await;
        }
        print(&format!(
            "bus {} ({}): asking {} units, {limit} ms each\n",
            scan.on.bus,
            line.way,
            units.len()
        ));
        for unit in &units {
            if is_terminal {
                show(&progress.text(*unit, Instant::now()));
            }
            let told = look(&mut line, *unit, limit).await;
            if is_terminal {
                show("");
            }
            match told {
                Ok(Some((is_unit, text))) => {
                    found += u32::from(is_unit);
                    print(&format!("unit {unit}: {text}\n"));
                }
                Ok(None) => {}
                Err(stop) => {
                    let _ = line.close().await;
                    return Err(stop);
                }
            }
            progress.done += 1;
        }
    }
    line.close().await?;
    let took = progress.begun.elapsed();
    print(&format!(
        "{found} found in {:.1} s; units that take longer than {limit} ms need --timeout\n",
        took.as_secs_f64()
    ));
    Ok(())
}

/// Searches a bus of another bridge than Modbus, which a running gateway does not lend.
async fn search(kind: &dyn Kind, config: &Config, scan: &Scan) -> Result<(), Stop> {
    let on = &scan.on;
    if !scan.parity.is_empty() {
        let text = format!("--parity is for Modbus; `parity` of bus {} says it", on.bus);
        return Err(Stop::Usage(text));
    }
    let units = scan.units.as_deref().map(|text| units(text, ADDRESSES));
    let units = units.transpose();
    let search = Search {
        units: units
            .map_err(|why| Stop::Usage(format!("--units: {why}")))?
            .unwrap_or_default(),
        bauds: scan.baud.clone(),
        timeout: scan
            .timeout
            .map(|millis| Duration::from_millis(millis.into())),
    };
    let gateway = Client::find(&on.config, on.control.as_deref()).await;
    if gateway.map_err(Stop::Other)?.is_some() {
        return Err(Stop::Usage(format!(
            "bus {} is in use by the running gateway; stop the gateway to search it (`systemctl stop fieldgate`)",
            on.bus
        )));
    }
    let done = kind.scan(config, &on.bus, &search, &mut print).await;
    done.map_err(Stop::from)
}

/// What a unit says, and whether that is an answer; `None` if it is silent.
pub(crate) async fn look(
    line: &mut Line,
    unit: u8,
    limit: u32,
) -> Result<Option<(bool, String)>, Stop> {
    let ask = Ask::Read {
        table: Table::Holding,
        address: 0,
        count: 1,
        timeout_ms: Some(limit),
    };
    let said = match line.ask(unit, ask, true).await? {
        Ok(Answer::Data(Data::Words(words))) => {
            let words: Vec<String> = words.iter().map(|word| format!("{word:04X}")).collect();
            format!("holding 0 is {}", words.join(" "))
        }
        Ok(_) => "answers".to_owned(),
        Err(BusError::Exception { exception, .. }) if exception.is_silence() => return Ok(None),
        Err(BusError::Exception { exception, .. }) => {
            format!("answers holding 0 with exception {exception}")
        }
        Err(BusError::Timeout { .. }) => return Ok(None),
        Err(error @ (BusError::Protocol { .. } | BusError::Lost { .. })) => {
            let text = format!(
                "something is there, but not understood: {error}; wrong baud rate or parity, or \
                 two units with one number?"
            );
            return Ok(Some((false, text)));
        }
        Err(error) => return Err(Stop::Device(error.to_string())),
    };
    let about = match line.ask(unit, Ask::Identify, true).await? {
        Ok(Answer::Identification(found)) if !found.objects.is_empty() => format!("; {found}"),
        _ => "; no device identification".to_owned(),
    };
    Ok(Some((true, said + &about)))
}

/// The settings to try, one after the other.
fn ways(config: &BusConfig, scan: &Scan) -> Result<Vec<BusConfig>, String> {
    let Transport::Serial(serial) = &config.transport else {
        if scan.baud.is_empty() && scan.parity.is_empty() {
            return Ok(vec![config.clone()]);
        }
        return Err("--baud and --parity are for serial lines; this bus is TCP".to_owned());
    };
    let bauds = if scan.baud.is_empty() {
        vec![serial.port.baud]
    } else {
        scan.baud.clone()
    };
    let mut parities: Vec<Parity> = scan.parity.iter().map(|parity| (*parity).into()).collect();
    if parities.is_empty() {
        parities.push(serial.port.parity);
    }
    let both = bauds
        .iter()
        .flat_map(|baud| parities.iter().map(|parity| (*baud, *parity)));
    Ok(both
        .map(|(baud, parity)| {
            let mut serial = serial.clone();
            serial.port.baud = baud;
            serial.port.parity = parity;
            let mut config = config.clone();
            config.transport = Transport::Serial(serial);
            config
        })
        .collect())
}

/// `1-20,100`, each of them one of `those`.
///
/// # Errors
///
/// What in it is none of them.
pub(crate) fn units(text: &str, those: RangeInclusive<u8>) -> Result<Vec<u8>, String> {
    let number = |text: &str| {
        let number = text.trim().parse::<u8>().ok();
        number
            .filter(|number| those.contains(number))
            .ok_or_else(|| {
                let (first, last) = (those.start(), those.end());
                format!("`{text}` is no unit from {first} to {last}")
            })
    };
    let mut units = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("`{part}` goes backwards"));
        }
        units.extend(first..=last);
    }
    units.sort_unstable();
    units.dedup();
    Ok(units)
}

/// How far a scan is.
struct Progress {
    all: usize,
    done: usize,
    begun: Instant,
}

impl Progress {
    fn new(all: usize, begun: Instant) -> Self {
        Self {
            all,
            done: 0,
            begun,
        }
    }

    /// A bar, what is asked now, and the time that the rest takes at the pace so far.
    fn text(&self, unit: u8, now: Instant) -> String {
        let filled = self.done * BAR / self.all.max(1);
        let bar: String = (0..BAR)
            .map(|place| if place < filled { '#' } else { '.' })
            .collect();
        let left = match u32::try_from(self.done) {
            Ok(done @ 1..) => {
                let each = now.saturating_duration_since(self.begun) / done;
                let rest = u32::try_from(self.all - self.done).unwrap_or(u32::MAX);
                format!(", {} left", span(each.saturating_mul(rest)))
            }
            _ => String::new(),
        };
        format!("[{bar}] {}/{}, unit {unit}{left}", self.done, self.all)
    }
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// Replaces the line of a terminal.
fn show(text: &str) {
    let mut out = io::stderr();
    // A terminal that has gone is no reason to stop.
    let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_numbers_and_ranges() {
        for (text, want) in [
            ("1-3,7", Ok(vec![1, 2, 3, 7])),
            ("5,4-5", Ok(vec![4, 5])),
            ("0", Err("no unit from 1")),
            ("1-248", Err("no unit from 1")),
            ("9-3", Err("goes backwards")),
            ("", Err("no unit from 1")),
            ("a", Err("`a` is no unit")),
        ] {
            match (units(text, UNITS), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        assert_eq!(units("1-247", UNITS).unwrap().len(), 247);
    }

    #[test]
    fn progress_says_what_is_left_at_the_pace_so_far() {
        let begun = Instant::now();
        let mut progress = Progress::new(240, begun);
        let text = progress.text(1, begun);
        assert_eq!(text, "[........................] 0/240, unit 1");
        progress.done = 60;
        let text = progress.text(61, begun + Duration::from_secs(30));
        assert_eq!(
            text,
            "[######..................] 60/240, unit 61, 1 min 30 s left"
        );
    }
}
