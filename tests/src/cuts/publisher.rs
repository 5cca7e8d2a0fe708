//! A publisher that keeps its session: it knows what was acknowledged, and sends again what was not.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    AckKind, Connect, Packet, PacketId, Publish, PublishProperties, QoS, Version,
};
use fieldgate_test_client::{Event, Raw, lasting};

/// Longer than a gateway needs to start, and to acknowledge without a remote.
const PATIENCE: Duration = Duration::from_secs(45);

pub(super) struct Publisher {
    address: SocketAddr,
    rate: u32,
    client: Raw,
    /// How many messages the broker lets be under way.
    window: usize,
    /// Packet identifiers and numbers, in order.
    under_way: VecDeque<(u16, u64)>,
    id: u16,
    /// How often messages were sent again.
    repeats: BTreeMap<u64, u64>,
}

impl Publisher {
    pub(super) fn connect(address: SocketAddr, rate: u32) -> Self {
        let (client, window, _) = connect(address);
        Self {
            address,
            rate,
            client,
            window,
            under_way: VecDeque::new(),
            id: 0,
            repeats: BTreeMap::new(),
        }
    }

    /// How often this message was sent again.
    pub(super) fn repeats(&self, number: u64) -> u64 {
        self.repeats.get(&number).copied().unwrap_or(0)
    }

    /// Publishes these, each at its time.
    pub(super) fn pace(&mut self, numbers: Range<u64>) {
        let begun = Instant::now();
        for (place, number) in numbers.enumerate() {
            let due = Duration::from_secs(1).mul_f64(place as f64 / f64::from(self.rate));
            while let Some(left) = due.checked_sub(begun.elapsed()) {
                self.listen(left);
            }
            let asked = Instant::now();
            while self.under_way.len() >= self.window {
                self.listen(PATIENCE);
                assert!(asked.elapsed() < PATIENCE, "{} wait", self.under_way.len());
            }
            self.id = self.id % 60_000 + 1;
            self.under_way.push_back((self.id, number));
            put(&mut self.client, self.id, number, false);
            // It is noticed by the next look.
            let _ = self.client.flush();
        }
    }

    /// Waits until all is acknowledged.
    pub(super) fn settle(&mut self) {
        let asked = Instant::now();
        while !self.under_way.is_empty() {
            self.listen(Duration::from_secs(1));
            let waiting = self.under_way.len();
            assert!(asked.elapsed() < PATIENCE, "{waiting} not acknowledged");
        }
    }

    /// Takes an acknowledgement, if one comes within this time.
    fn listen(&mut self, within: Duration) {
        match self.client.next(within) {
            Ok(Some(Event::Ack(AckKind::PubAck, id, reason))) => {
                assert!(reason < 0x80, "the gateway refuses a message: {reason:#x}");
                self.under_way.retain(|(waiting, _)| *waiting != id);
            }
            Ok(_) => {}
            Err(_) => self.resume(),
        }
    }

    fn resume(&mut self) {
        let (mut client, window, has_session) = connect(self.address);
        for (id, number) in &self.under_way {
            *self.repeats.entry(*number).or_default() += 1;
            put(&mut client, *id, *number, has_session);
        }
        // It is noticed by the next look.
        let _ = client.flush();
        (self.client, self.window) = (client, window);
    }
}

/// Connects as soon as there is a broker. The second is how many messages may be under way, the third whether it knew the
/// session.
fn connect(address: SocketAddr) -> (Raw, usize, bool) {
    let end = Instant::now() + PATIENCE;
    let connect = Connect {
        keep_alive: 0,
        ..lasting(Version::V5, "publisher")
    };
    loop {
        let greeted = Raw::open(address, Version::V5).and_then(|mut client| {
            client.send(&Packet::Connect(Box::new(connect.clone())))?;
            Ok((client.next(PATIENCE)?, client))
        });
        match greeted {
            Ok((Some(Event::ConnAck(greeting)), client)) if greeting.reason == 0 => {
                let window = greeting.receive_maximum.unwrap_or(u16::MAX);
                return (client, window.into(), greeting.session_present);
            }
            Ok((other, _)) => assert!(Instant::now() < end, "{other:?} instead of CONNACK"),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    }
}

fn put(client: &mut Raw, id: u16, number: u64, dup: bool) {
    client.put(&Packet::Publish(Publish {
        dup,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: &format!("data/p{}", number % 50),
        packet_id: PacketId::new(id),
        properties: PublishProperties::default(),
        payload: number.to_string().as_bytes(),
    }));
}
