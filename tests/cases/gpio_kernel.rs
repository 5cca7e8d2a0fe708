//! GPIO devices on the kernel's lines, simulated by the kernel: the real interface with its
//! requests, edges, debouncing and numbers. Runs in a virtual machine (`tests/vm/run`).

mod harness;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use harness::{
    PATIENCE,
    gpio_sim::SimulatedChip,
    mqtt::Subscriber,
    plant::{Plant, until, until_state},
};

#[test]
fn inputs_show_their_state_at_the_start_and_each_edge_with_pull_and_active_low() {
    let chip = SimulatedChip::new("plant-io", &["DOOR", "GATE", "FREE"]);
    chip.pull(1, true);
    let gateway = Plant::new(
        "devices:
  panel:
    gpio: {chip: plant-io}
    points:
      door: {in: DOOR, pull: up, active_low: true, enum: {0: closed, 1: open}}
      gate: {in: 1}
",
    );
    let (_process, seen) = gateway.start(&["panel"]);
    gateway.shows("panel/door", &json!("closed"));
    gateway.shows("panel/gate", &json!(true));
    assert!(chip.is_pulled_up(0), "the line's pull was not asked for");
    for (up, door) in [(false, "open"), (true, "closed"), (false, "open")] {
        chip.pull(0, up);
        until(&seen, "panel/door", &json!(door));
    }
    chip.pull(1, false);
    until(&seen, "panel/gate", &json!(false));
}

#[test]
fn pulses_of_1_khz_are_all_counted_and_kept_over_kill_9() {
    const PULSES: u32 = 5000;
    let chip = SimulatedChip::new("plant-io", &["WATER"]);
    let gateway = Plant::new(
        "devices:
  panel:
    gpio: {chip: plant-io}
    points:
      water: {count: WATER, edge: falling, every: 50ms, persist: 1s}
      flow:  {rate: water, unit: Hz, every: 100ms}
      gaps:  {lost: water}
",
    );
    let (mut process, seen) = gateway.start(&["panel"]);
    let contact = chip.contact(0);
    contact.pull(true);
    let start = Instant::now();
    let mut due = start;
    for _ in 1..=PULSES {
        for up in [false, true] {
            contact.pull(up);
            // What a busy machine is late is made up for a little at a time: a real signal does
            // not come in bursts either.
            let (on_time, soon) = (Duration::from_micros(500), Duration::from_micros(300));
            due = (due + on_time).max(Instant::now() + soon);
            while Instant::now() < due {
                thread::yield_now();
            }
        }
    }
    let took = start.elapsed();
    until(&seen, "panel/water", &json!(PULSES));
    let gaps = Subscriber::start(gateway.port, "mqttv5", "plant7/panel/gaps");
    let gaps = gaps.json("plant7/panel/gaps");
    println!("{PULSES} pulses in {took:?}: {gaps}");
    assert_eq!(gaps["value"], json!(0));

    // `persist` has run at least once since the last pulse.
    thread::sleep(Duration::from_secs(3));
    process.kill();
    let (_process, _) = gateway.start(&["panel"]);
    gateway.shows("panel/water", &json!(PULSES));
}

#[test]
fn edges_within_the_time_of_debouncing_are_one() {
    let chip = SimulatedChip::new("plant-io", &["REED"]);
    let gateway = Plant::new(
        "devices:
  panel:
    gpio: {chip: plant-io}
    points:
      reed: {count: REED, edge: rising, debounce: 300ms, every: 50ms}
",
    );
    let (_process, seen) = gateway.start(&["panel"]);
    // A contact that bounces: the last level counts, once it has stayed.
    for _ in 0..3 {
        for up in [true, false, true, false, true] {
            chip.pull(0, up);
        }
        thread::sleep(Duration::from_millis(900));
        chip.pull(0, false);
        thread::sleep(Duration::from_millis(900));
    }
    until(&seen, "panel/reed", &json!(3));
    chip.pull(0, true);
    until(&seen, "panel/reed", &json!(4));
}

/// A chip with the outputs below, all off: the valve's line is high then.
fn outputs() -> SimulatedChip {
    let chip = SimulatedChip::new("plant-io", &["SIREN", "PUMP", "VALVE", "LIGHT"]);
    chip.pull(2, true);
    chip
}

const OUTPUTS: &str = "devices:
  panel:
    gpio: {chip: plant-io}
    points:
      siren: {out: SIREN, initial: 0, safe: 0, pulse_max: 2s}
      pump:  {out: PUMP, safe: 0, interlock: [valve]}
      valve: {out: VALVE, active_low: true, safe: 0}
      light: {out: LIGHT}
";

#[test]
fn outputs_follow_commands_and_their_rules() {
    let chip = outputs();
    let gateway = Plant::new(OUTPUTS);
    let (_process, seen) = gateway.start(&["panel"]);
    assert_eq!(gateway.command(&seen, "panel/pump", "1")["status"], "ok");
    assert!(chip.level(1));
    let refused = gateway.command(&seen, "panel/valve", "1").to_string();
    assert!(refused.contains("pump"), "{refused}");
    assert_eq!(gateway.command(&seen, "panel/pump", "0")["status"], "ok");
    assert_eq!(gateway.command(&seen, "panel/valve", "1")["status"], "ok");
    assert!(!chip.level(1) && !chip.level(2), "active low");
    assert_eq!(gateway.command(&seen, "panel/siren", "1")["status"], "ok");
    assert!(chip.level(0));
    until(&seen, "panel/siren", &json!(false));
    assert!(!chip.level(0), "longer on than it may be");
}

#[test]
fn a_reload_and_a_restart_leave_outputs_and_an_end_makes_them_safe() {
    let chip = outputs();
    let gateway = Plant::new(OUTPUTS);
    let (mut process, seen) = gateway.start(&["panel"]);
    for point in ["pump", "light"] {
        assert_eq!(
            gateway.command(&seen, &format!("panel/{point}"), "1")["status"],
            "ok"
        );
    }
    // Levels are watched all the time: a blink would be as bad as a change.
    let blinked = thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let chip = &chip;
        let watcher = scope.spawn(move || {
            let mut blinked = 0;
            while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
                blinked += u32::from(!chip.level(1)) + u32::from(!chip.level(3));
            }
            blinked
        });
        gateway.write(&OUTPUTS.replace("pulse_max: 2s", "pulse_max: 3s"));
        process.signal("HUP");
        process.wait_line("reloaded");
        let again = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
        until_state(&again, "panel", |state| state == "online");
        drop(stop);
        watcher.join().expect("it watches")
    });
    assert_eq!(blinked, 0, "an output moved on a reload");

    process.signal("TERM");
    assert!(process.wait_exit(PATIENCE).success());
    assert!(!chip.level(1), "the pump is not safe after the end");
}

#[test]
fn after_kill_9_the_kernel_has_the_lines_and_the_next_start_takes_them_as_they_are() {
    let chip = outputs();
    let gateway = Plant::new(OUTPUTS);
    let (mut process, seen) = gateway.start(&["panel"]);
    for point in ["pump", "light"] {
        assert_eq!(
            gateway.command(&seen, &format!("panel/{point}"), "1")["status"],
            "ok"
        );
    }
    process.kill();
    let left: Vec<bool> = (0..4).map(|offset| chip.level(offset)).collect();
    println!("levels after kill -9: {left:?}");
    let (_process, _) = gateway.start(&["panel"]);
    gateway.shows("panel/light", &json!(left[3]));
    assert_eq!(
        chip.level(3),
        left[3],
        "a start moved an output without `initial`"
    );
}

#[test]
fn a_line_in_use_is_named_with_its_consumer_and_taken_when_it_is_free() {
    let chip = SimulatedChip::with_hog("plant-io", &["DOOR"], Some((0, "heating-daemon")));
    let gateway = Plant::new(
        "devices:
  panel:
    gpio: {chip: plant-io}
    points:
      door: {in: DOOR}
",
    );
    let (_process, seen) = (gateway.serve(), gateway.subscriber());
    let state = until_state(&seen, "panel", |state| state != "online");
    assert!(
        state.contains("heating-daemon") && state.contains("DOOR"),
        "{state}"
    );
    drop(chip);
    let state = until_state(&seen, "panel", |state| !state.contains("heating-daemon"));
    assert!(state.contains("plant-io"), "{state}");
    let chip = SimulatedChip::new("plant-io", &["DOOR"]);
    chip.pull(0, true);
    until_state(&seen, "panel", |state| state == "online");
    until(&seen, "panel/door", &json!(true));
}

#[test]
fn lines_are_found_by_name_on_any_chip_and_a_name_that_is_there_twice_is_refused() {
    let _first = SimulatedChip::new("first-io", &["DOOR", "COMMON"]);
    let second = SimulatedChip::new("second-io", &["GATE", "COMMON"]);
    let gateway = Plant::new(
        "devices:
  panel:
    gpio: {}
    points:
      gate: {in: GATE}
",
    );
    let (process, seen) = gateway.start(&["panel"]);
    second.pull(0, true);
    until(&seen, "panel/gate", &json!(true));
    gateway.write(
        "devices:
  panel:
    gpio: {}
    points:
      gate: {in: COMMON}
",
    );
    process.signal("HUP");
    let state = until_state(&seen, "panel", |state| state.contains("COMMON"));
    assert!(state.contains("2 lines COMMON"), "{state}");
}

#[test]
fn a_chip_that_vanishes_makes_the_device_offline_until_it_is_back() {
    let chip = SimulatedChip::new("plant-io", &["DOOR"]);
    let gateway = Plant::new(
        "devices:
  panel:
    gpio: {chip: plant-io}
    points:
      door: {in: DOOR}
",
    );
    let (mut process, seen) = gateway.start(&["panel"]);
    gateway.shows("panel/door", &json!(false));
    drop(chip);
    until_state(&seen, "panel", |state| state != "online");
    let chip = SimulatedChip::new("plant-io", &["DOOR"]);
    chip.pull(0, true);
    until_state(&seen, "panel", |state| state == "online");
    until(&seen, "panel/door", &json!(true));
    process.assert_alive();
}
