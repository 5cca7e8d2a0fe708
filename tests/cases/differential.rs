//! The same random sessions on the gateway and on Debian's mosquitto: clients see the same.
//!
//! `FIELDGATE_DIFFERENTIAL=5000 cargo test -p fieldgate-tests --test differential -- --nocapture` plays more of them
//! and goes on behind a difference; `FIELDGATE_DIFFERENTIAL_SEED` begins with another seed.

mod harness;

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::thread;

use fieldgate_tests::differential::compare::compare;
use fieldgate_tests::differential::play::play;
use fieldgate_tests::differential::script::script;

use harness::mosquitto::Mosquitto;
use harness::mqtt::Broker;

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
        if let Some(difference) = compare(script, &ours, &theirs) {
            let step = difference.step;
            println!("seed {seed}: {difference:#?}");
            for (number, step) in script.steps[..=step].iter().enumerate() {
                println!("    {number}: {step:?}");
            }
            differences.insert(seed, difference);
        }
    }
    println!("{count} sessions, {} differ", differences.len());
    assert!(differences.is_empty(), "{:?}", differences.keys());
}
