use fieldgate_bridge::Defaults;

use super::*;

fn entry(points: &str) -> Result<GpioEntry, String> {
    device(&format!(
        r#"{{"gpio": {{"chip": "pinctrl-bcm2711"}}, "points": {points}}}"#
    ))
}

fn device(json: &str) -> Result<GpioEntry, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn misfits(points: &str) -> Vec<String> {
    let resolved = entry(points)
        .unwrap()
        .resolve("panel", &Defaults::default());
    let misfits = resolved.map_or_else(|misfits| misfits, |_| Vec::new());
    let text =
        |misfit: fieldgate_bridge::Misfit| format!("{}: {}", misfit.path.join("."), misfit.message);
    misfits.into_iter().map(text).collect()
}

#[test]
fn the_panel_of_the_specification_is_read() {
    let points = r#"{
        "door": {"in": "GPIO17", "pull": "up", "active_low": true, "debounce": "20ms", "enum": {"0": "closed", "1": "open"}},
        "water": {"count": "GPIO27", "edge": "falling", "debounce": "5ms", "scale": 0.5, "unit": "L", "persist": "60s"},
        "flow": {"rate": "water", "per": "1m"},
        "siren": {"out": 22, "initial": 0, "safe": 0, "pulse_max": "30s"},
        "fan": {"pwm": 0, "frequency": 25000, "safe": 12.5}
    }"#;
    let config = entry(points).unwrap();
    let config = config.resolve("panel", &Defaults::default()).unwrap();
    let writable: Vec<bool> = config
        .model_points()
        .iter()
        .map(|point| point.writable)
        .collect();
    assert_eq!(writable, [false, false, false, true, true]);
    let Kind::Rate(rate) = &config.points[2].1.kind else {
        panic!("{config:?}")
    };
    assert_eq!((rate.of, rate.scale.to_string().as_str()), (1, "0.5"));
    let Kind::Out(out) = &config.points[3].1.kind else {
        panic!("{config:?}")
    };
    assert_eq!((out.initial, out.safe), (Some(false), Some(false)));
    assert_eq!(out.line.line, LineRef::Offset(22));
}

#[test]
fn chips_by_their_numbers_are_refused_with_the_reason() {
    for (chip, is_refused) in [
        ("gpiochip0", true),
        ("/dev/gpiochip4", true),
        ("gpiochip", true),
        ("pinctrl-rp1", false),
        ("gpiochip-expander", false),
    ] {
        let json = format!(r#"{{"gpio": {{"chip": "{chip}"}}, "points": {{"a": {{"in": 1}}}}}}"#);
        let error = device(&json).err();
        assert_eq!(
            error
                .as_ref()
                .is_some_and(|error| error.contains("gpiodetect")),
            is_refused,
            "{chip}: {error:?}"
        );
    }
}

#[test]
fn only_simulated_lines_are_wired() {
    let wired = |simulated: bool| {
        let json = format!(
            r#"{{"gpio": {{"simulated": {simulated}, "wires": {{"IN": "OUT"}}}}, "points": {{"a": {{"in": "IN"}}}}}}"#
        );
        device(&json)
    };
    let error = wired(false).unwrap_err();
    assert!(error.starts_with("wires: only lines with"), "{error}");
    let entry = wired(true).unwrap();
    let config = entry.resolve("panel", &Defaults::default()).unwrap();
    let name = |name: &str| LineRef::Name(name.to_owned());
    assert_eq!(config.wires, [(name("IN"), name("OUT"))].into());
}

#[test]
fn what_is_wrong_with_a_point_begins_with_its_key() {
    for (point, want) in [
        (r#"{}"#, "expected one of in, count"),
        (r#"{"in": 1, "out": 2}"#, "out: the point already has `in`"),
        (
            r#"{"in": 1, "safe": 0}"#,
            "safe: only a point with out, pwm has it",
        ),
        (
            r#"{"out": 1, "debounce": "1s"}"#,
            "debounce: only a point with in, count",
        ),
        (
            r#"{"out": 1, "initial": 2}"#,
            "initial: expected 0 or 1, found 2",
        ),
        (r#"{"out": 1, "initial": "open"}"#, "expected 0 or 1"),
        (
            r#"{"out": 1, "safe": 1, "pulse_max": "1s"}"#,
            "safe: an output with `pulse_max`",
        ),
        (r#"{"count": 1, "scale": 0}"#, "scale: must be above 0"),
        (
            r#"{"count": 1, "persist": "10ms"}"#,
            "persist: must be at least 1s",
        ),
        (
            r#"{"count": 1, "every": "1ms"}"#,
            "every: must be at least 50ms",
        ),
        (
            r#"{"in": 1, "debounce": "2m"}"#,
            "debounce: must be at most 60s",
        ),
        (r#"{"pwm": 4, "frequency": 100}"#, "pwm: expected a channel"),
        (r#"{"pwm": 0}"#, "frequency: expected"),
        (
            r#"{"pwm": 0, "frequency": 100, "safe": 101}"#,
            "safe: expected a duty",
        ),
        (r#"{"in": -1}"#, "the name of a line"),
        (r#"{"in": ""}"#, "the name of a line"),
        (r#"{"in": 1, "pul": "up"}"#, "unknown field `pul`"),
    ] {
        let error = entry(&format!(r#"{{"a": {point}}}"#)).unwrap_err();
        assert!(error.contains(want), "{point}: {error}");
    }
}

#[test]
fn points_that_do_not_fit_each_other_are_told_all_at_once() {
    for (points, want) in [
        (
            r#"{"a": {"rate": "b"}, "c": {"lost": "a"}}"#,
            &[
                "points.a.rate: unknown counter",
                "points.c.lost: unknown counter",
            ][..],
        ),
        (
            r#"{"a": {"out": 1, "interlock": ["b"]}, "b": {"in": 2}}"#,
            &["points.a.interlock: unknown output \"b\""],
        ),
        (
            r#"{"a": {"out": 1, "interlock": ["a"]}}"#,
            &["points.a.interlock: unknown output \"a\""],
        ),
        (
            r#"{"a": {"out": 1, "initial": 1}, "b": {"out": 2, "initial": 1, "interlock": ["a"]}}"#,
            &["points.a.initial: the interlocked output \"b\""],
        ),
    ] {
        let misfits = misfits(points);
        assert_eq!(misfits.len(), want.len(), "{points}: {misfits:?}");
        for (misfit, want) in misfits.iter().zip(want) {
            assert!(misfit.starts_with(want), "{misfit}");
        }
    }
    let no_chip = device(r#"{"gpio": {}, "points": {"a": {"in": 3}}}"#).unwrap();
    let misfits = no_chip.resolve("panel", &Defaults::default()).unwrap_err();
    assert!(
        misfits[0].message.contains("needs `gpio.chip`"),
        "{misfits:?}"
    );
}

#[test]
fn a_device_claims_its_lines_and_channels() {
    let points = r#"{"a": {"out": 1}, "b": {"rate": "c"}, "c": {"count": "1"},
        "d": {"pwm": 2, "frequency": 100}}"#;
    for (gpio, prefix, within) in [
        (r#"{"chip": "x"}"#, "", Some("x")),
        (r#"{"simulated": true}"#, "simulated ", None),
    ] {
        let json = format!(r#"{{"gpio": {gpio}, "points": {points}}}"#);
        let claims = device(&json).unwrap().claims();
        let shown = claims.iter().map(|claim| {
            (
                claim.path.join("."),
                claim.what.to_owned(),
                claim.name.as_str(),
            )
        });
        let want = [
            ("points.a.out", "line", "number 1"),
            ("points.c.count", "line", "1"),
            ("points.d.pwm", "PWM channel", "2"),
        ];
        let want =
            want.map(|(path, what, name)| (path.to_owned(), format!("{prefix}{what}"), name));
        assert_eq!(shown.collect::<Vec<_>>(), want);
        assert_eq!(claims[0].within.as_deref(), within);
        // There is one set of channels.
        assert_eq!(claims[2].within, None);
    }
}

#[test]
fn an_interlock_holds_both_ways() {
    let points = r#"{"up": {"out": 1, "interlock": ["down"]}, "down": {"out": 2}}"#;
    let config = entry(points).unwrap();
    let config = config.resolve("panel", &Defaults::default()).unwrap();
    let interlocks = config.points.iter().map(|(_, point)| match &point.kind {
        Kind::Out(out) => out.interlock.clone(),
        _ => Vec::new(),
    });
    assert_eq!(interlocks.collect::<Vec<_>>(), [[1], [0]]);
}
