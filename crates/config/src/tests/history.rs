//! `history:`, and what devices, types and points say of it.

use super::*;

const HEAD: &str =
    "version: 1\nhistory: {max: 1G}\nbuses: {net: {tcp: \"10.0.0.1:502\", modbus: tcp}}\n";

fn devices(text: &str) -> String {
    format!("{HEAD}devices:\n{text}\n")
}

fn left_out(config: &Config) -> Vec<String> {
    let history = config.history.as_ref().unwrap().without.iter();
    let points = history
        .flat_map(|(device, points)| points.iter().map(move |point| format!("{device}/{point}")));
    points.collect()
}

#[test]
fn devices_types_and_points_say_what_is_kept() {
    let of_type = METER.replace("unit: kWh", "unit: kWh, history: false");
    let types = [("em3", of_type.as_str())];
    for (text, want) in [
        ("  a: {type: em3, bus: net, unit: 1}", vec!["a/import"]),
        (
            "  a: {type: em3, bus: net, unit: 1, history: false}",
            vec!["a/import", "a/power"],
        ),
        (
            "  a: {type: em3, bus: net, unit: 1, history: [import]}",
            vec!["a/power"],
        ),
        (
            "  \"m{unit}\": {type: em3, bus: net, units: 1-2, history: [power, import]}",
            vec![],
        ),
        (
            "  \"m{unit}\": {type: em3, bus: net, units: 1-2}",
            vec!["m1/import", "m2/import"],
        ),
        (
            "  a: {bus: net, unit: 1, points: {x: {coil: 1, history: false}, y: {coil: 2, history: true}}}",
            vec!["a/x"],
        ),
    ] {
        let config = load(&devices(text), &types).unwrap();
        assert_eq!(left_out(&config), want, "{text}");
    }
    let config = load("version: 1\n", &[]).unwrap();
    assert_eq!(config.history, None);
}

#[test]
fn types_and_points_say_what_is_a_counter() {
    let of_type = METER.replace("unit: kWh", "unit: kWh, counter: true");
    let types = [("em3", of_type.as_str())];
    for (text, want) in [
        (
            "  a: {type: em3, bus: net, unit: 1, history: false}",
            "a/import",
        ),
        (
            "  \"m{unit}\": {type: em3, bus: net, units: 1-2}",
            "m1/import m2/import",
        ),
        (
            "  a: {bus: net, unit: 1, points: {x: {input: 1, as: u16, counter: true}, y: {coil: 2, counter: false}}}",
            "a/x",
        ),
    ] {
        let config = load(&devices(text), &types).unwrap();
        let all = config.counters.iter();
        let all = all.flat_map(|(device, points)| {
            points.iter().map(move |point| format!("{device}/{point}"))
        });
        assert_eq!(all.collect::<Vec<_>>().join(" "), want, "{text}");
    }
    let old = load(
        &devices("  a: {bus: net, unit: 1, points: {x: {input: 1, as: u16}}}"),
        &[],
    );
    let new = load(
        &devices("  a: {bus: net, unit: 1, points: {x: {input: 1, as: u16, counter: true}}}"),
        &[],
    );
    assert!(diff(&old.unwrap(), &new.unwrap()).changed.contains("a"));
}

#[test]
fn what_does_not_fit_is_said_at_its_place() {
    for (text, want) in [
        (
            "  a: {bus: net, unit: 1, points: {pump: {coil: 1}}, history: [pumpe]}",
            "gateway.yaml:5:53: devices.a.history: unknown point \"pumpe\"; expected pump; did you mean \"pump\"?",
        ),
        (
            "  a: {bus: net, unit: 1, points: {pump: {coil: 1}}, history: 5}",
            "devices.a.history: expected true, false or a list of the points that are kept, found 5",
        ),
        (
            "  a: {bus: net, unit: 1, points: {pump: {coil: 1, history: off}}}",
            "devices.a.points.pump.history: expected true or false, found",
        ),
        (
            "  a: {bus: net, unit: 1, points: {pump: {coil: 1, counter: 1}}}",
            "devices.a.points.pump.counter: expected true or false, found 1",
        ),
        (
            "  a: {bus: net, unit: 1, points: {pump: {coil: 1, histroy: false}}}",
            "did you mean \"history\"?",
        ),
    ] {
        let mistakes = load(&devices(text), &[]).unwrap_err();
        assert!(mistakes.contains(want), "{text}: {mistakes}");
    }
    let mistakes = load("version: 1\nhistory: {keep: 30}\n", &[]).unwrap_err();
    assert!(mistakes.contains("history.keep: "), "{mistakes}");
}

#[test]
fn a_reload_restarts_devices_whose_points_are_kept_otherwise() {
    let text = devices("  a: {bus: net, unit: 1, points: {pump: {coil: 1}}}");
    let old = load(&text, &[]).unwrap();
    let new = load(&text.replace("unit: 1,", "unit: 1, history: false,"), &[]).unwrap();
    let changes = diff(&old, &new);
    assert!(
        changes.changed.contains("a") && changes.need_restart.is_empty(),
        "{changes:?}"
    );
    let larger = load(&text.replace("1G", "2G"), &[]).unwrap();
    assert_eq!(diff(&old, &larger).need_restart, ["history"]);
}
