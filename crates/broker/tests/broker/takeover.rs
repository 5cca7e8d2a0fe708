//! Two connections with one client identifier.

use fieldgate_broker::{Broker, Config, Takeover};
use fieldgate_mqtt::{Connect, Packet};

use crate::support::*;

#[test]
fn the_older_connection_ends_and_is_told_so_in_mqtt_5() {
    let broker = broker();
    for version in VERSIONS {
        for clean_start in [true, false] {
            let connect = Connect {
                clean_start,
                ..connect(version, "c")
            };
            let mut old = Client::open(&broker, &connect);
            old.nothing_more();
            let mut new = Client::open(&broker, &connect);
            if version == Version::V5 {
                old.disconnected_with(ReasonCode::SESSION_TAKEN_OVER);
            } else {
                assert_eq!(old.next(), Event::Closed);
            }
            new.nothing_more();
        }
    }
    wait_until("all have left", || broker.connected() == 0);
}

#[test]
fn a_session_is_taken_over_with_what_is_underway() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut old = Client::open(&broker, &connect_v5("c", 60));
    old.subscribe("t", QoS::AtLeastOnce);
    publisher.publish("t", "1", QoS::AtLeastOnce);
    let first = old.message();
    let mut new = Client::open(&broker, &connect_v5("c", 60));
    assert!(new.greeting.session_present);
    assert_eq!(new.message(), Got { dup: true, ..first });
    old.disconnected_with(ReasonCode::SESSION_TAKEN_OVER);
    publisher.publish("t", "2", QoS::AtLeastOnce);
    assert_eq!(new.texts(1), ["2"]);
    // A session that ends with its connection has ended with the connection taken over.
    let mut ends = Client::v5(&broker, "ends");
    ends.subscribe("t", QoS::AtLeastOnce);
    let new = Client::open(&broker, &connect_v5("ends", 60));
    assert!(!new.greeting.session_present);
}

#[test]
fn the_will_of_the_older_connection_goes_out_unless_the_session_goes_on_within_its_delay() {
    let broker = broker();
    let mut watcher = Client::v5(&broker, "watcher");
    watcher.subscribe("will", QoS::AtMostOnce);
    for (name, delay, clean_start, want) in [
        ("no delay, resumed", 0, false, true),
        ("no delay, clean start", 0, true, true),
        ("delay, resumed", 30, false, false),
        ("delay, clean start", 30, true, true),
    ] {
        let mut old = Client::open(
            &broker,
            &Connect {
                will: Some(will("will", name, delay)),
                ..connect_v5("c", 60)
            },
        );
        let mut new = Client::open(
            &broker,
            &Connect {
                clean_start,
                ..connect_v5("c", 60)
            },
        );
        old.disconnected_with(ReasonCode::SESSION_TAKEN_OVER);
        // The new connection has no will of its own.
        new.nothing_more();
        new.vanish();
        if want {
            assert_eq!(watcher.message(), got("will", name, 0));
        }
        watcher.nothing_more();
    }
}

#[test]
fn many_takeovers_at_once_leave_one_connection_and_none_hears_of_it_before_its_connack() {
    let broker = broker();
    let crowd = crowd(&broker);
    let taken_over = Event::Disconnect(ReasonCode::SESSION_TAKEN_OVER.0);
    let connect = Packet::Connect(Box::new(connect_v5("c", 60)));
    let clients: Vec<_> = std::thread::scope(|scope| {
        let many = || -> Vec<Client> {
            let greet = |_| {
                let mut client = Client::raw(&broker, Version::V5);
                client.send(&connect);
                client
            };
            (0..25).map(greet).collect()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(many)).collect();
        let all = threads.into_iter().map(|thread| thread.join().unwrap());
        all.flatten().collect()
    });
    let mut greeted = Vec::new();
    for mut client in clients {
        match client.next() {
            Event::ConnAck(_) => greeted.push(client),
            other => assert_eq!(other, Event::Closed),
        }
    }
    let mut alive = 0;
    for mut client in greeted {
        client.send(&Packet::PingReq);
        match client.next() {
            Event::PingResp => alive += 1,
            other => assert_eq!(other, taken_over),
        }
    }
    assert_eq!(alive, 1);
    drop(crowd);
    wait_until("all have left", || broker.connected() == 0);
}

const ALL: &[(&str, fieldgate_broker::Permission)] =
    &[("#", fieldgate_broker::Permission::ReadWrite)];

/// A broker that knows ann and bob and lets others in without a name.
fn town(takeover: Takeover) -> Broker {
    start(Config {
        users: people(&[("ann", ALL), ("bob", ALL)]),
        allow_anonymous: true,
        takeover,
        ..config()
    })
}

/// A client of `name`, or without one, that brings an identifier.
fn come(broker: &Broker, version: Version, name: Option<&str>, clean_start: bool) -> Client {
    let secret = name.map(password);
    let connect = Connect {
        username: name,
        password: secret.as_deref().map(str::as_bytes),
        clean_start,
        ..match version {
            Version::V5 => connect_v5("shared", 600),
            _ => connect(version, "shared"),
        }
    };
    Client::greet(broker, &connect)
}

#[test]
fn no_other_user_can_take_over_a_session_connected_or_not() {
    let (any, same) = (Takeover::Any, Takeover::SameUser);
    let (ann, bob, none) = (Some("ann"), Some("bob"), None);
    for version in VERSIONS {
        for is_there in [false, true] {
            for clean_start in [false, true] {
                // Whose it is, who comes, and whether that one is let in.
                for (takeover, owner, comer, let_in) in [
                    (same, ann, ann, true),
                    (same, ann, bob, false),
                    (same, ann, none, false),
                    (same, none, none, true),
                    (same, none, ann, true),
                    (any, ann, bob, true),
                    (any, ann, none, true),
                ] {
                    let what = format!("{version:?} {owner:?} {comer:?} {is_there} {clean_start}");
                    let broker = town(takeover);
                    let mut first = come(&broker, version, owner, false);
                    first.subscribe("a", QoS::AtLeastOnce);
                    if !is_there {
                        first.vanish();
                        wait_until("the owner has left", || broker.connected() == 0);
                        let mut writer = enter(&broker, Version::V5, "writer", "bob");
                        writer.publish("a", "for the owner", QoS::AtLeastOnce);
                        writer.leave();
                    }
                    let second = come(&broker, version, comer, clean_start);
                    let want = match let_in {
                        true => ReasonCode::SUCCESS,
                        false => ReasonCode::NOT_AUTHORIZED,
                    };
                    assert_eq!(second.greeting.reason, want.0, "{what}");
                    // MQTT 3.1 does not tell.
                    let inherits = owner == comer && !clean_start && version > Version::V3;
                    assert_eq!(second.greeting.session_present, inherits, "{what}");
                    if !let_in && !is_there {
                        let mut again = come(&broker, version, owner, false);
                        assert_eq!(again.texts(1), ["for the owner"], "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_session_of_a_user_that_was_removed_is_free() {
    let broker = town(Takeover::SameUser);
    come(&broker, Version::V5, Some("ann"), false).leave();
    let bob = |broker: &Broker| {
        come(broker, Version::V5, Some("bob"), false)
            .greeting
            .reason
    };
    assert_eq!(bob(&broker), ReasonCode::NOT_AUTHORIZED.0);
    broker.set_access(true, people(&[("bob", ALL)]));
    assert_eq!(bob(&broker), 0);
}
