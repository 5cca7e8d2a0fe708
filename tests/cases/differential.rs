//! The same random sessions on the gateway and on Debian's mosquitto: clients see the same.
//!
//! `FIELDGATE_DIFFERENTIAL=5000 cargo test -p fieldgate-tests --test gateway differential:: -- --nocapture` plays more of them
//! and goes on behind a difference; `FIELDGATE_DIFFERENTIAL_SEED` begins with another seed.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::thread;

use fieldgate_test_client::Message;
use fieldgate_tests::differential::compare::compare;
use fieldgate_tests::differential::play::{Record, Seen, play};
use fieldgate_tests::differential::script::{CLIENTS, Op, PublishSpec, Script, Step, script};

use crate::harness::mosquitto::Mosquitto;
use crate::harness::mqtt::Broker;

const STEPS: usize = 30;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")))
}

#[test]
fn random_sessions_look_the_same_to_clients_of_the_gateway_and_of_mosquitto() {
    let count = number("FIELDGATE_DIFFERENTIAL").unwrap_or(200);
    let first = number("FIELDGATE_DIFFERENTIAL_SEED").unwrap_or(1);
    let (ours, theirs) = (Broker::start(), Mosquitto::start());
    let addresses =
        [ours.port(), theirs.port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut differences = BTreeMap::new();
    let mut messages = 0;
    for seed in first..first + count {
        let script = script(seed, STEPS);
        let name = format!("d{seed}");
        let (name, script) = (&name, &script);
        let [ours, theirs] = thread::scope(|scope| {
            addresses
                .map(|address| scope.spawn(move || play(address, name, script)))
                .map(|player| player.join().expect("a player does not panic"))
        });
        let ours = ours.unwrap_or_else(|why| panic!("seed {seed}, ours: {why}"));
        let theirs = theirs.unwrap_or_else(|why| panic!("seed {seed}, theirs: {why}"));
        let seen = ours.iter().flatten().flatten();
        messages += seen.filter(|seen| matches!(seen, Seen::Message(_))).count();
        if let Some(difference) = compare(script, &ours, &theirs) {
            let step = difference.step;
            println!("seed {seed}: {difference:#?}");
            for (number, step) in script.steps[..=step].iter().enumerate() {
                println!("    {number}: {step:?}");
            }
            differences.insert(seed, difference);
        }
    }
    let differ = differences.len();
    println!("{count} sessions, {messages} messages seen, {differ} sessions differ");
    assert!(differences.is_empty(), "{:?}", differences.keys());
    // Else the scripts have become too tame to say anything.
    assert!(messages as u64 > 3 * count, "{messages} messages");
}

fn message(topic: &str, payload: &str, qos: u8, ids: &[u32]) -> Seen {
    Seen::Message(Box::new(Message {
        topic: topic.into(),
        payload: payload.into(),
        qos,
        subscription_ids: ids.into(),
        ..Message::default()
    }))
}

/// A script of one step, a publication by the first client, and what the second client saw of it.
fn seen(seen: Vec<Seen>) -> (Script, Record) {
    let op = Op::Publish(PublishSpec::default());
    let script = Script {
        seed: 0,
        steps: vec![Step { client: 0, op }],
    };
    let mut clients: [Vec<Seen>; CLIENTS] = Default::default();
    clients[1] = seen;
    (script, vec![clients])
}

#[test]
fn a_difference_that_matters_is_found_and_another_is_not() {
    let first = || message("a", "1", 1, &[7]);
    let changed = |change: fn(&mut Message)| {
        let Seen::Message(mut message) = first() else {
            unreachable!()
        };
        change(&mut message);
        vec![Seen::Message(message)]
    };
    let table: [(&str, Vec<Seen>, Vec<Seen>, bool); 13] = [
        ("the same", vec![first()], vec![first()], true),
        ("lost", vec![], vec![first()], false),
        ("too many", vec![first()], vec![], false),
        ("QoS", vec![first()], changed(|m| m.qos = 2), false),
        ("retain", vec![first()], changed(|m| m.retain = true), false),
        ("dup", vec![first()], changed(|m| m.dup = true), false),
        (
            "expiry",
            vec![first()],
            changed(|m| m.expiry = Some(600)),
            false,
        ),
        (
            "user property",
            vec![first()],
            changed(|m| m.user.push(("k".into(), "v".into()))),
            false,
        ),
        (
            "identifier",
            vec![first()],
            changed(|m| m.subscription_ids.clear()),
            false,
        ),
        (
            "order within a topic",
            vec![first(), message("a", "2", 1, &[7])],
            vec![message("a", "2", 1, &[7]), first()],
            false,
        ),
        (
            "order across topics",
            vec![first(), message("b", "2", 1, &[7])],
            vec![message("b", "2", 1, &[7]), first()],
            true,
        ),
        (
            "a copy for each subscription",
            vec![message("a", "1", 2, &[7, 8])],
            vec![message("a", "1", 0, &[8]), message("a", "1", 2, &[7])],
            true,
        ),
        ("closed", vec![first()], vec![first(), Seen::Closed], false),
    ];
    for (what, ours, theirs, same) in table {
        let (script, ours) = seen(ours);
        let (_, theirs) = seen(theirs);
        let difference = compare(&script, &ours, &theirs);
        assert_eq!(difference.is_none(), same, "{what}: {difference:?}");
    }
}
