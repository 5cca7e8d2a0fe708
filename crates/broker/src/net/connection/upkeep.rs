//! What a connection takes in memory, and what follows from it.

use fieldgate_mqtt::ReasonCode;

use super::{Connection, Stage, State};
use crate::counters::add;
use crate::net::end::End;
use crate::net::stream::Stream;
use fieldgate_broker_core::budget::{SMALL, Share};

/// A connection without anything in it, its task and its timer, in bytes, about.
pub(in crate::net) const BARE: usize = 3 * 1024;

/// What a client may have sent of its CONNECT without asking for room that all newcomers share, in bytes.
const FREE: usize = 8 * 1024;

/// Changes smaller than this are not told to the session.
const QUANTUM: usize = 4 * 1024;

impl<S: Stream> Connection<S> {
    /// Counts what the connection holds now.
    pub(super) fn recount(&mut self) -> Result<(), End> {
        if !matches!(self.stage, Stage::Open) {
            // Nothing more is read.
            self.partial = Vec::new();
            self.lobby = None;
            if let State::Client(client) = &mut self.state {
                client.stop_reading();
            }
            self.share
                .follow(BARE + self.stream.base() + self.stream.held());
            return Ok(());
        }
        let held = self.partial.capacity() + self.stream.held();
        match &mut self.state {
            State::Waiting { .. } if held <= FREE => self.lobby = None,
            State::Waiting { .. } => {
                let lobby = &self.worker.hub.lobby;
                let share = self
                    .lobby
                    .get_or_insert_with(|| Share::new(lobby.pot(0), 0));
                share.resize(held);
                if lobby.used() > lobby.max() {
                    add(&self.worker.counters.connections_refused, 1);
                    self.worker.hub.note_refused_connections("memory", None);
                    // At once: while it says goodbye it would hold what it has sent.
                    return Err(End::Lost);
                }
            }
            State::Client(client) => {
                self.lobby = None;
                let held = held + client.holds();
                if held.abs_diff(self.told) >= QUANTUM {
                    self.told = held;
                    let mut inner = client.attached.slot.lock();
                    if let Some((_, wire)) = inner.wire(client.attached.epoch) {
                        wire.intake = held;
                    }
                }
            }
        }
        let held = held
            + match &self.state {
                State::Client(client) => client.holds(),
                State::Waiting { .. } => 0,
            };
        let is_more = BARE + held > self.share.bytes();
        self.share.follow(BARE + self.stream.base() + held);
        let budget = &self.worker.hub.budget;
        if is_more && budget.is_short() && budget.is_used_up() && held > SMALL {
            return Err(End::Fault {
                reason: ReasonCode::QUOTA_EXCEEDED,
                what: "clients hold as much memory as broker.limits.memory allows",
            });
        }
        Ok(())
    }
}
