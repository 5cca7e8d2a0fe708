//! The session machine against a small model of what a correct one may do, under random
//! schedules: deliveries, acknowledgements in any order, lost connections, time, overflow.
//!
//! The model knows nothing of how the session works. It reads every packet that the session
//! sends, plays a correct client, and knows which acknowledgements are owed.

mod disk;
mod steps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fieldgate_mqtt::{Packet, decode};
use proptest::prelude::*;

use super::*;
use crate::message::testing::message_with;
use crate::pending_acks::PendingAcks;
use crate::router::Ids;

use disk::Disk;
use steps::{Step, limits, step};

/// Above every window and identifier in use here.
const IDS: u16 = 40;

const TERMS: Terms = Terms {
    qos: QoS::ExactlyOnce,
    retain_as_published: false,
    ids: Ids::None,
};

/// What the session waits for, told from its packets and from what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// PUBACK.
    Ack,
    /// PUBREC.
    Rec,
    /// PUBCOMP.
    Comp,
}

/// A packet on its way to the client.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Publish {
        number: usize,
        qos: QoS,
        dup: bool,
        id: u16,
    },
    PubRel(u16),
}

struct Model {
    session: Session,
    limits: Limits,
    out: Outbox,
    pending: PendingAcks,
    journal: Journal,
    disk: Disk,
    tally: Tally,
    now: Instant,
    /// How much of `out` was read.
    read: usize,
    connected: bool,
    window: u16,
    /// The sender's view of this connection: identifiers in use, and what is to come for them.
    open: BTreeMap<u16, Owed>,
    /// Those of them that were published on this connection: they fill its window.
    counted: BTreeSet<u16>,
    /// Packets that have left the session and not been seen.
    travelling: VecDeque<Sent>,
    /// What the client will send, in the order in which it came to owe it.
    owes: Vec<(Owed, u16)>,
    /// QoS 2 identifiers between the client's PUBREC and its PUBREL: state that survives.
    received: BTreeSet<u16>,
    /// QoS of every message by its number, and how often the client took it for a new one.
    messages: Vec<(QoS, u32)>,
    /// The newest number that the client saw first, by QoS.
    newest: [Option<usize>; 3],
    /// QoS 0 messages that were never promised anything: to an absent client, or cut off.
    unpromised: usize,
}

/// The number that a message says.
fn number_in(payload: &[u8]) -> usize {
    let number = std::str::from_utf8(payload).unwrap();
    number.trim_end_matches('x').parse().unwrap()
}

impl Model {
    fn new(limits: Limits, stored: bool) -> Self {
        Self {
            session: match stored {
                true => Session::stored(limits, 1),
                false => Session::new(limits),
            },
            limits,
            out: Outbox::default(),
            pending: PendingAcks::default(),
            journal: Journal::default(),
            disk: Disk::default(),
            tally: Tally::default(),
            now: Instant::now(),
            read: 0,
            connected: false,
            window: 0,
            open: BTreeMap::new(),
            counted: BTreeSet::new(),
            travelling: VecDeque::new(),
            owes: Vec::new(),
            received: BTreeSet::new(),
            messages: Vec::new(),
            newest: [None; 3],
            unpromised: 0,
        }
    }

    fn turn<R>(&mut self, step: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        let mut turn = Turn {
            now: self.now,
            out: &mut self.out,
            pending: &mut self.pending,
            journal: &mut self.journal,
            tally: &mut self.tally,
        };
        let result = step(&mut self.session, &mut turn);
        self.read_out();
        result
    }

    /// Reads what the session has appended, and checks it against the rules of flow control.
    fn read_out(&mut self) {
        let bytes = std::mem::take(&mut self.out.bytes);
        while let Some((packet, len)) =
            decode(&bytes[self.read..], Version::V5, usize::MAX).unwrap()
        {
            self.read += len;
            let sent = match packet {
                Packet::Publish(publish) => self.on_publish(&publish),
                Packet::PubRel(ack) => {
                    if ack.reason == ReasonCode::SUCCESS {
                        let id = ack.packet_id.get();
                        self.open.insert(id, Owed::Comp);
                    }
                    Sent::PubRel(ack.packet_id.get())
                }
                other => panic!("{other:?}"),
            };
            self.travelling.push_back(sent);
        }
        assert_eq!(self.read, bytes.len());
        self.out.bytes = bytes;
    }

    fn on_publish(&mut self, publish: &fieldgate_mqtt::Publish<'_>) -> Sent {
        let number = number_in(publish.payload);
        let (qos, seen) = self.messages[number];
        assert_eq!(publish.qos, qos);
        assert!(publish.dup || seen == 0, "{number} comes again without DUP");
        let id = publish.packet_id.map_or(0, PacketId::get);
        let owed = match qos {
            QoS::AtMostOnce => {
                return Sent::Publish {
                    number,
                    qos,
                    dup: false,
                    id,
                };
            }
            QoS::AtLeastOnce => Owed::Ack,
            QoS::ExactlyOnce => Owed::Rec,
        };
        let before = self.open.insert(id, owed);
        assert_eq!(before, None, "identifier {id} is in use");
        self.counted.insert(id);
        let count = self.counted.len();
        assert!(count <= self.window.into(), "{count} exceed the window");
        let dup = publish.dup;
        Sent::Publish {
            number,
            qos,
            dup,
            id,
        }
    }

    /// The next message; it says its number.
    fn message(&mut self, qos: QoS, big: bool, expiry: Option<u8>) -> Message {
        let number = self.messages.len();
        self.messages.push((qos, 0));
        let pad = if big { 7_000 } else { 0 };
        let payload = format!("{number}{}", "x".repeat(pad));
        let expires = expiry.map(|seconds| self.now + Duration::from_secs(seconds.into()));
        message_with("t", payload.as_bytes(), qos, false, expires)
    }

    fn deliver(&mut self, qos: QoS, big: bool, expiry: Option<u8>) {
        // Whether it was sent before it expired is not known after a crash, so that it comes again.
        let lasts = self.session.is_stored() && qos == QoS::ExactlyOnce;
        let expiry = expiry.filter(|_| !lasts);
        let message = self.message(qos, big, expiry);
        let routed = Routed::kept(&message);
        if self.connected {
            self.turn(|session, turn| session.deliver(&routed, &TERMS, turn));
        } else {
            self.unpromised += usize::from(qos == QoS::AtMostOnce);
            let (tally, journal) = (&mut self.tally, &mut self.journal);
            let session = &mut self.session;
            session.deliver_away(&routed, &TERMS, self.now, tally, journal);
        }
    }

    fn deliver_retained(&mut self, count: u8) {
        for _ in 0..count {
            if self.connected {
                let message = self.message(QoS::AtMostOnce, true, None);
                self.turn(|session, turn| session.deliver_retained(&message, &TERMS, turn));
            }
        }
    }

    /// The client handles one packet, as MQTT 5.0 section 4.3 tells it to.
    fn see(&mut self) {
        match self.travelling.pop_front() {
            None => {}
            Some(Sent::PubRel(id)) => {
                self.received.remove(&id);
                self.owes.push((Owed::Comp, id));
            }
            Some(Sent::Publish {
                number,
                qos,
                dup,
                id,
            }) => {
                let new = qos < QoS::ExactlyOnce || self.received.insert(id);
                match qos {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.owes.push((Owed::Ack, id)),
                    QoS::ExactlyOnce => self.owes.push((Owed::Rec, id)),
                }
                if new {
                    self.on_new(number, qos, dup);
                }
            }
        }
    }

    fn on_new(&mut self, number: usize, qos: QoS, dup: bool) {
        let seen = &mut self.messages[number].1;
        *seen += 1;
        assert!(
            *seen == 1 || (qos == QoS::AtLeastOnce && dup),
            "{number} came twice"
        );
        if *seen == 1 {
            let newest = &mut self.newest[qos as usize];
            assert!(*newest < Some(number), "{number} after {newest:?}");
            *newest = Some(number);
        }
    }

    fn acknowledge(&mut self, which: usize, refuse: bool) {
        if self.owes.is_empty() || !self.connected {
            return;
        }
        // What was refused and comes again after a crash would count as a second time.
        let refuse = refuse && !self.session.is_stored();
        let (owed, id) = self.owes.remove(which % self.owes.len());
        let expected = self.open.get(&id) == Some(&owed);
        let packet_id = PacketId::new(id).unwrap();
        if expected {
            self.open.remove(&id);
            if owed != Owed::Rec || refuse {
                self.counted.remove(&id);
            }
        }
        let taken = match owed {
            Owed::Ack => self.turn(|session, turn| session.puback(packet_id, turn)),
            Owed::Comp => self.turn(|session, turn| session.pubcomp(packet_id, turn)),
            Owed::Rec if refuse => {
                self.received.remove(&id);
                let reason = ReasonCode::QUOTA_EXCEEDED;
                self.turn(|session, turn| session.pubrec(packet_id, reason, turn))
            }
            Owed::Rec => {
                let reason = ReasonCode::SUCCESS;
                self.turn(|session, turn| session.pubrec(packet_id, reason, turn))
            }
        };
        assert_eq!(taken, Ok(()), "a client that keeps the rules");
    }

    /// Sends an acknowledgement that the session does not wait for. It must change nothing.
    fn stray(&mut self, kind: u8, id: u16) {
        let owed = [Owed::Ack, Owed::Rec, Owed::Comp][usize::from(kind) % 3];
        let awaited = self.open.get(&id).copied();
        let id = PacketId::new(id).unwrap();
        // A PUBREC again is answered with PUBREL again, which is as good as the first.
        let is_again = awaited == Some(Owed::Comp) && owed == Owed::Rec;
        let harmless = awaited != Some(owed) && !is_again;
        // One that waits to be sent again is still awaited, though not on this connection.
        if !self.connected
            || !harmless
            || !self.session.resend.is_empty()
            || !self.pending.is_empty()
        {
            return;
        }
        let backlog = self.session.backlog();
        let taken = match owed {
            Owed::Ack => self.turn(|session, turn| session.puback(id, turn)),
            Owed::Comp => self.turn(|session, turn| session.pubcomp(id, turn)),
            Owed::Rec => {
                let mut other = Outbox::default();
                let mut pending = PendingAcks::default();
                let mut turn = Turn {
                    now: self.now,
                    out: &mut other,
                    pending: &mut pending,
                    journal: &mut self.journal,
                    tally: &mut self.tally,
                };
                let taken = self.session.pubrec(id, ReasonCode::SUCCESS, &mut turn);
                pending.release_all(Version::V5, &mut other);
                if taken.is_ok() {
                    // PUBREL, and that there is no such message.
                    assert_eq!(other.bytes[..2], [0x62, 3]);
                    assert_eq!(other.bytes[4], ReasonCode::PACKET_IDENTIFIER_NOT_FOUND.0);
                }
                taken
            }
        };
        // The connection ends if it is for a message that waits for another.
        assert_eq!(taken.is_err(), awaited.is_some(), "{owed:?} {awaited:?}");
        assert_eq!(self.session.backlog(), backlog);
    }

    fn flush(&mut self) {
        if self.connected {
            self.out = Outbox::default();
            self.read = 0;
            self.turn(Session::pump);
        }
    }

    fn lose(&mut self) {
        let lost = |sent: &&Sent| {
            matches!(
                sent,
                Sent::Publish {
                    qos: QoS::AtMostOnce,
                    ..
                }
            )
        };
        self.unpromised += self.travelling.iter().filter(lost).count();
        self.unpromised += self.session.queue.qos0_count();
        self.session.detach();
        self.pending = PendingAcks::default();
        self.connected = false;
        self.out = Outbox::default();
        self.read = 0;
        self.travelling.clear();
        self.owes.clear();
        self.open.clear();
        self.counted.clear();
    }

    fn connect(&mut self, window: u16) {
        if self.connected {
            self.lose();
        }
        self.connected = true;
        self.window = window.min(self.limits.inflight);
        let peer = Peer {
            version: Version::V5,
            receive_maximum: window,
            max_packet: 1_000_000,
            alias_maximum: 0,
            keep: true,
        };
        self.turn(|session, turn| session.attach(peer, turn));
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Deliver { qos, big, expiry } => self.deliver(qos, big, expiry),
            Step::Retained(count) => self.deliver_retained(count),
            Step::Flush => self.flush(),
            Step::See(count) => (0..count).for_each(|_| self.see()),
            Step::Acknowledge { which, refuse } => self.acknowledge(which.into(), refuse),
            Step::Stray { kind, id } => self.stray(kind, id),
            Step::Lose => self.lose(),
            Step::Connect { window } => self.connect(window),
            Step::Commit => self.commit(),
            Step::Crash => self.crash(),
            Step::Pass { seconds } => self.now += Duration::from_secs(seconds.into()),
        }
    }

    /// The disk takes all changes; what waited for it goes on.
    fn commit(&mut self) {
        let was_open: Vec<_> = self.disk.take(&mut self.journal);
        for number in was_open {
            self.session.kept(number);
        }
        self.pending.release_all(Version::V5, &mut self.out);
        self.read_out();
        self.turn(Session::pump);
    }

    /// Only what is on disk is left. What had not got there was promised to no client.
    fn crash(&mut self) {
        if !self.session.is_stored() {
            return;
        }
        let unsent_from = (!self.connected).then(|| self.session.unsent_from());
        self.lose();
        let lost = self.disk.lose(&mut self.journal);
        self.unpromised += lost
            .iter()
            .filter(|&&number| self.messages[number].1 == 0)
            .count();
        self.session = Session::stored(self.limits, 1);
        let entries = self.disk.queue.iter();
        let entries = entries.map(|(number, entry)| (*number, entry.clone()));
        let journal = &mut self.journal;
        let (entries, now) = (entries.collect(), self.now);
        self.tally.expired += self.session.restore(entries, unsent_from, [], now, journal);
    }

    /// The client does all that it has to until nothing is left to do.
    fn settle(&mut self) {
        self.connect(5);
        loop {
            self.commit();
            self.flush();
            while !self.travelling.is_empty() {
                self.see();
            }
            if self.owes.is_empty() {
                return;
            }
            while !self.owes.is_empty() {
                self.acknowledge(0, false);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// The checks are where things happen: order and duplicates in `on_new`, the window and
    /// identifiers in `on_publish`. Here is what only the end tells.
    #[test]
    fn a_session_keeps_its_promises_whatever_happens(
        limits in limits(),
        given_up in any::<bool>(),
        stored in any::<bool>(),
        steps in prop::collection::vec(step(), 0..150),
    ) {
        // What was dropped and comes back after a crash comes out of order: not in question here.
        let mut limits = limits;
        if stored {
            limits.queued = 1_000;
            limits.queued_bytes = 8 << 20;
        }
        let mut model = Model::new(limits, stored);
        model.session.given_up = given_up;
        for step in &steps {
            model.apply(step);
        }
        model.settle();
        prop_assert_eq!(model.session.backlog(), 0);
        prop_assert!(model.disk.queue.is_empty());
        prop_assert!(model.open.is_empty());
        prop_assert!(model.received.is_empty());
        let unseen = model.messages.iter().filter(|(_, seen)| *seen == 0).count();
        let tally = &model.tally;
        let counted = (tally.dropped + tally.expired + tally.oversize) as usize;
        // Nothing is lost that is not counted, and nothing is counted that was not lost, unless a
        // crash has brought it back.
        prop_assert!(unseen <= counted + model.unpromised);
        if !stored {
            prop_assert_eq!(unseen, counted + model.unpromised);
        }
    }
}
