//! When clients of the gateway are told that their message is safe.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Packet, PacketId, Publish, PublishProperties, QoS, Version};
use fieldgate_test_client::{Event, Raw, lasting};

use super::*;

/// Nothing goes to the card on its own within the time of a test.
fn slow_window(port: u16, durable: &str) -> String {
    let text = uplink(port, "");
    text.replace(
        "window: 1s, durable: none",
        &format!("window: 600s, durable: {durable}"),
    )
}

/// Publishes `count` messages from `number` on without a wait between them, and waits for all acknowledgements.
fn publish(here: &mut Wire, number: &mut u64, count: u64) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        here.post("data/a", &number.to_string(), false);
        *number += 1;
    }
    for left in (0..count).rev() {
        let acknowledged = here.acknowledged(2 * PATIENCE);
        assert!(
            acknowledged.is_some(),
            "{left} of {count} acknowledgements did not come"
        );
    }
    begun.elapsed()
}

#[test]
fn what_a_client_was_told_is_safe_is_not_lost_by_a_kill_at_any_moment() {
    let proxy = Proxy::start(free_port());
    proxy.set(Mode::Refuse);
    let mut gateway = Gateway::start("plant7", &slow_window(proxy.port, "clients"));
    let mut safe = Vec::new();
    for round in 0..6_u64 {
        let mut here = Wire::connect(gateway.port, "publisher");
        let ids: BTreeMap<_, _> = (0..300)
            .map(|n| round * 1_000 + n)
            .map(|number| (here.post("data/a", &number.to_string(), false), number))
            .collect();
        // Killed in the midst of it.
        for _ in 0..(10 + 45 * round) {
            safe.push(ids[&here.acknowledged(PATIENCE).unwrap()]);
        }
        gateway.process.kill();
        while let Some(id) = here.acknowledged(Duration::from_millis(50)) {
            safe.push(ids[&id]);
        }
        gateway.again();
    }
    assert_arrive(&safe, &proxy);
}

/// These messages go up as soon as there is a remote.
fn assert_arrive(safe: &[u64], proxy: &Proxy) {
    let remote = Mosquitto::start();
    let mut there = Wire::connect(remote.port(), "counter");
    there.subscribe("site/#");
    proxy.retarget(remote.port());
    proxy.set(Mode::Pass);
    let mut left: BTreeSet<u64> = safe.iter().copied().collect();
    let end = Instant::now() + 2 * PATIENCE;
    while !left.is_empty() && Instant::now() < end {
        if let Some(got) = there.message(Duration::from_secs(1)) {
            left.remove(&got.payload.parse().unwrap());
        }
    }
    assert!(left.is_empty(), "{} of {} are lost", left.len(), safe.len());
}

/// Connects as soon as there is a gateway, does `first`, and publishes until it is over or the gateway ends the
/// connection. Returns what was acknowledged: all of it if the gateway did not end.
fn publish_until(
    port: u16,
    number: &mut u64,
    first: impl FnOnce(),
    mut is_over: impl FnMut() -> bool,
) -> Vec<u64> {
    let address = ([127, 0, 0, 1], port).into();
    let connect = lasting(Version::V5, "publisher");
    let end = Instant::now() + 2 * PATIENCE;
    let mut client = loop {
        match Raw::connect(address, &connect, PATIENCE) {
            Ok((client, _)) => break client,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    };
    first();
    let (mut under_way, mut safe) = (BTreeMap::new(), Vec::new());
    let mut is_ending = false;
    while !is_ending || !under_way.is_empty() {
        let waiting = under_way.len();
        assert!(Instant::now() < end, "{waiting} are not acknowledged");
        is_ending |= is_over();
        if !is_ending && under_way.len() < 1_000 {
            let id = (*number % 60_000) as u16 + 1;
            client.put(&Packet::Publish(Publish {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: "data/a",
                packet_id: PacketId::new(id),
                properties: PublishProperties::default(),
                payload: number.to_string().as_bytes(),
            }));
            under_way.insert(id, *number);
            *number += 1;
        }
        let answer = client.flush().and_then(|()| client.next(Duration::ZERO));
        match answer {
            // Also if it had no subscriber.
            Ok(Some(Event::Ack(_, id, ..0x80))) => safe.extend(under_way.remove(&id)),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    safe
}

#[test]
fn clients_that_publish_while_an_uplink_is_changed_or_the_gateway_stops_and_starts_lose_nothing() {
    let proxy = Proxy::start(free_port());
    proxy.set(Mode::Refuse);
    let mut gateway = Gateway::start("plant7", &slow_window(proxy.port, "clients"));
    let port = gateway.port;
    let (mut number, mut safe) = (0, Vec::new());
    let file = gateway.folder.path().join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    // With something that takes its time at a start.
    let text = format!("{text}history: {{max: 64M}}\n");
    for round in 1..=5 {
        let text = text.replace("window: 600s", &format!("window: 600s, age: {round}d"));
        std::fs::write(&file, text).unwrap();
        let reload = || gateway.process.signal("HUP");
        let is_changed = || {
            let lines = gateway.process.transcript();
            lines.iter().any(|line| line.contains("started or stopped"))
        };
        safe.extend(publish_until(port, &mut number, reload, is_changed));
        let stop = || gateway.process.signal("TERM");
        safe.extend(publish_until(port, &mut number, stop, || false));
        assert!(gateway.process.wait_exit(PATIENCE).success());
        // It is there before the gateway is.
        let waiting = std::thread::spawn(move || {
            let mut looks = 0..200;
            let soon = publish_until(port, &mut number, || (), || looks.next().is_none());
            (number, soon)
        });
        gateway.process = run(&gateway.folder);
        let (next, soon) = waiting.join().unwrap();
        number = next;
        safe.extend(soon);
    }
    assert_arrive(&safe, &proxy);
}

#[test]
fn a_remote_that_answers_spares_the_card_and_one_that_falls_silent_holds_clients_up_for_moments() {
    let remote = Mosquitto::start();
    let proxy = Proxy::start(remote.port());
    let gateway = Gateway::start("plant7", &slow_window(proxy.port, "clients"));
    let mut here = Wire::connect(gateway.port, "publisher");
    let status = gateway.wait("connected", |status| status["state"] == "online");
    // The cursor of the new spool.
    let written = status["backlog"]["written"].clone();
    let mut number = 0;
    // No more at a time than mosquitto lets be under way.
    (0..20).for_each(|_| {
        publish(&mut here, &mut number, 15);
    });
    let status = gateway.wait("counted", |status| {
        status["acknowledged"] == 300 && status["promised"] == 0
    });
    assert_eq!(status["backlog"]["written"], written, "{status:#}");
    proxy.set(Mode::NoAnswers);
    let took = publish(&mut here, &mut number, 200);
    assert!(
        took < Duration::from_secs(15),
        "{took:?}: not before the connection is given up"
    );
    let status = gateway.wait("on the card", |status| status["backlog"]["messages"] == 200);
    assert_eq!(status["not_durable"], 0);
    proxy.cut();
    proxy.set(Mode::Pass);
    gateway.wait("sent", |status| status["backlog"]["messages"] == 0);
}

#[test]
fn without_the_promise_clients_do_not_wait_and_with_all_the_gateways_own_values_are_kept_too() {
    for (durable, own, of_clients) in [("none", 0, 0), ("all", 1, 50)] {
        let proxy = Proxy::start(free_port());
        proxy.set(Mode::Refuse);
        let text =
            slow_window(proxy.port, durable).replace("\"data/#\"", "\"data/#\", \"plant7/$state\"");
        let gateway = Gateway::start("plant7", &text);
        let mut here = Wire::connect(gateway.port, "publisher");
        publish(&mut here, &mut 0, 50);
        let status = gateway.wait(durable, |status| {
            let on_card = status["backlog"]["messages"].as_u64().unwrap();
            on_card == own + of_clients && status["window"].as_u64().unwrap() + on_card == 51
        });
        assert_eq!(status["promised"], 0, "{status:#}");
    }
}
