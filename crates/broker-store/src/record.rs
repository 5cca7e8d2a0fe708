//! The bytes of one entry of the store, and what they mean.
//!
//! A message is kept as an MQTT 5.0 PUBLISH packet behind the time of its expiry, so that
//! everything that a packet can carry survives.

use std::sync::Arc;
use std::time::Duration;

use fieldgate_mqtt::{Packet, PacketId, Publish, QoS, Version, decode, encode_publish};

use super::clock::{Clock, SPAN_MAX, millis};
use super::ops::{Malformed, get_number, put_number};
use fieldgate_broker_core::budget::Pot;
use fieldgate_broker_core::journal::Entry;
use fieldgate_broker_core::message::Message;
use fieldgate_broker_core::record::{Identity, SessionRecord, Will};
use fieldgate_broker_core::router::{Grant, Ids};

const QOS: u8 = 0b011;
const RETAIN: u8 = 0b100;

/// How an entry is to be sent: its flags, and its subscription identifiers.
pub(crate) fn entry_parts(entry: &Entry) -> (u8, Vec<u8>) {
    let mut ids = Vec::new();
    for &id in entry.ids.as_slice() {
        put_number(&mut ids, id.into());
    }
    let retain = if entry.retain { RETAIN } else { 0 };
    (entry.qos as u8 | retain, ids)
}

/// The entry with these parts.
pub(crate) fn entry(message: Message, flags: u8, mut ids: &[u8]) -> Result<Entry, Malformed> {
    let mut read = Ids::None;
    while !ids.is_empty() {
        let id = u32::try_from(get_number(&mut ids)?).map_err(|_| Malformed)?;
        read.add(id);
    }
    Ok(Entry {
        message,
        qos: QoS::from_u8(flags & QOS).ok_or(Malformed)?,
        retain: flags & RETAIN != 0,
        ids: read,
    })
}

/// A message as it is, with its publisher's quality of service and retain flag.
pub(crate) fn encode_message(bytes: &mut Vec<u8>, message: &Message, clock: &Clock) {
    let expires = message.expires().map_or(0, |at| clock.at(at));
    bytes.extend_from_slice(&expires.to_le_bytes());
    let mut publish = message.publish();
    publish.packet_id = (publish.qos > QoS::AtMostOnce).then_some(PacketId::MIN);
    encode_publish(bytes, Version::V5, &publish);
}

/// A message, and the subscription identifiers in it, which only files of version 0.1 have.
pub(crate) fn decode_message(
    bytes: &[u8],
    clock: &Clock,
    pot: &Arc<Pot>,
) -> Result<(Message, Ids), Malformed> {
    let (expires, packet) = bytes.split_first_chunk().ok_or(Malformed)?;
    let expires = u64::from_le_bytes(*expires);
    let expires = (expires > 0).then(|| clock.instant(expires));
    let publish = publish_of(packet)?;
    let mut ids = Ids::None;
    let found = publish.properties.subscription_ids.iter();
    found.for_each(|id| ids.add(id));
    Ok((Message::copy_of(&publish, expires, pot), ids))
}

fn publish_of(packet: &[u8]) -> Result<Publish<'_>, Malformed> {
    match decode(packet, Version::V5, usize::MAX) {
        Ok(Some((Packet::Publish(publish), len))) if len == packet.len() => Ok(publish),
        _ => Err(Malformed),
    }
}

/// The topic of an encoded message.
pub(crate) fn topic_of(bytes: &[u8]) -> Result<&str, Malformed> {
    let packet = bytes.get(size_of::<u64>()..).ok_or(Malformed)?;
    Ok(publish_of(packet)?.topic)
}

const FOR_EVER: u64 = u64::MAX;

pub(crate) fn encode_session(session: &SessionRecord, clock: &Clock) -> Vec<u8> {
    let mut bytes = Vec::new();
    let expiry = session.expiry.map_or(FOR_EVER, millis);
    bytes.extend_from_slice(&expiry.to_le_bytes());
    bytes.extend_from_slice(&session.away_since.unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(&session.unsent_from.unwrap_or(FOR_EVER).to_le_bytes());
    put_field(&mut bytes, session.client_id.as_bytes());
    match &session.identity {
        Identity::Anonymous { local, allowed } => {
            let allowed = allowed.map_or(0, |allowed| 1 + u8::from(allowed));
            bytes.extend_from_slice(&[0, u8::from(*local), allowed]);
        }
        Identity::User(name) => {
            bytes.push(1);
            put_field(&mut bytes, name.as_bytes());
        }
    }
    if let Some(will) = &session.will {
        bytes.extend_from_slice(&millis(will.delay).to_le_bytes());
        let lifetime = will.lifetime.map_or(FOR_EVER, millis);
        bytes.extend_from_slice(&lifetime.to_le_bytes());
        encode_message(&mut bytes, &will.message, clock);
    }
    bytes
}

pub(crate) fn decode_session(
    bytes: &[u8],
    clock: &Clock,
    pot: &Arc<Pot>,
) -> Result<SessionRecord, Malformed> {
    let mut rest = Rest(bytes);
    let expiry = rest.span()?;
    let away_since = Some(rest.u64()?).filter(|&since| since > 0);
    let unsent_from = Some(rest.u64()?).filter(|&from| from != FOR_EVER);
    let client_id = rest.text()?.into();
    let identity = match rest.u8()? {
        0 => Identity::Anonymous {
            local: rest.u8()? == 1,
            allowed: match rest.u8()? {
                0 => None,
                allowed => Some(allowed == 2),
            },
        },
        1 => Identity::User(rest.text()?.into()),
        _ => return Err(Malformed),
    };
    let will = match rest.0.is_empty() {
        true => None,
        false => Some(Will {
            delay: rest.span()?.ok_or(Malformed)?,
            lifetime: rest.span()?,
            message: decode_message(rest.0, clock, pot)?.0,
        }),
    };
    Ok(SessionRecord {
        client_id,
        identity,
        expiry,
        away_since,
        unsent_from,
        will,
    })
}

/// QoS and options, then the identifier.
pub(crate) fn encode_grant(grant: Grant) -> [u8; 5] {
    let flags = u8::from(grant.no_local) << 2 | u8::from(grant.retain_as_published) << 3;
    let [a, b, c, d] = grant.id.to_le_bytes();
    [grant.qos as u8 | flags, a, b, c, d]
}

pub(crate) fn decode_grant([flags, a, b, c, d]: [u8; 5]) -> Result<Grant, Malformed> {
    Ok(Grant {
        qos: QoS::from_u8(flags & 0b11).ok_or(Malformed)?,
        no_local: flags & 0b100 != 0,
        retain_as_published: flags & 0b1000 != 0,
        id: u32::from_le_bytes([a, b, c, d]),
    })
}

fn put_field(bytes: &mut Vec<u8>, field: &[u8]) {
    let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(field);
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take().map(u8::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_le_bytes)
    }

    fn span(&mut self) -> Result<Option<Duration>, Malformed> {
        match self.u64()? {
            FOR_EVER => Ok(None),
            millis => {
                let span = Duration::from_millis(millis);
                Some(Some(span))
                    .filter(|_| span <= SPAN_MAX)
                    .ok_or(Malformed)
            }
        }
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = usize::try_from(u32::from_le_bytes(self.take()?)).map_err(|_| Malformed)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Malformed)
    }
}
