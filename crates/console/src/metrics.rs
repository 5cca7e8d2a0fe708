//! Figures for Prometheus, in its own text format and in that of OpenMetrics 1.0.
//!
//! A value that is not good is absent, so that no old one is taken for a new one; `fieldgate_point_good` says so.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use fieldgate_model::{Quality, Value};
use fieldgate_plant::{Layout, State};

use crate::app::App;
use crate::house::FigureKind;
use crate::shown::{Counters, ShownFigures};

/// How figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    Open,
}

impl Format {
    /// The one that a reader wants, by its `Accept`.
    pub(crate) fn of(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::Open,
            false => Self::Text,
        }
    }

    /// What the text is, for its reader.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Units that have a family of their own: as points have them, the family, the factor to its base unit.
const UNITS: &[(&str, &str, f64)] = &[
    ("V", "volts", 1.0),
    ("mV", "volts", 1e-3),
    ("kV", "volts", 1e3),
    ("A", "amperes", 1.0),
    ("mA", "amperes", 1e-3),
    ("W", "watts", 1.0),
    ("kW", "watts", 1e3),
    ("MW", "watts", 1e6),
    ("VA", "volt_amperes", 1.0),
    ("kVA", "volt_amperes", 1e3),
    ("Wh", "watthours", 1.0),
    ("kWh", "watthours", 1e3),
    ("MWh", "watthours", 1e6),
    ("Hz", "hertz", 1.0),
    ("°C", "celsius", 1.0),
    ("Pa", "pascals", 1.0),
    ("hPa", "pascals", 1e2),
    ("mbar", "pascals", 1e2),
    ("kPa", "pascals", 1e3),
    ("bar", "pascals", 1e5),
    ("m", "meters", 1.0),
    ("mm", "meters", 1e-3),
    ("s", "seconds", 1.0),
    ("ms", "seconds", 1e-3),
    ("min", "seconds", 60.0),
    ("h", "seconds", 3_600.0),
    ("%", "ratio", 1e-2),
];
/// Everything else that is a number.
const OTHERS: &str = "value";

/// All figures. Between devices others have their turn.
pub(crate) async fn write(app: &App, format: Format) -> String {
    let mut out = Writer {
        out: String::new(),
        format,
    };
    house(app, &mut out);
    let layout = app.plant().layout();
    devices(&layout, &mut out);
    buses(&layout, &mut out);
    points(&layout, &mut out).await;
    if format == Format::Open {
        out.out.push_str("# EOF\n");
    }
    out.out
}

struct Writer {
    out: String,
    format: Format,
}

impl Writer {
    /// The head of a family. A counter's name is without `_total`.
    fn family(&mut self, name: &str, kind: FigureKind, help: &str) {
        let (suffix, kind) = match (kind, self.format) {
            (FigureKind::Counter, Format::Text) => ("_total", "counter"),
            (FigureKind::Counter, Format::Open) => ("", "counter"),
            (FigureKind::Gauge, _) => ("", "gauge"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.out, "# TYPE {name}{suffix} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            self.out.push_str(label);
            self.out.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

fn house(app: &App, out: &mut Writer) {
    let info = "fieldgate_build_info";
    out.family(info, FigureKind::Gauge, "Which program this is; always 1.");
    out.line(info, &[("version", &app.settings.version)], 1);
    let clock = "fieldgate_clock_synchronised";
    let is_set = u8::from(app.around.house.clock_is_set());
    out.family(clock, FigureKind::Gauge, "Whether the clock has been set.");
    out.line(clock, &[], is_set);
    let streams = "fieldgate_console_streams";
    out.family(streams, FigureKind::Gauge, "Pages that are open.");
    out.line(streams, &[], app.streams.count());
    let sessions = "fieldgate_console_sessions";
    out.family(sessions, FigureKind::Gauge, "Sessions of the console.");
    out.line(sessions, &[], app.session_count());
    let mut last = "";
    for figure in app.around.house.figures() {
        let prefix = match figure.name.starts_with("process_") {
            true => "",
            false => "fieldgate_",
        };
        let name = format!("{prefix}{}", figure.name);
        if last != figure.name {
            out.family(&name, figure.kind, figure.help);
            last = figure.name;
        }
        let end = match figure.kind {
            FigureKind::Counter => "_total",
            FigureKind::Gauge => "",
        };
        let labels: Vec<_> = figure.label.into_iter().collect();
        out.line(&format!("{name}{end}"), &labels, figure.value);
    }
}

fn devices(layout: &Layout, out: &mut Writer) {
    let up = "fieldgate_device_up";
    out.family(up, FigureKind::Gauge, "Whether a device answers.");
    for (name, device) in &layout.devices {
        let is_up = u8::from(device.state() == State::Online);
        out.line(up, &[("device", name)], is_up);
    }
    let last = "fieldgate_device_last_reading_timestamp_seconds";
    out.family(
        last,
        FigureKind::Gauge,
        "When a value of a device was read last.",
    );
    for (name, device) in &layout.devices {
        let good = device.readings().into_iter().flatten();
        let newest = good.map(|reading| reading.at).max();
        if let Some(newest) = newest {
            let seconds = newest.as_millisecond() as f64 / 1e3;
            out.line(last, &[("device", name)], seconds);
        }
    }
    let all = layout.devices.iter();
    let figures = all.map(|(name, device)| {
        let figures = device.figures();
        let (routine, faults) = (&figures.routine, &figures.faults);
        let shown = ShownFigures::new(routine, faults, figures.exceptions.as_ref());
        (name.as_str(), shown)
    });
    let figures: Vec<_> = figures.collect();
    counters(out, "device", &figures);
}

fn buses(layout: &Layout, out: &mut Writer) {
    let all = layout.buses.iter();
    let figures = all.map(|(name, bus)| {
        let figures = bus.figures();
        let (routine, faults) = (&figures.routine, &figures.faults);
        let shown = ShownFigures::new(routine, faults, figures.exceptions.as_ref());
        (name.as_str(), shown)
    });
    let figures: Vec<_> = figures.collect();
    let busy = "fieldgate_bus_busy_seconds";
    out.family(
        busy,
        FigureKind::Counter,
        "How long a bus was taken by transactions; its rate is the utilisation.",
    );
    for (name, figures) in &figures {
        if let Some(ms) = figures.routine.get(BUSY) {
            let seconds = *ms as f64 / 1e3;
            out.line(&format!("{busy}_total"), &[("bus", name)], seconds);
        }
    }
    counters(out, "bus", &figures);
}

/// Milliseconds among the counts of a bus.
const BUSY: &str = "busy_ms";

/// Counts of devices or buses: what is as it should be, and what is not.
fn counters(out: &mut Writer, what: &str, all: &[(&str, ShownFigures)]) {
    let kinds = [
        ("events", "What happened, as it should.", false),
        ("errors", "What went wrong.", true),
    ];
    for (kind, help, are_faults) in kinds {
        let name = format!("fieldgate_{what}_{kind}");
        out.family(&name, FigureKind::Counter, help);
        for (whose, figures) in all {
            for (kind, count) in part(figures, are_faults)
                .iter()
                .filter(|(kind, _)| *kind != BUSY)
            {
                let labels = [(what, *whose), ("kind", kind.as_str())];
                out.line(&format!("{name}_total"), &labels, count);
            }
        }
    }
}

fn part(figures: &ShownFigures, are_faults: bool) -> &Counters {
    match are_faults {
        true => &figures.faults,
        false => &figures.routine,
    }
}

async fn points(layout: &Layout, out: &mut Writer) {
    // By family, as those of one stand together.
    let mut families: BTreeMap<&str, Writer> = BTreeMap::new();
    let mut good = Writer {
        out: String::new(),
        format: out.format,
    };
    for (name, device) in &layout.devices {
        let readings = device.readings();
        for (point, reading) in device.points().iter().zip(readings) {
            let labels = [("device", name.as_str()), ("point", point.name.as_str())];
            let reading = reading.filter(|reading| reading.quality == Quality::Good);
            let is_good = u8::from(reading.is_some());
            good.line("fieldgate_point_good", &labels, is_good);
            let value = reading.and_then(|reading| number(reading.value.as_ref()));
            let Some(value) = value else { continue };
            let unit = point.unit.as_deref().unwrap_or_default();
            let mut known = UNITS.iter();
            let known = known.find(|(known, ..)| *known == unit);
            let (family, factor) =
                known.map_or((OTHERS, 1.0), |(_, family, factor)| (*family, *factor));
            let lines = families.entry(family).or_insert_with(|| Writer {
                out: String::new(),
                format: out.format,
            });
            let metric = format!("fieldgate_point_{family}");
            if family == OTHERS {
                let [device, point] = labels;
                lines.line(&metric, &[device, point, ("unit", unit)], value);
            } else {
                lines.line(&metric, &labels, scaled(value, factor));
            }
        }
        tokio::task::yield_now().await;
    }
    let help = "Whether the last value of a point is good.";
    out.family("fieldgate_point_good", FigureKind::Gauge, help);
    out.out.push_str(&good.out);
    for (family, lines) in families {
        let name = format!("fieldgate_point_{family}");
        let help = format!("Good values of points: {}.", family.replace('_', " "));
        out.family(&name, FigureKind::Gauge, &help);
        out.out.push_str(&lines.out);
    }
}

/// A value times its factor, without the digits that a double makes up.
fn scaled(value: f64, factor: f64) -> f64 {
    match factor {
        // Division by a whole number is rounded once; multiplication with its inverse twice.
        small if small < 1.0 => value / (1.0 / small).round(),
        factor => value * factor,
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Bool(on) => Some(f64::from(u8::from(*on))),
        // Its shortest text, not the bits of a single-precision float.
        Value::F32(value) => value.to_string().parse().ok(),
        other => other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_units_go_to_their_base() {
        let mut out = Writer {
            out: String::new(),
            format: Format::Text,
        };
        out.line("x", &[("a", "q\"b\\c\nd"), ("b", "°C")], 1.5);
        out.line("y", &[], 2);
        assert_eq!(out.out, "x{a=\"q\\\"b\\\\c\\nd\",b=\"°C\"} 1.5\ny 2\n");
        for (value, factor, want) in [
            (230.5, 1.0, 230.5),
            (12.5, 1e-2, 0.125),
            (55.0, 1e-2, 0.55),
            (7.0, 1e-3, 0.007),
            (1.5, 1e5, 150_000.0),
        ] {
            assert_eq!(scaled(value, factor), want, "{value} * {factor}");
        }
        assert_eq!(number(Some(&Value::F32(0.1))), Some(0.1));
        assert_eq!(number(Some(&Value::Bool(true))), Some(1.0));
        assert_eq!(number(Some(&Value::Text("7".into()))), None);
    }

    #[test]
    fn a_counter_is_named_as_its_format_wants() {
        for (format, want) in [
            (
                Format::Text,
                "# HELP a_b_total h\n# TYPE a_b_total counter\n",
            ),
            (Format::Open, "# HELP a_b h\n# TYPE a_b counter\n"),
        ] {
            let mut out = Writer {
                out: String::new(),
                format,
            };
            out.family("a_b", FigureKind::Counter, "h");
            assert_eq!(out.out, want);
        }
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert_eq!(Format::of(prometheus), Format::Open);
        assert_eq!(Format::of("text/plain"), Format::Text);
        assert_eq!(Format::of(""), Format::Text);
    }
}
