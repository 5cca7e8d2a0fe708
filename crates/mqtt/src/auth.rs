//! AUTH (section 3.15): a step of an enhanced authentication. MQTT 5.0 only.

use crate::frame::kind;
use crate::property::{NOT_HERE, Property, id};
use crate::read::Reader;
use crate::write::{put_field, put_with_length};
use crate::{DecodeError, EncodeError, ReasonCode, UserProperties, Version};

/// A step of an enhanced authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// The method. Absent only in a packet without any field, which says success.
    pub method: Option<&'a str>,
    /// What the method wants to say.
    pub data: Option<&'a [u8]>,
    /// A text for people.
    pub reason_string: Option<&'a str>,
    /// Pairs that the specification gives no meaning.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let mut found = Self::default();
        // The short form that section 3.15.2.1 allows.
        if rest.is_empty() {
            return Ok(found);
        }
        found.reason = ReasonCode(rest.u8()?);
        // Table 3-11.
        if !matches!(found.reason.0, 0x00 | 0x18 | 0x19) {
            return Err(DecodeError::protocol(
                "an AUTH has a reason code of another packet",
            ));
        }
        let mut properties = rest.properties()?;
        rest.end()?;
        while let Some(property) = properties.next()? {
            match property {
                Property::AuthenticationMethod(method) => found.method = Some(method),
                Property::AuthenticationData(data) => found.data = Some(data),
                Property::ReasonString(text) => found.reason_string = Some(text),
                Property::User => {}
                _ => return Err(NOT_HERE),
            }
        }
        found.user_properties = properties.user_properties();
        if found.method.is_none() {
            return Err(DecodeError::protocol(
                "an AUTH has no authentication method",
            ));
        }
        Ok(found)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version < Version::V5 {
            return Err(EncodeError::NotInVersion);
        }
        out.push(kind::AUTH << 4);
        put_with_length(out, |out| {
            if *self == Self::default() {
                return Ok(());
            }
            out.push(self.reason.0);
            put_with_length(out, |out| {
                if let Some(method) = self.method {
                    out.push(id::AUTHENTICATION_METHOD);
                    put_field(out, method.as_bytes())?;
                }
                if let Some(data) = self.data {
                    out.push(id::AUTHENTICATION_DATA);
                    put_field(out, data)?;
                }
                if let Some(text) = self.reason_string {
                    out.push(id::REASON_STRING);
                    put_field(out, text.as_bytes())?;
                }
                self.user_properties.encode_into(out);
                Ok(())
            })
        })
    }
}
