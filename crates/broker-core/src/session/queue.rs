//! Messages that wait for their client, in their order.

use std::collections::VecDeque;

use fieldgate_mqtt::QoS;

use crate::message::Message;
use crate::router::Ids;

/// Entries for which there stays room when the queue has been emptied.
const KEEP: usize = 64;

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Queued {
    pub number: u64,
    /// It may be sent. A message of QoS 2 that was not on disk could be sent again under another
    /// identifier after a crash, and so arrive twice.
    pub ready: bool,
    pub message: Message,
    pub qos: QoS,
    pub retain: bool,
    pub ids: Ids,
}

/// By rising numbers, among which are messages of QoS 0 without one.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    list: VecDeque<Queued>,
    bytes: usize,
    qos0: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What the messages take, in bytes, whether others hold them too or not.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the list takes beside the messages, in bytes.
    pub(crate) fn list_bytes(&self) -> usize {
        self.list.len() * size_of::<Queued>()
    }

    /// Whether there are messages of QoS 0: while there are, later ones must not overtake them.
    pub(crate) fn has_qos0(&self) -> bool {
        self.qos0 > 0
    }

    #[cfg(test)]
    pub(crate) fn qos0_count(&self) -> usize {
        self.qos0
    }

    pub(crate) fn front(&self) -> Option<&Queued> {
        self.list.front()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.list.iter()
    }

    pub(crate) fn push(&mut self, queued: Queued) {
        self.bytes += queued.message.weight();
        self.qos0 += usize::from(queued.qos == QoS::AtMostOnce);
        self.list.push_back(queued);
    }

    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let queued = self.list.pop_front()?;
        self.forget(&queued);
        if self.list.is_empty() {
            self.list.shrink_to(KEEP);
        }
        Some(queued)
    }

    /// Takes out message `number`, of QoS 1 or 2.
    pub(crate) fn remove(&mut self, number: u64) {
        let at = self.place(number);
        if let Some(queued) = at.and_then(|at| self.list.remove(at)) {
            self.forget(&queued);
        }
    }

    /// Message `number`, of QoS 1 or 2.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Queued> {
        let at = self.place(number)?;
        self.list.get_mut(at)
    }

    /// It is nearly always among the last.
    fn place(&self, number: u64) -> Option<usize> {
        let is_it = |queued: &Queued| queued.qos > QoS::AtMostOnce && queued.number == number;
        self.list.iter().rposition(is_it)
    }

    pub(crate) fn retain(&mut self, stays: impl FnMut(&Queued) -> bool) {
        self.list.retain(stays);
        self.list.shrink_to(KEEP);
        let qos0 = |queued: &&Queued| queued.qos == QoS::AtMostOnce;
        self.qos0 = self.list.iter().filter(qos0).count();
        self.bytes = self.list.iter().map(|queued| queued.message.weight()).sum();
    }

    fn forget(&mut self, queued: &Queued) {
        self.bytes -= queued.message.weight();
        self.qos0 -= usize::from(queued.qos == QoS::AtMostOnce);
    }
}
