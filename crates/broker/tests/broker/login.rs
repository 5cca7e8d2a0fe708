//! Who is let in, what the others are told, and what their attempts cost whom.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use fieldgate_broker::{Broker, Config, Limits, NotLetIn, PasswordHash, User, Users};
use fieldgate_mqtt::{Connect, Packet};

use crate::support::*;

const DELAY: Duration = Duration::from_millis(300);

/// A broker for `ann` that keeps those who fail waiting for a short while.
fn strict(failed_logins: u32) -> Broker {
    let limits = Limits {
        failed_logins,
        failed_login_delay: DELAY,
        ..Limits::default()
    };
    let users = people(&[("ann", &[])]);
    start(Config {
        limits,
        users,
        ..config()
    })
}

#[test]
fn only_the_right_name_and_password_are_let_in_and_the_others_wait_for_their_refusal() {
    let broker = strict(100);
    let (bad, not) = (
        ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        ReasonCode::NOT_AUTHORIZED,
    );
    let ok = ReasonCode::SUCCESS;
    let mut failures = 0;
    for version in VERSIONS {
        for (name, password, want) in [
            (Some("ann"), Some("nna"), ok),
            (Some("ann"), Some("ann"), bad),
            (Some("ann"), Some(""), bad),
            (Some("ann"), None, bad),
            (Some("Ann"), Some("nna"), bad),
            (Some("eve"), Some("nna"), bad),
            (Some(""), Some("nna"), bad),
            (None, None, not),
        ] {
            let connect = Connect {
                username: name,
                password: password.map(str::as_bytes),
                ..connect(version, "c")
            };
            let start = Instant::now();
            let client = Client::greet(&broker, &connect);
            let took = start.elapsed();
            // A refusal of MQTT 3 is decoded to the reason that it stands for: 4 and 5.
            assert_eq!(
                client.greeting.reason, want.0,
                "{version:?} {name:?} {password:?}"
            );
            if want == bad {
                failures += 1;
                assert!(took >= DELAY, "{name:?} {password:?} after {took:?}");
            }
        }
    }
    eventually(failures, || broker.totals().logins_failed);
}

#[test]
fn an_address_that_fails_too_often_is_refused_unheard_and_who_was_right_before_is_not() {
    let broker = strict(2);
    enter(&broker, Version::V5, "before", "ann").leave();
    for (name, want) in [
        ("eve", ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        ("eve", ReasonCode::BAD_USER_NAME_OR_PASSWORD),
    ] {
        let client = Client::greet(&broker, &named(Version::V5, "c", name));
        assert_eq!(client.greeting.reason, want.0);
    }
    // Attempts at one time, so that none is forgiven meanwhile.
    let tries = 12;
    let mut reasons: Vec<u8> = std::thread::scope(|scope| {
        let broker = &broker;
        let attempt = move || {
            Client::greet(broker, &named(Version::V5, "", "eve"))
                .greeting
                .reason
        };
        let threads: Vec<_> = (0..tries).map(|_| scope.spawn(attempt)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    reasons.retain(|&reason| reason == ReasonCode::CONNECTION_RATE_EXCEEDED.0);
    assert!(reasons.len() >= tries / 2, "{}", reasons.len());
    enter(&broker, Version::V5, "again", "ann").leave();
}

#[test]
fn another_door_lets_the_same_users_in_and_its_attempts_count_with_those_over_mqtt() {
    let broker = strict(2);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let peer = [127, 0, 0, 1].into();
    let ask = |user: &str, password: &str| {
        let asked = broker.authenticate(user, password.as_bytes(), peer);
        runtime.block_on(asked)
    };
    for (user, password, want) in [
        ("ann", "nna", Ok(())),
        ("ann", "ann", Err(NotLetIn::Wrong)),
        ("eve", "nna", Err(NotLetIn::Wrong)),
        ("eve", "nna", Err(NotLetIn::TooOften)),
        ("ann", "nna", Ok(())),
    ] {
        assert_eq!(ask(user, password), want, "{user} {password}");
    }
    let client = Client::greet(&broker, &named(Version::V5, "c", "eve"));
    let want = ReasonCode::CONNECTION_RATE_EXCEEDED;
    assert_eq!(client.greeting.reason, want.0);
    broker.set_access(false, people(&[("bob", &[])]));
    assert_ne!(ask("ann", "nna"), Ok(()));
    broker.set_access(true, Users::default());
    assert_ne!(ask("ann", "nna"), Ok(()));
}

#[test]
fn many_logins_at_once_do_not_delay_connected_clients() {
    let hash = || PasswordHash::of(b"pw").unwrap();
    let user = |number| {
        let user = User {
            password: Some(hash()),
            rules: None,
            role: None,
            ..User::default()
        };
        (format!("user{number}"), user)
    };
    let users = Users {
        anonymous: None,
        named: (0..20).map(user).collect(),
    };
    let broker = broker_for(users);
    let connect = |number: usize, name| Connect {
        password: Some(b"pw"),
        ..named(Version::V5, ["in", ""][number.min(1)], name)
    };
    let mut inside = Client::open(&broker, &connect(0, "user0"));
    let names: Vec<String> = (1..20).map(|number| format!("user{number}")).collect();
    let mut arriving: Vec<Client> = names
        .iter()
        .map(|name| {
            let mut client = Client::raw(&broker, Version::V5);
            client.send(&Packet::Connect(Box::new(connect(1, name))));
            client
        })
        .collect();
    let start = Instant::now();
    let mut worst = Duration::ZERO;
    let mut pings = 0;
    while pings < 50
        || arriving
            .iter_mut()
            .any(|client| !has_answer(client.stream()))
    {
        let ping = Instant::now();
        inside.nothing_more();
        worst = worst.max(ping.elapsed());
        pings += 1;
        assert!(
            start.elapsed() < PATIENCE * 3,
            "the logins do not come to an end"
        );
    }
    for client in &mut arriving {
        assert!(matches!(
            client.next(),
            Event::ConnAck(Greeting { reason: 0, .. })
        ));
    }
    println!(
        "20 logins took {:?}; of {pings} pings the slowest {worst:?}",
        start.elapsed()
    );
    assert!(worst < Duration::from_millis(500), "{worst:?}");
}

fn has_answer(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let there = stream.peek(&mut [0; 1]).is_ok_and(|count| count > 0);
    stream.set_nonblocking(false).unwrap();
    there
}

#[test]
fn what_a_client_sends_behind_its_connect_waits_with_it() {
    let broker = broker_for(people(&[("ann", &[])]));
    let password = password("ann");
    let connect = Connect {
        password: Some(password.as_bytes()),
        ..named(Version::V4, "eager", "ann")
    };
    let mut bytes = Vec::new();
    let connect = Packet::Connect(Box::new(connect));
    for packet in [connect, Packet::PingReq, Packet::PingReq] {
        packet.encode(Version::V4, &mut bytes).unwrap();
    }
    let mut client = Client::raw(&broker, Version::V4);
    client.send_bytes(&bytes);
    assert!(matches!(
        client.next(),
        Event::ConnAck(Greeting { reason: 0, .. })
    ));
    assert_eq!(client.next(), Event::PingResp);
    assert_eq!(client.next(), Event::PingResp);
}
