//! DISCONNECT (section 3.14): the last packet of either side.

use crate::frame::kind;
use crate::property::{NOT_HERE, Property, PropertyReader, id};
use crate::read::Reader;
use crate::write::{put_field, put_u32, put_with_length};
use crate::{DecodeError, EncodeError, ReasonCode, UserProperties, Version};

/// Why the connection ends. Before MQTT 5.0 only clients send it, and it has no fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Normal disconnection before MQTT 5.0, and not encoded there.
    pub reason: ReasonCode,
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: DisconnectProperties<'a>,
}

/// The properties of DISCONNECT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DisconnectProperties<'a> {
    /// Seconds that the session lives on. From clients only, and not above 0 when CONNECT said 0.
    pub session_expiry: Option<u32>,
    /// A text for people.
    pub reason_string: Option<&'a str>,
    /// Another server to use. From servers only.
    pub server_reference: Option<&'a str>,
    /// Pairs that the specification gives no meaning.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Disconnect<'a> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        if version < Version::V5 {
            rest.end()?;
        }
        let mut found = Self::default();
        // Both may be left out (sections 3.14.2.1 and 3.14.2.2.1).
        if !rest.is_empty() {
            found.reason = ReasonCode(rest.u8()?);
            if !allowed(found.reason) {
                return Err(DecodeError::protocol(
                    "a DISCONNECT has a reason code of another packet",
                ));
            }
            if !rest.is_empty() {
                found.properties = DisconnectProperties::decode(rest.properties()?)?;
                rest.end()?;
            }
        }
        Ok(found)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(kind::DISCONNECT << 4);
        put_with_length(out, |out| {
            let has_properties = self.properties != DisconnectProperties::default();
            if version < Version::V5
                || (self.reason == ReasonCode::NORMAL_DISCONNECTION && !has_properties)
            {
                return Ok(());
            }
            out.push(self.reason.0);
            match has_properties {
                true => self.properties.encode(out),
                false => Ok(()),
            }
        })
    }
}

/// Table 3-10.
fn allowed(reason: ReasonCode) -> bool {
    matches!(
        reason.0,
        0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2
    )
}

impl<'a> DisconnectProperties<'a> {
    fn decode(mut properties: PropertyReader<'a>) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiry(seconds) => found.session_expiry = Some(seconds),
                Property::ReasonString(text) => found.reason_string = Some(text),
                Property::ServerReference(text) => found.server_reference = Some(text),
                Property::User => {}
                _ => return Err(NOT_HERE),
            }
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
            for (id, text) in [
                (id::REASON_STRING, self.reason_string),
                (id::SERVER_REFERENCE, self.server_reference),
            ] {
                if let Some(text) = text {
                    out.push(id);
                    put_field(out, text.as_bytes())?;
                }
            }
            self.user_properties.encode_into(out);
            Ok(())
        })
    }
}
