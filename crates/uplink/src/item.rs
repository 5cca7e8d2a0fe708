//! A message on its way up, as the bytes of a record. Pure.
//!
//! Both lanes hold these bytes, so that what goes to the card is what was in memory.

use fieldgate_mqtt::{Publish, PublishProperties, QoS, UserProperties};

const QOS: u8 = 0b11;
const RETAIN: u8 = 0b100;
const EXPIRES: u8 = 0b1000;
const FORMAT: u8 = 0b1_0000;
const UTF8: u8 = 0b10_0000;
const EXTRA: u8 = 0b100_0000;

/// A message as the remote shall get it, without what is added when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The topic at the remote.
    pub topic: &'a str,
    /// The application's bytes.
    pub payload: &'a [u8],
    /// 0 or 1.
    pub qos: QoS,
    /// Keep it, if it is sent while it is new.
    pub retain: bool,
    /// When it becomes worthless, in milliseconds since 1970.
    pub expires: Option<u64>,
    /// Whether the payload is said to be UTF-8.
    pub utf8: Option<bool>,
    /// Tells a requester which request an answer belongs to.
    pub correlation: Option<&'a [u8]>,
    /// What the payload is.
    pub content_type: Option<&'a str>,
    /// Pairs of the publisher.
    pub user: UserProperties<'a>,
}

impl<'a> Item<'a> {
    /// The bytes of a record.
    pub fn encode(&self) -> Vec<u8> {
        let has_extra =
            self.correlation.is_some() || self.content_type.is_some() || !self.user.is_empty();
        let mut flags = self.qos as u8;
        for (is_set, flag) in [
            (self.retain, RETAIN),
            (self.expires.is_some(), EXPIRES),
            (self.utf8.is_some(), FORMAT),
            (self.utf8 == Some(true), UTF8),
            (has_extra, EXTRA),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        let mut out = Vec::with_capacity(self.topic.len() + self.payload.len() + 12);
        out.push(flags);
        if let Some(expires) = self.expires {
            out.extend_from_slice(&expires.to_le_bytes());
        }
        put(self.topic.as_bytes(), &mut out);
        if has_extra {
            put_optional(self.correlation, &mut out);
            put_optional(self.content_type.map(str::as_bytes), &mut out);
            out.extend_from_slice(&(self.user.encoded_len() as u32).to_le_bytes());
            self.user.encode_into(&mut out);
        }
        out.extend_from_slice(self.payload);
        out
    }

    /// `None` if these bytes are none of ours.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = bytes.split_first()?;
        let expires = match flags & EXPIRES {
            0 => None,
            _ => Some(u64::from_le_bytes(take_array(&mut rest)?)),
        };
        let topic = str::from_utf8(take(&mut rest)?).ok()?;
        let (mut correlation, mut content_type) = (None, None);
        let mut user = UserProperties::default();
        if flags & EXTRA != 0 {
            correlation = take_optional(&mut rest)?;
            content_type = match take_optional(&mut rest)? {
                Some(text) => Some(str::from_utf8(text).ok()?),
                None => None,
            };
            let len = u32::from_le_bytes(take_array(&mut rest)?);
            let (encoded, behind) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            user = UserProperties::from_encoded(encoded).ok()?;
            rest = behind;
        }
        if !fieldgate_mqtt::topic::name_is_valid(topic) {
            return None;
        }
        Some(Self {
            topic,
            payload: rest,
            qos: QoS::from_u8(flags & QOS).filter(|qos| *qos < QoS::ExactlyOnce)?,
            retain: flags & RETAIN != 0,
            expires,
            utf8: (flags & FORMAT != 0).then_some(flags & UTF8 != 0),
            correlation,
            content_type,
            user,
        })
    }

    /// The packet, without an identifier; `user` are all the pairs that go with it.
    pub fn publish<'b>(&self, now: u64, user: UserProperties<'b>) -> Publish<'b>
    where
        'a: 'b,
    {
        let seconds = |expires: u64| u32::try_from(expires.saturating_sub(now).div_ceil(1_000));
        Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic,
            packet_id: None,
            properties: PublishProperties {
                payload_format_utf8: self.utf8,
                message_expiry: self.expires.and_then(|expires| seconds(expires).ok()),
                correlation_data: self.correlation,
                content_type: self.content_type,
                user_properties: user,
                ..PublishProperties::default()
            },
            payload: self.payload,
        }
    }
}

/// The quality of service of a record's message, without a look at the rest.
pub fn qos_of(record: &[u8]) -> QoS {
    let number = record.first().map_or(0, |flags| flags & QOS);
    QoS::from_u8(number).unwrap_or_default()
}

/// The topic of a record's message, without a look at the rest; empty if the record is none of ours.
pub fn topic_of(record: &[u8]) -> &[u8] {
    let Some((flags, mut rest)) = record.split_first() else {
        return &[];
    };
    if flags & EXPIRES != 0 && take_array::<8>(&mut rest).is_none() {
        return &[];
    }
    take(&mut rest).unwrap_or_default()
}

/// A field of 65,535 bytes at most, as all of MQTT's are.
fn put(field: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(field.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(field.get(..len.into()).unwrap_or(field));
}

fn put_optional(field: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(field.is_some().into());
    if let Some(field) = field {
        put(field, out);
    }
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u16::from_le_bytes(take_array(rest)?);
    let (field, behind) = rest.split_at_checked(len.into())?;
    *rest = behind;
    Some(field)
}

fn take_optional<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_array::<1>(rest)? {
        [0] => Some(None),
        [1] => take(rest).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_mqtt::UserPropertiesBuf;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_comes_back_from_its_record(
            topic in "[a-z/]{1,40}",
            payload in prop::collection::vec(any::<u8>(), 0..60),
            flags in any::<(bool, bool)>(),
            expires in any::<Option<u64>>(),
            utf8 in any::<Option<bool>>(),
            correlation in any::<Option<Vec<u8>>>(),
            content_type in prop::option::of("[a-z/]{0,9}"),
            pairs in prop::collection::vec(("[a-z]{0,5}", "[a-z]{0,5}"), 0..3),
        ) {
            let mut user = UserPropertiesBuf::new();
            for (name, value) in &pairs {
                user.push(name, value).unwrap();
            }
            let item = Item {
                topic: &topic,
                payload: &payload,
                qos: if flags.0 { QoS::AtLeastOnce } else { QoS::AtMostOnce },
                retain: flags.1,
                expires,
                utf8,
                correlation: correlation.as_deref(),
                content_type: content_type.as_deref(),
                user: user.as_properties(),
            };
            let record = item.encode();
            prop_assert_eq!(Item::decode(&record), Some(item));
            prop_assert_eq!(qos_of(&record), item.qos);
            prop_assert_eq!(topic_of(&record), topic.as_bytes());
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Item::decode(&bytes);
            let _ = topic_of(&bytes);
        }
    }
}
