use std::collections::BTreeSet;

use crate::diff;
use crate::tests::load;
use fieldgate_bridge_gpio::{GpioConfig, Lines};

pub(super) const PANEL: &str = r#"
version: 1
defaults: {heartbeat: 60s}
devices:
  panel:
    gpio: {chip: pinctrl-bcm2711}
    points:
      door:  {in: GPIO17, pull: up, active_low: true, debounce: 20ms, enum: {0: closed, 1: open}}
      water: {count: GPIO27, edge: falling, debounce: 5ms, scale: 0.5, unit: L, persist: 60s}
      siren: {out: GPIO22, initial: 0, safe: 0, pulse_max: 30s}
  lamps:
    gpio: {chip: expander, simulated: true, wires: {1: 2, GPIO3: GPIO4}}
    points:
      red: {out: 2}
"#;

#[test]
fn the_panel_of_the_specification_is_a_device_with_writable_outputs() {
    let config = load(PANEL, &[]).unwrap();
    let gpio = |name: &str| -> &GpioConfig { config.devices[name].of::<Lines>().unwrap() };
    assert_eq!(config.points("panel"), ["door", "water", "siren"]);
    let panel = gpio("panel");
    let writable = panel.model_points().into_iter().map(|point| point.writable);
    assert_eq!(writable.collect::<Vec<_>>(), [false, false, true]);
    let heartbeat = panel.points[0].1.rule.heartbeat;
    assert_eq!(heartbeat.unwrap().as_secs(), 60);
    let wires = gpio("lamps").wires.iter();
    let wires: Vec<String> = wires.map(|(to, from)| format!("{from}-{to}")).collect();
    assert_eq!(wires, ["GPIO4-GPIO3", "2-1"]);
}

#[test]
fn a_reload_restarts_the_gpio_devices_that_changed() {
    let old = load(PANEL, &[]).unwrap();
    assert!(diff(&old, &old).is_empty());
    let names = |names: &BTreeSet<String>| -> Vec<String> { names.iter().cloned().collect() };
    let none = Vec::<String>::new;
    for (from, to, added, changed, removed) in [
        (
            "debounce: 20ms",
            "debounce: 21ms",
            none(),
            vec!["panel".to_owned()],
            none(),
        ),
        ("{1: 2, ", "{", none(), vec!["lamps".to_owned()], none()),
        (
            "panel:",
            "board:",
            vec!["board".to_owned()],
            none(),
            vec!["panel".to_owned()],
        ),
        // Another bridge's from now on.
        (
            "gpio: {chip: expander, simulated: true, wires: {1: 2, GPIO3: GPIO4}}\n    points:\n      red: {out: 2}",
            "serial: {port: /dev/x}\n    points: {red: {}}",
            vec!["lamps".to_owned()],
            none(),
            vec!["lamps".to_owned()],
        ),
    ] {
        let new = load(&PANEL.replace(from, to), &[]).unwrap();
        let changes = diff(&old, &new);
        let got = [&changes.added, &changes.changed, &changes.removed].map(names);
        assert_eq!(got, [added, changed, removed], "{from}");
    }
}

#[test]
fn every_kind_of_mistake_has_its_words_and_its_place() {
    let chip = "gpio: {chip: x}";
    for (devices, want) in [
        (
            "a: {gpio: {chip: gpiochip4}, points: {p: {in: 1}}}".to_owned(),
            ":3:20: devices.a.gpio.chip: the numbers of gpiochips change between kernels and starts",
        ),
        (
            "a: {gpio: {chp: x}, points: {p: {in: 1}}}".to_owned(),
            ":3:14: devices.a.gpio.chp: unknown key; expected one of chip, simulated, wires; did you mean \"chip\"?",
        ),
        (
            "a: {gpio: {wires: {A: B}}, points: {p: {in: A}}}".to_owned(),
            ":3:14: devices.a.gpio.wires: only lines with `simulated: true` have them",
        ),
        (
            format!("a: {{{chip}, bus: net, points: {{p: {{in: 1}}}}}}"),
            ":3:24: devices.a.bus: unknown key; expected one of gpio, points",
        ),
        (
            format!("a: {{{chip}}}"),
            ":3:3: devices.a: the key \"points\" is missing",
        ),
        (
            format!("\"a-{{unit}}\": {{{chip}, points: {{p: {{in: 1}}}}}}"),
            ":3:3: devices.a-{unit}: a GPIO device has a name without placeholders",
        ),
        (
            format!("a: {{{chip}, points: {{p: {{in: 1, pul: up}}}}}}"),
            ":3:44: devices.a.points.p.pul: unknown key; expected one of in, count, rate, lost, out, pwm,",
        ),
        (
            format!("a: {{{chip}, points: {{p: {{in: 1, pull: upp}}}}}}"),
            ":3:50: devices.a.points.p.pull: unknown name \"upp\"; expected one of up, down, none; did you mean \"up\"?",
        ),
        (
            format!("a: {{{chip}, points: {{p: {{in: 1, safe: 0}}}}}}"),
            ":3:50: devices.a.points.p.safe: only a point with out, pwm has it, this one has `in`",
        ),
        (
            format!("a: {{{chip}, points: {{p: {{rate: watter}}, water: {{count: 1}}}}}}"),
            ":3:37: devices.a.points.p.rate: unknown counter \"watter\"; expected water; did you mean \"water\"?",
        ),
        (
            format!("a: {{{chip}, points: {{p: {{out: 1, interlock: [q]}}, q: {{in: 2}}}}}}"),
            ":3:45: devices.a.points.p.interlock: unknown output \"q\"",
        ),
        (
            "a: {gpio: {}, points: {p: {in: 3}}}".to_owned(),
            ":3:30: devices.a.points.p.in: a line by its number needs `gpio.chip`, the label of its chip",
        ),
        (
            format!("a: {{{chip}, points: {{p: {{in: 3}}}}}}\n  b: {{{chip}, points: {{q: {{out: 3}}}}}}"),
            ":4:37: devices.b.points.q.out: this line is already in use by devices.a.points.p.in at line 3",
        ),
        (
            "a: {gpio: {}, points: {p: {pwm: 0, frequency: 9}}}\n  b: {gpio: {}, points: {q: {pwm: 0, frequency: 9}}}".to_owned(),
            ":4:30: devices.b.points.q.pwm: this PWM channel is already in use by devices.a.points.p.pwm at line 3",
        ),
    ] {
        let text = format!("version: 1\ndevices:\n  {devices}");
        let error = load(&text, &[]).expect_err(&text);
        let want = format!("gateway.yaml{want}");
        assert!(error.starts_with(&want), "{text}\n{error}\n{want}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_lines_of_different_chips_are_no_mistake() {
    let text = "version: 1
devices:
  a: {gpio: {chip: x}, points: {p: {in: 1, pul: up}}}
  b: {gpio: {chip: y}, points: {p: {out: 1, initial: 2}}}
  c: {gpio: {chip: z}, points: {p: {in: 1}, q: {in: 1}}}
  d: {gpio: {chip: x}, points: {p: {in: 2}}}
  e: {gpio: {chip: y}, points: {p: {in: 2}}}
  f: {gpio: {chip: y, simulated: true}, points: {p: {in: 2}}}";
    let error = load(text, &[]).unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    for (line, want) in lines.iter().zip([
        "gateway.yaml:3:44: devices.a.points.p.pul: unknown key",
        "gateway.yaml:4:54: devices.b.points.p.initial: expected 0 or 1, found 2",
        "gateway.yaml:5:49: devices.c.points.q.in: this line is already in use by devices.c.points.p.in at line 5",
        "3 mistakes",
    ]) {
        assert!(line.starts_with(want), "{error}");
    }
}
