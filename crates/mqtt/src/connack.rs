//! CONNACK (section 3.2): the server's answer to CONNECT.

use core::num::{NonZeroU16, NonZeroU32};

use crate::frame::kind;
use crate::property::{NOT_HERE, Property, PropertyReader, id};
use crate::read::Reader;
use crate::write::{put_field, put_u16, put_u32, put_with_length};
use crate::{DecodeError, EncodeError, QoS, ReasonCode, UserProperties, Version};

/// The server's answer to CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server had state for the client. Encoded as false with a refusal, and in MQTT 3.1,
    /// which does not have it.
    pub session_present: bool,
    /// Encoded as [`ReasonCode::connack_v3`] before MQTT 5.0.
    pub reason: ReasonCode,
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: ConnAckProperties<'a>,
}

/// The properties of CONNACK. The default is what their absence means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAckProperties<'a> {
    /// Seconds that the session outlives its connection; absent: as the client asked.
    pub session_expiry: Option<u32>,
    /// Unacknowledged QoS 1 and 2 messages that the server accepts; absent: 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS that the server accepts.
    pub maximum_qos: QoS,
    /// Whether the server keeps retained messages.
    pub retain_available: bool,
    /// The largest packet that the server accepts, in bytes; absent: no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The client identifier that the server chose for a client without one.
    pub assigned_client_id: Option<&'a str>,
    /// The largest topic alias that the server accepts; 0: none.
    pub topic_alias_maximum: u16,
    /// A text for people.
    pub reason_string: Option<&'a str>,
    /// Whether the server has wildcard subscriptions.
    pub wildcard_subscriptions: bool,
    /// Whether the server has subscription identifiers.
    pub subscription_ids: bool,
    /// Whether the server has shared subscriptions.
    pub shared_subscriptions: bool,
    /// Seconds to use as keep-alive time; absent: as the client said.
    pub server_keep_alive: Option<u16>,
    /// From what to build response topics. Only for clients that asked.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// The enhanced authentication in use.
    pub authentication_method: Option<&'a str>,
    /// The last step of the enhanced authentication.
    pub authentication_data: Option<&'a [u8]>,
    /// Pairs that the specification gives no meaning.
    pub user_properties: UserProperties<'a>,
}

impl Default for ConnAckProperties<'_> {
    fn default() -> Self {
        Self {
            session_expiry: None,
            receive_maximum: None,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: None,
            assigned_client_id: None,
            topic_alias_maximum: 0,
            reason_string: None,
            wildcard_subscriptions: true,
            subscription_ids: true,
            shared_subscriptions: true,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
            user_properties: UserProperties::default(),
        }
    }
}

impl<'a> ConnAck<'a> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let flags = rest.u8()?;
        let code = rest.u8()?;
        let (reason, properties) = if version == Version::V5 {
            let properties = ConnAckProperties::decode(rest.properties()?)?;
            (allowed(code).then_some(ReasonCode(code)), properties)
        } else {
            (
                ReasonCode::from_connack_v3(code),
                ConnAckProperties::default(),
            )
        };
        rest.end()?;
        let reason = reason.ok_or(DecodeError::protocol(
            "a CONNACK has a reason code of another packet",
        ))?;
        // MQTT 3.1 (section 3.2) reserves the byte and gives it no rule.
        let session_present = match (version, flags) {
            (Version::V3, _) | (_, 0) => false,
            (_, 1) => true,
            _ => return Err(DecodeError::malformed("a reserved CONNACK flag is set")),
        };
        if session_present && reason != ReasonCode::SUCCESS {
            return Err(DecodeError::protocol("a refusing CONNACK has a session"));
        }
        Ok(Self {
            session_present,
            reason,
            properties,
        })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let session_present =
            self.session_present && self.reason == ReasonCode::SUCCESS && version > Version::V3;
        out.push(kind::CONNACK << 4);
        put_with_length(out, |out| {
            out.push(u8::from(session_present));
            if version < Version::V5 {
                out.push(self.reason.connack_v3());
                return Ok(());
            }
            out.push(self.reason.0);
            put_with_length(out, |out| self.properties.encode(out))
        })
    }
}

/// Table 3-1.
fn allowed(code: u8) -> bool {
    matches!(
        code,
        0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F
    )
}

impl<'a> ConnAckProperties<'a> {
    fn decode(mut properties: PropertyReader<'a>) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiry(seconds) => found.session_expiry = Some(seconds),
                Property::ReceiveMaximum(maximum) => found.receive_maximum = Some(maximum),
                Property::MaximumQos(qos) => found.maximum_qos = qos,
                Property::RetainAvailable(available) => found.retain_available = available,
                Property::MaximumPacketSize(size) => found.maximum_packet_size = Some(size),
                Property::AssignedClientId(id) => found.assigned_client_id = Some(id),
                Property::TopicAliasMaximum(maximum) => found.topic_alias_maximum = maximum,
                Property::ReasonString(text) => found.reason_string = Some(text),
                Property::WildcardSubscriptions(has) => found.wildcard_subscriptions = has,
                Property::SubscriptionIds(has) => found.subscription_ids = has,
                Property::SharedSubscriptions(has) => found.shared_subscriptions = has,
                Property::ServerKeepAlive(seconds) => found.server_keep_alive = Some(seconds),
                Property::ResponseInformation(text) => found.response_information = Some(text),
                Property::ServerReference(text) => found.server_reference = Some(text),
                Property::AuthenticationMethod(method) => {
                    found.authentication_method = Some(method);
                }
                Property::AuthenticationData(data) => found.authentication_data = Some(data),
                Property::User => {}
                _ => return Err(NOT_HERE),
            }
        }
        found.user_properties = properties.user_properties();
        Ok(found)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for (id, number) in [
            (id::SESSION_EXPIRY, self.session_expiry),
            (
                id::MAXIMUM_PACKET_SIZE,
                self.maximum_packet_size.map(NonZeroU32::get),
            ),
        ] {
            if let Some(number) = number {
                out.push(id);
                put_u32(out, number);
            }
        }
        let alias_maximum = NonZeroU16::new(self.topic_alias_maximum);
        for (id, number) in [
            (
                id::RECEIVE_MAXIMUM,
                self.receive_maximum.map(NonZeroU16::get),
            ),
            (id::TOPIC_ALIAS_MAXIMUM, alias_maximum.map(NonZeroU16::get)),
            (id::SERVER_KEEP_ALIVE, self.server_keep_alive),
        ] {
            if let Some(number) = number {
                out.push(id);
                put_u16(out, number);
            }
        }
        if self.maximum_qos != QoS::ExactlyOnce {
            out.extend_from_slice(&[id::MAXIMUM_QOS, self.maximum_qos as u8]);
        }
        for (id, available) in [
            (id::RETAIN_AVAILABLE, self.retain_available),
            (id::WILDCARD_SUBSCRIPTIONS, self.wildcard_subscriptions),
            (id::SUBSCRIPTION_IDS, self.subscription_ids),
            (id::SHARED_SUBSCRIPTIONS, self.shared_subscriptions),
        ] {
            if !available {
                out.extend_from_slice(&[id, 0]);
            }
        }
        for (id, text) in [
            (id::ASSIGNED_CLIENT_ID, self.assigned_client_id),
            (id::REASON_STRING, self.reason_string),
            (id::RESPONSE_INFORMATION, self.response_information),
            (id::SERVER_REFERENCE, self.server_reference),
            (id::AUTHENTICATION_METHOD, self.authentication_method),
        ] {
            if let Some(text) = text {
                out.push(id);
                put_field(out, text.as_bytes())?;
            }
        }
        if let Some(data) = self.authentication_data {
            out.push(id::AUTHENTICATION_DATA);
            put_field(out, data)?;
        }
        self.user_properties.encode_into(out);
        Ok(())
    }
}
