//! Sessions that stay: without end, with queues of noise, with clients that do not read.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fieldgate_mqtt::{Packet, QoS, SubscriptionOptions, Version};
use fieldgate_test_client::{Event, Raw};

use crate::attack::{Attack, PATIENCE, brief, drain, noise, publish};

/// Seconds: for ever.
const FOR_EVER: u32 = u32::MAX;

/// New client identifiers one after the other, each with a session that never ends.
pub fn for_ever(attack: &Attack) {
    attack.repeat(4, |thread, number| {
        let id = format!("for-ever-{thread}-{number}");
        stay(attack, &id)?;
        Ok(())
    });
}

/// A client whose session never ends.
pub fn stay(attack: &Attack, id: &str) -> io::Result<Raw> {
    let mut connect = brief(Version::V5, id);
    connect.properties.session_expiry = Some(FOR_EVER);
    attack.client(&connect)
}

/// Subscribes and waits for the answer.
pub fn subscribe(client: &mut Raw, filter: &str, qos: QoS) -> io::Result<()> {
    client.put_subscribe(1, &[(filter, SubscriptionOptions::new(qos))]);
    client.flush()?;
    loop {
        match client.next(PATIENCE)? {
            Some(Event::SubAck(..)) => return Ok(()),
            Some(_) => {}
            None => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// What one queue holds by default.
const QUEUE: usize = 8 << 20;
const PAYLOAD: usize = 64 << 10;

/// Each round leaves a session behind, and fills its queue.
pub fn offline_queues(attack: &Attack) {
    attack.repeat(3, |thread, number| {
        let topic = format!("away/{thread}/{number}");
        let mut owner = stay(attack, &format!("away-{thread}-{number}"))?;
        subscribe(&mut owner, &topic, QoS::AtLeastOnce)?;
        drop(owner);
        fill(attack, thread, &topic)
    });
}

/// Each round brings a client that reads nothing, and fills its queue.
pub fn deaf_queues(attack: &Attack) {
    let kept = std::sync::Mutex::new(vec![]);
    attack.repeat(3, |thread, number| {
        let topic = format!("deaf/{thread}/{number}");
        let mut owner = stay(attack, &format!("deaf-{thread}-{number}"))?;
        subscribe(&mut owner, &topic, QoS::AtLeastOnce)?;
        if let Ok(mut kept) = kept.lock() {
            kept.push(owner);
        }
        fill(attack, thread, &topic)
    });
}

/// Publishes as much as a queue holds, and a little more.
fn fill(attack: &Attack, thread: u64, topic: &str) -> io::Result<()> {
    let id = format!("filler-{thread}");
    // Before 5.0 nothing says how many messages may be underway.
    let mut client = attack.client(&brief(Version::V4, &id))?;
    drain(&client)?;
    let mut payload = noise(thread, PAYLOAD);
    for number in 0..(QUEUE / PAYLOAD + 2) as u16 {
        payload[..2].copy_from_slice(&number.to_be_bytes());
        client.send(&Packet::Publish(publish(topic, &payload, number + 1)))?;
        attack.step();
    }
    Ok(())
}

/// So many sessions on one filter, away.
pub fn many_away(attack: &Attack, count: u64, filter: &str) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let id = format!("away-{}", next.load(Ordering::Relaxed));
                    let client = stay(attack, &id);
                    let done = client
                        .and_then(|mut client| subscribe(&mut client, filter, QoS::AtLeastOnce));
                    match done {
                        Ok(()) => attack.step(),
                        Err(_) => thread::sleep(Duration::from_millis(10)),
                    }
                }
            });
        }
    });
}
