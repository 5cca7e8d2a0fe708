//! What bridges do that other clients do not.

use fieldgate_mqtt::{Connect, Publish, Will};

use crate::support::*;

const STATE: &str = "$SYS/broker/connection/b/state";

/// A CONNECT as mosquitto's bridges send it; only those of MQTT 3 have the mark.
fn bridge(version: Version, is_marked: bool) -> Connect<'static> {
    Connect {
        bridge: is_marked,
        clean_start: false,
        will: Some(Will {
            retain: true,
            ..will(STATE, "0", 0)
        }),
        ..connect(version, "b")
    }
}

#[test]
fn a_marked_bridge_gets_nothing_back_and_retain_flags_as_they_were_published() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    publisher.retain("t/kept", "kept");
    for version in [Version::V3, Version::V4] {
        for is_marked in [true, false] {
            let mut client = Client::open(&broker, &bridge(version, is_marked));
            client.subscribe("t/#", QoS::AtMostOnce);
            let kept = client.message();
            assert_eq!((kept.text(), kept.retain), ("kept", true), "{version:?}");
            client.publish("t/own", "own", QoS::AtLeastOnce);
            if !is_marked {
                assert_eq!(client.message().text(), "own");
            }
            client.nothing_more();
            for retain in [false, true] {
                let publish = Publish {
                    retain,
                    ..publisher.publication("t/kept", b"kept", QoS::AtLeastOnce)
                };
                publisher.publish_packet(&publish);
                let got = client.message();
                assert_eq!(got.retain, retain && is_marked, "{version:?} {is_marked}");
            }
            client.nothing_more();
            // A group takes what its own members publish.
            client.subscribe("$share/g/s", QoS::AtMostOnce);
            client.publish("s", "shared", QoS::AtMostOnce);
            assert_eq!(client.message().text(), "shared");
            client.leave();
            Client::open(&broker, &connect(version, "b")).leave();
        }
    }
}

#[test]
fn a_bridge_says_below_its_own_branch_of_sys_whether_it_is_there_and_nowhere_else() {
    let broker = broker();
    for version in VERSIONS {
        let mut watcher = Client::v5(&broker, "watcher");
        watcher.subscribe("$SYS/broker/connection/#", QoS::AtMostOnce);
        let mut client = Client::open(&broker, &bridge(version, version < Version::V5));
        client.retain(STATE, "1");
        assert_eq!(watcher.message().text(), "1", "{version:?}");
        client.vanish();
        assert_eq!(watcher.message().text(), "0", "{version:?}");
        let mut late = Client::v5(&broker, "late");
        late.subscribe(STATE, QoS::AtMostOnce);
        assert!(late.message().retain, "{version:?}");
        let mut other = Client::v5(&broker, "other");
        other.retain(STATE, "");
        for topic in [
            "$SYS/broker/connection",
            "$SYS/broker/version",
            "$SYS/broker/connections/b/state",
            "$SYS/x",
        ] {
            let refused = other.publish(topic, "x", QoS::AtLeastOnce);
            assert_eq!(refused, ReasonCode::NOT_AUTHORIZED.0, "{topic}");
        }
        watcher.message();
        watcher.nothing_more();
    }
}
