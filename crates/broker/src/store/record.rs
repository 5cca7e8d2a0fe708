//! The bytes of one entry of the store, and what they mean.
//!
//! A message is kept as an MQTT 5.0 PUBLISH packet behind the time of its expiry, so that
//! whatever a packet can carry survives.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fieldgate_mqtt::{Packet, PacketId, QoS, SubscriptionIds, Version, decode, encode_publish};

use crate::access::{Principal, Proof};
use crate::cell::Will;
use crate::journal::Entry;
use crate::message::Message;
use crate::router::{Grant, Ids, Kept};

/// A session but for its queue and its subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct SessionRecord {
    pub(crate) client_id: Box<str>,
    pub(crate) principal: Principal,
    /// How long it outlives its connection; `None` for ever.
    pub(crate) expiry: Option<Duration>,
    /// When the connection ended, in milliseconds since 1970; `None` while there is one.
    pub(crate) away_since: Option<u64>,
    /// The number of the first message that was not sent before the connection ended; `None`
    /// while there is one.
    pub(crate) unsent_from: Option<u64>,
    pub(crate) will: Option<Will>,
}

/// Relates the steady clock to the calendar, which a restart does not reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    instant: Instant,
    millis: u64,
}

impl Clock {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            instant: tokio::time::Instant::now().into_std(),
            millis: since.map_or(0, millis),
        }
    }

    pub(crate) fn millis(&self) -> u64 {
        self.millis
    }

    /// What is left of `span` that began at the calendar time `since`. A calendar that has gone
    /// back, as on a board without a battery, counts as standing still.
    pub(crate) fn left_of(&self, span: Duration, since: u64) -> Duration {
        span.saturating_sub(Duration::from_millis(self.millis.saturating_sub(since)))
    }

    fn at(&self, instant: Instant) -> u64 {
        let ahead = instant.saturating_duration_since(self.instant);
        self.millis.saturating_add(millis(ahead)).max(1)
    }

    fn instant(&self, millis: u64) -> Instant {
        self.instant + Duration::from_millis(millis.saturating_sub(self.millis))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The bytes do not mean anything: the store is damaged, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The record of a message that the client has, and whose PUBREL it will get.
const RELEASED: [u8; 1] = [0];

/// `None` is a message that was released.
pub(crate) fn encode_entry(entry: Option<&Entry>, clock: &Clock) -> Vec<u8> {
    let Some(entry) = entry else {
        return RELEASED.into();
    };
    let mut bytes = vec![1];
    let (qos, retain) = (entry.qos, entry.retain);
    put_message(
        &mut bytes,
        &entry.message,
        (qos, retain),
        entry.ids.as_slice(),
        clock,
    );
    bytes
}

pub(crate) fn decode_entry(bytes: &[u8], clock: &Clock) -> Result<Option<Entry>, Malformed> {
    match bytes.split_first() {
        Some((0, [])) => Ok(None),
        Some((1, bytes)) => {
            let (message, ids) = message(bytes, clock)?;
            Ok(Some(Entry {
                qos: message.qos(),
                retain: message.retain(),
                message,
                ids,
            }))
        }
        _ => Err(Malformed),
    }
}

pub(crate) fn encode_retained(kept: &Kept, clock: &Clock) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_field(&mut bytes, kept.publisher.as_bytes());
    let message = &kept.message;
    put_message(&mut bytes, message, (message.qos(), true), &[], clock);
    bytes
}

pub(crate) fn decode_retained(bytes: &[u8], clock: &Clock) -> Result<Kept, Malformed> {
    let mut rest = Rest(bytes);
    Ok(Kept {
        publisher: rest.text()?.into(),
        message: message(rest.0, clock)?.0,
    })
}

fn put_message(
    bytes: &mut Vec<u8>,
    message: &Message,
    (qos, retain): (QoS, bool),
    ids: &[u32],
    clock: &Clock,
) {
    let expires = message.expires().map_or(0, |at| clock.at(at));
    bytes.extend_from_slice(&expires.to_le_bytes());
    let mut publish = message.publish();
    publish.qos = qos;
    publish.retain = retain;
    publish.packet_id = (qos > QoS::AtMostOnce).then_some(PacketId::MIN);
    publish.properties.subscription_ids = SubscriptionIds::from_list(ids);
    encode_publish(bytes, Version::V5, &publish);
}

fn message(bytes: &[u8], clock: &Clock) -> Result<(Message, Ids), Malformed> {
    let (expires, packet) = bytes.split_first_chunk().ok_or(Malformed)?;
    let expires = u64::from_le_bytes(*expires);
    let expires = (expires > 0).then(|| clock.instant(expires));
    match decode(packet, Version::V5, usize::MAX) {
        Ok(Some((Packet::Publish(publish), len))) if len == packet.len() => {
            let mut ids = Ids::None;
            publish
                .properties
                .subscription_ids
                .iter()
                .for_each(|id| ids.add(id));
            Ok((Message::copy_of(&publish, expires), ids))
        }
        _ => Err(Malformed),
    }
}

const FOR_EVER: u64 = u64::MAX;

impl SessionRecord {
    pub(crate) fn encode(&self, clock: &Clock) -> Vec<u8> {
        let mut bytes = Vec::new();
        let expiry = self.expiry.map_or(FOR_EVER, millis);
        bytes.extend_from_slice(&expiry.to_le_bytes());
        bytes.extend_from_slice(&self.away_since.unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&self.unsent_from.unwrap_or(FOR_EVER).to_le_bytes());
        put_field(&mut bytes, self.client_id.as_bytes());
        match &self.principal {
            Principal::Anonymous { local, allowed } => {
                let allowed = allowed.map_or(0, |allowed| 1 + u8::from(allowed));
                bytes.extend_from_slice(&[0, u8::from(*local), allowed]);
            }
            Principal::User { name, .. } => {
                bytes.push(1);
                put_field(&mut bytes, name.as_bytes());
            }
        }
        if let Some(will) = &self.will {
            bytes.extend_from_slice(&millis(will.delay).to_le_bytes());
            let lifetime = will.lifetime.map_or(FOR_EVER, millis);
            bytes.extend_from_slice(&lifetime.to_le_bytes());
            let message = &will.message;
            let flags = (message.qos(), message.retain());
            put_message(&mut bytes, message, flags, &[], clock);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], clock: &Clock) -> Result<Self, Malformed> {
        let mut rest = Rest(bytes);
        let expiry = rest.span()?;
        let away_since = Some(rest.u64()?).filter(|&since| since > 0);
        let unsent_from = Some(rest.u64()?).filter(|&from| from != FOR_EVER);
        let client_id = rest.text()?.into();
        let principal = match rest.u8()? {
            0 => Principal::Anonymous {
                local: rest.u8()? == 1,
                allowed: match rest.u8()? {
                    0 => None,
                    allowed => Some(allowed == 2),
                },
            },
            1 => Principal::User {
                name: rest.text()?.into(),
                // It proved who it was when it connected, and will have to again.
                proof: Proof::Kept,
            },
            _ => return Err(Malformed),
        };
        let will = match rest.0.is_empty() {
            true => None,
            false => Some(Will {
                delay: rest.span()?.ok_or(Malformed)?,
                lifetime: rest.span()?,
                message: message(rest.0, clock)?.0,
            }),
        };
        Ok(Self {
            client_id,
            principal,
            expiry,
            away_since,
            unsent_from,
            will,
        })
    }
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
        let millis = Some(self.u64()?).filter(|&millis| millis != FOR_EVER);
        Ok(millis.map(Duration::from_millis))
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = usize::try_from(u32::from_le_bytes(self.take()?)).map_err(|_| Malformed)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Malformed)
    }
}
