//! The gateway is killed again and again, at any moment, and nothing that it acknowledged is lost.
//!
//! `FIELDGATE_CRASH_ROUNDS=200 cargo test -p fieldgate-tests --test gateway crash:: -- --nocapture` does it for longer and
//! prints the figures. `FIELDGATE_CRASH_SEED` begins with the seed that a failure has named; the moments of the kills
//! are then nearly, not exactly, the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use fieldgate_mqtt::{
    Packet, PacketId, Publish, PublishProperties, QoS, SubscriptionOptions, Version,
};
use fieldgate_test_client::{Event, Raw, lasting};
use fieldgate_tests::crash::ledger::{
    Found, Kept, Publisher, Received, Sent, Subscriber, Verdict, verify,
};
use fieldgate_tests::crash::{Daemon, Plan, rounds, run};

use crate::harness::gateway::{configuration, fieldgate};
use crate::harness::{Folder, PATIENCE, free_port, process::Process};

/// Kills under load in one run, that is between an empty state and a verdict.
const KILLS_A_RUN: usize = 5;

/// Rounds of an ordinary test run in which the state is looked through after each kill.
const ROUNDS: usize = 300;

/// `fieldgate run FILE --state DIR`.
struct Gateway {
    folder: Folder,
    port: u16,
    process: Option<Process>,
    /// A library that tells it the time, and the file that says what time.
    clock: Option<(PathBuf, PathBuf)>,
}

impl Gateway {
    fn new() -> Self {
        let (folder, port) = (Folder::new(), free_port());
        folder.write("gateway.yaml", &configuration(port, ""));
        Self {
            folder,
            port,
            process: None,
            clock: None,
        }
    }

    /// One whose clock can be set: by writing to the file that this returns as well.
    fn with_clock() -> (Self, PathBuf) {
        let mut this = Self::new();
        let file = this.folder.write("clock", "+0");
        this.clock = Some((faketime(), file.clone()));
        (this, file)
    }

    /// The last lines that it has said.
    fn report(&self) {
        if let Some(process) = &self.process {
            process.report();
        }
    }
}

impl Daemon for Gateway {
    fn start(&mut self) {
        let mut command = Command::new(fieldgate());
        command
            .arg("run")
            .arg(self.folder.path().join("gateway.yaml"))
            .arg("--state")
            .arg(self.folder.path().join("state"));
        if let Some((library, file)) = &self.clock {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", file)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        self.process = Some(Process::spawn("fieldgate", &mut command));
    }

    fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    fn ended(&mut self) -> Option<String> {
        let status = self.process.as_mut()?.ended()?;
        Some(status.to_string())
    }
}

/// Debian's libfaketime, as `tests/run` unpacks it.
fn faketime() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".faketime/usr/lib");
    let folders = fs::read_dir(&root).into_iter().flatten().flatten();
    let found = folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "{} has no libfaketime: `tests/run` unpacks it",
            root.display()
        )
    })
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")))
}

#[test]
fn killed_at_any_moment_the_gateway_loses_nothing_that_it_acknowledged_and_repeats_no_qos_2() {
    let rounds = number("FIELDGATE_CRASH_ROUNDS").unwrap_or(5) as usize;
    let first = number("FIELDGATE_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let (mut total, mut kills, mut left) = (Verdict::default(), 0, rounds);
    for seed in first.. {
        let plan = Plan {
            seed,
            kills: left.min(KILLS_A_RUN),
        };
        let mut gateway = Gateway::new();
        let address = SocketAddr::from(([127, 0, 0, 1], gateway.port));
        println!("seed {seed}: {} rounds", plan.kills);
        let outcome = run(&mut gateway, address, plan);
        if !outcome.verdict.is_clean() {
            gateway.report();
        }
        // The last faults tell of the run as a whole.
        let faults: Vec<_> = outcome.verdict.faults().collect();
        for fault in faults.iter().rev().take(20) {
            println!("seed {seed}: {fault}");
        }
        left -= plan.kills;
        kills += outcome.kills;
        total.add(outcome.verdict);
        if left == 0 || !total.is_clean() {
            break;
        }
    }
    println!(
        "{rounds} rounds, {kills} kills: {} messages published, {} of them acknowledged, {} delivered; \
         {} lost, {} of QoS 2 repeated, {} of QoS 1 repeated and {} late as they may be, \
         {} out of order, {} retained values wrong, {} other faults",
        total.published,
        total.acknowledged,
        total.delivered,
        total.lost.len(),
        total.repeated_qos_2.len(),
        total.repeated_qos_1,
        total.late,
        total.reordered.len(),
        total.retained_wrong.len(),
        total.others.len(),
    );
    assert!(total.is_clean(), "seeds from {first} on");
}

#[test]
fn after_every_kill_retained_values_deletions_wills_and_sessions_are_as_acknowledged() {
    let count = number("FIELDGATE_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
    let seed = number("FIELDGATE_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let (mut gateway, clock) = Gateway::with_clock();
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.port));
    let mut set_clock = |time: &str| {
        // In one step: the gateway reads it at any moment.
        let new = clock.with_extension("new");
        fs::write(&new, time).expect("a file in a temporary folder");
        fs::rename(&new, &clock).expect("a file in a temporary folder");
    };
    println!("seed {seed}: {count} rounds");
    let broken =
        rounds(&mut gateway, address, &mut set_clock, seed, count).unwrap_or_else(|error| {
            gateway.report();
            panic!("seed {seed}: {error}");
        });
    for fault in broken.faults().take(20) {
        println!("seed {seed}: {fault}");
    }
    println!(
        "{} rounds: {} retained changes, {} deletions, {} wills, {} messages to sessions, {} sessions begun anew, {} steps of \
         the clock; {} lost, {} undone, {} wrong",
        broken.rounds,
        broken.changes,
        broken.deletions,
        broken.wills,
        broken.messages,
        broken.sessions,
        broken.steps,
        broken.lost.len(),
        broken.undone.len(),
        broken.wrong.len(),
    );
    assert!(broken.is_clean(), "seed {seed}");
}

/// Sends messages `numbers`, each with its number as its payload.
fn publish(client: &mut Raw, numbers: Range<u16>, dup: bool) {
    for number in numbers {
        client.put(&Packet::Publish(Publish {
            dup,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "crash/order",
            packet_id: PacketId::new(number + 1),
            properties: PublishProperties::default(),
            payload: number.to_string().as_bytes(),
        }));
    }
    client.flush().expect("a connection");
}

/// The next packet that `pick` wants. Acknowledges nothing.
fn wait<T>(client: &mut Raw, pick: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = client.next(PATIENCE).expect("a connection");
        if let Some(found) = pick(&event.expect("something comes")) {
            return found;
        }
    }
}

#[test]
fn a_client_that_subscribes_behind_a_message_gets_its_repetition_behind_later_ones() {
    let mut gateway = Gateway::new();
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.port));
    let start = |gateway: &mut Gateway| {
        gateway.start();
        let process = gateway.process.as_ref();
        process.expect("it was started").wait_line("MQTT on ");
        ["subscriber", "publisher"].map(|name| {
            let connect = lasting(Version::V4, name);
            Raw::connect(address, &connect, PATIENCE)
                .expect("it serves")
                .0
        })
    };
    let number = |event: &Event| match event {
        Event::Publish(message) => str::from_utf8(&message.payload).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    let [mut subscriber, mut publisher] = start(&mut gateway);
    publish(&mut publisher, 0..1, false);
    // The broker has it. The publisher did not see this: the crash was before.
    wait(&mut publisher, |event| {
        matches!(event, Event::Ack(..)).then_some(())
    });
    subscriber.put_subscribe(
        1,
        &[("crash/order", SubscriptionOptions::new(QoS::AtLeastOnce))],
    );
    subscriber.flush().expect("a connection");
    wait(&mut subscriber, |event| {
        matches!(event, Event::SubAck(..)).then_some(())
    });
    publish(&mut publisher, 1..2, false);
    let mut came = vec![wait(&mut subscriber, number)];
    gateway.kill();
    let [mut subscriber, mut publisher] = start(&mut gateway);
    publish(&mut publisher, 0..2, true);
    while !came.ends_with(&[0, 1]) {
        came.push(wait(&mut subscriber, number));
    }
    // The second may have come once more, as it was not acknowledged.
    assert!(
        [&[1, 0, 1][..], &[1, 1, 0, 1]].contains(&&came[..]),
        "{came:?}"
    );
    let received = |number| Received {
        publisher: 0,
        number,
        topic: 0,
        qos: 1,
    };
    let subscriber = Subscriber {
        qos: 1,
        from: BTreeMap::from([(0, 1)]),
        received: came.into_iter().map(received).collect(),
        ..Subscriber::default()
    };
    let sent = Sent {
        topic: 0,
        qos: 1,
        acknowledged: true,
        repeated: true,
    };
    let publisher = Publisher {
        sent: vec![sent; 2],
        ..Publisher::default()
    };
    let verdict = verify(&[publisher], &[subscriber], &Found::new());
    assert!(verdict.is_clean() && verdict.late == 1, "{verdict:?}");
}

/// Two messages of QoS 1 and two of QoS 2, two changes of a retained value, and a subscriber that has all.
fn clean() -> (Publisher, Subscriber, Found) {
    let sent = |topic, qos| Sent {
        topic,
        qos,
        acknowledged: true,
        repeated: false,
    };
    let kept = |value, written| Kept {
        topic: 0,
        value,
        acknowledged: true,
        written,
    };
    let publisher = Publisher {
        sent: vec![sent(0, 1), sent(1, 2), sent(0, 1), sent(1, 2)],
        kept: vec![
            kept(Some(0), true),
            kept(Some(1), true),
            kept(Some(2), false),
        ],
        ..Publisher::default()
    };
    let received = |number: usize| Received {
        publisher: 0,
        number: number as u64,
        topic: publisher.sent[number].topic,
        qos: publisher.sent[number].qos,
    };
    let subscriber = Subscriber {
        name: "subscriber".into(),
        qos: 2,
        from: BTreeMap::from([(0, 0)]),
        received: (0..4).map(received).collect(),
        ..Subscriber::default()
    };
    (publisher, subscriber, Found::from([((0, 0), 1)]))
}

/// Spoils what was received.
type Harm = fn(&mut Vec<Received>);

#[test]
fn the_verifier_finds_what_is_planted() {
    let harms: [(&str, Harm, [usize; 4]); 8] = [
        ("nothing", |_| {}, [0, 0, 0, 0]),
        ("QoS 1 lost", |list| _ = list.remove(2), [1, 0, 0, 0]),
        ("QoS 2 lost", |list| _ = list.remove(1), [1, 0, 0, 0]),
        ("QoS 1 again", |list| list.push(list[0]), [0, 0, 0, 0]),
        ("QoS 2 again", |list| list.push(list[1]), [0, 1, 0, 0]),
        ("QoS 1 reordered", |list| list.swap(0, 2), [0, 0, 1, 0]),
        ("topics interleave", |list| list.swap(0, 1), [0, 0, 0, 0]),
        ("another topic", |list| list[0].topic = 3, [0, 0, 0, 1]),
    ];
    for (what, harm, want) in harms {
        let (publisher, mut subscriber, found) = clean();
        harm(&mut subscriber.received);
        let verdict = verify(&[publisher], &[subscriber], &found);
        let got = [
            verdict.lost.len(),
            verdict.repeated_qos_2.len(),
            verdict.reordered.len(),
            verdict.others.len(),
        ];
        assert_eq!(got, want, "{what}: {verdict:?}");
        assert_eq!(verdict.is_clean(), want == [0; 4], "{what}");
    }
}

#[test]
fn the_verifier_knows_what_need_not_arrive() {
    // Not acknowledged, before the subscription, not subscribed to.
    for case in 0..3 {
        let (mut publisher, mut subscriber, found) = clean();
        subscriber.received.remove(0);
        match case {
            0 => publisher.sent[0].acknowledged = false,
            1 => _ = subscriber.from.insert(0, 1),
            _ => {
                subscriber.from.clear();
                subscriber.received.clear();
            }
        }
        let verdict = verify(&[publisher], &[subscriber], &found);
        assert!(verdict.is_clean(), "{case}: {verdict:?}");
    }
}

#[test]
fn the_verifier_lets_only_repetitions_of_what_was_before_the_subscription_come_late() {
    for (from, repeated, reordered) in [(1, true, 0), (1, false, 1), (0, true, 1), (0, false, 1)] {
        let (mut publisher, mut subscriber, found) = clean();
        publisher.sent[0].repeated = repeated;
        subscriber.from.insert(0, from);
        subscriber.received.swap(0, 2);
        let verdict = verify(&[publisher], &[subscriber], &found);
        let case = format!("from {from}, repeated: {repeated}: {verdict:?}");
        assert_eq!(verdict.reordered.len(), reordered, "{case}");
        assert_eq!(verdict.faults().count(), reordered, "{case}");
        assert_eq!(verdict.late, 1 - reordered, "{case}");
    }
    // Such a repetition excuses nothing that comes behind it.
    let (mut publisher, mut subscriber, found) = clean();
    let later = publisher.sent[2];
    publisher.sent.extend([later, later]);
    publisher.sent[0].repeated = true;
    subscriber.from.insert(0, 1);
    subscriber.received = [5, 0, 4, 3, 2, 1]
        .map(|number: usize| Received {
            publisher: 0,
            number: number as u64,
            topic: publisher.sent[number].topic,
            qos: publisher.sent[number].qos,
        })
        .into();
    let verdict = verify(&[publisher], &[subscriber], &found);
    assert_eq!(verdict.reordered.len(), 3, "{verdict:?}");
}

#[test]
fn the_verifier_wants_the_last_retained_value_that_had_to_be_written_or_a_later_one() {
    for (value, wrong) in [(None, 1), (Some(0), 1), (Some(1), 0), (Some(2), 0)] {
        let (publisher, subscriber, mut found) = clean();
        match value {
            Some(value) => found.insert((0, 0), value),
            None => found.remove(&(0, 0)),
        };
        let verdict = verify(&[publisher], &[subscriber], &found);
        assert_eq!(verdict.retained_wrong.len(), wrong, "{value:?}");
    }
    // Removed, and written.
    for (value, wrong) in [(None, 0), (Some(1), 1)] {
        let (mut publisher, subscriber, mut found) = clean();
        publisher.kept.truncate(2);
        publisher.kept.push(Kept {
            topic: 0,
            value: None,
            acknowledged: true,
            written: true,
        });
        found.clear();
        found.extend(value.map(|value| ((0, 0), value)));
        let verdict = verify(&[publisher], &[subscriber], &found);
        assert_eq!(verdict.retained_wrong.len(), wrong, "{value:?}");
    }
}

#[test]
fn lost_sessions_refused_messages_and_strange_ones_are_faults() {
    for case in 0..4 {
        let (mut publisher, mut subscriber, found) = clean();
        match case {
            0 => publisher.sessions_lost = 1,
            1 => publisher.refused = 1,
            2 => subscriber.sessions_lost = 1,
            _ => subscriber.strange.push("what is this".into()),
        }
        let verdict = verify(&[publisher], &[subscriber], &found);
        assert_eq!(verdict.others.len(), 1, "{case}");
    }
}
