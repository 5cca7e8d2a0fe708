use super::*;
use proptest::prelude::*;

/// A line with its checksum.
fn line(body: &str) -> String {
    let check = body.bytes().fold(0, |check, byte| check ^ byte);
    format!("${body}*{check:02X}")
}

fn read(body: &str, sentence: &str, field: &str) -> String {
    let line = line(body);
    let parsed = Sentence::parse(&line).unwrap();
    let field = match field.parse() {
        Ok(index) => NmeaField::at(sentence, index),
        Err(_) => NmeaField::named(sentence, field).unwrap(),
    };
    match parsed.get(&field) {
        Found::Absent => "absent".to_owned(),
        Found::Empty => "empty".to_owned(),
        Found::Wrong => "wrong".to_owned(),
        Found::Text(text) => text.into_owned(),
        Found::Value(value) => value.to_string(),
    }
}

// Lines in the shape of common receivers' output.
const GGA: &str = "GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,";
const GGA_SOUTH: &str = "GNGGA,235959.123,3351.4700,S,15112.5000,W,4,12,0.6,-3.2,M,22.1,M,1.0,0123";
const GGA_NONE: &str = "GNGGA,092725.00,,,,,0,00,99.99,,,,,,";
const GGA_OLD: &str = "GPGGA,092725.00,4717.11399,N,00833.91590,E,0,03,99.99,499.6,M,48.0,M,,";
const RMC: &str = "GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,2.5,W,A,V";
const RMC_NONE: &str = "GNRMC,083559.00,V,,,,,,,091202,,,N,V";
const VTG: &str = "GPVTG,77.52,T,75.02,M,0.004,N,0.008,K,A";
const GSA: &str = "GNGSA,A,3,21,05,29,25,12,10,26,02,,,,,1.2,0.7,1.0,3";
const GSA_NONE: &str = "GNGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99,1";
const ZDA: &str = "GPZDA,082710.00,16,09,2026,00,00";
const HDT: &str = "HEHDT,274.07,T";

#[test]
fn named_fields_are_what_receivers_mean() {
    for (body, sentence, field, want) in [
        (GGA, "GGA", "lat", "47.285233167"),
        (GGA, "GGA", "lon", "8.565265"),
        (GGA, "GGA", "alt", "499.6"),
        (GGA, "GGA", "sats", "8"),
        (GGA, "GGA", "quality", "1"),
        (GGA, "GGA", "time", "09:27:25.00"),
        (GGA, "GGA", "age", "empty"),
        (GGA, "GPGGA", "alt", "499.6"),
        (GGA, "GNGGA", "alt", "absent"),
        (GGA, "RMC", "speed", "absent"),
        (GGA_SOUTH, "GGA", "lat", "-33.857833333"),
        (GGA_SOUTH, "GGA", "lon", "-151.208333333"),
        (GGA_SOUTH, "GGA", "alt", "-3.2"),
        (GGA_SOUTH, "GGA", "station", "0123"),
        // Without a fix there is no position, also where the receiver repeats the last one.
        (GGA_NONE, "GGA", "lat", "empty"),
        (GGA_NONE, "GGA", "sats", "0"),
        (GGA_OLD, "GGA", "lat", "empty"),
        (GGA_OLD, "GGA", "alt", "empty"),
        (RMC, "RMC", "speed", "0.004"),
        (RMC, "RMC", "course", "77.52"),
        (RMC, "RMC", "date", "2002-12-09"),
        (RMC, "RMC", "datetime", "2002-12-09T08:35:59.00Z"),
        (RMC, "RMC", "variation", "-2.5"),
        (RMC, "RMC", "status", "A"),
        (RMC_NONE, "RMC", "speed", "empty"),
        (RMC_NONE, "RMC", "lat", "empty"),
        (RMC_NONE, "RMC", "status", "V"),
        (VTG, "VTG", "speed_kmh", "0.008"),
        (VTG, "VTG", "course_magnetic", "75.02"),
        (GSA, "GSA", "fix", "3"),
        (GSA, "GSA", "hdop", "0.7"),
        (GSA, "GSA", "system", "3"),
        (GSA, "GSA", "3", "21"),
        (GSA_NONE, "GSA", "hdop", "empty"),
        (ZDA, "ZDA", "datetime", "2026-09-16T08:27:10.00Z"),
        (ZDA, "ZDA", "year", "2026"),
        (HDT, "HDT", "heading", "274.07"),
        (HDT, "HEHDT", "1", "274.07"),
        (HDT, "HDT", "9", "empty"),
        ("PUBX,00,081350.00,4717.113210,N", "PUBX", "2", "081350.00"),
        (
            "GPGGA,1,9917.1,N,00833.9,E,1,8,1,1,M,1,M,,",
            "GGA",
            "lat",
            "wrong",
        ),
        (
            "GPGGA,1,4761.1,N,00833.9,E,1,8,1,1,M,1,M,,",
            "GGA",
            "lat",
            "wrong",
        ),
        (
            "GPGGA,1,4717.1,X,00833.9,E,1,8,1,1,M,1,M,,",
            "GGA",
            "lat",
            "wrong",
        ),
        (
            "GPGGA,256199,4717.1,N,00833.9,E,1,x,1,1,M,1,M,,",
            "GGA",
            "time",
            "wrong",
        ),
        (
            "GPGGA,256199,4717.1,N,00833.9,E,1,x,1,1,M,1,M,,",
            "GGA",
            "sats",
            "wrong",
        ),
        (
            "GPGGA,1,9000.0,S,18000.0,W,1,8,1,1,M,1,M,,",
            "GGA",
            "lon",
            "-180",
        ),
    ] {
        assert_eq!(read(body, sentence, field), want, "{body}: {field}");
    }
}

#[test]
fn the_checksum_decides_and_a_broken_sentence_before_it_is_passed_over() {
    let good = line(HDT);
    assert_eq!(good, "$HEHDT,274.07,T*19");
    for (text, want) in [
        (good.clone(), Ok("HEHDT")),
        (format!("{good} \r"), Ok("HEHDT")),
        (format!("\u{FF}\0$GPGGA,0927{good}"), Ok("HEHDT")),
        (good.to_lowercase(), Err(NmeaError::Syntax)),
        (
            "$HEHDT,274.07,T*04".to_owned(),
            Err(NmeaError::Checksum { said: 4, has: 0x19 }),
        ),
        ("$HEHDT,274.07,T".to_owned(), Err(NmeaError::NoChecksum)),
        ("$HEHDT,274.07,T*3".to_owned(), Err(NmeaError::NoChecksum)),
        ("$HEHDT,274.07,T*+3".to_owned(), Err(NmeaError::NoChecksum)),
        ("HEHDT,274.07,T*19".to_owned(), Err(NmeaError::Syntax)),
        (String::new(), Err(NmeaError::Syntax)),
        ("$*00".to_owned(), Err(NmeaError::Syntax)),
        (
            line("!x,1"),
            Err(NmeaError::Checksum {
                said: 0x44,
                has: 0x65,
            }),
        ),
    ] {
        let got = Sentence::parse(&text).map(|sentence| sentence.address);
        assert_eq!(got, want, "{text}");
    }
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(body in "[A-Z]{5}(,[-0-9.A-Z]{0,9}){0,20}") {
        let line = line(&body);
        let sentence = Sentence::parse(&line).unwrap();
        for (kind, table) in SENTENCES {
            for named in *table {
                let field = NmeaField::named(kind, named.name).unwrap();
                let _ = sentence.get(&field);
                let forced = NmeaField { sentence: sentence.address.to_owned(), ..field };
                let _ = sentence.get(&forced);
            }
        }
    }

    #[test]
    fn degrees_are_exact_to_a_tenth_of_a_millimetre(degrees in 0u32..90, minutes in 0u64..60_000_000) {
        let text = format!("{degrees:02}{:02}.{:06}", minutes / 1_000_000, minutes % 1_000_000);
        let got = angle(&text, "N").unwrap().to_f64();
        let want = f64::from(degrees) + minutes as f64 / 60e6;
        prop_assert!((got - want).abs() < 1e-9, "{}: {} {}", text, got, want);
    }
}
