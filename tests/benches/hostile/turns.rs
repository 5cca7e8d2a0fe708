//! Packets that ask for much work, and a reader that makes others wait.

use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    AckKind, Packet, PacketId, QoS, Subscribe, SubscriptionOptions, Unsubscribe, Version,
};
use fieldgate_test_client::{Event, Raw};

use crate::attack::{Attack, brief, drain, publish};
use crate::memory::deep;
use crate::retained::put_many;
use crate::sessions::subscribe;

/// Six sessions, each with 1,024 filters that all match, and new topics.
pub fn overlapping(attack: &Attack) {
    let ready = OnceLock::new();
    attack.repeat(1, |_, life| {
        if ready.get().is_none() {
            let all: io::Result<Vec<Raw>> =
                (0..6).map(|number| overlapped(attack, number)).collect();
            let _ = ready.set(all?);
        }
        let mut client = attack.client(&brief(Version::V5, "overlapping"))?;
        drain(&client)?;
        for number in 0_u64.. {
            let topic = format!("{}{life}.{number}", "a/".repeat(10));
            client.send(&Packet::Publish(publish(&topic, &[b'p'; 80], 0)))?;
            attack.step();
        }
        Ok(())
    });
}

fn overlapped(attack: &Attack, number: u32) -> io::Result<Raw> {
    let id = format!("overlapped-{number}");
    let mut client = attack.client(&brief(Version::V5, &id))?;
    drain(&client)?;
    for mask in 0..1024_u32 {
        let level = |bit: u32| if mask >> bit & 1 == 0 { "a/" } else { "+/" };
        let filter: String = (0..10).map(level).collect();
        let filter = filter + "+";
        let filters = [(filter.as_str(), SubscriptionOptions::new(QoS::AtMostOnce))];
        let mut packet = Subscribe::new(PacketId::MIN, &filters);
        packet.subscription_id = Some(200_000_000 + number * 1024 + mask);
        client.put(&Packet::Subscribe(packet));
    }
    client.flush()?;
    Ok(client)
}

/// SUBSCRIBE and UNSUBSCRIBE of 1,000 filters of 64 levels in turn.
pub fn deep_in_turn(attack: &Attack) {
    attack.repeat(4, |thread, _| {
        let mut client = attack.client(&brief(Version::V5, &format!("in-turn-{thread}")))?;
        drain(&client)?;
        let names: Vec<String> = (0..1000)
            .map(|part| deep(&format!("turn/{thread}.{part}")))
            .collect();
        let options = SubscriptionOptions::new(QoS::AtMostOnce);
        let filters: Vec<_> = names.iter().map(|name| (name.as_str(), options)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        loop {
            client.send(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &filters)))?;
            client.send(&Packet::Unsubscribe(Unsubscribe::new(
                PacketId::MIN,
                &names,
            )))?;
            attack.step();
        }
    });
}

/// UNSUBSCRIBEs of 650,000 filters of one character.
pub fn unsubscribe(attack: &Attack) {
    let names = vec!["x"; 650_000];
    attack.repeat(2, |thread, _| {
        let mut client = attack.client(&brief(Version::V5, &format!("many-{thread}")))?;
        drain(&client)?;
        loop {
            client.send(&Packet::Unsubscribe(Unsubscribe::new(
                PacketId::MIN,
                &names,
            )))?;
            attack.step();
        }
    });
}

/// SUBSCRIBE to 100,000 retained messages, three times on one connection, again and again.
pub fn retained(attack: &Attack) {
    let ready = OnceLock::new();
    attack.repeat(3, |thread, _| {
        if thread == 0 && ready.get().is_none() {
            put_many(attack, 0, 0..100_000)?;
            let _ = ready.set(());
        }
        let mut client = attack.client(&brief(Version::V5, &format!("retained-{thread}")))?;
        let filters = [("fill/#", SubscriptionOptions::new(QoS::AtLeastOnce))];
        for id in 1..=3 {
            client.put_subscribe(id, &filters);
        }
        client.flush()?;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            let mut event = client.next(Duration::from_millis(200))?;
            while let Some(some) = event {
                acknowledge(&mut client, some);
                event = client.buffered()?;
            }
            client.flush()?;
        }
        Ok(())
    });
}

fn acknowledge(client: &mut Raw, event: Event) {
    if let Event::Publish(message) = event
        && message.qos == 1
    {
        client.put_ack(AckKind::PubAck, message.id);
    }
}

/// A subscriber to everything that reads 0.25 s in every 2.2 s, and 400 messages of 4 KB a second.
pub fn now_and_then(attack: &Attack) {
    attack.repeat(2, |thread, _| match thread {
        0 => read_now_and_then(attack),
        _ => pour(attack),
    });
}

fn read_now_and_then(attack: &Attack) -> io::Result<()> {
    let mut client = attack.client(&brief(Version::V5, "now-and-then"))?;
    subscribe(&mut client, "#", QoS::AtLeastOnce)?;
    loop {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(250) {
            let mut event = client.next(Duration::from_millis(10))?;
            while let Some(some) = event {
                acknowledge(&mut client, some);
                event = client.buffered()?;
            }
            client.flush()?;
        }
        thread::sleep(Duration::from_millis(1950));
    }
}

fn pour(attack: &Attack) -> io::Result<()> {
    let mut client = attack.client(&brief(Version::V4, "pouring"))?;
    drain(&client)?;
    let payload = [b'p'; 4096];
    for number in 0_u32.. {
        let id = (number % 60_000) as u16 + 1;
        client.send(&Packet::Publish(publish("pour/value", &payload, id)))?;
        attack.step();
        thread::sleep(Duration::from_micros(2500));
    }
    Ok(())
}
