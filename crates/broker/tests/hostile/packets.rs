//! Bytes as packets: a few bytes choose a packet and its fields, so that most of what is sent gets past the decoder.

use std::num::{NonZeroU16, NonZeroU32};

use fieldgate_mqtt::{
    Ack, AckKind, AckProperties, Auth, Connect, ConnectProperties, Disconnect,
    DisconnectProperties, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode,
    RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe, UserProperties, Version, Will,
    WillProperties,
};

const TOPICS: [&str; 8] = [
    "a",
    "b",
    "a/b",
    "a/b/c",
    "/",
    "é/a",
    "a/b/c/d/e/f",
    "$SYS/x",
];

const FILTERS: [&str; 12] = [
    "a",
    "#",
    "+",
    "a/+",
    "+/b/#",
    "/",
    "$share/g/a",
    "$share/g/#",
    "$share/h/+/b",
    "$SYS/#",
    "a/#/b",
    "a/b/c/d/e/f",
];

/// The input, byte by byte; zeros behind its end.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    pub(crate) fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.next()) % list.len()]
    }

    fn one_in(&mut self, count: u8) -> bool {
        self.next().is_multiple_of(count)
    }

    fn id(&mut self) -> PacketId {
        PacketId::new(1 + u16::from(self.next() % 6)).unwrap()
    }

    fn qos(&mut self) -> QoS {
        self.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }
}

/// A CONNECT of one of a few clients.
pub(crate) fn connect(input: &mut Bytes<'_>, slot: usize, out: &mut Vec<u8>) -> Version {
    let version = input.pick(&[Version::V5, Version::V5, Version::V4, Version::V3]);
    let has_will = input.one_in(3);
    let will = has_will.then(|| Will {
        topic: input.pick(&TOPICS[..6]),
        payload: b"will",
        qos: input.qos(),
        retain: input.one_in(2),
        properties: WillProperties {
            delay: u32::from(input.next() % 2),
            ..WillProperties::default()
        },
    });
    // Two connections of three have a client of their own.
    let names = [["x", "y", "z", "w"][slot], "x", ["x", "y", "z", "w"][slot]];
    let packet = Connect {
        version,
        bridge: false,
        clean_start: input.one_in(3),
        keep_alive: u16::from(input.next() % 3),
        client_id: input.pick(&names),
        will,
        username: None,
        password: None,
        properties: ConnectProperties {
            session_expiry: Some(u32::from(input.next() % 3)),
            receive_maximum: NonZeroU16::new(u16::from(input.next() % 4)),
            maximum_packet_size: NonZeroU32::new(u32::from(input.next() % 100) * 4),
            topic_alias_maximum: u16::from(input.next() % 3),
            request_problem_information: input.one_in(2),
            ..ConnectProperties::default()
        },
    };
    put(&Packet::Connect(Box::new(packet)), version, out);
    version
}

/// Any other packet that clients send.
pub(crate) fn other(input: &mut Bytes<'_>, version: Version, out: &mut Vec<u8>) {
    match input.next() % 10 {
        0..4 => publish(input, version, out),
        4 => subscribe(input, version, out),
        5 => {
            let filters = [input.pick(&FILTERS), input.pick(&FILTERS)];
            let packet = Unsubscribe::new(input.id(), &filters);
            put(&Packet::Unsubscribe(packet), version, out);
        }
        6 | 7 => ack(input, version, out),
        8 => put(&Packet::PingReq, version, out),
        _ => goodbye(input, version, out),
    }
}

fn publish(input: &mut Bytes<'_>, version: Version, out: &mut Vec<u8>) {
    let qos = input.qos();
    let retain = input.one_in(3);
    let topic_alias = NonZeroU16::new(u16::from(input.next() % 6).saturating_sub(1));
    let length = match input.next() {
        long @ 240.. => usize::from(long) * 20,
        short => usize::from(short) % 100,
    };
    let packet = Publish {
        dup: qos > QoS::AtMostOnce && input.one_in(4),
        qos,
        retain,
        topic: match topic_alias.is_some() && input.one_in(2) {
            true => "",
            false => input.pick(&TOPICS),
        },
        packet_id: Some(input.id()),
        properties: PublishProperties {
            topic_alias,
            message_expiry: input.one_in(4).then_some(1),
            content_type: input.one_in(4).then_some("text"),
            user_properties: match input.one_in(4) {
                true => UserProperties::from_encoded(b"\x26\0\x01k\0\x01v").unwrap_or_default(),
                false => UserProperties::default(),
            },
            ..PublishProperties::default()
        },
        payload: &vec![b'p'; length],
    };
    put(&Packet::Publish(packet), version, out);
}

fn subscribe(input: &mut Bytes<'_>, version: Version, out: &mut Vec<u8>) {
    let mut filter = || {
        let options = SubscriptionOptions {
            qos: input.qos(),
            no_local: input.one_in(5),
            retain_as_published: input.one_in(2),
            retain_handling: input.pick(&[
                RetainHandling::SendAtSubscribe,
                RetainHandling::SendIfNew,
                RetainHandling::DoNotSend,
            ]),
        };
        (input.pick(&FILTERS), options)
    };
    let filters = [filter(), filter(), filter()];
    let count = 1 + usize::from(input.next() % 3);
    let mut packet = Subscribe::new(input.id(), &filters[..count]);
    packet.subscription_id = input.one_in(2).then(|| 1 + u32::from(input.next()));
    put(&Packet::Subscribe(packet), version, out);
}

fn ack(input: &mut Bytes<'_>, version: Version, out: &mut Vec<u8>) {
    let packet = Ack {
        packet_id: input.id(),
        reason: ReasonCode(input.pick(&[0, 0, 0, 0x80])),
        properties: AckProperties::default(),
    };
    let released = Ack {
        reason: ReasonCode(input.pick(&[0, 0, 0x92])),
        ..packet
    };
    let kinds = [
        AckKind::PubAck,
        AckKind::PubRec,
        AckKind::PubRel,
        AckKind::PubComp,
    ];
    let packet = match input.pick(&kinds) {
        AckKind::PubAck => Packet::PubAck(packet),
        AckKind::PubRec => Packet::PubRec(packet),
        AckKind::PubRel => Packet::PubRel(released),
        AckKind::PubComp => Packet::PubComp(released),
    };
    put(&packet, version, out);
}

fn goodbye(input: &mut Bytes<'_>, version: Version, out: &mut Vec<u8>) {
    let disconnect = Disconnect {
        reason: ReasonCode(input.pick(&[0, 4, 0x80])),
        properties: DisconnectProperties {
            session_expiry: input.one_in(2).then_some(u32::from(input.next() % 3)),
            ..DisconnectProperties::default()
        },
    };
    let packet = match input.one_in(4) {
        true => Packet::Auth(Auth::default()),
        false => Packet::Disconnect(disconnect),
    };
    put(&packet, version, out);
}

/// What cannot be encoded is not sent.
fn put(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    let _ = packet.encode(version, out);
}
