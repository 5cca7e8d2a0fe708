//! Readings as comma-separated values (RFC 4180). Pure.

use std::fmt::Write as _;

use fieldgate_model::Decimal;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::counters::used::Used;
use crate::events::Event;
use crate::reading::{Row, clock_name};

/// The first line.
pub(crate) const HEADER: &str = "time,device,point,value,quality,clock,unit\r\n";

/// Appends the line of a reading. Its number is as it was published: nothing is rounded.
pub(crate) fn append(out: &mut String, row: &Row<'_>) {
    let Row {
        series,
        unit,
        reading,
    } = row;
    let time = Timestamp::from_millisecond(reading.at).unwrap_or_default();
    // Writing to a text does not fail.
    let _ = write!(out, "{time:.3},");
    field(out, &series.device);
    out.push(',');
    field(out, &series.point);
    out.push(',');
    if let Some(number) = &reading.number {
        let _ = write!(out, "{}", number.value());
    }
    let _ = write!(out, ",{},{},", reading.quality_name(), reading.clock_name());
    field(out, unit);
    out.push_str("\r\n");
}

/// The first line of what counters counted.
pub const COUNTERS: &str = "from,to,device,point,unit,used,value,hours,hours_of,resets\r\n";

/// Appends a line for each span in which a counter was read. Times are those of the zone.
pub fn append_used(out: &mut String, used: &Used, zone: &TimeZone, now: i64) {
    for span in used.spans.iter().filter(|span| span.hours > 0) {
        let _ = write!(out, "{},{},", local(span.from, zone), local(span.to, zone));
        for text in [
            &used.named.series.device,
            &used.named.series.point,
            &used.named.unit,
        ] {
            field(out, text);
            out.push(',');
        }
        let number = |number: Option<Decimal>| number.map_or(String::new(), |own| own.to_string());
        let _ = write!(
            out,
            "{},{},{},{},{}\r\n",
            number(span.used),
            number(span.value),
            span.hours,
            span.hours_until(now),
            span.resets
        );
    }
}

/// The first line of events.
pub const EVENTS: &str = "time,device,kind,name,value,text,by,left_out,clock\r\n";

/// Appends the line of an event.
pub fn append_event(out: &mut String, event: &Event) {
    let time = Timestamp::from_microsecond(event.at).unwrap_or_default();
    let _ = write!(out, "{time:.6},");
    harmless(out, &event.device);
    let _ = write!(out, ",{},", event.kind.name());
    for text in [&event.name, &event.value, &event.text, &event.by] {
        harmless(out, text);
        out.push(',');
    }
    if event.left_out > 0 {
        let _ = write!(out, "{}", event.left_out);
    }
    let _ = write!(out, ",{}\r\n", clock_name(event.is_clock_set));
}

/// Appends a text that somebody chose. One that a spreadsheet would take for a formula begins with an apostrophe.
fn harmless(out: &mut String, text: &str) {
    let is_formula = text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err();
    if is_formula {
        field(out, &format!("'{text}"));
    } else {
        field(out, text);
    }
}

/// A time by the clock of a zone, with how far that is from UTC.
pub fn local(at: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond(at).unwrap_or_default();
    let zoned = time.to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn field(out: &mut String, text: &str) {
    if text.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_model::{Quality, Value};

    use crate::counters::rows::Named;
    use crate::counters::used::Span;

    use super::*;
    use crate::events::Kind;
    use crate::layout::Series;
    use crate::reading::{Number, Reading};

    #[test]
    fn a_line_has_the_exact_number_and_names_are_quoted_where_needed() {
        let series = |device: &str| Series {
            device: device.to_owned(),
            point: "p".to_owned(),
        };
        let exact = Value::Decimal("123456789012345678.90".parse().unwrap());
        for (device, value, quality, is_clock_set, want) in [
            (
                "plc",
                Some(exact),
                Quality::Good,
                true,
                "plc,p,123456789012345678.9,good,set",
            ),
            (
                "a,\"b\"",
                Some(Value::Bool(true)),
                Quality::Stale,
                true,
                "\"a,\"\"b\"\"\",p,true,stale,set",
            ),
            (
                "plc",
                None,
                Quality::Bad,
                false,
                "plc,p,,bad,unsynchronised",
            ),
            (
                "plc",
                Some(Value::F32(0.1)),
                Quality::Good,
                true,
                "plc,p,0.1,good,set",
            ),
        ] {
            let reading = Reading {
                at: 1_790_000_000_005,
                number: value.as_ref().and_then(Number::of),
                quality,
                is_clock_set,
            };
            let mut line = String::new();
            append(
                &mut line,
                &Row {
                    series: &series(device),
                    unit: "m³",
                    reading: &reading,
                },
            );
            assert_eq!(line, format!("2026-09-21T14:13:20.005Z,{want},m³\r\n"));
        }
    }

    #[test]
    fn an_event_is_a_line_and_no_formula() {
        let at = Timestamp::from_microsecond(1_790_000_000_000_005).unwrap();
        let event = |value: &str| {
            Event::new(Kind::Command, at)
                .of("plc")
                .named("pump")
                .with(value)
        };
        let unset = Event {
            left_out: 979,
            is_clock_set: false,
            ..Event::new(Kind::Offline, at)
                .of("plc")
                .saying("no answer, again")
        };
        for (event, want) in [
            (
                event("-12.5").by("vera"),
                "plc,command,pump,-12.5,,vera,,set",
            ),
            (event("=1+1"), "plc,command,pump,'=1+1,,,,set"),
            (event("+a,b"), "plc,command,pump,\"'+a,b\",,,,set"),
            (
                unset,
                "plc,offline,,,\"no answer, again\",,979,unsynchronised",
            ),
        ] {
            let mut line = String::new();
            append_event(&mut line, &event);
            assert_eq!(line, format!("2026-09-21T14:13:20.000005Z,{want}\r\n"));
        }
    }

    #[test]
    fn what_was_used_has_local_times_and_only_spans_that_were_read() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let day: Timestamp = "2026-10-24T22:00:00Z".parse().unwrap();
        let from = day.as_millisecond();
        let span = Span {
            from,
            to: from + 25 * 3_600_000,
            used: Some("12.50".parse().unwrap()),
            value: Some("1012.5".parse().unwrap()),
            hours: 20,
            resets: 1,
        };
        let series = Series {
            device: "a,b".to_owned(),
            point: "import".to_owned(),
        };
        let unit = "kWh".to_owned();
        let used = Used {
            named: Named { series, unit },
            spans: vec![span, Span::default()],
        };
        let mut text = String::new();
        append_used(&mut text, &used, &zone, i64::MAX);
        let want = "2026-10-25T00:00:00+02:00,2026-10-26T00:00:00+01:00,\"a,b\",import,kWh,12.5,1012.5,20,25,1\r\n";
        assert_eq!(text, want);
    }
}
