use super::*;
use crate::config::{Table, Type};
use serde::de;
use std::time::Duration;

fn read<T: de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

const METER: &str = r#"{
    "modbus": {"order": "CDAB", "max_gap": 4, "max_registers": 80},
    "points": {
        "voltage": {"input": 0, "as": "f32"},
        "current": {"input": 2, "as": "f32", "order": "ABCD", "poll": "10s"},
        "model": {"holding": 9, "as": "string(12)", "poll": "once"}
    }
}"#;

#[test]
fn a_device_takes_from_its_type_what_it_does_not_say_itself() {
    let meter: TypeConfig = read(METER).unwrap();
    let entry: DeviceEntry = read(
        r#"{"type": "meter", "bus": "rs485", "units": [5, 7], "modbus": {"max_gap": 0},
            "points": {"relay": {"coil": 1}, "current": {"input": 6, "as": "u16"}}}"#,
    )
    .unwrap();
    assert_eq!((entry.units.as_slice(), entry.many), (&[5, 7][..], true));
    let defaults: Defaults = read(r#"{"poll": "2s", "heartbeat": "60s"}"#).unwrap();
    let device = entry
        .resolve("meter-5", 5, Some(&meter), &defaults)
        .unwrap();
    assert_eq!(
        (device.name.as_str(), device.bus.as_str(), device.unit),
        ("meter-5", "rs485", 5)
    );
    assert_eq!(
        (device.max_gap, device.max_registers, device.max_bits),
        (0, 80, 2000)
    );
    let points: Vec<_> = device
        .points
        .iter()
        .map(|(name, point)| (name.as_str(), point.table, point.kind, point.order))
        .collect();
    assert_eq!(
        points,
        [
            ("voltage", Table::Input, Type::F32, Order::Cdab),
            ("current", Table::Input, Type::U16, Order::Cdab),
            ("model", Table::Holding, Type::String(12), Order::Cdab),
            ("relay", Table::Coil, Type::Switch, Order::Cdab),
        ]
    );
    let rule = device.points[0].1.rule;
    assert_eq!(rule.heartbeat, Some(Duration::from_secs(60)));
    let other = entry
        .resolve("meter-5", 5, Some(&meter), &defaults)
        .unwrap();
    assert_eq!(device, other, "nothing changed, nothing to restart");
}

#[test]
fn without_a_type_the_specification_sets_the_limits() {
    let entry: DeviceEntry =
        read(r#"{"bus": "b", "unit": 1, "points": {"a": {"input": 0, "as": "u16"}}}"#).unwrap();
    assert!(!entry.many);
    let device = entry.resolve("plc", 1, None, &Defaults::default()).unwrap();
    assert_eq!(
        (device.max_gap, device.max_registers, device.max_bits),
        (8, 125, 2000)
    );
    let settings = device.settings(&Offline::default(), 9);
    assert_eq!((settings.rules.len(), settings.offline_after), (1, 3));
    let point = &device.points.model()[0];
    assert_eq!((point.name.as_str(), point.writable), ("a", false));
}

#[test]
fn a_wrong_device_or_type_is_refused_by_key() {
    for (json, want) in [
        (r#"{"bus": "b", "points": {}}"#, "unit: missing"),
        (
            r#"{"bus": "b", "unit": 1, "units": [2]}"#,
            "units: the device already has `unit`",
        ),
        (
            r#"{"bus": "b", "units": []}"#,
            "units: expected at least one",
        ),
        (
            r#"{"bus": "b", "units": [3, 4, 3]}"#,
            "units: duplicate unit 3",
        ),
        (r#"{"bus": "b", "unit": 256}"#, "256"),
        (
            r#"{"bus": "b", "unit": 1}"#,
            "points: expected at least one point, or a `type`",
        ),
        (r#"{"unit": 1}"#, "missing field `bus`"),
        (
            r#"{"bus": "b", "unit": 1, "tpye": "x"}"#,
            "unknown field `tpye`",
        ),
        (
            r#"{"bus": "b", "unit": 1, "points": {"a/b": {"coil": 1}}}"#,
            "`a/b` cannot be part of a topic",
        ),
        (
            r#"{"bus": "b", "unit": 1, "points": {"a": {"coil": 1}, "a": {"coil": 2}}}"#,
            "duplicate name `a`",
        ),
        (
            r#"{"bus": "b", "unit": 1, "points": 5}"#,
            "a table of points",
        ),
    ] {
        let error = read::<DeviceEntry>(json).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
    for (json, want) in [
        (
            r#"{"points": {}, "modbus": {"max_registers": 126}}"#,
            "max_registers: 126 is outside 1..=125",
        ),
        (
            r#"{"points": {}, "modbus": {"max_bits": 0}}"#,
            "max_bits: 0 is outside 1..=2000",
        ),
        (
            r#"{"points": {}, "modbus": {"max_gaps": 0}}"#,
            "unknown field `max_gaps`",
        ),
        (r#"{"modbus": {}}"#, "missing field `points`"),
    ] {
        let error = read::<TypeConfig>(json).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
}

#[test]
fn a_factor_is_found_by_name_also_if_the_device_replaces_it() {
    let meter: TypeConfig = read(
        r#"{"points": {"power": {"input": 0, "as": "i16", "scale_from": "sf"},
            "sf": {"input": 1, "as": "i16"}, "text": {"input": 2, "as": "f32"}}}"#,
    )
    .unwrap();
    for (own, want) in [
        (r#"{}"#, Ok(Some(1))),
        (r#"{"sf": {"input": 9, "as": "i16"}}"#, Ok(Some(1))),
        (
            r#"{"power": {"input": 0, "as": "i16", "scale_from": "own"},
                "own": {"input": 9, "as": "i16"}}"#,
            Ok(Some(3)),
        ),
        (
            r#"{"power": {"input": 0, "as": "i16", "scale_from": "fs"}}"#,
            Err("points.power.scale_from: unknown point \"fs\""),
        ),
        (
            r#"{"power": {"input": 0, "as": "i16", "scale_from": "text"}}"#,
            Err("points.power.scale_from: `text` is no plain integer"),
        ),
        (
            r#"{"power": {"input": 0, "as": "i16", "scale_from": "power"}}"#,
            Err("points.power.scale_from: `power` is no plain integer"),
        ),
    ] {
        let json = format!(r#"{{"type": "m", "bus": "b", "unit": 1, "points": {own}}}"#);
        let entry: DeviceEntry = read(&json).unwrap();
        let device = entry.resolve("d", 1, Some(&meter), &Defaults::default());
        let found = device.map(|device| device.points[0].1.scale_from);
        let want = want.map_err(|text: &str| vec![text.to_owned()]);
        assert_eq!(found.map_err(texts), want, "{own}");
    }
}

#[test]
fn all_parts_that_do_not_fit_are_told_at_once() {
    let meter: TypeConfig = read(
        r#"{"points": {"serial": {"holding": 0, "as": "u64"},
            "power": {"input": 0, "as": "i16", "scale_from": "sf"}}}"#,
    )
    .unwrap();
    let entry: DeviceEntry = read(
        r#"{"type": "m", "bus": "b", "unit": 1, "modbus": {"max_registers": 3}, "points": {
            "a": {"holding": 0, "as": "u64"}, "b": {"input": 0, "as": "i16", "scale_from": "a"},
            "c": {"input": 0, "as": "i16", "scale_from": "b"}, "d": {"input": 0, "as": "u16"}}}"#,
    )
    .unwrap();
    let misfits = entry
        .resolve("d", 1, Some(&meter), &Defaults::default())
        .unwrap_err();
    let known = misfits[0].known.clone().unwrap();
    let names = ["serial", "a", "d"].map(str::to_owned);
    assert_eq!(known, ("sf".to_owned(), names.into()));
    assert_eq!(
        texts(misfits),
        [
            "points.power.scale_from: unknown point \"sf\"",
            "points.c.scale_from: `b` is no plain integer",
            "modbus.max_registers: the point `serial` needs 4 registers",
            "points.a.as: needs 4 registers, more than max_registers 3",
        ]
    );
}

fn texts(misfits: Vec<Misfit>) -> Vec<String> {
    let text = |misfit: Misfit| format!("{}: {}", misfit.path.join("."), misfit.message);
    misfits.into_iter().map(text).collect()
}

#[test]
fn a_device_that_shares_its_bus_is_spread_finely_and_what_is_configured_counts() {
    // The device has a period of 10 s, and one of its own.
    let device = |together: &str, poll: &str| {
        let meter: TypeConfig = read(METER).unwrap();
        let entry: DeviceEntry = read(r#"{"type": "meter", "bus": "b", "unit": 1}"#).unwrap();
        let defaults = format!(r#"{{"poll": "{poll}"{together}}}"#);
        let defaults: Defaults = read(&defaults).unwrap();
        entry.resolve("d", 1, Some(&meter), &defaults).unwrap()
    };
    let own = r#", "together": "50ms""#;
    for (together, poll, alone, step_ms) in [
        ("", "2s", None, 20),
        ("", "2s", Some(1), 200),
        ("", "2s", Some(200), 100),
        ("", "2s", Some(1_000), 20),
        ("", "500ms", Some(1), 100),
        ("", "once", Some(1), 200),
        (own, "2s", None, 50),
        (own, "2s", Some(1), 50),
    ] {
        let device = device(together, poll);
        let step = device.phase(1, alone) - device.phase(0, alone);
        assert_eq!(step.as_millis(), step_ms, "{together} {poll} {alone:?}");
    }
}
