//! The session machine alone: every packet it would send is decoded and looked at.

use std::time::Duration;

use fieldgate_mqtt::{Packet, decode};

use super::*;
use crate::message::testing::{message, message_with};
use crate::pending_acks::PendingAcks;
use crate::router::Ids;

/// A session with a client that keeps what it was sent.
struct Bench {
    session: Session,
    out: Outbox,
    pending: PendingAcks,
    journal: Journal,
    tally: Tally,
    now: Instant,
    version: Version,
}

/// What the client saw, short enough to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Publish {
        payload: String,
        qos: u8,
        dup: bool,
        id: Option<u16>,
    },
    PubRel(u16),
}

fn seen(payload: &str, qos: u8, dup: bool, id: u16) -> Seen {
    Seen::Publish {
        payload: payload.into(),
        qos,
        dup,
        id: (id > 0).then_some(id),
    }
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn terms(qos: QoS) -> Terms {
    Terms {
        qos,
        retain_as_published: false,
        ids: Ids::None,
    }
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self {
            session: Session::new(limits),
            out: Outbox::default(),
            pending: PendingAcks::default(),
            journal: Journal::default(),
            tally: Tally::default(),
            now: Instant::now(),
            version: Version::V5,
        }
    }

    /// Connects a client of a session that outlives its connections.
    fn attach(&mut self, receive_maximum: u16) {
        let peer = Peer {
            version: self.version,
            receive_maximum,
            max_packet: 1_000_000,
            alias_maximum: 0,
            keep: true,
        };
        self.turn(|session, turn| session.attach(peer, turn));
    }

    fn turn<R>(&mut self, step: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        let mut turn = Turn {
            now: self.now,
            out: &mut self.out,
            pending: &mut self.pending,
            journal: &mut self.journal,
            tally: &mut self.tally,
        };
        step(&mut self.session, &mut turn)
    }

    fn puback(&mut self, number: u16) -> Result<(), WrongAck> {
        self.turn(|session, turn| session.puback(id(number), turn))
    }

    fn pubrec(&mut self, number: u16, reason: ReasonCode) -> Result<(), WrongAck> {
        self.turn(|session, turn| session.pubrec(id(number), reason, turn))
    }

    fn pubcomp(&mut self, number: u16) -> Result<(), WrongAck> {
        self.turn(|session, turn| session.pubcomp(id(number), turn))
    }

    fn deliver(&mut self, payload: &str, qos: QoS) {
        let message = message_with("t", payload.as_bytes(), qos, false, None);
        self.deliver_message(&message);
    }

    fn deliver_message(&mut self, message: &Message) {
        let terms = terms(QoS::ExactlyOnce);
        let routed = Routed::kept(message);
        if self.session.peer.is_none() {
            let (tally, journal) = (&mut self.tally, &mut self.journal);
            let session = &mut self.session;
            return session.deliver_away(&routed, &terms, self.now, tally, journal);
        }
        self.turn(|session, turn| session.deliver(&routed, &terms, turn));
    }

    /// What was sent since the last look.
    fn seen(&mut self) -> Vec<Seen> {
        let bytes = std::mem::take(&mut self.out.bytes);
        let mut rest = &bytes[..];
        let mut all = Vec::new();
        while let Some((packet, len)) = decode(rest, self.version, usize::MAX).unwrap() {
            all.push(match packet {
                Packet::Publish(publish) => Seen::Publish {
                    payload: String::from_utf8(publish.payload.into()).unwrap(),
                    qos: publish.qos as u8,
                    dup: publish.dup,
                    id: publish.packet_id.map(PacketId::get),
                },
                Packet::PubRel(ack) => Seen::PubRel(ack.packet_id.get()),
                other => panic!("{other:?}"),
            });
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        all
    }
}

#[test]
fn a_full_window_queues_and_every_acknowledgement_lets_one_go() {
    let mut bench = Bench::new(Limits::default());
    bench.attach(2);
    for payload in ["a", "b", "c", "d"] {
        bench.deliver(payload, QoS::AtLeastOnce);
    }
    bench.deliver("zero", QoS::AtMostOnce);
    assert_eq!(
        bench.seen(),
        [
            seen("a", 1, false, 1),
            seen("b", 1, false, 2),
            seen("zero", 0, false, 0)
        ]
    );
    assert_eq!(bench.puback(2), Ok(()));
    assert_eq!(bench.seen(), [seen("c", 1, false, 3)]);
    assert_eq!(bench.puback(9), Ok(()));
    assert_eq!(bench.seen(), []);
    assert_eq!(bench.puback(1), Ok(()));
    assert_eq!(bench.seen(), [seen("d", 1, false, 4)]);
}

#[test]
fn a_qos_2_message_holds_its_place_in_the_window_until_pubcomp() {
    let mut bench = Bench::new(Limits::default());
    bench.attach(1);
    bench.deliver("a", QoS::ExactlyOnce);
    bench.deliver("b", QoS::ExactlyOnce);
    assert_eq!(bench.seen(), [seen("a", 2, false, 1)]);
    // No PUBACK or PUBCOMP is due at this point.
    assert_eq!(bench.puback(1), Err(WrongAck));
    assert_eq!(bench.pubcomp(1), Err(WrongAck));
    assert_eq!(bench.seen(), []);
    assert_eq!(bench.pubrec(1, ReasonCode::SUCCESS), Ok(()));
    assert_eq!(bench.pubrec(1, ReasonCode::SUCCESS), Ok(()));
    assert_eq!(bench.seen(), [Seen::PubRel(1), Seen::PubRel(1)]);
    assert_eq!(bench.pubcomp(1), Ok(()));
    assert_eq!(bench.seen(), [seen("b", 2, false, 2)]);
    // A PUBREC that is an error ends the exchange.
    assert_eq!(bench.pubrec(2, ReasonCode::QUOTA_EXCEEDED), Ok(()));
    assert_eq!(bench.session.backlog(), 0);
}

#[test]
fn a_resumed_session_repeats_what_was_not_acknowledged_in_order_and_then_goes_on() {
    let mut bench = Bench::new(Limits::default());
    bench.attach(10);
    bench.deliver("a", QoS::AtLeastOnce);
    bench.deliver("b", QoS::ExactlyOnce);
    bench.deliver("c", QoS::ExactlyOnce);
    bench.deliver("d", QoS::AtLeastOnce);
    bench.seen();
    assert_eq!(bench.pubrec(2, ReasonCode::SUCCESS), Ok(()));
    assert_eq!(bench.puback(1), Ok(()));
    bench.seen();
    bench.session.detach();
    bench.deliver("away", QoS::AtLeastOnce);
    bench.deliver("lost", QoS::AtMostOnce);
    bench.attach(10);
    assert_eq!(
        bench.seen(),
        [
            Seen::PubRel(2),
            seen("c", 2, true, 3),
            seen("d", 1, true, 4),
            seen("away", 1, false, 5)
        ]
    );
}

#[test]
fn a_resumed_session_respects_a_smaller_receive_maximum() {
    let mut bench = Bench::new(Limits::default());
    bench.attach(10);
    for payload in ["a", "b", "c"] {
        bench.deliver(payload, QoS::AtLeastOnce);
    }
    bench.seen();
    bench.session.detach();
    bench.attach(1);
    assert_eq!(bench.seen(), [seen("a", 1, true, 1)]);
    bench.deliver("new", QoS::AtLeastOnce);
    assert_eq!(bench.seen(), []);
    for (acknowledged, next) in [
        (1, vec![seen("b", 1, true, 2)]),
        (2, vec![seen("c", 1, true, 3)]),
        (3, vec![seen("new", 1, false, 4)]),
        (4, vec![]),
    ] {
        assert_eq!(bench.puback(acknowledged), Ok(()));
        assert_eq!(bench.seen(), next, "after {acknowledged}");
    }
    assert_eq!(bench.session.backlog(), 0);
}

#[test]
fn a_full_queue_drops_the_oldest_and_counts_it() {
    let limits = Limits {
        queued: 2,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    for payload in ["a", "b", "c"] {
        bench.deliver(payload, QoS::AtLeastOnce);
    }
    assert_eq!(bench.tally.dropped, 1);
    bench.attach(10);
    assert_eq!(
        bench.seen(),
        [seen("b", 1, false, 2), seen("c", 1, false, 3)]
    );
}

#[test]
fn expired_messages_are_not_sent_and_the_rest_say_how_long_they_have_left() {
    let mut bench = Bench::new(Limits::default());
    let now = bench.now;
    let expires = |s| Some(now + Duration::from_secs(s));
    for (payload, at) in [(b"soon", expires(5)), (b"late", expires(60))] {
        let message = message_with("t", payload, QoS::AtLeastOnce, false, at);
        bench.deliver_message(&message);
    }
    bench.now += Duration::from_millis(10_500);
    bench.attach(10);
    assert_eq!(bench.tally.expired, 1);
    let bytes = std::mem::take(&mut bench.out.bytes);
    let (packet, len) = decode(&bytes, Version::V5, usize::MAX).unwrap().unwrap();
    let Packet::Publish(publish) = packet else {
        panic!("{packet:?}")
    };
    assert_eq!(len, bytes.len());
    assert_eq!(publish.payload, b"late");
    assert_eq!(publish.properties.message_expiry, Some(50));
}

#[test]
fn a_message_bigger_than_the_client_takes_is_counted_and_holds_up_nothing() {
    let mut bench = Bench::new(Limits::default());
    let peer = Peer {
        version: Version::V5,
        receive_maximum: 1,
        max_packet: 64,
        alias_maximum: 0,
        keep: true,
    };
    bench.turn(|session, turn| session.attach(peer, turn));
    bench.deliver(&"x".repeat(100), QoS::AtLeastOnce);
    bench.deliver("small", QoS::AtLeastOnce);
    assert_eq!(bench.seen(), [seen("small", 1, false, 1)]);
    assert_eq!(bench.tally.oversize, 1);
}

#[test]
fn retained_messages_wait_for_the_outbox_and_live_ones_do_not_overtake_them() {
    let mut bench = Bench::new(Limits::default());
    bench.attach(10);
    let big = "r".repeat(7_000);
    for _ in 0..40 {
        let message = message("t", big.as_bytes());
        let terms = terms(QoS::AtMostOnce);
        bench.turn(|session, turn| session.deliver_retained(&message, &terms, turn));
    }
    bench.deliver("live", QoS::AtMostOnce);
    let mut all = Vec::new();
    loop {
        let some = bench.seen();
        if some.is_empty() {
            break;
        }
        all.extend(some);
        bench.turn(Session::pump);
    }
    assert_eq!(all.len(), 41);
    assert_eq!(all[40], seen("live", 0, false, 0));
    assert_eq!(bench.tally.dropped, 0);
}

#[test]
fn qos_0_is_dropped_and_counted_when_the_client_takes_nothing() {
    let limits = Limits {
        outbox_bytes: 1_000,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    bench.attach(10);
    for _ in 0..20 {
        bench.deliver(&"x".repeat(100), QoS::AtMostOnce);
    }
    assert_eq!(bench.seen().len() as u64 + bench.tally.dropped, 20);
    assert!(bench.tally.dropped >= 9);
}
