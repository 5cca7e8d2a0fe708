//! Acknowledgements, in both directions (MQTT 5.0 section 4.3).

use fieldgate_mqtt::{AckKind, Packet, PacketId, ReasonCode, Version, encode_ack};

use super::inflight::Phase;
use super::{Receipt, Session, Turn};
use crate::journal::{Change, Journal};

/// The acknowledgement is not one that its message waits for, as PUBCOMP for a message of QoS 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongAck;

const PINGRESP: [u8; 2] = [0xD0, 0];

impl Session {
    /// Takes a packet that concerns this session alone: an acknowledgement or PINGREQ. `None` for all others.
    ///
    /// # Errors
    /// [`WrongAck`], which ends the connection.
    pub fn take(
        &mut self,
        packet: &Packet<'_>,
        turn: &mut Turn<'_>,
    ) -> Option<Result<(), WrongAck>> {
        match packet {
            Packet::PubAck(ack) => Some(self.puback(ack.packet_id, turn)),
            Packet::PubRec(ack) => Some(self.pubrec(ack.packet_id, ack.reason, turn)),
            Packet::PubComp(ack) => Some(self.pubcomp(ack.packet_id, turn)),
            Packet::PubRel(ack) => {
                self.release(ack.packet_id, turn);
                Some(Ok(()))
            }
            Packet::PingReq => {
                turn.out.bytes.extend_from_slice(&PINGRESP);
                turn.tally.replies += 1;
                Some(Ok(()))
            }
            _ => None,
        }
    }

    /// Acknowledges. With `hold` the acknowledgement waits for the store, as it does behind another that waits: their
    /// order is that of the messages (MQTT-4.6.0-2).
    pub fn answer(
        &self,
        (kind, id, reason): (AckKind, PacketId, ReasonCode),
        hold: bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(peer) = &self.peer else { return };
        turn.tally.replies += 1;
        if hold || !turn.pending.is_empty() {
            turn.pending.push_ack(kind, id, reason);
        } else {
            encode_ack(&mut turn.out.bytes, peer.version, kind, id, reason);
        }
    }

    /// PUBREL: the client knows that a message of QoS 2 that it sent was taken over.
    fn release(&mut self, id: PacketId, turn: &mut Turn<'_>) {
        let reason = match self.complete(id, turn.journal) {
            true => ReasonCode::SUCCESS,
            false => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        // After its PUBCOMP a client takes the identifier for a new message, which must not look like this one again.
        self.answer((AckKind::PubComp, id, reason), self.stored.is_some(), turn);
    }

    /// PUBACK from the client. An identifier that is not in use is ignored.
    pub(super) fn puback(&mut self, id: PacketId, turn: &mut Turn<'_>) -> Result<(), WrongAck> {
        self.finish(id, Phase::AwaitsAck, turn)
    }

    /// PUBREC from the client: releases the message, or ends it if `reason` is an error. It may come again.
    pub(super) fn pubrec(
        &mut self,
        id: PacketId,
        reason: ReasonCode,
        turn: &mut Turn<'_>,
    ) -> Result<(), WrongAck> {
        let Some(peer) = self.peer else { return Ok(()) };
        if self.inflight.phase(id) == Some(Phase::AwaitsAck) {
            return Err(WrongAck);
        }
        if reason.is_error() {
            return self.finish(id, Phase::AwaitsReceived, turn);
        }
        let reason = match self.inflight.release(id) {
            None => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
            Some((number, is_news)) => {
                if let Some(session) = self.stored.filter(|_| is_news) {
                    let released = Change::Released { session, number };
                    turn.journal.changes.push(released);
                }
                ReasonCode::SUCCESS
            }
        };
        turn.tally.replies += 1;
        self.pubrel(id, reason, peer.version, turn);
        Ok(())
    }

    /// After its PUBREL a client takes the identifier for a new message. So the release has to be
    /// on disk before.
    pub(super) fn pubrel(
        &self,
        id: PacketId,
        reason: ReasonCode,
        version: Version,
        turn: &mut Turn<'_>,
    ) {
        if self.stored.is_some() {
            turn.pending.push_ack(AckKind::PubRel, id, reason);
        } else {
            let bytes = &mut turn.out.bytes;
            encode_ack(bytes, version, AckKind::PubRel, id, reason);
        }
    }

    /// PUBCOMP from the client. An identifier that is not in use is ignored.
    pub(super) fn pubcomp(&mut self, id: PacketId, turn: &mut Turn<'_>) -> Result<(), WrongAck> {
        self.finish(id, Phase::Released, turn)
    }

    fn finish(&mut self, id: PacketId, phase: Phase, turn: &mut Turn<'_>) -> Result<(), WrongAck> {
        if self.inflight.phase(id).is_some_and(|is| is != phase) {
            return Err(WrongAck);
        }
        if let Some(number) = self.inflight.finish(id, phase) {
            self.patience.acknowledged(number, turn.now);
            self.note_gone(number, turn.journal);
            self.pump(turn);
        }
        Ok(())
    }

    /// A QoS 2 message from the client; no more than `maximum` may be unfinished.
    pub fn receive(&mut self, id: PacketId, maximum: u16, journal: &mut Journal) -> Receipt {
        let receipt = self.received.insert(id, maximum);
        if let (Receipt::New, Some(session)) = (receipt, self.stored) {
            journal.changes.push(Change::Received { session, id });
        }
        receipt
    }

    /// A QoS 2 message from the client could not be kept, and is refused.
    pub fn forget(&mut self, id: PacketId) {
        self.received.remove(id);
    }

    /// The end of a QoS 2 message from the client. Returns whether its identifier was in use.
    pub fn complete(&mut self, id: PacketId, journal: &mut Journal) -> bool {
        let known = self.received.remove(id);
        if let Some(session) = self.stored.filter(|_| known) {
            journal.changes.push(Change::Completed { session, id });
        }
        known
    }
}
