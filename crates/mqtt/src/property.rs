//! Property identifiers, types and values (section 2.2.2).

use core::num::{NonZeroU16, NonZeroU32};

use crate::read::Reader;
use crate::{DecodeError, QoS, SubscriptionIds, UserProperties};

/// The identifiers of table 2-4.
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_SUBSCRIPTIONS: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDS: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTIONS: u8 = 0x2A;
}

/// One property with its value checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Property<'a> {
    PayloadFormatUtf8(bool),
    MessageExpiry(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionId(u32),
    SessionExpiry(u32),
    AssignedClientId(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelay(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(NonZeroU16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumQos(QoS),
    RetainAvailable(bool),
    /// The pair is in [`PropertyReader::user_properties`].
    User,
    MaximumPacketSize(NonZeroU32),
    WildcardSubscriptions(bool),
    SubscriptionIds(bool),
    SharedSubscriptions(bool),
}

/// Refuses a property that the packet's type does not have (section 2.2.2.2).
pub(crate) const NOT_HERE: DecodeError =
    DecodeError::malformed("a property is not allowed in this packet");

/// Walks the properties of one packet. A property that may occur once only and occurs again is a
/// Protocol Error, as the section on each property says.
#[derive(Debug)]
pub(crate) struct PropertyReader<'a> {
    all: &'a [u8],
    rest: Reader<'a>,
    /// Bit n: the property with identifier n occurred. The largest identifier is 0x2A.
    seen: u64,
    user: Extent,
    subscription_ids: Extent,
}

/// Where the properties of one kind lie. Others may lie between them.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    start: usize,
    end: usize,
    /// Bytes of this kind only.
    bytes: usize,
}

impl Extent {
    #[inline]
    fn add(&mut self, start: usize, end: usize) {
        if self.bytes == 0 {
            self.start = start;
        }
        self.end = end;
        self.bytes += end - start;
    }

    fn of<'a>(&self, all: &'a [u8]) -> &'a [u8] {
        all.get(self.start..self.end).unwrap_or_default()
    }
}

impl<'a> PropertyReader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            all: bytes,
            rest: Reader::new(bytes),
            seen: 0,
            user: Extent::default(),
            subscription_ids: Extent::default(),
        }
    }

    /// Whether there is none left.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The user properties that [`next`](Self::next) has passed.
    #[inline]
    pub(crate) fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::validated(self.user.of(self.all), self.user.bytes)
    }

    /// The subscription identifiers that [`next`](Self::next) has passed.
    #[inline]
    pub(crate) fn subscription_ids(&self) -> SubscriptionIds<'a> {
        SubscriptionIds::validated(
            self.subscription_ids.of(self.all),
            self.subscription_ids.bytes,
        )
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.read().map(Some)
    }

    fn read(&mut self) -> Result<Property<'a>, DecodeError> {
        let start = self.all.len() - self.rest.len();
        // The identifier is a variable byte integer, and every one that exists has one byte.
        let id = self.rest.u8()?;
        let property = value(id, &mut self.rest)?;
        match property {
            Property::User => self.user.add(start, self.all.len() - self.rest.len()),
            Property::SubscriptionId(_) => {
                let end = self.all.len() - self.rest.len();
                self.subscription_ids.add(start, end);
            }
            _ => {
                let bit = 1 << (id & 0x3F);
                if self.seen & bit != 0 {
                    return Err(DecodeError::protocol("a property occurs more than once"));
                }
                self.seen |= bit;
            }
        }
        Ok(property)
    }
}

/// Reads the value of property `id` and checks its range.
#[inline]
fn value<'a>(id: u8, rest: &mut Reader<'a>) -> Result<Property<'a>, DecodeError> {
    Ok(match id {
        id::PAYLOAD_FORMAT => Property::PayloadFormatUtf8(boolean(rest)?),
        id::MESSAGE_EXPIRY => Property::MessageExpiry(rest.u32()?),
        id::CONTENT_TYPE => Property::ContentType(rest.string()?),
        id::RESPONSE_TOPIC => Property::ResponseTopic(response_topic(rest)?),
        id::CORRELATION_DATA => Property::CorrelationData(rest.binary()?),
        id::SUBSCRIPTION_ID => Property::SubscriptionId(subscription_id(rest)?),
        id::SESSION_EXPIRY => Property::SessionExpiry(rest.u32()?),
        id::ASSIGNED_CLIENT_ID => Property::AssignedClientId(rest.string()?),
        id::SERVER_KEEP_ALIVE => Property::ServerKeepAlive(rest.u16()?),
        id::AUTHENTICATION_METHOD => Property::AuthenticationMethod(rest.string()?),
        id::AUTHENTICATION_DATA => Property::AuthenticationData(rest.binary()?),
        id::REQUEST_PROBLEM_INFORMATION => Property::RequestProblemInformation(boolean(rest)?),
        id::WILL_DELAY => Property::WillDelay(rest.u32()?),
        id::REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(boolean(rest)?),
        id::RESPONSE_INFORMATION => Property::ResponseInformation(rest.string()?),
        id::SERVER_REFERENCE => Property::ServerReference(rest.string()?),
        id::REASON_STRING => Property::ReasonString(rest.string()?),
        id::RECEIVE_MAXIMUM => Property::ReceiveMaximum(
            NonZeroU16::new(rest.u16()?)
                .ok_or(DecodeError::protocol("the receive maximum is 0"))?,
        ),
        id::TOPIC_ALIAS_MAXIMUM => Property::TopicAliasMaximum(rest.u16()?),
        id::TOPIC_ALIAS => Property::TopicAlias(
            NonZeroU16::new(rest.u16()?).ok_or(DecodeError::protocol("the topic alias is 0"))?,
        ),
        id::MAXIMUM_QOS => Property::MaximumQos(if boolean(rest)? {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        }),
        id::RETAIN_AVAILABLE => Property::RetainAvailable(boolean(rest)?),
        id::USER_PROPERTY => {
            rest.string()?;
            rest.string()?;
            Property::User
        }
        id::MAXIMUM_PACKET_SIZE => Property::MaximumPacketSize(
            NonZeroU32::new(rest.u32()?)
                .ok_or(DecodeError::protocol("the maximum packet size is 0"))?,
        ),
        id::WILDCARD_SUBSCRIPTIONS => Property::WildcardSubscriptions(boolean(rest)?),
        id::SUBSCRIPTION_IDS => Property::SubscriptionIds(boolean(rest)?),
        id::SHARED_SUBSCRIPTIONS => Property::SharedSubscriptions(boolean(rest)?),
        _ => {
            return Err(DecodeError::malformed(
                "a property identifier does not exist",
            ));
        }
    })
}

fn boolean(rest: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match rest.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::protocol("a property is neither 0 nor 1")),
    }
}

fn subscription_id(rest: &mut Reader<'_>) -> Result<u32, DecodeError> {
    match rest.varint()? {
        0 => Err(DecodeError::protocol("the subscription identifier is 0")),
        id => Ok(id),
    }
}

fn response_topic<'a>(rest: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    match rest.topic()? {
        (_, true) => Err(DecodeError::protocol("the response topic has a wildcard")),
        ("", _) => Err(DecodeError::protocol("the response topic is empty")),
        (topic, false) => Ok(topic),
    }
}

/// Cuts the first property off `bytes`, which a [`PropertyReader`] has passed: its identifier, its
/// value, and what follows. `None` at the end.
pub(crate) fn split_first(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&id, behind_id) = bytes.split_first()?;
    let mut rest = Reader::new(behind_id);
    let value = match id {
        id::PAYLOAD_FORMAT
        | id::REQUEST_PROBLEM_INFORMATION
        | id::REQUEST_RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_SUBSCRIPTIONS
        | id::SUBSCRIPTION_IDS
        | id::SHARED_SUBSCRIPTIONS => rest.take(1),
        id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => {
            rest.take(2)
        }
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY | id::MAXIMUM_PACKET_SIZE => {
            rest.take(4)
        }
        id::SUBSCRIPTION_ID => rest.varint().map(|_| &[][..]),
        id::USER_PROPERTY => rest.binary().and_then(|_| rest.binary()),
        _ => rest.binary(),
    };
    value.ok()?;
    let len = behind_id.len() - rest.len();
    let (value, rest) = behind_id.split_at_checked(len)?;
    Some((id, value, rest))
}

impl<'a> Reader<'a> {
    /// The property length and the properties that it covers.
    #[inline]
    pub(crate) fn properties(&mut self) -> Result<PropertyReader<'a>, DecodeError> {
        let len = self.varint()?;
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(PropertyReader::new(bytes))
    }
}
