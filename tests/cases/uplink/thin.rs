//! An outage that the spool is too small for: what stays keeps its shape.

use std::collections::BTreeMap;

use fieldgate_tests::counter::{Got, Wire};
use fieldgate_tests::faults::{Mode, Proxy};

use super::{Gateway, uplink};
use crate::harness::mosquitto::Mosquitto;
use crate::harness::{PATIENCE, free_port};

/// Bytes of a payload, of which the card has room for about 600.
const LEN: usize = 40_000;

/// A number, and text that does not shrink.
fn payload(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = format!("{number} ");
    while text.len() < LEN {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:x}"));
    }
    text
}

fn post(here: &mut Wire, number: u64) {
    here.post(&format!("data/p{}", number % 2), &payload(number), false);
}

/// Some at a time, all of which are acknowledged, and so are on the card, before the next.
fn publish(here: &mut Wire, numbers: std::ops::Range<u64>) {
    let (mut first, end) = (numbers.start, numbers.end);
    while first < end {
        let some = first..end.min(first + 25);
        some.clone().for_each(|number| post(here, number));
        for number in some.clone() {
            assert!(here.acknowledged(PATIENCE).is_some(), "{number}");
        }
        first = some.end;
    }
}

#[test]
fn an_outage_beyond_the_size_of_the_spool_is_thinned_also_if_the_gateway_is_killed_meanwhile() {
    let remote = Mosquitto::start();
    let proxy = Proxy::start(free_port());
    proxy.set(Mode::Refuse);
    let text = uplink(proxy.port, "").replace("max: 32M,", "max: 32M, when_full: thin,");
    let text = text.replace("durable: none", "durable: clients");
    let mut gateway = Gateway::start("plant7", &text);
    let mut here = Wire::connect(gateway.port, "publisher");
    publish(&mut here, 0..560);
    gateway.wait("on the card", |status| {
        status["backlog"]["messages"] == 560 && status["window"] == 0
    });
    // These are too many: the gateway is killed while it makes room, or just before or after.
    publish(&mut here, 560..610);
    (610..650).for_each(|number| post(&mut here, number));
    gateway.process.kill();
    gateway.again();
    let found = gateway.wait("the card", |status| {
        status["backlog"]["messages"].as_u64() > Some(0)
    });
    let left = found["backlog"]["messages"].as_u64().unwrap();
    let mut here = Wire::connect(gateway.port, "publisher");
    publish(&mut here, 650..1_050);
    let status = gateway.wait("on the card", |status| status["window"] == 0);
    gateway
        .process
        .wait_line("there is no room for messages that wait");
    let backlog = &status["backlog"];
    let (waiting, thinned) = (&backlog["messages"], &status["dropped"]["full"]);
    let (waiting, thinned) = (waiting.as_u64().unwrap(), thinned.as_u64().unwrap());
    assert_eq!(waiting + thinned, left + 400, "{status:#}");
    assert!(thinned > 200, "{status:#}");
    assert!(backlog["missing"].is_array(), "{status:#}");
    proxy.retarget(remote.port());
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    proxy.set(Mode::Pass);
    let mut seen: BTreeMap<u64, Vec<Got>> = BTreeMap::new();
    let (mut last, mut gone) = ([None; 2], [0; 2]);
    while seen.len() < waiting as usize {
        let got = there.message(PATIENCE).expect("a message");
        let (number, _) = got.payload.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        assert_eq!(got.payload, payload(number));
        let topic = number as usize % 2;
        let expected = last[topic].map_or(topic as u64, |last| last + 2);
        assert!(number >= expected, "{number} after {expected}");
        // Of the middle, what was not on the card yet when the gateway was killed is missing, too.
        if number < 610 || expected >= 650 {
            gone[topic] = gone[topic].max((number - expected) / 2);
        }
        last[topic] = Some(number);
        seen.entry(number).or_default().push(got);
    }
    // The newest are all there, and of the oldest no long row is missing.
    assert!((850..1_050).all(|number| seen.contains_key(&number)));
    assert!(gone.iter().all(|gone| (1..=20).contains(gone)), "{gone:?}");
    assert!(seen.keys().next() < Some(&20), "{:?}", seen.keys().next());
    gateway.wait("sent", |status| status["backlog"]["messages"] == 0);
    assert_eq!(super::duplicates(&seen), 0);
}
