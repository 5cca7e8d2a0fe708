//! Answers that may leave only when what they promise is on disk, or in other safe hands.
//!
//! Acknowledgements keep their order among each other (MQTT 5.0 section 4.6): behind one that
//! has to wait, those wait that would not have to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use fieldgate_mqtt::{AckKind, PacketId, ReasonCode, Version, encode_ack};

use crate::outbox::Outbox;
use crate::ticket::{Commits, Outcome, Part, Ticket};

/// Answers of one client from which on it is not read until some have left.
const MANY: usize = 4 * 1024;
/// The same for the bytes of those that are encoded already.
const MANY_BYTES: usize = 256 * 1024;

/// One packet that waits.
#[derive(Debug)]
enum Answer {
    Ack {
        kind: AckKind,
        id: PacketId,
        reason: ReasonCode,
    },
    /// SUBACK or UNSUBACK, encoded, and what waits for the disk with it, in bytes.
    Packet { bytes: Box<[u8]>, weight: usize },
}

impl Answer {
    /// Bytes of a packet that is encoded already, and of what waits with it.
    fn weight(&self) -> usize {
        match self {
            Self::Ack { .. } => 0,
            Self::Packet { weight, .. } => *weight,
        }
    }
}

impl Answer {
    fn encode(&self, version: Version, out: &mut Outbox) {
        match self {
            Self::Ack { kind, id, reason } => {
                encode_ack(&mut out.bytes, version, *kind, *id, *reason);
            }
            Self::Packet { bytes, .. } => out.bytes.extend_from_slice(bytes),
        }
    }
}

/// What a group of answers waits for.
#[derive(Clone, Debug, Default)]
pub struct Seal {
    /// Changes that go into the store.
    pub ticket: Option<Ticket>,
    /// Messages that subscribers have taken upon themselves.
    pub vouched: Option<Arc<Part>>,
}

impl Seal {
    /// For changes that go into the store alone.
    pub fn of(ticket: Ticket) -> Self {
        Self {
            ticket: Some(ticket),
            vouched: None,
        }
    }
}

/// The answers to one client, in groups that leave together.
#[derive(Debug, Default)]
pub struct PendingAcks {
    /// The last group has no seal yet if it is open.
    groups: VecDeque<(Option<Seal>, Vec<Answer>)>,
    len: usize,
    /// Of those that are encoded already, in bytes.
    packets: usize,
    /// The ticket for which the connection's waker was left with the store.
    asked: Option<Ticket>,
    /// The client has brought changes since that was last taken, whether or not it waits for them.
    has_brought: bool,
}

/// Messages that could not be kept, and so were refused.
#[derive(Debug, Default)]
pub struct Refused {
    /// Those of QoS 2 among them.
    pub received: Vec<PacketId>,
    /// The client cannot be told otherwise than by the end of its connection.
    pub untold: bool,
}

impl PendingAcks {
    /// Whether no answer waits.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The client has brought changes for the store.
    pub fn brings(&mut self) {
        self.has_brought = true;
    }

    /// Whether the client has a part in what waits to be written: an answer, or what it has brought since this was last
    /// asked.
    pub fn take_part(&mut self) -> bool {
        std::mem::take(&mut self.has_brought) || !self.is_empty()
    }

    /// Whether there are answers without a seal.
    pub fn is_open(&self) -> bool {
        matches!(self.groups.back(), Some((None, _)))
    }

    /// Whether there are so many that the client has to wait.
    pub fn is_full(&self) -> bool {
        self.len >= MANY || self.packets >= MANY_BYTES
    }

    /// What they take in memory, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<Answer>() + self.packets
    }

    /// An acknowledgement that has to wait.
    pub fn push_ack(&mut self, kind: AckKind, id: PacketId, reason: ReasonCode) {
        self.push(Answer::Ack { kind, id, reason });
    }

    /// `weight` is what the answer promises, in bytes: changes that wait for the disk with it.
    pub fn push_packet(&mut self, bytes: &[u8], weight: usize) {
        let weight = weight + bytes.len();
        self.packets += weight;
        let bytes = bytes.into();
        self.push(Answer::Packet { bytes, weight });
    }

    fn push(&mut self, answer: Answer) {
        self.len += 1;
        match self.groups.back_mut() {
            Some((None, open)) => open.push(answer),
            _ => self.groups.push_back((None, vec![answer])),
        }
    }

    /// What was pushed since the last call may leave once what `seal` names is done.
    pub fn seal(&mut self, seal: Seal) {
        if let Some((unsealed @ None, _)) = self.groups.back_mut() {
            *unsealed = Some(seal);
        }
    }

    /// Moves what may leave to `out`; for the rest `waker` is woken in time. Without a store no ticket is waited for.
    pub fn release(
        &mut self,
        store: Option<&impl Commits>,
        version: Version,
        out: &mut Outbox,
        waker: &Waker,
    ) -> Refused {
        let mut refused = Refused::default();
        while let Some((Some(seal), _)) = self.groups.front() {
            if let Some(part) = &seal.vouched {
                part.wake(waker);
                if !part.is_done() {
                    break;
                }
            }
            if let (Some(ticket), Some(store)) = (&seal.ticket, store) {
                match store.outcome(ticket) {
                    Outcome::Undecided if self.asked.as_ref() == Some(ticket) => break,
                    Outcome::Undecided => {
                        store.wake_at(ticket, waker);
                        self.asked = Some(ticket.clone());
                        continue; // It may have been decided just now.
                    }
                    Outcome::Kept => {}
                    Outcome::Lost => self.refuse(store.latest(), version, &mut refused),
                }
            }
            let Some((_, answers)) = self.groups.pop_front() else {
                break;
            };
            self.len -= answers.len();
            self.packets -= answers.iter().map(Answer::weight).sum::<usize>();
            answers
                .iter()
                .for_each(|answer| answer.encode(version, out));
        }
        refused
    }

    /// Moves everything to `out`.
    #[cfg(test)]
    pub fn release_all(&mut self, version: Version, out: &mut Outbox) {
        for answer in std::mem::take(self)
            .groups
            .into_iter()
            .flat_map(|(_, group)| group)
        {
            answer.encode(version, out);
        }
    }

    /// The messages that the first group acknowledges were not kept. Its other answers wait for
    /// `later`, when what they promise is tried again.
    fn refuse(&mut self, later: Ticket, version: Version, refused: &mut Refused) {
        let Some((_, answers)) = self.groups.pop_front() else {
            return;
        };
        let (mut told, mut others) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Answer::Ack { kind, id, reason }
                    if matches!(kind, AckKind::PubAck | AckKind::PubRec) && !reason.is_error() =>
                {
                    if kind == AckKind::PubRec {
                        refused.received.push(id);
                    }
                    if version == Version::V5 {
                        let reason = ReasonCode::QUOTA_EXCEEDED;
                        told.push(Answer::Ack { kind, id, reason });
                    } else {
                        refused.untold = true;
                        self.len -= 1;
                    }
                }
                other => others.push(other),
            }
        }
        if !others.is_empty() {
            self.groups.push_front((Some(Seal::of(later)), others));
        }
        self.groups.push_front((None, told)); // To leave at once.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_brings_changes_has_a_part_in_what_is_written_until_it_was_asked() {
        let mut pending = PendingAcks::default();
        assert!(!pending.take_part());
        pending.brings();
        assert!(pending.take_part());
        assert!(!pending.take_part());
    }

    /// A store that has kept everything.
    struct Kept;

    impl Commits for Kept {
        fn outcome(&self, _: &Ticket) -> Outcome {
            Outcome::Kept
        }

        fn wake_at(&self, _: &Ticket, _: &Waker) {}

        fn latest(&self) -> Ticket {
            Ticket {
                batch: 1,
                part: None,
            }
        }
    }

    #[test]
    fn an_answer_leaves_when_all_that_vouch_for_its_message_have_it_safe_and_those_behind_it_wait()
    {
        let id = PacketId::MIN;
        let leave = |pending: &mut PendingAcks, store: Option<&Kept>| {
            let mut out = Outbox::default();
            pending.release(store, Version::V4, &mut out, Waker::noop());
            out.bytes.len() / 4
        };
        for store in [None, Some(&Kept)] {
            let part = Arc::new(Part::default());
            let mut pending = PendingAcks::default();
            (0..2).for_each(|_| part.add());
            pending.push_ack(AckKind::PubAck, id, ReasonCode::SUCCESS);
            pending.seal(Seal {
                ticket: store.map(Kept::latest),
                vouched: Some(Arc::clone(&part)),
            });
            pending.push_ack(AckKind::PubAck, id, ReasonCode::SUCCESS);
            pending.seal(Seal::default());
            assert_eq!(leave(&mut pending, store), 0);
            assert!(part.remove().is_none());
            assert_eq!(leave(&mut pending, store), 0);
            assert!(part.remove().is_some(), "the connection is woken");
            assert_eq!(leave(&mut pending, store), 2);
            assert!(pending.is_empty());
        }
    }
}
