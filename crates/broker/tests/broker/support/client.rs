//! A blocking client that does nothing by itself: a test says what it sends and when it looks.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};

use fieldgate_broker::Broker;
use fieldgate_mqtt::{
    AckKind, Connect, ConnectProperties, Disconnect, DisconnectProperties, Packet, PacketId,
    Publish, PublishProperties, QoS, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe,
    Version, Will, WillProperties, encode_ack,
};

use fieldgate_test_client::{Event, Greeting, Message as Got, Raw};

use super::PATIENCE;

/// A client after its CONNECT.
pub(crate) struct Client {
    raw: Raw,
    pub(crate) greeting: Greeting,
    last_id: u16,
}

/// A CONNECT without anything optional, and with a clean start.
pub(crate) fn connect(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// An MQTT 5.0 CONNECT that takes up a session and lets it live on for `session_expiry` seconds.
pub(crate) fn connect_v5(client_id: &str, session_expiry: u32) -> Connect<'_> {
    Connect {
        clean_start: false,
        properties: ConnectProperties {
            session_expiry: Some(session_expiry),
            ..ConnectProperties::default()
        },
        ..connect(Version::V5, client_id)
    }
}

/// A QoS 0 will with a delay in seconds.
pub(crate) fn will<'a>(topic: &'a str, payload: &'a str, delay: u32) -> Will<'a> {
    Will {
        topic,
        payload: payload.as_bytes(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties {
            delay,
            ..WillProperties::default()
        },
    }
}

impl Client {
    /// A connection without a CONNECT. What comes is decoded as `version`.
    pub(crate) fn raw(broker: &Broker, version: Version) -> Self {
        let raw = Raw::open(broker.local_addrs()[0], version).unwrap();
        raw.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            raw,
            greeting: Greeting::default(),
            last_id: 0,
        }
    }

    /// The connection itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.raw.stream
    }

    /// Connects, whatever the answer.
    pub(crate) fn greet(broker: &Broker, connect: &Connect<'_>) -> Self {
        let mut client = Self::raw(broker, connect.version);
        client.send(&Packet::Connect(Box::new(connect.clone())));
        match client.next() {
            Event::ConnAck(greeting) => client.greeting = greeting,
            other => panic!("{other:?} instead of CONNACK"),
        }
        client
    }

    /// Connects and is accepted.
    pub(crate) fn open(broker: &Broker, connect: &Connect<'_>) -> Self {
        let client = Self::greet(broker, connect);
        assert_eq!(client.greeting.reason, 0, "{connect:?}");
        client
    }

    /// An MQTT 5.0 client with a session that ends with its connection.
    pub(crate) fn v5(broker: &Broker, client_id: &str) -> Self {
        Self::open(broker, &connect(Version::V5, client_id))
    }

    pub(crate) fn version(&self) -> Version {
        self.raw.version()
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        self.raw.send(packet).unwrap();
    }

    /// The next packet, or the end of the stream.
    pub(crate) fn next(&mut self) -> Event {
        match self.raw.next(PATIENCE) {
            Ok(Some(event)) => event,
            Ok(None) => panic!("nothing came"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Event::Closed,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                assert!(self.raw.is_between(), "the stream ends inside a packet");
                Event::Closed
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The next packet, which is a PUBLISH.
    pub(crate) fn message(&mut self) -> Got {
        match self.next() {
            Event::Publish(got) => *got,
            other => panic!("{other:?} instead of PUBLISH"),
        }
    }

    /// The next `count` messages' payloads, each acknowledged as its QoS asks, without waiting.
    pub(crate) fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            match self.next() {
                Event::Publish(got) => {
                    texts.push(got.text().into());
                    self.acknowledge(&got);
                }
                Event::Ack(AckKind::PubRel, id, 0) => self.ack(AckKind::PubComp, id),
                other => panic!("{other:?} instead of PUBLISH"),
            }
        }
        texts
    }

    /// Answers a message as its QoS asks: PUBACK, PUBREC, or not at all.
    pub(crate) fn acknowledge(&mut self, got: &Got) {
        match got.qos {
            0 => {}
            1 => self.ack(AckKind::PubAck, got.id),
            _ => self.ack(AckKind::PubRec, got.id),
        }
    }

    pub(crate) fn ack(&mut self, kind: AckKind, id: u16) {
        self.ack_with(kind, id, ReasonCode::SUCCESS);
    }

    pub(crate) fn ack_with(&mut self, kind: AckKind, id: u16, reason: ReasonCode) {
        let mut bytes = Vec::new();
        let id = PacketId::new(id).unwrap();
        encode_ack(&mut bytes, self.version(), kind, id, reason);
        self.send_bytes(&bytes);
    }

    fn fresh_id(&mut self) -> PacketId {
        self.last_id = self.last_id % 1_000 + 1;
        PacketId::new(self.last_id).unwrap()
    }

    /// A PUBLISH to send; its packet identifier is new, if it needs one.
    pub(crate) fn publication<'a>(
        &mut self,
        topic: &'a str,
        payload: &'a [u8],
        qos: QoS,
    ) -> Publish<'a> {
        Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: (qos > QoS::AtMostOnce).then(|| self.fresh_id()),
            properties: PublishProperties::default(),
            payload,
        }
    }

    /// Sends a message and goes through its whole exchange. Returns what it was acknowledged with.
    pub(crate) fn publish_packet(&mut self, publish: &Publish<'_>) -> u8 {
        self.send(&Packet::Publish(*publish));
        let Some(id) = publish.packet_id.map(PacketId::get) else {
            return 0;
        };
        if publish.qos == QoS::AtLeastOnce {
            return match self.next() {
                Event::Ack(AckKind::PubAck, of, reason) if of == id => reason,
                other => panic!("{other:?} instead of PUBACK {id}"),
            };
        }
        let reason = match self.next() {
            Event::Ack(AckKind::PubRec, of, reason) if of == id => reason,
            other => panic!("{other:?} instead of PUBREC {id}"),
        };
        if reason < 0x80 {
            self.ack(AckKind::PubRel, id);
            assert_eq!(self.next(), Event::Ack(AckKind::PubComp, id, 0));
        }
        reason
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> u8 {
        let publish = self.publication(topic, payload.as_bytes(), qos);
        self.publish_packet(&publish)
    }

    /// Publishes a message to keep, and waits until it is kept.
    pub(crate) fn retain(&mut self, topic: &str, payload: &str) {
        let publish = Publish {
            retain: true,
            ..self.publication(topic, payload.as_bytes(), QoS::AtLeastOnce)
        };
        assert!(self.publish_packet(&publish) < 0x80);
    }

    /// Subscribes and returns the answer. Retained messages may follow.
    pub(crate) fn subscribe_to(
        &mut self,
        id: Option<u32>,
        filters: &[(&str, SubscriptionOptions)],
    ) -> Vec<u8> {
        let packet_id = self.fresh_id();
        let mut subscribe = Subscribe::new(packet_id, filters);
        subscribe.subscription_id = id;
        self.send(&Packet::Subscribe(subscribe));
        match self.next() {
            Event::SubAck(of, codes) if of == packet_id.get() => codes,
            other => panic!("{other:?} instead of SUBACK"),
        }
    }

    /// Subscribes and gets what it asked for.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) {
        let options = SubscriptionOptions::new(qos);
        assert_eq!(self.subscribe_to(None, &[(filter, options)]), [qos as u8]);
    }

    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let packet_id = self.fresh_id();
        self.send(&Packet::Unsubscribe(Unsubscribe::new(packet_id, filters)));
        match self.next() {
            Event::UnsubAck(of, codes) if of == packet_id.get() => codes,
            other => panic!("{other:?} instead of UNSUBACK"),
        }
    }

    /// The answer to a PINGREQ is the next packet: nothing else was on its way.
    #[track_caller]
    pub(crate) fn nothing_more(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.next(), Event::PingResp);
    }

    /// A DISCONNECT, then the end of the stream.
    #[track_caller]
    pub(crate) fn disconnected_with(&mut self, reason: ReasonCode) {
        assert_eq!(self.next(), Event::Disconnect(reason.0));
        assert_eq!(self.next(), Event::Closed);
    }

    /// Leaves in good order, and waits until the broker has seen it.
    pub(crate) fn leave(self) {
        self.leave_with(ReasonCode::NORMAL_DISCONNECTION, None);
    }

    pub(crate) fn leave_with(mut self, reason: ReasonCode, session_expiry: Option<u32>) {
        self.send(&Packet::Disconnect(Disconnect {
            reason,
            properties: DisconnectProperties {
                session_expiry,
                ..DisconnectProperties::default()
            },
        }));
        assert_eq!(self.next(), Event::Closed);
    }

    /// Closes the connection without a word, and waits until the broker has seen it.
    pub(crate) fn vanish(mut self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
        while self.next() != Event::Closed {}
    }
}
