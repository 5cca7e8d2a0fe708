//! Why a connection ends, and what its client is told.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Disconnect, DisconnectProperties, Packet, ReasonCode, Version};
use tokio::io::ReadBuf;

use super::Scratch;
use super::client::Client;
use super::connection::{Connection, READS_AT_ONCE, Stage, State};
use super::effort::yield_turn;
use super::stream::Stream;
use crate::counters::add;
use crate::hub::Departure;
use crate::session::WrongAck;
use crate::shown::shown;

/// How long a client that is being disconnected may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// DISCONNECT came.
    Orderly(Departure),
    /// The client closed its side, or the socket failed.
    Lost,
    /// Another connection has the session.
    TakenOver,
    /// We end it, and tell an MQTT 5 client why.
    Fault {
        reason: ReasonCode,
        what: &'static str,
    },
    /// CONNECT was refused; the CONNACK is written.
    Refused,
}

impl End {
    /// The disk does not take what would have to be kept, and the client's version of MQTT cannot be
    /// told so otherwise. It has no acknowledgement, so it will send again.
    pub(super) const NOT_KEPT: Self = Self::Fault {
        reason: ReasonCode::QUOTA_EXCEEDED,
        what: "its message cannot be kept: the disk takes nothing",
    };

    pub(super) fn kicked(reason: ReasonCode) -> Self {
        let what = match reason {
            ReasonCode::NOT_AUTHORIZED => "its right to be here has been withdrawn",
            _ => "ended by the broker",
        };
        Self::Fault { reason, what }
    }

    pub(super) fn protocol(what: &'static str) -> Self {
        Self::Fault {
            reason: ReasonCode::PROTOCOL_ERROR,
            what,
        }
    }
}

impl From<fieldgate_mqtt::DecodeError> for End {
    fn from(error: fieldgate_mqtt::DecodeError) -> Self {
        Self::Fault {
            reason: error.reason,
            what: error.what,
        }
    }
}

impl From<WrongAck> for End {
    fn from(WrongAck: WrongAck) -> Self {
        Self::protocol("an acknowledgement of another kind than its message waits for")
    }
}

impl<S: Stream> Connection<S> {
    /// The session is done with: sends what is left, then waits for the client to close, so that
    /// what it has not read yet is not lost with a reset.
    pub(super) fn poll_linger(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Scratch,
        now: Instant,
    ) -> Poll<End> {
        if ready!(self.poll_flush(cx, desk, now)).is_err() {
            return Poll::Ready(End::Lost);
        }
        if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(End::Lost);
        }
        for _ in 0..READS_AT_ONCE {
            let mut buffer = ReadBuf::new(&mut desk.read);
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
        let id = client.attached.cell.client_id();
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
        if let Some((_, wire)) = client.attached.cell.lock().wire(client.attached.epoch)
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
