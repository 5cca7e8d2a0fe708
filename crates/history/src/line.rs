//! Readings in InfluxDB's line protocol, which VictoriaMetrics, QuestDB and Telegraf take, too. Pure.
//!
//! A field has one type in InfluxDB, so that all numbers are floats, and a switch is 0 or 1.

use std::fmt::Write as _;

use fieldgate_model::Quality;

use crate::reading::{Number, Row, rank};

/// Appends the line of a reading: `value` if it is a good number, and always `quality`, so that a gap can be seen.
pub(crate) fn append(out: &mut String, row: &Row<'_>) {
    let Row {
        series,
        unit,
        reading,
    } = row;
    out.push_str("fieldgate");
    tag(out, "device", &series.device);
    tag(out, "point", &series.point);
    if !unit.is_empty() {
        tag(out, "unit", unit);
    }
    if !reading.is_clock_set {
        // Its time may be years off: it is not to be mixed with others.
        tag(out, "clock", reading.clock_name());
    }
    out.push(' ');
    let number = reading.number.as_ref();
    let number = number.filter(|number| reading.quality == Quality::Good && number.is_finite());
    // Writing to a text does not fail.
    let _ = match number {
        None => Ok(()),
        Some(Number::Bool(on)) => write!(out, "value={},", u8::from(*on)),
        Some(number) => write!(out, "value={},", number.value()),
    };
    let at = reading.at.saturating_mul(1_000_000);
    let _ = writeln!(out, "quality={} {at}", rank(reading.quality));
}

/// What would end a tag gets a backslash. For a backslash there is nothing that all databases take: it becomes a slash,
/// which no name has.
fn tag(out: &mut String, name: &str, text: &str) {
    out.push(',');
    out.push_str(name);
    out.push('=');
    for c in text.chars() {
        match c {
            ',' | '=' | ' ' => out.extend(['\\', c]),
            '\\' => out.push('/'),
            // It would end the line. Names have none.
            '\n' | '\r' => out.push_str("\\ "),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Series;
    use crate::reading::Reading;

    #[test]
    fn a_line_has_good_numbers_as_floats_and_always_the_quality() {
        let good = (Quality::Good, true);
        for (device, unit, number, (quality, is_clock_set), want) in [
            (
                "plc",
                "V",
                Some(Number::F32(0.1)),
                good,
                "plc,point=p,unit=V value=0.1,quality=0",
            ),
            (
                "plc",
                "",
                Some(Number::Bool(true)),
                good,
                "plc,point=p value=1,quality=0",
            ),
            (
                "plc",
                "",
                None,
                (Quality::Bad, true),
                "plc,point=p quality=2",
            ),
            (
                "plc",
                "",
                Some(Number::Bool(true)),
                (Quality::Stale, true),
                "plc,point=p quality=1",
            ),
            (
                "plc",
                "",
                Some(Number::F64(f64::NAN)),
                good,
                "plc,point=p quality=0",
            ),
            (
                "plc",
                "",
                Some(Number::F64(1e300)),
                good,
                "plc,point=p value=1e300,quality=0",
            ),
            (
                "a b,c=d\\",
                "m³/h x",
                None,
                (Quality::Bad, false),
                "a\\ b\\,c\\=d/,point=p,unit=m³/h\\ x,clock=unsynchronised quality=2",
            ),
        ] {
            let series = &Series {
                device: device.to_owned(),
                point: "p".to_owned(),
            };
            let reading = &Reading {
                at: 1_790_000_000_005,
                number,
                quality,
                is_clock_set,
            };
            let mut line = String::new();
            append(
                &mut line,
                &Row {
                    series,
                    unit,
                    reading,
                },
            );
            assert_eq!(
                line,
                format!("fieldgate,device={want} 1790000000005000000\n")
            );
        }
    }
}
