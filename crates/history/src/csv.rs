//! Readings as comma-separated values (RFC 4180). Pure.

use std::fmt::Write as _;

use fieldgate_model::Quality;
use jiff::Timestamp;

use crate::layout::Series;
use crate::reading::Reading;

/// The first line.
pub const HEADER: &str = "time,device,point,value,quality,clock\r\n";

/// Appends the line of a reading. Its number is as it was published: nothing is rounded.
pub fn append(out: &mut String, series: &Series, reading: &Reading) {
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
    out.push_str(match reading.quality {
        Quality::Good => ",good",
        Quality::Stale => ",stale",
        Quality::Bad => ",bad",
    });
    out.push_str(if reading.is_clock_set {
        ",set\r\n"
    } else {
        ",unsynchronised\r\n"
    });
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
    use fieldgate_model::Value;

    use super::*;
    use crate::reading::Number;

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
            append(&mut line, &series(device), &reading);
            assert_eq!(line, format!("2026-09-21T14:13:20.005Z,{want}\r\n"));
        }
    }
}
