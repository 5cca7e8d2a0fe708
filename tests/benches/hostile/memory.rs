//! What is easily held and not counted: properties, levels, long names, matches, wills, aliases.

use std::io;
use std::num::NonZeroU16;
use std::sync::Mutex;

use fieldgate_mqtt::{
    Packet, PacketId, Publish, QoS, Subscribe, SubscriptionOptions, UserPropertiesBuf, Version,
    Will, WillProperties,
};
use fieldgate_test_client::Raw;

use crate::attack::{Attack, brief, drain, publish};
use crate::sessions::many_away;

/// A level of 64 in a topic or filter.
pub const LEVELS: usize = 64;

/// Below the 64 KiB that a string may have.
const LONG: usize = 60_000;

/// 1.8 MB of pairs.
pub fn pairs() -> UserPropertiesBuf {
    let mut pairs = UserPropertiesBuf::new();
    let value = "v".repeat(LONG);
    for _ in 0..30 {
        // 60 KB fit.
        let _ = pairs.push("name", &value);
    }
    pairs
}

/// A topic below `start` of 64 levels.
pub fn deep(start: &str) -> String {
    let levels = start.split('/').count();
    start.to_owned() + &"/x".repeat(LEVELS - levels)
}

fn retained<'a>(topic: &'a str) -> Publish<'a> {
    Publish {
        retain: true,
        ..publish(topic, b"1", 0)
    }
}

/// Runs `round` with a client of each thread, which comes again when it was cut off.
fn with_client(
    attack: &Attack,
    threads: u64,
    round: impl Fn(&mut Raw, u64, u64) -> io::Result<()> + Sync,
) {
    attack.repeat(threads, |thread, life| {
        let mut client = attack.client(&brief(Version::V5, &format!("held-{thread}")))?;
        drain(&client)?;
        for number in 0.. {
            round(&mut client, thread, life << 32 | number)?;
            attack.step();
        }
        Ok(())
    });
}

/// Retained messages of a byte with 1.8 MB of user properties, or 180 KB of all other properties.
pub fn properties(attack: &Attack) {
    let (pairs, long) = (pairs(), "l".repeat(LONG));
    with_client(attack, 2, |client, thread, number| {
        let topic = format!("properties/{thread}/{number}");
        let mut message = retained(&topic);
        if number.is_multiple_of(2) {
            message.properties.user_properties = pairs.as_properties();
        } else {
            message.properties.response_topic = Some(&long);
            message.properties.content_type = Some(&long);
            message.properties.correlation_data = Some(long.as_bytes());
        }
        client.send(&Packet::Publish(message))
    });
}

/// Retained messages of a byte, each with 62 levels of its own.
pub fn deep_topics(attack: &Attack) {
    with_client(attack, 2, |client, thread, number| {
        for part in 0..100 {
            let topic = deep(&format!("deep/{thread}.{number}.{part}"));
            client.put(&Packet::Publish(retained(&topic)));
        }
        client.flush()
    });
}

/// Clients that subscribe to `filters` in packets of `at_once` and stay.
fn subscribers(
    attack: &Attack,
    filters: usize,
    at_once: usize,
    filter: impl Fn(u64, u64, usize) -> String + Sync,
) {
    let kept = Mutex::new(vec![]);
    attack.repeat(2, |thread, number| {
        let id = format!("filters-{thread}-{number}");
        let mut client = attack.client(&brief(Version::V5, &id))?;
        drain(&client)?;
        for first in (0..filters).step_by(at_once) {
            let names: Vec<String> = (first..first + at_once)
                .map(|part| filter(thread, number, part))
                .collect();
            let options = SubscriptionOptions::new(QoS::AtMostOnce);
            let list: Vec<_> = names.iter().map(|name| (name.as_str(), options)).collect();
            client.send(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &list)))?;
            attack.step();
        }
        if let Ok(mut kept) = kept.lock() {
            kept.push(client);
        }
        Ok(())
    });
}

pub fn deep_filters(attack: &Attack) {
    subscribers(attack, 1024, 512, |thread, number, part| {
        deep(&format!("filters/{thread}.{number}.{part}"))
    });
}

pub fn long_filters(attack: &Attack) {
    let long = "l".repeat(LONG);
    subscribers(attack, 1024, 32, move |thread, number, part| {
        format!("{thread}.{number}.{part}.{long}")
    });
}

/// Topics of 60 KB, each of which comes once.
pub fn unique_topics(attack: &Attack) {
    let long = "l".repeat(LONG);
    with_client(attack, 2, |client, thread, number| {
        let topic = format!("unique/{thread}/{number}/{long}");
        client.send(&Packet::Publish(publish(&topic, b"1", 0)))
    });
}

/// Topics that come once, each of which 2,000 sessions would get.
pub fn wide_matches(attack: &Attack) {
    many_away(attack, 2_000, "m/#");
    with_client(attack, 2, |client, thread, number| {
        for part in 0..20 {
            let topic = format!("m/{thread}/{number}/{part}");
            client.put(&Packet::Publish(publish(&topic, b"1", 0)));
        }
        client.flush()
    });
}

/// Clients that stay, each with a will of 1.8 MB. Its payload cannot be so long: its properties are.
pub fn wills(attack: &Attack) {
    let pairs = pairs();
    let kept = Mutex::new(vec![]);
    attack.repeat(2, |thread, number| {
        let id = format!("will-{thread}-{number}");
        let mut connect = brief(Version::V5, &id);
        connect.will = Some(Will {
            topic: "wills",
            payload: b"gone",
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: WillProperties {
                user_properties: pairs.as_properties(),
                ..WillProperties::default()
            },
        });
        let client = attack.client(&connect)?;
        if let Ok(mut kept) = kept.lock() {
            kept.push(client);
        }
        Ok(())
    });
}

/// Clients that stay, each with 64 aliases of topics of 60 KB.
pub fn aliases(attack: &Attack) {
    let long = "l".repeat(LONG);
    let kept = Mutex::new(vec![]);
    attack.repeat(2, |thread, number| {
        let id = format!("alias-{thread}-{number}");
        let mut client = attack.client(&brief(Version::V5, &id))?;
        for alias in 1..=64 {
            let topic = format!("alias/{alias}/{long}");
            let mut message = publish(&topic, b"1", 0);
            message.properties.topic_alias = NonZeroU16::new(alias);
            client.send(&Packet::Publish(message))?;
        }
        if let Ok(mut kept) = kept.lock() {
            kept.push(client);
        }
        Ok(())
    });
}
