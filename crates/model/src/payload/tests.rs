use super::*;
use crate::Decimal;

fn at() -> Timestamp {
    "2026-11-22T17:16:00.123456Z".parse().unwrap()
}

fn point(unit: Option<&str>) -> Point {
    Point {
        name: "t".into(),
        unit: unit.map(str::to_owned),
        writable: false,
        labels: None,
    }
}

fn sample(value: Option<Value>, quality: Quality) -> Sample {
    Sample {
        point: 0,
        value,
        quality,
        at: at(),
        error: None,
    }
}

fn rendered(format: PayloadFormat, point: &Point, sample: &Sample, clock: bool) -> Option<String> {
    let mut out = String::from("before ");
    let is_published = SampleWriter::new(format, clock).append(&mut out, point, sample);
    let payload = out.strip_prefix("before ").unwrap();
    is_published.then(|| payload.to_owned())
}

fn text(payload: Vec<u8>) -> String {
    String::from_utf8(payload).unwrap()
}

#[test]
fn a_json_sample_has_exactly_the_documented_shape() {
    let number = |text: &str| Some(Value::Decimal(text.parse().unwrap()));
    let ts = "\"ts\":\"2026-11-22T17:16:00.123Z\"";
    for (value, quality, unit, clock, want) in [
        (
            number("21.5"),
            Quality::Good,
            Some("°C"),
            true,
            format!("{{\"value\":21.5,\"unit\":\"°C\",{ts},\"quality\":\"good\"}}"),
        ),
        (
            number("18446744073709551615"),
            Quality::Good,
            None,
            false,
            format!(
                "{{\"value\":18446744073709551615,{ts},\"quality\":\"good\",\"clock\":\"unsynchronised\"}}"
            ),
        ),
        (
            Some(Value::F32(0.1)),
            Quality::Stale,
            None,
            true,
            format!("{{\"value\":0.1,{ts},\"quality\":\"stale\"}}"),
        ),
        (
            None,
            Quality::Bad,
            None,
            true,
            format!("{{\"value\":null,{ts},\"quality\":\"bad\"}}"),
        ),
        (
            Some(Value::F32(f32::NAN)),
            Quality::Good,
            None,
            true,
            format!("{{\"value\":null,{ts},\"quality\":\"bad\"}}"),
        ),
        (
            number("1"),
            Quality::Bad,
            None,
            true,
            format!("{{\"value\":null,{ts},\"quality\":\"bad\"}}"),
        ),
        (
            Some(Value::Text("a\"\n\u{1}".into())),
            Quality::Good,
            None,
            true,
            format!("{{\"value\":\"a\\\"\\n\\u0001\",{ts},\"quality\":\"good\"}}"),
        ),
        (
            Some(Value::Bool(true)),
            Quality::Good,
            None,
            true,
            format!("{{\"value\":true,{ts},\"quality\":\"good\"}}"),
        ),
    ] {
        let payload = rendered(
            PayloadFormat::Json,
            &point(unit),
            &sample(value, quality),
            clock,
        );
        assert_eq!(payload, Some(want));
    }
}

#[test]
fn a_bad_sample_ends_with_its_reason_and_a_stale_one_does_not() {
    let why: std::sync::Arc<str> = "exception 4 (\"FAILURE\")".into();
    for (quality, end) in [
        (
            Quality::Bad,
            r#""quality":"bad","error":"exception 4 (\"FAILURE\")"}"#,
        ),
        (Quality::Stale, r#""quality":"stale"}"#),
    ] {
        let sample = sample(None, quality).because(&why);
        let payload = rendered(PayloadFormat::Json, &point(None), &sample, true);
        let got = payload.unwrap();
        assert!(got.ends_with(end), "{got}");
    }
}

#[test]
fn a_raw_sample_is_bare_a_bad_one_is_empty_and_a_stale_one_is_not_published() {
    let value = || Some(Value::Decimal(Decimal::from(7)));
    for (value, quality, want) in [
        (value(), Quality::Good, Some("7")),
        (value(), Quality::Bad, Some("")),
        (None, Quality::Bad, Some("")),
        (Some(Value::F64(f64::INFINITY)), Quality::Good, Some("")),
        (value(), Quality::Stale, None),
    ] {
        let payload = rendered(
            PayloadFormat::Raw,
            &point(None),
            &sample(value, quality),
            true,
        );
        assert_eq!(payload.as_deref(), want);
    }
}

#[test]
fn states_say_why_and_since_when_under_json_only() {
    let offline = DeviceState::Offline {
        error: "no \"answer\"".into(),
        since: at(),
    };
    for (format, state, want) in [
        (PayloadFormat::Json, &DeviceState::Online, "online"),
        (PayloadFormat::Raw, &DeviceState::Online, "online"),
        (PayloadFormat::Raw, &offline, "offline"),
        (
            PayloadFormat::Json,
            &offline,
            r#"{"state":"offline","error":"no \"answer\"","since":"2026-11-22T17:16:00.123Z"}"#,
        ),
    ] {
        assert_eq!(text(render_state(format, state)), want);
    }
}

#[test]
fn results_name_the_status_the_value_and_the_read_back() {
    let one = || Value::Decimal(Decimal::ONE);
    for (outcome, want) in [
        (
            Outcome::Done {
                value: one(),
                readback: Some(one()),
            },
            r#"{"status":"ok","value":1,"readback":1}"#,
        ),
        (
            Outcome::Done {
                value: Value::Text("day".into()),
                readback: None,
            },
            r#"{"status":"ok","value":"day"}"#,
        ),
        (
            Outcome::Mismatch {
                value: one(),
                readback: Some(Value::Bool(false)),
            },
            r#"{"status":"error","error":"wrote 1 but read back false","value":1,"readback":false}"#,
        ),
        (
            Outcome::Failed("offline".into()),
            r#"{"status":"error","error":"offline"}"#,
        ),
    ] {
        assert_eq!(text(render_outcome(&outcome)), want);
    }
}

#[test]
fn several_results_are_ok_if_all_are_and_stats_are_flat() {
    let done = Outcome::Done {
        value: Value::Bool(true),
        readback: None,
    };
    let failed = Outcome::Failed("too \"high\"".into());
    for (outcomes, want) in [
        (
            vec![("a", &done), ("b", &done)],
            r#"{"status":"ok","points":{"a":{"status":"ok","value":true},"b":{"status":"ok","value":true}}}"#,
        ),
        (
            vec![("ä\"", &done), ("b", &failed)],
            r#"{"status":"error","points":{"ä\"":{"status":"ok","value":true},"b":{"status":"error","error":"too \"high\""}}}"#,
        ),
    ] {
        assert_eq!(text(render_outcomes(&outcomes)), want);
    }
    let codes = BTreeMap::from([(2, 5), (6, 1)]);
    let counts = [("requests", 7), ("timeouts", 0)];
    for (codes, want) in [
        (
            Some(("exceptions", &codes)),
            r#"{"requests":7,"timeouts":0,"exceptions":{"2":5,"6":1}}"#,
        ),
        (None, r#"{"requests":7,"timeouts":0}"#),
    ] {
        assert_eq!(text(render_stats(&counts, codes)), want);
    }
}

#[test]
fn a_device_is_one_object_that_says_which_points_are_not_good() {
    let why: std::sync::Arc<str> = "exception 2".into();
    let number = |text: &str| Some(Value::Decimal(text.parse().unwrap()));
    let later = |sample: Sample| Sample {
        at: "2026-11-22T17:16:01Z".parse().unwrap(),
        ..sample
    };
    let (first, second) = ("2026-11-22T17:16:00.123Z", "2026-11-22T17:16:01.000Z");
    for (samples, clock, want) in [
        (vec![], true, None),
        (
            vec![sample(number("2.64"), Quality::Good)],
            true,
            Some(format!(r#"{{"ts":"{first}","points":{{"p0":2.64}}}}"#)),
        ),
        (
            vec![
                sample(number("18446744073709551615"), Quality::Good),
                later(sample(Some(Value::Bool(true)), Quality::Stale)),
                sample(None, Quality::Bad).because(&why),
                sample(Some(Value::F32(f32::NAN)), Quality::Good),
            ],
            false,
            Some(format!(
                r#"{{"ts":"{second}","points":{{"p0":18446744073709551615,"p1":true,"p2":null,"p3":null}},"quality":{{"p1":"stale","p2":"bad","p3":"bad"}},"error":{{"p2":"exception 2"}},"clock":"unsynchronised"}}"#
            )),
        ),
    ] {
        let mut writer = DeviceWriter::default();
        for (index, sample) in samples.iter().enumerate() {
            let point = Point {
                name: format!("p{index}"),
                ..point(None)
            };
            writer.add(&point, sample);
        }
        let mut out = String::new();
        let is_written = writer.append(&mut out, clock);
        assert_eq!(is_written.then_some(out), want);
    }
}
