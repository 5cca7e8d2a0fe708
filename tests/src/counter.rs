//! A publisher that counts acknowledgements, and a subscriber that counts messages.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    Connect, ConnectProperties, Packet, PacketId, Publish, PublishProperties, QoS, Subscribe,
    SubscriptionOptions, Version, decode, encode_publish,
};

/// A connection over MQTT 5.0.
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    next: u16,
}

/// A message that came.
#[derive(Clone, Debug)]
pub struct Got {
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub user: BTreeMap<String, String>,
}

impl Wire {
    pub fn connect(port: u16, id: &str) -> Self {
        let end = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        };
        stream.set_nodelay(true).unwrap();
        let mut wire = Self {
            stream,
            input: Vec::new(),
            next: 0,
        };
        let connect = Connect {
            version: Version::V5,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: id,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        wire.send(&Packet::Connect(Box::new(connect)));
        wire.until(Duration::from_secs(20), |packet| {
            matches!(packet, Packet::ConnAck(_)).then_some(())
        })
        .expect("a CONNACK");
        wire
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut out = Vec::new();
        packet.encode(Version::V5, &mut out).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    fn id(&mut self) -> PacketId {
        self.next = self.next % 60_000 + 1;
        PacketId::new(self.next).unwrap()
    }

    /// The first packet of which `pick` makes something.
    fn until<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(&Packet<'_>) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            while let Some((packet, len)) = decode(&self.input, Version::V5, 1 << 20).unwrap() {
                let picked = pick(&packet);
                let ack = match &packet {
                    Packet::Publish(publish) => publish.packet_id,
                    _ => None,
                };
                self.input.drain(..len);
                if let Some(packet_id) = ack {
                    let ack = fieldgate_mqtt::Ack {
                        packet_id,
                        reason: fieldgate_mqtt::ReasonCode::SUCCESS,
                        properties: Default::default(),
                    };
                    self.send(&Packet::PubAck(ack));
                }
                if picked.is_some() {
                    return picked;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(len) => self.input.extend_from_slice(&bytes[..len]),
                Err(_) => {}
            }
        }
    }

    pub fn subscribe(&mut self, filter: &str) {
        let id = self.id();
        let options = SubscriptionOptions {
            retain_as_published: true,
            ..SubscriptionOptions::new(QoS::AtLeastOnce)
        };
        let filters = [(filter, options)];
        self.send(&Packet::Subscribe(Subscribe::new(id, &filters)));
        self.until(Duration::from_secs(20), |packet| {
            matches!(packet, Packet::SubAck(_)).then_some(())
        })
        .expect("a SUBACK");
    }

    /// Publishes one message and waits for its acknowledgement.
    pub fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        let id = self.post(topic, payload, retain);
        self.until(Duration::from_secs(20), |packet| match packet {
            Packet::PubAck(ack) if ack.packet_id == id => Some(()),
            _ => None,
        })
        .expect("a PUBACK");
    }

    /// Publishes one message. Returns its packet identifier, which [`acknowledged`](Self::acknowledged) gives.
    pub fn post(&mut self, topic: &str, payload: &str, retain: bool) -> PacketId {
        let id = self.id();
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain,
            topic,
            packet_id: Some(id),
            properties: PublishProperties::default(),
            payload: payload.as_bytes(),
        };
        let mut out = Vec::new();
        encode_publish(&mut out, Version::V5, &publish);
        self.stream.write_all(&out).unwrap();
        id
    }

    /// The next acknowledgement within `limit`.
    pub fn acknowledged(&mut self, limit: Duration) -> Option<PacketId> {
        self.until(limit, |packet| match packet {
            Packet::PubAck(ack) => Some(ack.packet_id),
            _ => None,
        })
    }

    /// The next message within `limit`.
    pub fn message(&mut self, limit: Duration) -> Option<Got> {
        self.until(limit, |packet| match packet {
            Packet::Publish(publish) => Some(Got {
                topic: publish.topic.to_owned(),
                payload: String::from_utf8_lossy(publish.payload).into_owned(),
                retain: publish.retain,
                user: publish
                    .properties
                    .user_properties
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            }),
            _ => None,
        })
    }
}
