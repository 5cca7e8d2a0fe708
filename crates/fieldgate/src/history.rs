//! History on the card: starts it, says what it will take, and exports it.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use fieldgate_bridge::Period;
use fieldgate_bridge::show::counted;
use fieldgate_config::{self as config, Config};
use fieldgate_history::counters::used::{By, SPANS_MAX};
use fieldgate_history::export::{self, Chosen, Format};
use fieldgate_history::{
    Asked, History, Keeps, Now, Question, Range, Reader, Series, Settings, csv,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::args;
use crate::backup;
use crate::clock::Clock;
use crate::kinds::KINDS;
use crate::output::{print, print_to};
use crate::rates::{Rates, readings};
use crate::stop::Stop;

/// Its folder below that of the state.
const FOLDER: &str = "history";
/// A reading in a file, and what is written for one until it is in the file of a day, in bytes: by the bench.
const BYTES_KEPT: f64 = 1.3;
const BYTES_WRITTEN: f64 = 4.5;
/// What is written to the journal for a device in a minute, whatever it holds, in bytes.
const BYTES_FRAME: f64 = 4_096.0;
/// What an hour of a counter takes, with its part of the names, which come again each day, in bytes.
const BYTES_ROW: f64 = 10.0;
const DAY: f64 = 86_400.0;
const MB: f64 = 1e6;
/// From how far the clock has gone evenly on it is believed to tell what is old.
const TRUST: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Starts to keep what a configuration wants kept. What cannot be kept is no reason not to serve.
pub(crate) fn start(config: &Config, state: Option<&Path>) -> Option<History> {
    let wanted = config.history.as_ref()?;
    let Some(state) = state else {
        log::warn!("history is not kept: there is no folder for the state; give one with --state");
        return None;
    };
    let settings = Settings {
        folder: state.join(FOLDER),
        max: wanted.max,
        keep: wanted.keep,
        events: wanted.events,
        reserve: wanted.reserve,
        flush: wanted.flush,
        memory: usize::try_from(wanted.memory).unwrap_or(usize::MAX),
        keep_counters: wanted.keep_counters,
        zone: TimeZone::system(),
        trust: TRUST,
    };
    let folder = settings.folder.clone();
    let clock = Clock::default();
    let started = History::start(settings, move || Now {
        at: Timestamp::now().as_millisecond(),
        is_set: clock.is_synchronised(),
    });
    match started {
        Ok(history) => Some(history),
        Err(error) => {
            log::error!("history is not kept: {}: {error}", folder.display());
            None
        }
    }
}

/// What is kept of a point.
pub(crate) fn keeps(config: &Config, device: &str, point: &str, unit: Option<&str>) -> Keeps {
    let wanted = config.history.as_ref();
    let counters = config.counters.get(device);
    let is_counter = counters.is_some_and(|points| points.contains(point));
    Keeps {
        readings: wanted.is_none_or(|wanted| wanted.keeps(device, point)),
        counter: is_counter.then(|| unit.unwrap_or_default().to_owned()),
    }
}

/// What history will take, for `check`.
pub(crate) fn estimate(config: &Config) -> Vec<String> {
    let Some(wanted) = &config.history else {
        return Vec::new();
    };
    let kept = readings(config).filter(|(device, point, _)| wanted.keeps(device, point));
    let Rates {
        each_second: rate,
        count: points,
        unknown,
    } = kept.map(|(.., rate)| rate).collect();
    let frames = DAY / wanted.flush.as_secs_f64() * BYTES_FRAME;
    let kept = rate * DAY * BYTES_KEPT;
    let written = rate * DAY * BYTES_WRITTEN + frames;
    let fits = wanted.max as f64 / kept;
    let keep = wanted.keep.as_secs_f64() / DAY;
    let lasts = match fits < keep {
        true => format!(
            "{:.0} days fit, fewer than the {keep:.0} of history.keep",
            fits.floor()
        ),
        false => format!("{keep:.0} days fit"),
    };
    let mut line = format!(
        "history: {} with at most {rate:.1} values/s, {:.1} MB a day and {:.0} MB written a day if all of them change \
         at each poll; {lasts} in {} MiB",
        counted(points, "point"),
        kept / MB,
        written / MB,
        wanted.max >> 20,
    );
    if unknown > 0 {
        line += &format!(
            "; not counted: {} whose devices decide when they send",
            counted(unknown, "point")
        );
    }
    let counters: usize = config.counters.values().map(BTreeSet::len).sum();
    let of_counters = (counters > 0).then(|| {
        let bytes = counters as f64 * 365.0 * 24.0 * BYTES_ROW;
        format!(
            "history: every hour of {} for {:.0} days, {:.1} MB a year",
            counted(counters, "counter"),
            wanted.keep_counters.as_secs_f64() / DAY,
            bytes / MB,
        )
    });
    [line].into_iter().chain(of_counters).collect()
}

/// Carries out `fieldgate history`.
///
/// # Errors
///
/// What cannot be read, and times that are none.
pub(crate) fn act(history: &args::History) -> Result<(), Stop> {
    match history {
        args::History::Export(wanted) => export(wanted),
        args::History::Counters(wanted) => counters(wanted),
        args::History::Events(wanted) => events(wanted),
        args::History::Status(place) => status(place),
    }
}

fn open(place: &args::Place) -> Result<Reader, Stop> {
    let state = backup::state(place.state.as_deref());
    let state =
        state.ok_or_else(|| Stop::Usage("give the folder of the state with --state".to_owned()))?;
    let folder = state.join(FOLDER);
    Reader::of_folder(&folder).map_err(|fault| {
        let text = match folder.exists() {
            true => format!("{}: {fault}", folder.display()),
            false => format!(
                "{}: no history is kept there; `history` in gateway.yaml begins it",
                folder.display()
            ),
        };
        Stop::Other(io::Error::other(text))
    })
}

fn status(place: &args::Place) -> Result<(), Stop> {
    let figures = open(place)?.figures();
    let since = figures
        .since
        .and_then(|at| Timestamp::from_millisecond(at).ok());
    let Some(since) = since else {
        print("there are no readings\n");
        return Ok(());
    };
    let (files, bytes) = (
        counted(usize::try_from(figures.files).unwrap_or(0), "file"),
        figures.bytes as f64 / MB,
    );
    print(&format!("since {since:.0}; {files}, {bytes:.1} MB\n"));
    Ok(())
}

fn export(wanted: &args::Export) -> Result<(), Stop> {
    let (chosen, range) = asked(
        &wanted.chosen,
        &wanted.from,
        Timestamp::now(),
        &TimeZone::UTC,
    )?;
    let reader = open(&wanted.place)?;
    let config = units(&wanted.place.config);
    let unit = |series: &Series| {
        let device = config
            .as_ref()
            .and_then(|config| config.devices.get(&series.device));
        let unit = device.and_then(|device| device.unit(&series.point));
        unit.unwrap_or_default().to_owned()
    };
    let format = match wanted.format {
        args::Format::Csv => Format::Csv,
        args::Format::Jsonl => Format::Jsonl,
        args::Format::Parquet => Format::Parquet,
        args::Format::Line => Format::Line,
    };
    let out = BufWriter::new(io::stdout().lock());
    match reader.export((&chosen, range), &unit, format, out) {
        Err(export::Error::Write(error)) => ended(Err(error)),
        Err(error) => Err(Stop::Other(io::Error::other(error))),
        Ok(()) => Ok(()),
    }
}

/// The configuration, which knows units. Readings can be had without it.
fn units(path: &Path) -> Option<Config> {
    if !path.exists() {
        return None;
    }
    let loaded = config::load(path, KINDS);
    if loaded.is_err() {
        let text = format!(
            "{}: it cannot be read, so that units are left out\n",
            path.display()
        );
        print_to(&mut io::stderr(), &text);
    }
    loaded.ok().map(|loaded| loaded.config)
}

fn events(wanted: &args::Events) -> Result<(), Stop> {
    let now = Timestamp::now();
    let asked = Asked {
        range: range((&wanted.from, wanted.to.as_deref()), now, &TimeZone::UTC)?,
        device: wanted.device.clone(),
        with_gateway: false,
        kinds: wanted.kind.clone(),
        // Their files have a bound.
        most: usize::MAX,
    };
    let told = open(&wanted.place)?.events(&asked, &|| true);
    let told = told.map_err(failed)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = out.write_all(csv::EVENTS.as_bytes());
    let mut text = String::new();
    for event in &told.events {
        text.clear();
        csv::append_event(&mut text, event);
        written = written.and_then(|()| out.write_all(text.as_bytes()));
    }
    ended(written.and_then(|()| out.flush()))
}

fn failed(error: fieldgate_history::Error) -> Stop {
    Stop::Other(io::Error::other(error))
}

/// A reader that has gone, such as `head`, is no error.
fn ended(written: io::Result<()>) -> Result<(), Stop> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Stop::Other(error)),
        _ => Ok(()),
    }
}

fn counters(wanted: &args::Counters) -> Result<(), Stop> {
    let (now, zone) = (Timestamp::now(), TimeZone::system());
    let (chosen, range) = asked(&wanted.chosen, &wanted.from, now, &zone)?;
    let question = Question {
        chosen,
        range,
        by: match wanted.by {
            args::By::Hour => By::Hour,
            args::By::Day => By::Day,
            args::By::Month => By::Month,
        },
        zone: zone.clone(),
    };
    let told = open(&wanted.place)?.consumption(&question, &|| true);
    let told = told.map_err(failed)?.ok_or_else(|| {
        let text = format!(
            "--from: expected a time so that there are at most {SPANS_MAX} lines of a counter"
        );
        Stop::Usage(text)
    })?;
    if told.damaged > 0 {
        let text = format!(
            "{} of the files of counters are damaged; what was counted there is told with the next hour\n",
            counted(usize::try_from(told.damaged).unwrap_or(usize::MAX), "place")
        );
        print_to(&mut io::stderr(), &text);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = out.write_all(csv::COUNTERS.as_bytes());
    let mut text = String::new();
    for used in &told.counters {
        text.clear();
        csv::append_used(&mut text, used, &zone, now.as_millisecond());
        written = written.and_then(|()| out.write_all(text.as_bytes()));
    }
    ended(written.and_then(|()| out.flush()))
}

/// Which points are meant, and which range.
fn asked(
    wanted: &args::Chosen,
    from: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<(Chosen, Range), Stop> {
    let chosen = Chosen {
        device: wanted.device.clone(),
        points: wanted.point.clone(),
    };
    Ok((chosen, range((from, wanted.to.as_deref()), now, zone)?))
}

fn range((from, to): (&str, Option<&str>), now: Timestamp, zone: &TimeZone) -> Result<Range, Stop> {
    let until = |to| time("--to", to, now, zone);
    let to = to.map_or(Ok(now.as_millisecond()), until)?;
    let from = time("--from", from, now, zone)?;
    if from >= to {
        let text = "--from: expected a time before that of --to";
        return Err(Stop::Usage(text.to_owned()));
    }
    Ok(Range { from, to })
}

/// A time as a person writes it, dates by a zone, in milliseconds since 1970.
fn time(option: &str, text: &str, now: Timestamp, zone: &TimeZone) -> Result<i64, Stop> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    if let Ok(zoned) = text.parse::<Date>().map(|date| date.to_zoned(zone.clone())) {
        return zoned
            .map(|zoned| zoned.timestamp().as_millisecond())
            .map_err(|error| Stop::Other(io::Error::other(error)));
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let days = days.map(|days: u32| std::time::Duration::from_secs(u64::from(days) * 86_400));
    if let Some(ago) = days.or_else(|| Period::parse(text).map(Period::get)) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(now.as_millisecond().saturating_sub(ago));
    }
    let text = format!(
        "{option}: expected a date such as 2026-11-27, a time such as 2026-11-27T08:00:00Z, or how long ago such as \
         24h or 31d, found \"{text}\""
    );
    Err(Stop::Usage(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_moments_or_how_long_ago() {
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        for (text, want) in [
            ("2026-11-27", Some("2026-11-27T00:00:00Z")),
            ("2026-11-27T08:00:00Z", Some("2026-11-27T08:00:00Z")),
            ("2026-11-27T08:00:00+01:00", Some("2026-11-27T07:00:00Z")),
            ("36h", Some("2026-11-25T22:00:00Z")),
            ("31d", Some("2026-10-27T10:00:00Z")),
            ("-1d", None),
            ("yesterday", None),
            ("2026-13-01", None),
        ] {
            let found = time("--from", text, now, &TimeZone::UTC).ok();
            let want = want.map(|want| want.parse::<Timestamp>().unwrap().as_millisecond());
            assert_eq!(found, want, "{text}");
        }
    }
}
