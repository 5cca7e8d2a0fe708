//! Messages sent and not yet acknowledged, in a slab that their packet identifiers index.

use std::collections::VecDeque;
use std::sync::Arc;

use fieldgate_mqtt::{PacketId, QoS};

use crate::message::Message;
use crate::router::Ids;

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
    pub(crate) message: Arc<Message>,
    pub(crate) retain: bool,
    pub(crate) ids: Ids,
}

#[derive(Debug)]
enum Slot {
    /// The next free slot's index.
    Free(u16),
    /// An identifier handed out, its packet not yet written.
    Reserved,
    Used {
        phase: Phase,
        /// Orders messages for sending again.
        sequence: u64,
        /// Sent on this connection, so that it counts against the client's window.
        counted: bool,
        kept: Option<Kept>,
    },
}

/// The slab; slot `n` belongs to packet identifier `n + 1`.
#[derive(Debug)]
pub(crate) struct Inflight {
    slots: Vec<Slot>,
    free: u16,
    used: usize,
    counted: u16,
    window: u16,
    sequence: u64,
}

const NONE: u16 = u16::MAX;

impl Default for Inflight {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            used: 0,
            counted: 0,
            window: 0,
            sequence: 0,
        }
    }
}

impl Inflight {
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// The client takes at most `window` unacknowledged messages from now on, a new connection.
    pub(crate) fn set_window(&mut self, window: u16) {
        self.window = window.min(NONE - 1);
        self.counted = 0;
    }

    /// The identifiers that a new connection has to see again, oldest first. Messages of which
    /// nothing was kept are forgotten.
    pub(crate) fn unsent(&mut self) -> VecDeque<PacketId> {
        let mut order = Vec::new();
        for index in 0..self.slots.len() {
            let Slot::Used {
                phase,
                sequence,
                counted,
                kept,
            } = &mut self.slots[index]
            else {
                continue;
            };
            *counted = false;
            let Some(id) = id_of(index) else { continue };
            if kept.is_some() || *phase == Phase::Released {
                order.push((*sequence, id));
            } else {
                self.free_slot(index);
            }
        }
        order.sort_unstable_by_key(|&(sequence, _)| sequence);
        order.into_iter().map(|(_, id)| id).collect()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.counted < self.window && (self.free != NONE || self.slots.len() < usize::from(NONE))
    }

    /// An identifier for the next message, or `None` when the window is full. To be followed by
    /// `sent` or `cancel`.
    pub(crate) fn reserve(&mut self) -> Option<PacketId> {
        if !self.has_room() {
            return None;
        }
        let index = if self.free == NONE {
            self.slots.push(Slot::Reserved);
            self.slots.len() - 1
        } else {
            let index = usize::from(self.free);
            if let Slot::Free(next) = self.slots[index] {
                self.free = next;
            }
            self.slots[index] = Slot::Reserved;
            index
        };
        self.used += 1;
        id_of(index)
    }

    pub(crate) fn sent(&mut self, id: PacketId, qos: QoS, kept: Option<Kept>) {
        self.sequence += 1;
        self.counted += 1;
        self.slots[index_of(id)] = Slot::Used {
            phase: match qos {
                QoS::ExactlyOnce => Phase::AwaitsReceived,
                _ => Phase::AwaitsAck,
            },
            sequence: self.sequence,
            counted: true,
            kept,
        };
    }

    /// A message of the connection before was sent again.
    pub(crate) fn resent(&mut self, id: PacketId) {
        if let Some(Slot::Used { counted, .. }) = self.slots.get_mut(index_of(id)) {
            self.counted += u16::from(!*counted);
            *counted = true;
        }
    }

    /// Gives the identifier back.
    pub(crate) fn cancel(&mut self, id: PacketId) {
        self.free_slot(index_of(id));
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<(Phase, Option<&Kept>)> {
        match self.slots.get(index_of(id))? {
            Slot::Used { phase, kept, .. } => Some((*phase, kept.as_ref())),
            Slot::Free(_) | Slot::Reserved => None,
        }
    }

    /// PUBREC came: the message itself is no longer needed. Returns false for an identifier
    /// that carries no QoS 2 message.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        match self.slots.get_mut(index_of(id)) {
            Some(Slot::Used { phase, kept, .. }) if *phase != Phase::AwaitsAck => {
                *phase = Phase::Released;
                *kept = None;
                true
            }
            _ => false,
        }
    }

    /// The last acknowledgement came. Returns false, and changes nothing, unless the message
    /// was in `phase`.
    pub(crate) fn finish(&mut self, id: PacketId, phase: Phase) -> bool {
        let index = index_of(id);
        match self.slots.get(index) {
            Some(Slot::Used { phase: found, .. }) if *found == phase => {
                self.free_slot(index);
                true
            }
            _ => false,
        }
    }

    fn free_slot(&mut self, index: usize) {
        let Ok(number) = u16::try_from(index) else {
            return;
        };
        let old = std::mem::replace(&mut self.slots[index], Slot::Free(self.free));
        if let Slot::Used { counted: true, .. } = old {
            self.counted -= 1;
        }
        self.free = number;
        self.used -= 1;
    }
}

fn index_of(id: PacketId) -> usize {
    usize::from(id.get()) - 1
}

fn id_of(index: usize) -> Option<PacketId> {
    PacketId::new(u16::try_from(index + 1).ok()?)
}
