//! Messages sent and not yet acknowledged, in a ring that their packet identifiers index.
//!
//! A message's identifier follows from its number in the session, so that a session read back
//! from disk gives every message the identifier that it had.

use std::collections::VecDeque;

use fieldgate_mqtt::{PacketId, QoS};

use crate::message::Message;
use crate::router::Ids;

/// Packet identifiers that there are: 1 to 65,535.
const IDS: u64 = u16::MAX as u64;

/// From the oldest unacknowledged message to the newest at most, so that a client which never
/// acknowledges one of many cannot make the ring grow without end.
pub(super) const SPAN: u64 = 8 * 1024;

/// Where a message stands (MQTT 5.0 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// QoS 1, waits for PUBACK.
    AwaitsAck,
    /// QoS 2, waits for PUBREC.
    AwaitsReceived,
    /// QoS 2, PUBREL sent, waits for PUBCOMP.
    Released,
}

impl Phase {
    pub(crate) fn qos(self) -> QoS {
        match self {
            Self::AwaitsAck => QoS::AtLeastOnce,
            Self::AwaitsReceived | Self::Released => QoS::ExactlyOnce,
        }
    }
}

/// What is needed to send a message again. Only sessions that outlive connections keep it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub message: Message,
    pub retain: bool,
    pub ids: Ids,
}

#[derive(Debug)]
struct Slot {
    phase: Phase,
    /// Sent on this connection, so that it counts against the client's window.
    counted: bool,
    kept: Option<Kept>,
}

/// The ring; its first slot belongs to message number `base`.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    slots: VecDeque<Option<Slot>>,
    base: u64,
    used: usize,
    counted: u16,
    window: u16,
    /// Of messages kept.
    bytes: usize,
}

/// The packet identifier of a session's message `number`.
pub(crate) fn id_of(number: u64) -> PacketId {
    let id = u16::try_from(number % IDS + 1).ok();
    id.and_then(PacketId::new).unwrap_or(PacketId::MIN)
}

impl Slot {
    /// What its message takes, in bytes.
    fn weight(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.message.weight())
    }
}

impl Inflight {
    /// What the messages take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the ring takes beside them, in bytes.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.slots.len() * size_of::<Option<Slot>>()
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// The client takes at most `window` unacknowledged messages from now on, a new connection.
    pub(crate) fn set_window(&mut self, window: u16) {
        self.window = window;
        self.counted = 0;
    }

    /// The identifiers that a new connection has to see again, oldest first. Messages of which
    /// nothing was kept are forgotten.
    pub(crate) fn unsent(&mut self) -> VecDeque<PacketId> {
        for slot in &mut self.slots {
            let again = |slot: &mut Slot| slot.kept.is_some() || slot.phase == Phase::Released;
            if let Some(gone) = slot.take_if(|slot| !again(slot)) {
                self.used -= 1;
                self.bytes -= gone.weight();
            } else if let Some(slot) = slot {
                slot.counted = false;
            }
        }
        self.trim();
        (self.base..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.is_some())
            .map(|(number, _)| id_of(number))
            .collect()
    }

    /// Whether message `number` may be sent now.
    pub(crate) fn has_room_for(&self, number: u64) -> bool {
        self.has_window() && (self.used == 0 || number - self.base < SPAN)
    }

    /// Whether the client takes another message.
    pub(crate) fn has_window(&self) -> bool {
        self.counted < self.window
    }

    /// Message `number`, newer than all before, was sent.
    pub(crate) fn sent(&mut self, number: u64, qos: QoS, kept: Option<Kept>) {
        self.counted += 1;
        let phase = match qos {
            QoS::ExactlyOnce => Phase::AwaitsReceived,
            _ => Phase::AwaitsAck,
        };
        self.put(number, phase, true, kept);
    }

    /// Message `number`, newer than all before, may have been sent before a restart.
    pub(crate) fn restore(&mut self, number: u64, phase: Phase, kept: Option<Kept>) {
        self.put(number, phase, false, kept);
    }

    fn put(&mut self, number: u64, phase: Phase, counted: bool, kept: Option<Kept>) {
        if self.used == 0 {
            self.slots.clear();
            self.base = number;
        }
        while self.base + (self.slots.len() as u64) < number {
            self.slots.push_back(None);
        }
        let slot = Slot {
            phase,
            counted,
            kept,
        };
        self.bytes += slot.weight();
        self.slots.push_back(Some(slot));
        self.used += 1;
    }

    /// A message of the connection before was sent again.
    pub(crate) fn resent(&mut self, id: PacketId) {
        if let Some(slot) = self.slot(id) {
            let again = std::mem::replace(&mut slot.counted, true);
            self.counted += u16::from(!again);
        }
    }

    /// Forgets a message, whatever its phase.
    pub(crate) fn cancel(&mut self, id: PacketId) -> Option<u64> {
        let index = self.index(id);
        let slot = self.slots.get_mut(index)?.take()?;
        let number = self.base + index as u64;
        self.counted -= u16::from(slot.counted);
        self.used -= 1;
        self.bytes -= slot.weight();
        self.trim();
        Some(number)
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<(Phase, Option<&Kept>)> {
        let slot = self.slots.get(self.index(id))?.as_ref()?;
        Some((slot.phase, slot.kept.as_ref()))
    }

    /// Where the message with this identifier stands, if there is one.
    pub(crate) fn phase(&self, id: PacketId) -> Option<Phase> {
        self.get(id).map(|(phase, _)| phase)
    }

    /// All messages by their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Phase, Option<&Kept>)> {
        let numbered = (self.base..).zip(&self.slots);
        numbered.filter_map(|(number, slot)| {
            let slot = slot.as_ref()?;
            Some((number, slot.phase, slot.kept.as_ref()))
        })
    }

    /// PUBREC came: the message itself is no longer needed. Returns the message's number, and
    /// whether that is news; `None` for an identifier that carries no QoS 2 message.
    pub(crate) fn release(&mut self, id: PacketId) -> Option<(u64, bool)> {
        let number = self.base + self.index(id) as u64;
        let slot = self
            .slot(id)
            .filter(|slot| slot.phase != Phase::AwaitsAck)?;
        let weight = slot.weight();
        slot.kept = None;
        let before = std::mem::replace(&mut slot.phase, Phase::Released);
        self.bytes -= weight;
        Some((number, before != Phase::Released))
    }

    /// The last acknowledgement came. Returns the message's number; `None`, having changed
    /// nothing, unless the message was in `phase`.
    pub(crate) fn finish(&mut self, id: PacketId, phase: Phase) -> Option<u64> {
        self.slot(id).filter(|slot| slot.phase == phase)?;
        self.cancel(id)
    }

    fn slot(&mut self, id: PacketId) -> Option<&mut Slot> {
        let index = self.index(id);
        self.slots.get_mut(index)?.as_mut()
    }

    /// How far behind the first slot `id` is, slot or not.
    fn index(&self, id: PacketId) -> usize {
        let behind = (u64::from(id.get()) - 1 + IDS - self.base % IDS) % IDS;
        usize::try_from(behind).unwrap_or(usize::MAX)
    }

    fn trim(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_go_round_and_each_finds_its_own_message() {
        let mut inflight = Inflight::default();
        inflight.set_window(10);
        for number in 65_530..65_540 {
            assert!(inflight.has_room_for(number), "{number}");
            inflight.sent(number, QoS::AtLeastOnce, None);
        }
        assert!(!inflight.has_room_for(65_540));
        assert_eq!(id_of(65_534).get(), 65_535);
        assert_eq!(id_of(65_535).get(), 1);
        for number in [65_535, 65_530, 65_539, 65_534] {
            let finished = inflight.finish(id_of(number), Phase::AwaitsAck);
            assert_eq!(finished, Some(number));
            assert_eq!(inflight.finish(id_of(number), Phase::AwaitsAck), None);
        }
        assert_eq!(inflight.len(), 6);
        assert!(inflight.has_room_for(65_531 + SPAN - 1));
        assert!(!inflight.has_room_for(65_531 + SPAN));
    }

    #[test]
    fn numbers_that_were_never_sent_leave_holes_that_nothing_finds() {
        let mut inflight = Inflight::default();
        inflight.set_window(10);
        for number in [3, 7, 1_000] {
            inflight.sent(number, QoS::ExactlyOnce, None);
        }
        assert!(inflight.get(id_of(5)).is_none());
        assert_eq!(inflight.release(id_of(5)), None);
        assert_eq!(inflight.release(id_of(7)), Some((7, true)));
        assert_eq!(inflight.release(id_of(7)), Some((7, false)));
        assert_eq!(inflight.finish(id_of(7), Phase::Released), Some(7));
        assert_eq!(inflight.cancel(id_of(3)), Some(3));
        assert_eq!(inflight.slots.len(), 1);
        assert_eq!(
            inflight.finish(id_of(1_000), Phase::AwaitsReceived),
            Some(1_000)
        );
        assert_eq!(inflight.len(), 0);
    }
}
