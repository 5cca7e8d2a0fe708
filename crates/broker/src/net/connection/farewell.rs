//! The end of a connection: what its client is told, and the time it has to read it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Disconnect, DisconnectProperties, Packet, ReasonCode, Version};
use tokio::io::ReadBuf;

use super::{Connection, READS_AT_ONCE, Stage, State};
use crate::counters::add;
use crate::hub::Departure;
use crate::net::Scratch;
use crate::net::client::Client;
use crate::net::effort::yield_turn;
use crate::net::end::End;
use crate::net::stream::Stream;
use crate::shown::shown;

/// How long a client that is being disconnected may take to read why.
const LINGER: Duration = Duration::from_secs(1);

impl<S: Stream> Connection<S> {
    /// The session is done with: sends what is left, then waits for the client to close, so that
    /// what it has not read yet is not lost with a reset.
    pub(super) fn poll_linger(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Poll<End> {
        if ready!(self.poll_flush(cx, scratch, now)).is_err() {
            return Poll::Ready(End::Lost);
        }
        if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(End::Lost);
        }
        for _ in 0..READS_AT_ONCE {
            let mut buffer = ReadBuf::new(&mut scratch.read);
            let read = ready!(self.stream.poll_discard(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(End::Lost);
            }
        }
        yield_turn(cx);
        Poll::Pending
    }

    fn note_fault(&self, client: &Client, reason: ReasonCode, what: &str) {
        let origin = &self.origin;
        let id = client.attached.slot.client_id();
        let no_fault = [
            ReasonCode::KEEP_ALIVE_TIMEOUT,
            ReasonCode::SERVER_SHUTTING_DOWN,
            ReasonCode::NOT_AUTHORIZED,
        ];
        if !no_fault.contains(&reason) {
            add(&self.worker.counters.protocol_errors, 1);
        }
        let id = shown(id);
        log::info!(CLIENT = id.as_str(); "{origin}: client {id} disconnected: {reason}: {what}");
    }

    /// Writes `bytes` behind everything else.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.writing.append(bytes);
    }

    /// Ends the session's part, and begins to say goodbye if there is something to say.
    pub(super) fn close(&mut self, end: End, now: Instant) {
        self.stage = Stage::Closing {
            until: now + LINGER,
        };
        let State::Client(client) = &self.state else {
            return;
        };
        let reason = match end {
            End::Fault { reason, what } => {
                self.note_fault(client, reason, what);
                Some((reason, what))
            }
            // Taken over before its CONNACK went out: then only the connection ends.
            End::TakenOver if !client.greeted => None,
            End::TakenOver => Some((
                ReasonCode::SESSION_TAKEN_OVER,
                "another connection has the session",
            )),
            End::Orderly(_) | End::Lost | End::Refused => None,
        };
        if let Some((_, wire)) = client.attached.slot.lock().wire(client.attached.epoch)
            && self.writing.is_done()
        {
            self.writing.refill(&mut wire.out); // Acknowledgements of what came before.
        }
        if let Some((reason, what)) = reason.filter(|_| client.version == Version::V5) {
            let said = disconnect(reason, client.explain.then_some(what));
            // The reason string may go, the packet may not be too big (MQTT-3.14.2-3).
            let said = match said.len() <= client.max_packet {
                true => said,
                false => disconnect(reason, None),
            };
            self.writing.append(&said);
        }
        let departure = match end {
            End::Orderly(departure) => departure,
            _ => Departure {
                orderly: false,
                expiry: None,
            },
        };
        self.worker.hub.detach(&client.attached, departure, now);
    }
}

fn disconnect(reason: ReasonCode, reason_string: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packet = Packet::Disconnect(Disconnect {
        reason,
        properties: DisconnectProperties {
            reason_string,
            ..DisconnectProperties::default()
        },
    });
    // It cannot be too large: what it holds is a sentence.
    let _ = packet.encode(Version::V5, &mut bytes);
    bytes
}
