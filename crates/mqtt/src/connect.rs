//! CONNECT (section 3.1), the first packet, which says the version of all that follow.

use core::num::{NonZeroU16, NonZeroU32};

use crate::frame::{WRONG_FLAGS, body, check_flags, kind};
use crate::property::{NOT_HERE, Property, PropertyReader, id};
use crate::read::Reader;
use crate::write::{put_field, put_u16, put_u32, put_with_length};
use crate::{DecodeError, EncodeError, QoS, ReasonCode, UserProperties, Version};

const NAME: &[u8] = b"MQTT";
/// The protocol name of MQTT 3.1.
const NAME_V3: &[u8] = b"MQIsdp";
/// It with its length in front.
const FIELD_V3: &[u8] = b"\x00\x06MQIsdp";
/// Added to the protocol level by mosquitto and others when the client is a bridge.
const BRIDGE: u8 = 0x80;

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USERNAME: u8 = 0x80;

/// A client's request for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the client speaks.
    pub version: Version,
    /// The client is a bridge, as mosquitto marks it: bit 0x80 of the protocol level, in MQTT 3.1
    /// and 3.1.1 only.
    pub bridge: bool,
    /// Begin with no state. Clean Session in MQTT 3.1 and 3.1.1.
    pub clean_start: bool,
    /// Seconds between two packets of the client; 0: no limit.
    pub keep_alive: u16,
    /// May be empty in every version here. Whether that is allowed is the broker's to say.
    pub client_id: &'a str,
    /// The message to publish when the client is lost.
    pub will: Option<Will<'a>>,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password. Without a user name in MQTT 5.0 only.
    pub password: Option<&'a [u8]>,
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: ConnectProperties<'a>,
}

/// The message that the server publishes when it loses the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// A valid topic name.
    pub topic: &'a str,
    /// The message.
    pub payload: &'a [u8],
    /// The quality of service of the message.
    pub qos: QoS,
    /// Whether the server keeps the message.
    pub retain: bool,
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: WillProperties<'a>,
}

/// The properties of CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectProperties<'a> {
    /// Seconds that the session outlives its connection; absent: 0; 0xFFFF_FFFF: for ever.
    pub session_expiry: Option<u32>,
    /// Unacknowledged QoS 1 and 2 messages that the client accepts; absent: 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet that the client accepts, in bytes; absent: no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The largest topic alias that the client accepts; 0: none.
    pub topic_alias_maximum: u16,
    /// The client wants response information in CONNACK.
    pub request_response_information: bool,
    /// The client wants reason strings and user properties wherever they may be. Default: true.
    pub request_problem_information: bool,
    /// The enhanced authentication to use.
    pub authentication_method: Option<&'a str>,
    /// Only with a method.
    pub authentication_data: Option<&'a [u8]>,
    /// Pairs that the specification gives no meaning.
    pub user_properties: UserProperties<'a>,
}

impl Default for ConnectProperties<'_> {
    fn default() -> Self {
        Self {
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user_properties: UserProperties::default(),
        }
    }
}

/// The properties of a will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WillProperties<'a> {
    /// Seconds between the loss of the client and the publication.
    pub delay: u32,
    /// Whether the payload is said to be UTF-8. It is not checked.
    pub payload_format_utf8: Option<bool>,
    /// Seconds after which the published message is worthless.
    pub message_expiry: Option<u32>,
    /// What the payload is, for example a MIME type.
    pub content_type: Option<&'a str>,
    /// Where an answer goes: at least one character, no wildcard.
    pub response_topic: Option<&'a str>,
    /// Tells the requester which request an answer belongs to.
    pub correlation_data: Option<&'a [u8]>,
    /// Pairs to publish with the message.
    pub user_properties: UserProperties<'a>,
}

/// Decodes the first packet of a connection, which must be CONNECT, and returns its length in
/// bytes too. `None`: more bytes are needed. `max_packet_size` counts the whole packet.
///
/// # Errors
/// Protocol Error when it is another packet; Unsupported Protocol Version for an unknown protocol
/// name or level; else as [`decode`](crate::decode). [`answer_version`] says how to answer.
pub fn decode_connect(
    input: &[u8],
    max_packet_size: usize,
) -> Result<Option<(Connect<'_>, usize)>, DecodeError> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    if first >> 4 != kind::CONNECT {
        return Err(DecodeError::protocol("the first packet is not CONNECT"));
    }
    // The flags mean nothing in MQTT 3.1. As long as the version is not known, the beginning must be one of that.
    let has_flags = check_flags(first, Version::V5).is_err();
    if has_flags && !may_be_v3(input) {
        return Err(WRONG_FLAGS);
    }
    let Some((body, len)) = body(input, max_packet_size)? else {
        return Ok(None);
    };
    let connect = Connect::decode(body)?;
    if has_flags && connect.version != Version::V3 {
        return Err(WRONG_FLAGS);
    }
    Ok(Some((connect, len)))
}

/// Whether these bytes, as far as they have come, begin as a CONNECT of MQTT 3.1. So that a client of another protocol
/// is found out before it has sent as much as its second byte happens to say.
fn may_be_v3(input: &[u8]) -> bool {
    let Ok(Some((_, len))) = crate::read::varint(input.get(1..).unwrap_or_default()) else {
        return true;
    };
    let begun = input.get(1 + len..).unwrap_or_default();
    begun.iter().zip(FIELD_V3).all(|(byte, want)| byte == want)
}

/// The version whose CONNACK the sender of this first packet understands, for a refusal: 5.0 for
/// level 5 and above. `None` when the bytes do not begin as a CONNECT of MQTT does; then only
/// closing the connection is left.
pub fn answer_version(input: &[u8]) -> Option<Version> {
    let (&first, _) = input.split_first()?;
    if first >> 4 != kind::CONNECT {
        return None;
    }
    let (_, len) = crate::read::varint(input.get(1..)?).ok()??;
    let mut rest = Reader::new(input.get(1 + len..)?);
    let name = rest.binary().ok()?;
    let level = rest.u8().ok()?;
    match name {
        NAME if level & !BRIDGE >= 5 => Some(Version::V5),
        NAME => Some(Version::V4),
        NAME_V3 => Some(Version::V3),
        _ => None,
    }
}

impl<'a> Connect<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let (version, bridge) = protocol(&mut rest)?;
        let flags = rest.u8()?;
        let will_qos = will_qos(flags)?;
        check_connect_flags(flags, version)?;
        let keep_alive = rest.u16()?;
        let properties = match version {
            Version::V5 => ConnectProperties::decode(rest.properties()?)?,
            _ => ConnectProperties::default(),
        };
        let client_id = rest.string()?;
        let will = match flags & WILL {
            0 => None,
            _ => Some(Will::decode(
                will_qos,
                flags & WILL_RETAIN != 0,
                &mut rest,
                version,
            )?),
        };
        // MQTT 3.1 (section 3.1): a flag may be set and its field be missing at the end.
        let present = |flag, rest: &Reader<'_>| {
            flags & flag != 0 && !(version == Version::V3 && rest.is_empty())
        };
        let username = match present(USERNAME, &rest) {
            true => Some(rest.string()?),
            false => None,
        };
        let password = match present(PASSWORD, &rest) {
            true => Some(rest.binary()?),
            false => None,
        };
        rest.end()?;
        Ok(Self {
            version,
            bridge,
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            client_id,
            will,
            username,
            password,
            properties,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(kind::CONNECT << 4);
        put_with_length(out, |out| {
            let name = match self.version {
                Version::V3 => NAME_V3,
                Version::V4 | Version::V5 => NAME,
            };
            put_field(out, name)?;
            let bridge = match self.bridge && self.version < Version::V5 {
                true => BRIDGE,
                false => 0,
            };
            out.push(self.version as u8 | bridge);
            out.push(self.flags());
            put_u16(out, self.keep_alive);
            if self.version == Version::V5 {
                self.properties.encode(out)?;
            }
            put_field(out, self.client_id.as_bytes())?;
            if let Some(will) = &self.will {
                will.encode(self.version, out)?;
            }
            if let Some(name) = self.username {
                put_field(out, name.as_bytes())?;
            }
            if let Some(password) = self.password {
                put_field(out, password)?;
            }
            Ok(())
        })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << 3;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.username.is_some() {
            flags |= USERNAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

/// Reads the protocol name and level, and whether the client is a bridge.
fn protocol(rest: &mut Reader<'_>) -> Result<(Version, bool), DecodeError> {
    let name = rest.binary()?;
    let level = rest.u8()?;
    match (name, level) {
        (NAME_V3, 3) => Ok((Version::V3, false)),
        (NAME_V3, 0x83) => Ok((Version::V3, true)),
        (NAME, 4) => Ok((Version::V4, false)),
        (NAME, 0x84) => Ok((Version::V4, true)),
        (NAME, 5) => Ok((Version::V5, false)),
        (NAME | NAME_V3, _) => Err(DecodeError::new(
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            "the protocol level is not supported",
        )),
        _ => Err(DecodeError::new(
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            "the protocol name is not MQTT",
        )),
    }
}

fn will_qos(flags: u8) -> Result<QoS, DecodeError> {
    QoS::from_u8((flags & WILL_QOS) >> 3).ok_or(DecodeError::malformed("the QoS of the will is 3"))
}

/// Checks the bits of the connect flags against each other (section 3.1.2.3).
fn check_connect_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    // MQTT 3.1 gives the reserved bit, and the bits of an absent will, no meaning and no rule.
    if version > Version::V3 {
        if flags & 1 != 0 {
            return Err(DecodeError::malformed("the reserved connect flag is set"));
        }
        if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
            return Err(DecodeError::malformed("will flags are set without a will"));
        }
    }
    if version < Version::V5 && flags & USERNAME == 0 && flags & PASSWORD != 0 {
        return Err(DecodeError::malformed(
            "there is a password without a user name",
        ));
    }
    Ok(())
}

impl<'a> Will<'a> {
    fn decode(
        qos: QoS,
        retain: bool,
        rest: &mut Reader<'a>,
        version: Version,
    ) -> Result<Self, DecodeError> {
        let properties = match version {
            Version::V5 => WillProperties::decode(rest.properties()?)?,
            _ => WillProperties::default(),
        };
        let (topic, wildcard) = rest.topic()?;
        if wildcard || topic.is_empty() {
            return Err(DecodeError::malformed(
                "the topic name of the will is empty or has a wildcard",
            ));
        }
        Ok(Self {
            topic,
            payload: rest.binary()?,
            qos,
            retain,
            properties,
        })
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version == Version::V5 {
            self.properties.encode(out)?;
        }
        put_field(out, self.topic.as_bytes())?;
        put_field(out, self.payload)
    }
}

impl<'a> ConnectProperties<'a> {
    fn decode(mut properties: PropertyReader<'a>) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiry(seconds) => found.session_expiry = Some(seconds),
                Property::ReceiveMaximum(maximum) => found.receive_maximum = Some(maximum),
                Property::MaximumPacketSize(size) => found.maximum_packet_size = Some(size),
                Property::TopicAliasMaximum(maximum) => found.topic_alias_maximum = maximum,
                Property::RequestResponseInformation(wanted) => {
                    found.request_response_information = wanted;
                }
                Property::RequestProblemInformation(wanted) => {
                    found.request_problem_information = wanted;
                }
                Property::AuthenticationMethod(method) => {
                    found.authentication_method = Some(method);
                }
                Property::AuthenticationData(data) => found.authentication_data = Some(data),
                Property::User => {}
                _ => return Err(NOT_HERE),
            }
        }
        if found.authentication_data.is_some() && found.authentication_method.is_none() {
            return Err(DecodeError::protocol(
                "there is authentication data without a method",
            ));
        }
        found.user_properties = properties.user_properties();
        Ok(found)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_with_length(out, |out| {
            if let Some(seconds) = self.session_expiry {
                out.push(id::SESSION_EXPIRY);
                put_u32(out, seconds);
            }
            if let Some(maximum) = self.receive_maximum {
                out.push(id::RECEIVE_MAXIMUM);
                put_u16(out, maximum.get());
            }
            if let Some(size) = self.maximum_packet_size {
                out.push(id::MAXIMUM_PACKET_SIZE);
                put_u32(out, size.get());
            }
            if self.topic_alias_maximum != 0 {
                out.push(id::TOPIC_ALIAS_MAXIMUM);
                put_u16(out, self.topic_alias_maximum);
            }
            if self.request_response_information {
                out.extend_from_slice(&[id::REQUEST_RESPONSE_INFORMATION, 1]);
            }
            if !self.request_problem_information {
                out.extend_from_slice(&[id::REQUEST_PROBLEM_INFORMATION, 0]);
            }
            if let Some(method) = self.authentication_method {
                out.push(id::AUTHENTICATION_METHOD);
                put_field(out, method.as_bytes())?;
            }
            if let Some(data) = self.authentication_data {
                out.push(id::AUTHENTICATION_DATA);
                put_field(out, data)?;
            }
            self.user_properties.encode_into(out);
            Ok(())
        })
    }
}

impl<'a> WillProperties<'a> {
    fn decode(mut properties: PropertyReader<'a>) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while let Some(property) = properties.next()? {
            match property {
                Property::WillDelay(seconds) => found.delay = seconds,
                Property::PayloadFormatUtf8(utf8) => found.payload_format_utf8 = Some(utf8),
                Property::MessageExpiry(seconds) => found.message_expiry = Some(seconds),
                Property::ContentType(text) => found.content_type = Some(text),
                Property::ResponseTopic(topic) => found.response_topic = Some(topic),
                Property::CorrelationData(data) => found.correlation_data = Some(data),
                Property::User => {}
                _ => return Err(NOT_HERE),
            }
        }
        found.user_properties = properties.user_properties();
        Ok(found)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_with_length(out, |out| {
            if self.delay != 0 {
                out.push(id::WILL_DELAY);
                put_u32(out, self.delay);
            }
            if let Some(utf8) = self.payload_format_utf8 {
                out.extend_from_slice(&[id::PAYLOAD_FORMAT, u8::from(utf8)]);
            }
            if let Some(seconds) = self.message_expiry {
                out.push(id::MESSAGE_EXPIRY);
                put_u32(out, seconds);
            }
            if let Some(text) = self.content_type {
                out.push(id::CONTENT_TYPE);
                put_field(out, text.as_bytes())?;
            }
            if let Some(topic) = self.response_topic {
                out.push(id::RESPONSE_TOPIC);
                put_field(out, topic.as_bytes())?;
            }
            if let Some(data) = self.correlation_data {
                out.push(id::CORRELATION_DATA);
                put_field(out, data)?;
            }
            self.user_properties.encode_into(out);
            Ok(())
        })
    }
}
