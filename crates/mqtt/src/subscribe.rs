//! SUBSCRIBE (section 3.8) and UNSUBSCRIBE (section 3.10): lists of topic filters.

use core::fmt;

use crate::frame::kind;
use crate::property::{NOT_HERE, Property, id};
use crate::read::Reader;
use crate::topic::{SHARE_PREFIX, is_well_formed};
use crate::types::MAX_REMAINING_LENGTH;
use crate::write::{put_field, put_id, put_varint, put_with_length};
use crate::{DecodeError, EncodeError, PacketId, QoS, UserProperties, Version};

/// Reads a topic filter. Topic Filter Invalid would be for one that is well formed and unwelcome (table 2-6).
fn read_filter<'a>(rest: &mut Reader<'a>, version: Version) -> Result<&'a str, DecodeError> {
    let filter = rest.string()?;
    match is_well_formed(filter, version) {
        true => Ok(filter),
        false => Err(DecodeError::malformed(
            "a topic filter is empty or has a wildcard in the wrong place",
        )),
    }
}

/// What a subscriber wants besides the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver with.
    pub qos: QoS,
    /// Keep the subscriber's own messages from it. MQTT 5.0 only.
    pub no_local: bool,
    /// Deliver the retain flag as it was published. MQTT 5.0 only.
    pub retain_as_published: bool,
    /// What to do with retained messages. MQTT 5.0 only.
    pub retain_handling: RetainHandling,
}

/// When a subscription sends the retained messages that it matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE. What MQTT 3.1 and 3.1.1 do.
    #[default]
    SendAtSubscribe = 0,
    /// Only when the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// Options of MQTT 3.1 and 3.1.1, or the defaults of MQTT 5.0.
    pub const fn new(qos: QoS) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    fn from_byte(byte: u8, version: Version) -> Result<Self, DecodeError> {
        let reserved = match version {
            Version::V5 => 0b1100_0000,
            _ => 0b1111_1100,
        };
        if byte & reserved != 0 {
            return Err(DecodeError::malformed(
                "a reserved subscription option is set",
            ));
        }
        Ok(Self {
            qos: QoS::from_u8(byte & 0b11)
                .ok_or(DecodeError::protocol("the QoS of a subscription is 3"))?,
            no_local: byte & 0b100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling: match byte >> 4 & 0b11 {
                0 => RetainHandling::SendAtSubscribe,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(DecodeError::protocol("the retain handling is 3")),
            },
        })
    }

    fn to_byte(self, version: Version) -> u8 {
        match version {
            Version::V5 => {
                self.qos as u8
                    | u8::from(self.no_local) << 2
                    | u8::from(self.retain_as_published) << 3
                    | (self.retain_handling as u8) << 4
            }
            _ => self.qos as u8,
        }
    }
}

/// A request for subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Comes back in SUBACK.
    pub packet_id: PacketId,
    /// 1 to 268,435,455; comes back with each message. MQTT 5.0 only.
    pub subscription_id: Option<u32>,
    /// MQTT 5.0 only; not encoded in other versions.
    pub user_properties: UserProperties<'a>,
    filters: SubscribeFilters<'a>,
}

impl<'a> Subscribe<'a> {
    /// A request to send. The list must not be empty.
    pub fn new(packet_id: PacketId, filters: &'a [(&'a str, SubscriptionOptions)]) -> Self {
        Self {
            packet_id,
            subscription_id: None,
            user_properties: UserProperties::default(),
            filters: SubscribeFilters(Source::List(filters)),
        }
    }

    /// The filters, at least one. In a decoded packet each keeps the rules of its version. Those of MQTT 3.1 and 3.1.1
    /// say nothing about `$share/`: ask [`filter_is_valid`](crate::topic::filter_is_valid) whether one of these makes a
    /// shared subscription.
    #[inline]
    pub fn filters(&self) -> SubscribeFilters<'a> {
        self.filters
    }

    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let packet_id = rest.packet_id()?;
        let mut subscription_id = None;
        let mut user_properties = UserProperties::default();
        if version == Version::V5 {
            let mut properties = rest.properties()?;
            while let Some(property) = properties.next()? {
                match property {
                    Property::SubscriptionId(id) => {
                        if subscription_id.replace(id).is_some() {
                            return Err(DecodeError::protocol("a property occurs more than once"));
                        }
                    }
                    Property::User => {}
                    _ => return Err(NOT_HERE),
                }
            }
            user_properties = properties.user_properties();
        }
        let filters = SubscribeFilters(Source::Encoded(rest.rest()));
        if rest.is_empty() {
            return Err(DecodeError::protocol("a SUBSCRIBE has no topic filter"));
        }
        while !rest.is_empty() {
            let filter = read_filter(&mut rest, version)?;
            let options = SubscriptionOptions::from_byte(rest.u8()?, version)?;
            if options.no_local && filter.starts_with(SHARE_PREFIX) {
                return Err(DecodeError::protocol(
                    "a shared subscription has no-local set",
                ));
            }
        }
        Ok(Self {
            packet_id,
            subscription_id,
            user_properties,
            filters,
        })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(kind::SUBSCRIBE << 4 | 0b0010);
        put_with_length(out, |out| {
            put_id(out, self.packet_id);
            if version == Version::V5 {
                put_with_length(out, |out| {
                    if let Some(number) = self.subscription_id {
                        let number = number as usize;
                        if number > MAX_REMAINING_LENGTH {
                            return Err(EncodeError::TooLarge);
                        }
                        out.push(id::SUBSCRIPTION_ID);
                        put_varint(out, number);
                    }
                    self.user_properties.encode_into(out);
                    Ok(())
                })?;
            }
            for (filter, options) in self.filters {
                put_field(out, filter.as_bytes())?;
                out.push(options.to_byte(version));
            }
            Ok(())
        })
    }
}

/// Yields the filters of a [`Subscribe`] with their options.
#[derive(Clone, Copy)]
pub struct SubscribeFilters<'a>(Source<'a, (&'a str, SubscriptionOptions)>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    /// A packet's list, checked.
    Encoded(&'a [u8]),
    List(&'a [T]),
}

impl<'a> Iterator for SubscribeFilters<'a> {
    type Item = (&'a str, SubscriptionOptions);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::List(list) => {
                let (&first, rest) = list.split_first()?;
                *list = rest;
                Some(first)
            }
            Source::Encoded(bytes) => {
                let mut rest = Reader::new(bytes);
                let filter = rest.string().ok()?;
                // Options that MQTT 3.1.1 does not have are 0 in its packets.
                let options = SubscriptionOptions::from_byte(rest.u8().ok()?, Version::V5).ok()?;
                *bytes = rest.rest();
                Some((filter, options))
            }
        }
    }
}

/// A request to end subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Comes back in UNSUBACK.
    pub packet_id: PacketId,
    /// MQTT 5.0 only; not encoded in other versions.
    pub user_properties: UserProperties<'a>,
    filters: UnsubscribeFilters<'a>,
}

impl<'a> Unsubscribe<'a> {
    /// A request to send. The list must not be empty.
    pub fn new(packet_id: PacketId, filters: &'a [&'a str]) -> Self {
        Self {
            packet_id,
            user_properties: UserProperties::default(),
            filters: UnsubscribeFilters(Source::List(filters)),
        }
    }

    /// The filters, at least one, checked as far as those of [`Subscribe::filters`].
    #[inline]
    pub fn filters(&self) -> UnsubscribeFilters<'a> {
        self.filters
    }

    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let packet_id = rest.packet_id()?;
        let mut user_properties = UserProperties::default();
        if version == Version::V5 {
            let mut properties = rest.properties()?;
            while let Some(property) = properties.next()? {
                if !matches!(property, Property::User) {
                    return Err(NOT_HERE);
                }
            }
            user_properties = properties.user_properties();
        }
        let filters = UnsubscribeFilters(Source::Encoded(rest.rest()));
        if rest.is_empty() {
            return Err(DecodeError::protocol("an UNSUBSCRIBE has no topic filter"));
        }
        while !rest.is_empty() {
            read_filter(&mut rest, version)?;
        }
        Ok(Self {
            packet_id,
            user_properties,
            filters,
        })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(kind::UNSUBSCRIBE << 4 | 0b0010);
        put_with_length(out, |out| {
            put_id(out, self.packet_id);
            if version == Version::V5 {
                put_with_length(out, |out| {
                    self.user_properties.encode_into(out);
                    Ok(())
                })?;
            }
            for filter in self.filters {
                put_field(out, filter.as_bytes())?;
            }
            Ok(())
        })
    }
}

/// Yields the filters of an [`Unsubscribe`].
#[derive(Clone, Copy)]
pub struct UnsubscribeFilters<'a>(Source<'a, &'a str>);

impl<'a> Iterator for UnsubscribeFilters<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        match &mut self.0 {
            Source::List(list) => {
                let (&first, rest) = list.split_first()?;
                *list = rest;
                Some(first)
            }
            Source::Encoded(bytes) => {
                let mut rest = Reader::new(bytes);
                let filter = rest.string().ok()?;
                *bytes = rest.rest();
                Some(filter)
            }
        }
    }
}

impl PartialEq for SubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(*self, *other)
    }
}

impl Eq for SubscribeFilters<'_> {}

impl fmt::Debug for SubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl PartialEq for UnsubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(*self, *other)
    }
}

impl Eq for UnsubscribeFilters<'_> {}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}
