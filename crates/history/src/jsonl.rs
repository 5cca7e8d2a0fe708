//! Readings as JSON, an object in each line. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::reading::{Number, Reading, Row};

/// Appends the line of a reading. Its number has all digits; one that JSON has no number for is a text.
pub(crate) fn append(out: &mut String, row: &Row<'_>) {
    let Row {
        series,
        unit,
        reading,
    } = row;
    let time = Timestamp::from_millisecond(reading.at).unwrap_or_default();
    // Writing to a text does not fail.
    let _ = write!(out, "{{\"time\":\"{time:.3}\",\"device\":");
    text(out, &series.device);
    out.push_str(",\"point\":");
    text(out, &series.point);
    out.push_str(",\"value\":");
    number(out, reading);
    let (quality, clock) = (reading.quality_name(), reading.clock_name());
    let _ = write!(
        out,
        ",\"quality\":\"{quality}\",\"clock\":\"{clock}\",\"unit\":"
    );
    match unit.is_empty() {
        true => out.push_str("null"),
        false => text(out, unit),
    }
    out.push_str("}\n");
}

fn number(out: &mut String, reading: &Reading) {
    // Writing to a text does not fail.
    let _ = match &reading.number {
        None => write!(out, "null"),
        Some(number) if number.is_finite() => write!(out, "{}", number.value()),
        Some(number) => write!(out, "\"{}\"", Number::value(number)),
    };
}

fn text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' => {
                // Writing to a text does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use fieldgate_model::Quality;

    use super::*;
    use crate::layout::Series;

    #[test]
    fn a_line_has_all_digits_and_texts_are_escaped() {
        let wide = Number::decimal("123456789012345678901234567.5".parse().unwrap());
        for (device, unit, number, want) in [
            (
                "plc",
                "",
                Some(Number::Bool(true)),
                "\"plc\",\"point\":\"p\",\"value\":true,\"quality\":\"good\",\"clock\":\"set\",\"unit\":null",
            ),
            (
                "a\"\\\t",
                "m³",
                None,
                "\"a\\\"\\\\\\u0009\",\"point\":\"p\",\"value\":null,\"quality\":\"good\",\"clock\":\"set\",\"unit\":\"m³\"",
            ),
            (
                "plc",
                "V",
                Some(wide),
                "\"plc\",\"point\":\"p\",\"value\":123456789012345678901234567.5,\"quality\":\"good\",\"clock\":\"set\",\"unit\":\"V\"",
            ),
            (
                "plc",
                "V",
                Some(Number::F32(f32::NAN)),
                "\"plc\",\"point\":\"p\",\"value\":\"NaN\",\"quality\":\"good\",\"clock\":\"set\",\"unit\":\"V\"",
            ),
            (
                "plc",
                "V",
                Some(Number::F64(f64::NEG_INFINITY)),
                "\"plc\",\"point\":\"p\",\"value\":\"-inf\",\"quality\":\"good\",\"clock\":\"set\",\"unit\":\"V\"",
            ),
        ] {
            let series = &Series {
                device: device.to_owned(),
                point: "p".to_owned(),
            };
            let reading = &Reading {
                at: 1_790_000_000_005,
                number,
                quality: Quality::Good,
                is_clock_set: true,
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
                format!("{{\"time\":\"2026-09-21T14:13:20.005Z\",\"device\":{want}}}\n")
            );
        }
    }
}
