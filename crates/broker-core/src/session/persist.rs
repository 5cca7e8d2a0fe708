//! What a session tells the journal, and how it comes back from disk.

use std::time::Instant;

use fieldgate_mqtt::{PacketId, QoS};

use super::inflight::{Kept, Phase, SPAN};
use super::{Form, Queued, Session};
use crate::journal::{Change, Entry, Journal};
use crate::message::{Message, Routed};
use crate::router::Ids;

impl Session {
    pub(super) fn note_queued(
        &self,
        routed: &Routed<'_>,
        number: u64,
        form: Form<'_>,
        journal: &mut Journal,
    ) {
        let Some(session) = self.stored else { return };
        journal.changes.push(Change::Queued {
            session,
            number,
            entry: Entry {
                message: routed.message(),
                qos: form.qos,
                retain: form.retain,
                ids: form.ids.clone(),
            },
            patience: self.peer.and_then(|_| self.patience.limit()),
        });
    }

    pub(super) fn note_gone(&self, number: u64, journal: &mut Journal) {
        if let Some(session) = self.stored {
            journal.changes.push(Change::Gone { session, number });
        }
    }

    /// Everything that it would tell the journal if it were new.
    pub fn put_all(&self, changes: &mut Vec<Change>) {
        let Some(session) = self.stored else { return };
        let queued = |number, message: &Message, qos, retain, ids: &Ids| Change::Queued {
            session,
            number,
            entry: Entry {
                message: message.clone(),
                qos,
                retain,
                ids: ids.clone(),
            },
            patience: None,
        };
        for (number, phase, kept) in self.inflight.iter() {
            changes.extend(match (phase, kept) {
                (Phase::Released, _) => Some(Change::Released { session, number }),
                (_, Some(kept)) => {
                    let qos = phase.qos();
                    Some(queued(number, &kept.message, qos, kept.retain, &kept.ids))
                }
                (_, None) => None,
            });
        }
        let waiting = self.queue.iter().filter(|q| q.qos > QoS::AtMostOnce);
        changes.extend(waiting.map(|q| queued(q.number, &q.message, q.qos, q.retain, &q.ids)));
        let received = self.received.iter();
        changes.extend(received.map(|id| Change::Received { session, id }));
    }

    /// Queued message `number` is on disk. Returns whether it was waited for.
    pub fn kept(&mut self, number: u64) -> bool {
        let found = self.queue.get_mut(number);
        found.is_some_and(|queued| !std::mem::replace(&mut queued.ready, true))
    }

    /// Queued message `number` cannot be kept, and its publisher is told so.
    pub fn not_kept(&mut self, number: u64) {
        self.queue.remove(number);
    }

    /// The number from which on no message has been sent yet.
    pub fn unsent_from(&self) -> u64 {
        let tracked = |queued: &&Queued| queued.qos > QoS::AtMostOnce;
        self.queue
            .iter()
            .find(tracked)
            .map_or(self.next, |queued| queued.number)
    }

    /// Fills a session with what was read back from disk: its messages by their numbers, those
    /// before `unsent_from` perhaps sent, or any if that is not known, and the identifiers of the
    /// client's QoS 2 messages. Returns how many have expired.
    pub fn restore(
        &mut self,
        entries: Vec<(u64, Option<Entry>)>,
        unsent_from: Option<u64>,
        received: impl IntoIterator<Item = PacketId>,
        now: Instant,
        journal: &mut Journal,
    ) -> u64 {
        let mut expired = 0;
        let first = entries.first().map_or(0, |(number, _)| *number);
        for (number, entry) in entries {
            // Further from the oldest none is ever sent.
            let is_near = number.saturating_sub(first) < SPAN;
            self.next = number.saturating_add(1);
            let late = |entry: &Entry| entry.qos < QoS::ExactlyOnce && entry.message.expired(now);
            if entry.as_ref().is_some_and(late) {
                self.note_gone(number, journal);
                expired += 1;
                continue;
            }
            let Some(entry) = entry else {
                if is_near {
                    self.inflight.restore(number, Phase::Released, None);
                }
                continue;
            };
            let Entry {
                message,
                qos,
                retain,
                ids,
            } = entry;
            if is_near && unsent_from.is_none_or(|from| number < from) {
                let phase = match qos {
                    QoS::ExactlyOnce => Phase::AwaitsReceived,
                    _ => Phase::AwaitsAck,
                };
                let kept = Kept {
                    message,
                    retain,
                    ids,
                };
                self.inflight.restore(number, phase, Some(kept));
            } else {
                self.queue.push(Queued {
                    number,
                    ready: true,
                    message,
                    qos,
                    retain,
                    ids,
                });
            }
        }
        self.next = self.next.max(unsent_from.unwrap_or(0));
        for id in received {
            self.received.insert(id, u16::MAX);
        }
        expired
    }
}
