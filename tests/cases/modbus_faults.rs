//! Every way in which an answer can be wrong, over TCP and over RTU, as an MQTT client sees it: no
//! wrong value, a reason, and each fault in its counter, no more often than it happened.

use std::{collections::BTreeMap, fmt::Write as _};

use fieldgate_test_device::{Act, Wire};
use serde_json::Value;

use crate::harness::{
    faulty::{AFTER, BEFORE, OTHER, Server},
    gateway::Gateway,
    modbus::Pymodbus,
    mqtt::{Subscriber, mosquitto_pub},
};

/// How often each fault happens; so many in a row make a device offline.
const TIMES: u64 = 2;

type Counts = &'static [&'static str];

/// A fault, what counts it on each wire, and what is said of it.
struct Case {
    fault: Act,
    /// Counters that go up with each fault, and by nothing else; `None`: there is no such fault.
    tcp: Option<Counts>,
    rtu: Option<Counts>,
    says: &'static str,
}

const fn case(fault: Act, tcp: Option<Counts>, rtu: Option<Counts>, says: &'static str) -> Case {
    Case {
        fault,
        tcp,
        rtu,
        says,
    }
}

/// Of faults after which a connection makes no sense any more, the connection counts as well.
const CASES: &[Case] = &[
    case(
        Act::Exception(1),
        Some(&["1"]),
        Some(&["1"]),
        "exception 1 (ILLEGAL FUNCTION)",
    ),
    case(
        Act::Exception(2),
        Some(&["2"]),
        Some(&["2"]),
        "exception 2 (ILLEGAL DATA ADDRESS)",
    ),
    case(
        Act::Exception(3),
        Some(&["3"]),
        Some(&["3"]),
        "exception 3 (ILLEGAL DATA VALUE)",
    ),
    case(
        Act::Exception(4),
        Some(&["4"]),
        Some(&["4"]),
        "exception 4 (SERVER DEVICE FAILURE)",
    ),
    case(
        Act::Exception(5),
        Some(&["5"]),
        Some(&["5"]),
        "exception 5 (ACKNOWLEDGE)",
    ),
    case(
        Act::Exception(6),
        Some(&["6"]),
        Some(&["6"]),
        "exception 6 (SERVER DEVICE BUSY)",
    ),
    case(
        Act::Exception(7),
        Some(&["7"]),
        Some(&["7"]),
        "exception 7 (NEGATIVE ACKNOWLEDGE)",
    ),
    case(
        Act::Exception(8),
        Some(&["8"]),
        Some(&["8"]),
        "exception 8 (MEMORY PARITY ERROR)",
    ),
    case(
        Act::Exception(10),
        Some(&["10"]),
        Some(&["10"]),
        "exception 10 (GATEWAY PATH UNAVAILABLE)",
    ),
    case(
        Act::Exception(11),
        Some(&["11"]),
        Some(&["11"]),
        "exception 11 (GATEWAY TARGET DEVICE FAILED",
    ),
    case(
        Act::Exception(0x7F),
        Some(&["127"]),
        Some(&["127"]),
        "exception 127 (not in the specification)",
    ),
    case(
        Act::WrongCheck,
        Some(&["crc_errors", "lost"]),
        Some(&["crc_errors"]),
        "",
    ),
    case(
        Act::CutOff,
        Some(&["wrong_lengths", "lost"]),
        Some(&["short_frames"]),
        "",
    ),
    case(
        Act::Cut(10),
        Some(&["lost"]),
        None,
        "closed by the other end",
    ),
    case(Act::Close, Some(&["lost"]), None, "closed by the other end"),
    case(
        Act::WrongId,
        Some(&["foreign_frames", "lost"]),
        None,
        "of another transaction",
    ),
    case(
        Act::WrongUnit,
        Some(&["foreign_frames", "lost"]),
        Some(&["foreign_frames", "timeouts"]),
        "",
    ),
    case(
        Act::WrongFunction,
        Some(&["wrong_answers", "lost"]),
        Some(&["wrong_answers"]),
        "of another function",
    ),
    case(
        Act::ByteCount,
        Some(&["wrong_answers", "lost"]),
        Some(&["short_frames"]),
        "",
    ),
    case(
        Act::Twofold,
        Some(&["wrong_answers", "lost"]),
        Some(&["wrong_answers"]),
        "wrong answer",
    ),
    case(
        Act::Behind,
        Some(&["timeouts", "late_answers"]),
        Some(&["timeouts", "late_answers"]),
        "no answer within 500 ms",
    ),
    case(
        Act::Silence,
        Some(&["timeouts"]),
        Some(&["timeouts"]),
        "no answer within 500 ms",
    ),
];

impl Case {
    fn counts(&self, wire: Wire) -> Option<Counts> {
        match wire {
            Wire::Tcp => self.tcp,
            Wire::Rtu => self.rtu,
        }
    }

    /// Whether the unit itself has answered: then only its point is bad.
    fn is_refusal(&self) -> bool {
        matches!(self.fault, Act::Exception(code) if ![10, 11].contains(&code))
    }

    /// Short where it is waited for. Elsewhere a machine that is busy for a moment must not count as one.
    fn timeout(&self, wire: Wire) -> &'static str {
        let is_wanted = self.counts(wire).unwrap_or_default().contains(&"timeouts");
        if is_wanted { "500ms" } else { "2s" }
    }

    /// The counters of the bus that are not 0 in the end.
    fn wanted(&self, wire: Wire) -> BTreeMap<String, u64> {
        let counts = self.counts(wire).unwrap_or_default();
        let mut wanted: BTreeMap<String, u64> = counts
            .iter()
            .map(|name| ((*name).to_owned(), TIMES))
            .collect();
        // A connection that is closed is the fault of no unit in particular.
        let is_closed = matches!(self.fault, Act::Close | Act::Cut(_));
        if !self.is_refusal() && !is_closed {
            wanted.insert("breaker_openings".to_owned(), 1);
        }
        wanted
    }
}

/// The counters of faults that are not 0; exceptions by their code.
fn faults(stats: &str) -> BTreeMap<String, u64> {
    let stats: Value = serde_json::from_str(stats).expect("JSON");
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let flat = members(&stats)
        .into_iter()
        .chain(members(&stats["exceptions"]));
    let counts = flat.filter_map(|(name, count)| Some((name, count.as_u64()?)));
    // How many barriers follow a fault depends on what the next request is.
    let others = ["requests", "answers", "busy_ms", "barriers"];
    let is_fault = |name: &str| !others.contains(&name);
    counts
        .filter(|(name, count)| *count > 0 && is_fault(name))
        .collect()
}

/// What a client has seen of one device.
#[derive(Debug, Default)]
struct Seen {
    is_before: bool,
    is_after: bool,
    reasons: Vec<String>,
    stale: Vec<Value>,
}

impl Seen {
    fn note(&mut self, point: &str, payload: &str) {
        match point {
            "$state" if payload.starts_with('{') => {
                let state: Value = serde_json::from_str(payload).expect("JSON");
                self.reasons
                    .push(state["error"].as_str().unwrap().to_owned());
            }
            "a" => {
                let sample: Value = serde_json::from_str(payload).expect("JSON");
                match sample["quality"].as_str() {
                    Some("good") if sample["value"] == BEFORE => self.is_before = true,
                    Some("good") if sample["value"] == AFTER => self.is_after = true,
                    Some("bad") if sample["value"].is_null() => {
                        self.reasons
                            .push(sample["error"].as_str().unwrap().to_owned());
                    }
                    Some("stale") => self.stale.push(sample["value"].clone()),
                    _ => panic!("a wrong value: {payload}"),
                }
            }
            _ => {}
        }
    }

    fn check(&self, case: &Case) {
        let what = format!("{:?}: {self:?}", case.fault);
        assert!(!self.reasons.is_empty(), "{what}");
        let says = |reason: &String| reason.contains(case.says);
        assert!(self.reasons.iter().all(says), "{what}");
        if case.is_refusal() {
            assert_eq!((self.reasons.len(), self.stale.len()), (1, 0), "{what}");
        } else {
            assert_eq!(self.stale, [Value::from(BEFORE)], "{what}");
        }
    }
}

fn no_fault_becomes_a_value(wire: Wire) {
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| case.counts(wire).is_some())
        .collect();
    let servers: Vec<Server> = cases
        .iter()
        .map(|case| Server::start(wire, case.fault, TIMES as usize))
        .collect();
    let mut buses = String::from("buses:\n");
    let mut devices = String::from("devices:\n");
    for (index, server) in servers.iter().enumerate() {
        let (place, timeout) = (&server.place, cases[index].timeout(wire));
        let _ = writeln!(
            buses,
            "  b{index}: {{{place}, timeout: {timeout}, retries: 0, offline: {{after: {TIMES}, backoff: 100ms..100ms}}}}"
        );
        let _ = writeln!(
            devices,
            "  d{index}: {{bus: b{index}, unit: 1, points: {{a: {{holding: {BEFORE}, as: u16}}}}}}"
        );
        // On TCP it would share the connections that are given up.
        if wire == Wire::Rtu {
            let _ = writeln!(
                devices,
                "  other{index}: {{bus: b{index}, unit: 2, points: {{a: {{holding: {OTHER}, as: u16}}}}}}"
            );
        }
    }
    let gateway = Gateway::start(&format!("defaults: {{poll: 100ms}}\n{buses}{devices}"));
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    gateway.keep_listening();
    let mut seen: Vec<Seen> = cases.iter().map(|_| Seen::default()).collect();
    let mut counted = BTreeMap::new();
    let follow = |seen: &mut Vec<Seen>, topic: &str, payload: &str| {
        let mut levels = topic.split('/').skip(1);
        let (device, point) = (levels.next().unwrap(), levels.next().unwrap_or_default());
        if device.starts_with("other") && point == "a" {
            assert!(
                payload.starts_with(&format!("{{\"value\":{OTHER},")),
                "{topic} {payload}"
            );
            assert!(payload.contains("\"good\""), "{topic} {payload}");
        } else if let Some(index) = device.strip_prefix('d') {
            seen[index.parse::<usize>().unwrap()].note(point, payload);
        }
    };
    subscriber.wait("first values", |topic, payload| {
        follow(&mut seen, topic, payload);
        seen.iter().all(|seen| seen.is_before).then_some(())
    });
    servers.iter().for_each(Server::arm);
    let mut finished = |topic: &str, payload: &str| {
        follow(&mut seen, topic, payload);
        if let Some(index) = topic.strip_prefix("plant7/$bus/b") {
            counted.insert(index.parse::<usize>().unwrap(), faults(payload));
        }
        let is_counted = |index: usize| counted.get(&index) == Some(&cases[index].wanted(wire));
        let is_over = seen.iter().all(|seen| seen.is_after);
        (is_over && (0..cases.len()).all(is_counted)).then_some(())
    };
    // Silence is waited for again and again: it takes most of `PATIENCE` on a machine that does nothing else.
    let patience = 3 * crate::harness::PATIENCE;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        subscriber.wait_within(patience, "counters", &mut finished);
    }));
    for (index, case) in cases.iter().enumerate() {
        let (got, want) = (counted.get(&index), case.wanted(wire));
        assert!(
            result.is_ok() || got == Some(&want),
            "{:?}: counted {got:?}, not {want:?}; {:?}",
            case.fault,
            seen[index]
        );
    }
    assert!(result.is_ok(), "{seen:?}");
    for (case, seen) in cases.iter().zip(&seen) {
        seen.check(case);
    }
}

#[test]
fn no_fault_of_a_tcp_server_becomes_a_value_and_each_is_counted_as_often_as_it_happened() {
    no_fault_becomes_a_value(Wire::Tcp);
}

#[test]
fn no_fault_on_a_line_becomes_a_value_and_each_is_counted_as_often_as_it_happened() {
    no_fault_becomes_a_value(Wire::Rtu);
}

#[test]
fn the_exceptions_that_pymodbus_sends_are_named_and_counted_on_both_wires() {
    const CODES: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11];
    for wire in [Wire::Tcp, Wire::Rtu] {
        let cable = (wire == Wire::Rtu).then(crate::harness::cable::Cable::new);
        let (_server, bus) = match &cable {
            None => {
                let server = Pymodbus::exceptions("0");
                let bus = format!("tcp: \"127.0.0.1:{}\"", server.port);
                (server, bus)
            }
            Some(cable) => {
                let server = Pymodbus::exceptions(&cable.device().display().to_string());
                let path = cable.gateway().display();
                (server, format!("serial: {{port: {path}, baud: 115200}}"))
            }
        };
        let gateway = Gateway::start(&format!(
            "buses:
  b: {{{bus}, timeout: 2s, retries: 0, offline: {{after: 2, backoff: 100ms..100ms}}}}
defaults: {{poll: 100ms}}
devices:
  d{{unit}}:
    bus: b
    units: [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    points:
      a: {{input: 0, as: u16}}
      arm: {{holding: 0, as: u16, write: true, poll: 1h}}
"
        ));
        let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
        gateway.keep_listening();
        let mut seen: BTreeMap<u64, Seen> = BTreeMap::new();
        let mut note = |topic: &str, payload: &str| {
            let (device, point) = topic.strip_prefix("plant7/d")?.split_once('/')?;
            let seen = seen.entry(device.parse().unwrap()).or_default();
            seen.note(point, payload);
            Some((seen.is_before, seen.is_after))
        };
        let mut ready = 0;
        subscriber.wait("first values", |topic, payload| {
            note(topic, payload)?;
            ready += usize::from(topic.ends_with("/a"));
            (ready == CODES.len()).then_some(())
        });
        for code in CODES {
            mosquitto_pub(
                gateway.port,
                "mqttv5",
                &format!("plant7/d{code}/arm/set"),
                "1",
            );
        }
        let wanted: BTreeMap<u64, u64> = CODES.map(|code| (code, TIMES)).into();
        let mut after = std::collections::BTreeSet::new();
        let mut is_counted = false;
        subscriber.wait("counters of all exceptions", |topic, payload| {
            if let Some((_, true)) = note(topic, payload) {
                after.insert(topic.split('/').nth(1).map(str::to_owned));
            }
            if topic == "plant7/$bus/b" {
                let counts = faults(payload);
                let by_code = counts
                    .iter()
                    .filter_map(|(name, count)| Some((name.parse().ok()?, *count)));
                is_counted = by_code.collect::<BTreeMap<u64, u64>>() == wanted;
            }
            (after.len() >= CODES.len() && is_counted).then_some(())
        });
        for code in CODES {
            let seen = &seen[&code];
            let says = format!("exception {code} (");
            let is_named = |reason: &String| reason.contains(&says);
            assert!(
                seen.reasons.len() == 1 && seen.reasons.iter().all(is_named),
                "{seen:?}"
            );
        }
    }
}
