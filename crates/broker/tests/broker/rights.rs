//! What clients may publish and get, and how that changes under way.

use Permission::{Deny, Read, ReadWrite, Write};
use fieldgate_broker::{Permission, Users};
use fieldgate_mqtt::{Connect, SubscriptionOptions};

use crate::support::*;

fn subscribe(client: &mut Client, filter: &str) -> u8 {
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    client.subscribe_to(None, &[(filter, options)])[0]
}

#[test]
fn a_refused_publication_is_answered_as_the_version_can_and_is_not_delivered() {
    let broker = broker_for(people(&[
        ("ann", &[("own/%c", Write)]),
        ("all", &[("#", Read)]),
    ]));
    let state = "$SYS/broker/connection/w1/state";
    let mut reader = enter(&broker, Version::V5, "reader", "all");
    reader.subscribe("#", QoS::ExactlyOnce);
    let mut refused = 0;
    for version in VERSIONS {
        let mut writer = enter(&broker, version, "w1", "ann");
        for qos in QOS {
            let want = match version {
                Version::V5 if qos > QoS::AtMostOnce => ReasonCode::NOT_AUTHORIZED,
                _ => ReasonCode::SUCCESS,
            };
            for topic in ["own/w2", "own", "own/w1/x", "$SYS/x", state] {
                assert_eq!(
                    writer.publish(topic, "no", qos),
                    want.0,
                    "{version:?} {topic}"
                );
                refused += 1;
            }
            assert_eq!(writer.publish("own/w1", "yes", qos), 0);
            let got = reader.message();
            assert_eq!((got.topic.as_str(), got.text()), ("own/w1", "yes"));
            reader.acknowledge(&got);
            if got.qos == 2 {
                assert!(matches!(reader.next(), Event::Ack(..)));
                reader.ack(fieldgate_mqtt::AckKind::PubComp, got.id);
            }
        }
        writer.leave();
    }
    reader.nothing_more();
    eventually(refused, || broker.totals().publish_refused);
}

#[test]
fn a_client_identifier_with_wildcards_or_slashes_opens_nothing() {
    let rules: &[_] = &[("own/%c/#", ReadWrite)];
    let broker = broker_for(people(&[("ann", rules)]));
    for id in ["+", "#", "a/b", "a/#", "+/+", "/"] {
        let mut client = enter(&broker, Version::V5, id, "ann");
        for topic in ["own/a", "own/a/b", "own/x/y", "x", "own//x"] {
            let reason = client.publish(topic, "no", QoS::AtLeastOnce);
            assert_eq!(reason, ReasonCode::NOT_AUTHORIZED.0, "{id} {topic}");
        }
        for filter in ["own/#", "own/+/x", "#", "own/a/b/#"] {
            let reason = subscribe(&mut client, filter);
            assert_eq!(reason, ReasonCode::NOT_AUTHORIZED.0, "{id} {filter}");
        }
    }
}

#[test]
fn a_will_must_be_one_that_the_client_may_publish() {
    let bridge = "$SYS/broker/connection/%c/state";
    let broker = broker_for(people(&[("ann", &[("state/%u", Write), (bridge, Write)])]));
    for version in VERSIONS {
        for (topic, want) in [
            ("state/ann", ReasonCode::SUCCESS),
            ("state/bob", ReasonCode::NOT_AUTHORIZED),
            ("$SYS/x", ReasonCode::NOT_AUTHORIZED),
            ("$SYS/broker/connection/c/state", ReasonCode::SUCCESS),
            ("$SYS/broker/connection/d/state", ReasonCode::NOT_AUTHORIZED),
        ] {
            let connect = Connect {
                password: Some(b"nna"),
                will: Some(will(topic, "gone", 0)),
                ..named(version, "c", "ann")
            };
            let client = Client::greet(&broker, &connect);
            assert_eq!(client.greeting.reason, want.0, "{version:?} {topic}");
        }
    }
}

#[test]
fn a_subscription_without_a_readable_topic_is_refused_and_others_deliver_what_may_be_read() {
    let rules: &[_] = &[("p/secret/#", Deny), ("p/#", Read), ("w", Write)];
    let broker = broker_for(people(&[
        ("ann", rules),
        ("root", &[("#", ReadWrite), ("$SYS/#", Read)]),
    ]));
    let mut root = enter(&broker, Version::V5, "root", "root");
    root.retain("p/secret/kept", "no");
    root.retain("p/kept", "kept");
    for version in [Version::V4, Version::V5] {
        let refused = match version {
            Version::V5 => ReasonCode::NOT_AUTHORIZED.0,
            _ => 0x80,
        };
        let mut ann = enter(&broker, version, "ann", "ann");
        for filter in [
            "p/secret/#",
            "p/secret/kept",
            "w",
            "q/#",
            "$SYS/#",
            "$share/g/w",
        ] {
            assert_eq!(subscribe(&mut ann, filter), refused, "{version:?} {filter}");
        }
        assert_eq!(subscribe(&mut ann, "#"), 1);
        assert_eq!(ann.message().text(), "kept");
        assert_eq!(subscribe(&mut ann, "$share/g/p/+/x"), 1);
        for topic in ["p/secret/x", "w", "q", "p/open"] {
            root.publish(topic, topic, QoS::AtMostOnce);
        }
        assert_eq!(ann.message().text(), "p/open");
        // A shared message does not go to a member that may not have it.
        assert_eq!(
            root.publish("p/secret/x", "x", QoS::AtLeastOnce),
            ReasonCode::NO_MATCHING_SUBSCRIBERS.0
        );
        ann.nothing_more();
        ann.leave();
    }
    assert_eq!(subscribe(&mut root, "$SYS/#"), 1);
}

#[test]
fn rules_for_those_without_a_name_hold_where_they_are_let_in() {
    let users = Users {
        anonymous: Some(rules(&[("open/#", ReadWrite)])),
        ..Users::default()
    };
    let broker = broker_for(users);
    let mut client = Client::v5(&broker, "c");
    assert_eq!(client.publish("open/x", "yes", QoS::AtLeastOnce), 0x10);
    assert_eq!(client.publish("shut", "no", QoS::AtLeastOnce), 0x87);
    assert_eq!(subscribe(&mut client, "shut"), 0x87);
}

#[test]
fn a_change_of_rules_takes_effect_for_those_who_are_connected() {
    let both: &[_] = &[("a/#", ReadWrite), ("b/#", ReadWrite)];
    let mut users = people(&[("ann", both), ("bob", &[("#", ReadWrite)])]);
    let broker = broker_for(users.clone());
    let mut ann = enter(&broker, Version::V5, "ann", "ann");
    let mut bob = enter(&broker, Version::V5, "bob", "bob");
    for filter in ["a/+", "b/+"] {
        ann.subscribe(filter, QoS::AtLeastOnce);
    }
    for (rule, reads_b) in [("a/#", false), ("#", true), ("a/+", false)] {
        if let Some(user) = users.named.get_mut("ann") {
            user.rules = Some(rules(&[(rule, ReadWrite)]));
        }
        broker.set_access(false, users.clone());
        let want = if reads_b { 0x10 } else { 0x87 };
        assert_eq!(ann.publish("b", "1", QoS::AtLeastOnce), want, "{rule}");
        bob.publish("b/x", "2", QoS::AtLeastOnce);
        bob.publish("a/x", "3", QoS::AtLeastOnce);
        let want = if reads_b { &["2", "3"][..] } else { &["3"] };
        assert_eq!(ann.texts(want.len()), want, "{rule}");
        ann.nothing_more();
    }
}

#[test]
fn only_clients_whose_user_or_password_was_removed_are_disconnected() {
    let mut users = people(&[("ann", &[]), ("bob", &[]), ("eve", &[])]);
    let broker = broker_for(users.clone());
    let mut ann = enter(&broker, Version::V5, "ann", "ann");
    let mut old = enter(&broker, Version::V4, "old ann", "ann");
    let mut bob = enter(&broker, Version::V5, "bob", "bob");
    let mut eve = enter(&broker, Version::V5, "eve", "eve");
    users.named.remove("eve");
    let changed = people(&[("ann", &[])]);
    users.named.extend(changed.named);
    broker.set_access(false, users);
    // The password is the same, and its hash is another: it has been set anew.
    ann.disconnected_with(ReasonCode::NOT_AUTHORIZED);
    eve.disconnected_with(ReasonCode::NOT_AUTHORIZED);
    assert_eq!(old.next(), Event::Closed);
    bob.nothing_more();
    enter(&broker, Version::V5, "ann", "ann").nothing_more();
}

#[test]
fn anonymous_clients_are_disconnected_when_users_arrive_and_stay_if_they_are_allowed() {
    let broker = broker();
    let mut client = Client::v5(&broker, "c");
    broker.set_access(true, people(&[("ann", &[])]));
    client.nothing_more();
    broker.set_access(false, people(&[("ann", &[])]));
    client.disconnected_with(ReasonCode::NOT_AUTHORIZED);
}

#[test]
fn messages_that_wait_for_a_client_away_go_when_its_right_to_them_does() {
    let mut users = people(&[("ann", &[("#", Read)]), ("bob", &[("#", ReadWrite)])]);
    let broker = broker_for(users.clone());
    let back = || {
        let connect = Connect {
            username: Some("ann"),
            password: Some(b"nna"),
            ..connect_v5("ann", 600)
        };
        Client::open(&broker, &connect)
    };
    let mut ann = back();
    ann.subscribe("#", QoS::AtLeastOnce);
    ann.leave();
    let mut bob = enter(&broker, Version::V5, "bob", "bob");
    for topic in ["a", "b", "a"] {
        bob.publish(topic, topic, QoS::AtLeastOnce);
    }
    if let Some(user) = users.named.get_mut("ann") {
        user.rules = Some(rules(&[("a", Read)]));
        // A new password is no reason to lose messages.
        user.password = people(&[("ann", &[])])
            .named
            .remove("ann")
            .unwrap()
            .password;
    }
    broker.set_access(false, users);
    bob.publish("b", "b", QoS::AtLeastOnce);
    let mut ann = back();
    assert!(ann.greeting.session_present);
    assert_eq!(ann.texts(2), ["a", "a"]);
    ann.nothing_more();
}
