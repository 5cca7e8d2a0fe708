//! Topics of the program that the broker is part of.

use Permission::{Deny, ReadWrite, Write};
use fieldgate_broker::{Broker, Config, Outgoing, OwnTopics, Permission, Rule, User, Users};
use fieldgate_mqtt::Connect;

use crate::support::*;

fn own() -> OwnTopics {
    OwnTopics::new("m", ["plc"], ["m/+/+/set".to_owned()])
}

/// A broker that anyone may use, for everything that is not the program's.
fn open_to_all() -> Broker {
    start(Config {
        own: own(),
        ..config()
    })
}

fn tell(broker: &Broker, topic: &str, payload: &str) {
    let message = Outgoing {
        topic,
        payload: payload.as_bytes(),
        qos: QoS::AtLeastOnce,
        retain: true,
        correlation_data: None,
    };
    let link = broker.link("program");
    wait_for(link.publish(message)).unwrap();
    std::mem::forget(link);
}

/// What a client that comes now finds.
fn found(broker: &Broker, topic: &str) -> Vec<String> {
    let mut client = Client::v5(broker, "finder");
    client.subscribe(topic, QoS::AtMostOnce);
    client.send(&fieldgate_mqtt::Packet::PingReq);
    let mut found = Vec::new();
    while let Event::Publish(got) = client.next() {
        found.push(got.text().to_owned());
    }
    client.leave();
    found
}

#[test]
fn clients_neither_change_nor_delete_what_the_program_retains_and_are_told_so() {
    let broker = open_to_all();
    let mut refused = 0;
    for topic in [
        "m/$state",
        "m/plc",
        "m/plc/level",
        "m/plc/$stats",
        "m/$bus/one",
    ] {
        tell(&broker, topic, "true");
        let mut watcher = Client::v5(&broker, "watcher");
        watcher.subscribe(topic, QoS::AtMostOnce);
        assert_eq!(watcher.texts(1), ["true"]);
        for version in VERSIONS {
            let mut client = Client::open(&broker, &connect(version, "explorer"));
            for payload in ["false", ""] {
                for qos in QOS {
                    let publish = fieldgate_mqtt::Publish {
                        retain: true,
                        ..client.publication(topic, payload.as_bytes(), qos)
                    };
                    let want = match version {
                        Version::V5 if qos > QoS::AtMostOnce => ReasonCode::NOT_AUTHORIZED.0,
                        _ => 0,
                    };
                    let answer = client.publish_packet(&publish);
                    assert_eq!(answer, want, "{version:?} {topic} {payload:?}");
                    refused += 1;
                }
            }
            client.leave();
        }
        watcher.nothing_more();
        assert_eq!(found(&broker, topic), ["true"], "{topic}");
    }
    eventually(refused, || broker.totals().publish_refused);
}

#[test]
fn commands_and_what_is_beside_the_program_are_everyones() {
    let broker = open_to_all();
    let mut client = Client::v5(&broker, "client");
    client.subscribe("#", QoS::AtMostOnce);
    for topic in [
        "m/plc/pump/set",
        "m/other/level",
        "m/other",
        "m",
        "x/plc/level",
    ] {
        assert_eq!(client.publish(topic, topic, QoS::AtLeastOnce), 0, "{topic}");
        assert_eq!(client.texts(1), [topic]);
    }
    client.nothing_more();
}

#[test]
fn a_will_to_a_topic_of_the_program_is_refused_or_dropped_when_it_becomes_one() {
    let broker = start(config());
    let mut watcher = Client::v5(&broker, "watcher");
    watcher.subscribe("m/#", QoS::AtMostOnce);
    let leaving = |id| {
        let connect = Connect {
            will: Some(will("m/plc/level", "gone", 0)),
            ..connect(Version::V5, id)
        };
        Client::greet(&broker, &connect)
    };
    let first = leaving("first");
    assert_eq!(first.greeting.reason, 0);
    broker.set_own(own());
    let second = leaving("second").greeting.reason;
    assert_eq!(second, ReasonCode::NOT_AUTHORIZED.0);
    first.vanish();
    watcher.nothing_more();
    broker.set_own(OwnTopics::default());
    leaving("third").vanish();
    assert_eq!(watcher.texts(1), ["gone"]);
}

#[test]
fn a_rule_that_names_the_topic_permits_it_and_what_the_program_retains_comes_again() {
    let rules = |list: &[(&str, Permission)]| Users {
        anonymous: Some(
            list.iter()
                .map(|(filter, permission)| Rule::new(filter, *permission).unwrap())
                .collect(),
        ),
        named: [("ann".to_owned(), User::default())].into(),
    };
    for (list, may) in [
        (&[("#", ReadWrite)][..], false),
        (&[("m/#", ReadWrite)], false),
        (&[("m/+/level", Write)], false),
        (&[("m/%c/level", Write)], false),
        (&[("m/plc/#", Write)], true),
        (&[("m/plc/+", Write)], true),
        (&[("m/plc/level", Write)], true),
        (&[("#", ReadWrite), ("m/plc/level", Write)], true),
        (&[("m/plc/+", Deny), ("m/plc/level", Write)], false),
        (&[("m/#", Deny), ("m/plc/level", Write)], false),
    ] {
        let all: Vec<_> = list
            .iter()
            .copied()
            .chain([("#", Permission::Read)])
            .collect();
        let broker = start(Config {
            own: own(),
            allow_anonymous: true,
            users: rules(&all),
            ..config()
        });
        tell(&broker, "m/plc/level", "17");
        let mut watcher = Client::v5(&broker, "watcher");
        watcher.subscribe("#", QoS::AtMostOnce);
        let is_hidden = list[0].1 == Deny;
        if !is_hidden {
            assert_eq!(watcher.texts(1), ["17"]);
        }
        let mut client = Client::v5(&broker, "plc");
        let publish = fieldgate_mqtt::Publish {
            retain: true,
            ..client.publication("m/plc/level", b"999", QoS::AtLeastOnce)
        };
        let answer = client.publish_packet(&publish);
        let want = match may {
            true => 0,
            false => ReasonCode::NOT_AUTHORIZED.0,
        };
        assert_eq!(answer, want, "{list:?}");
        if may {
            assert_eq!(watcher.texts(2), ["999", "17"], "{list:?}");
        }
        watcher.nothing_more();
        if !is_hidden {
            assert_eq!(found(&broker, "m/plc/level"), ["17"], "{list:?}");
        }
    }
}

#[test]
fn a_link_answers_only_where_the_client_may_publish_itself() {
    let broker = start(Config {
        own: own(),
        users: people(&[("ann", &[("m/plc/pump/set", Write), ("ann/#", ReadWrite)])]),
        allow_anonymous: true,
        ..config()
    });
    let link = broker.link("program");
    link.subscribe("m/+/+/set", QoS::AtLeastOnce).unwrap();
    let mut ann = enter(&broker, Version::V5, "ann", "ann");
    let mut any = Client::v5(&broker, "any");
    for (is_ann, topic, want) in [
        (true, "ann/answers", true),
        (true, "other/x", false),
        (true, "m/plc/level", false),
        (true, "m/$state", false),
        (true, "$SYS/x", false),
        (false, "other/x", true),
        (false, "m/plc/level", false),
        (false, "m/plc/pump/result", false),
    ] {
        let client = if is_ann { &mut ann } else { &mut any };
        let mut publish = client.publication("m/plc/pump/set", b"1", QoS::AtLeastOnce);
        publish.properties.response_topic = Some(topic);
        assert_eq!(client.publish_packet(&publish), 0, "{topic}");
        let delivery = wait_for(link.recv());
        assert_eq!(delivery.message().response_topic(), Some(topic));
        assert_eq!(
            delivery.answer_to(),
            want.then_some(topic),
            "{is_ann} {topic}"
        );
    }
    // What is kept has outlived its publisher's rights.
    let mut publish = any.publication("m/plc/pump/set", b"1", QoS::AtLeastOnce);
    publish.retain = true;
    publish.properties.response_topic = Some("other/x");
    any.publish_packet(&publish);
    let late = broker.link("late");
    late.subscribe("m/+/+/set", QoS::AtLeastOnce).unwrap();
    assert_eq!(wait_for(late.recv()).answer_to(), None);
}
