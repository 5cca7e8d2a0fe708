//! Retained messages without end, and waves of load that leave nothing behind.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Packet, Publish, QoS, SubscriptionOptions, Version};
use fieldgate_test_client::{Event, Raw};

use crate::attack::{Attack, brief, drain, noise, publish};
use crate::sessions::subscribe;

/// 100,000 retained messages of a byte, and then more.
pub fn many(attack: &Attack) {
    attack.repeat(1, |thread, number| {
        put_many(attack, thread, number * 100_000..(number + 1) * 100_000)
    });
}

/// Retains a message of a byte on each topic of a range.
pub fn put_many(attack: &Attack, thread: u64, range: Range<u64>) -> io::Result<()> {
    let mut client = attack.client(&brief(Version::V4, &format!("fill-{thread}")))?;
    drain(&client)?;
    for number in range {
        let topic = format!("fill/{thread}/{number}");
        let message = Publish {
            retain: true,
            ..publish(&topic, b"1", 0)
        };
        client.put(&Packet::Publish(message));
        if number.is_multiple_of(200) {
            client.flush()?;
            attack.step();
        }
    }
    client.flush()
}

/// How many topics of the device that was added late are retained, and how many of a like one that was there.
pub fn of_late_device(address: SocketAddr) -> io::Result<(usize, usize)> {
    let within = Duration::from_secs(5);
    let (mut client, _) = Raw::connect(address, &brief(Version::V5, "late"), within)?;
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    client.put_subscribe(1, &[("demo/late/+", options), ("demo/workshop/+", options)]);
    client.flush()?;
    let (mut late, mut like, begin) = (0, 0, Instant::now());
    while begin.elapsed() < Duration::from_secs(1) {
        if let Some(Event::Publish(message)) = client.next(Duration::from_millis(100))?
            && message.retain
        {
            match message.topic.starts_with("demo/late/") {
                true => late += 1,
                false => like += 1,
            }
        }
    }
    Ok((late, like))
}

/// By turns: deaf clients with full queues, big retained messages that are cleared, 500 connections. All of it goes
/// again with the round.
pub fn waves(attack: &Attack) {
    attack.repeat(3, |thread, number| match (thread + number) % 3 {
        0 => wave_of_queues(attack, thread),
        1 => wave_of_retained(attack, thread),
        _ => wave_of_connections(attack, thread),
    });
}

fn wave_of_queues(attack: &Attack, thread: u64) -> io::Result<()> {
    let mut deaf = vec![];
    let topic = format!("wave/{thread}");
    for number in 0..20 {
        let id = format!("wave-{thread}-{number}");
        let mut client = attack.client(&brief(Version::V5, &id))?;
        subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
        deaf.push(client);
    }
    let mut filler = attack.client(&brief(Version::V4, &format!("wave-{thread}")))?;
    drain(&filler)?;
    for number in 0..100_u16 {
        let payload = noise(u64::from(number), 7_000);
        filler.send(&Packet::Publish(publish(&topic, &payload, number + 1)))?;
    }
    Ok(())
}

fn wave_of_retained(attack: &Attack, thread: u64) -> io::Result<()> {
    let mut client = attack.client(&brief(Version::V4, &format!("wave-{thread}")))?;
    drain(&client)?;
    let payload = noise(thread, 200_000);
    for payload in [&payload[..], b""] {
        for number in 0..100 {
            let topic = format!("wave/{thread}/{number}");
            client.send(&Packet::Publish(Publish {
                retain: true,
                ..publish(&topic, payload, 0)
            }))?;
        }
    }
    client.send(&Packet::PingReq)
}

fn wave_of_connections(attack: &Attack, thread: u64) -> io::Result<()> {
    let client = |number| attack.client(&brief(Version::V5, &format!("wave-{thread}-{number}")));
    let all: io::Result<Vec<Raw>> = (0..500).map(client).collect();
    all.map(drop)
}
