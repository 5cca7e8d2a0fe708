//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7), which have one form.

use crate::frame::kind;
use crate::property::{NOT_HERE, Property, PropertyReader, id};
use crate::read::Reader;
use crate::write::{put_field, put_id, put_with_length};
use crate::{DecodeError, EncodeError, PacketId, ReasonCode, UserProperties, Version};

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// Ends QoS 1.
    PubAck,
    /// The receiver of QoS 2 has the message.
    PubRec,
    /// The sender of QoS 2 knows that.
    PubRel,
    /// Ends QoS 2.
    PubComp,
}

impl AckKind {
    /// The first byte of the packet: type and flags.
    #[inline]
    fn first_byte(self) -> u8 {
        match self {
            Self::PubAck => kind::PUBACK << 4,
            Self::PubRec => kind::PUBREC << 4,
            Self::PubRel => kind::PUBREL << 4 | 0b0010,
            Self::PubComp => kind::PUBCOMP << 4,
        }
    }

    /// Tables 3-4 to 3-7.
    fn allows(self, reason: ReasonCode) -> bool {
        match self {
            Self::PubAck | Self::PubRec => matches!(
                reason.0,
                0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99
            ),
            Self::PubRel | Self::PubComp => matches!(reason.0, 0x00 | 0x92),
        }
    }
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The message that it is for.
    pub packet_id: PacketId,
    /// Always success before MQTT 5.0, and not encoded there.
    pub reason: ReasonCode,
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: AckProperties<'a>,
}

/// The properties of acknowledgements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckProperties<'a> {
    /// A text for people. Only for peers that asked for problem information.
    pub reason_string: Option<&'a str>,
    /// Pairs that the specification gives no meaning.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Ack<'a> {
    #[inline]
    pub(crate) fn decode(
        ack: AckKind,
        body: &'a [u8],
        version: Version,
    ) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let packet_id = rest.packet_id()?;
        if version < Version::V5 {
            rest.end()?;
        }
        let mut reason = ReasonCode::SUCCESS;
        let mut properties = AckProperties::default();
        // Both may be left out (section 3.4.2.1).
        if !rest.is_empty() {
            reason = ReasonCode(rest.u8()?);
            if !ack.allows(reason) {
                return Err(DecodeError::protocol(
                    "an acknowledgement has a reason code of another packet",
                ));
            }
            if !rest.is_empty() {
                properties = AckProperties::decode(rest.properties()?)?;
                rest.end()?;
            }
        }
        Ok(Self {
            packet_id,
            reason,
            properties,
        })
    }

    pub(crate) fn encode(
        &self,
        ack: AckKind,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if version < Version::V5 || self.properties == AckProperties::default() {
            encode_ack(out, version, ack, self.packet_id, self.reason);
            return Ok(());
        }
        out.push(ack.first_byte());
        put_with_length(out, |out| {
            put_id(out, self.packet_id);
            out.push(self.reason.0);
            self.properties.encode(out)
        })
    }
}

impl<'a> AckProperties<'a> {
    pub(crate) fn decode(mut properties: PropertyReader<'a>) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while let Some(property) = properties.next()? {
            match property {
                Property::ReasonString(text) => found.reason_string = Some(text),
                Property::User => {}
                _ => return Err(NOT_HERE),
            }
        }
        found.user_properties = properties.user_properties();
        Ok(found)
    }

    /// Appends the property length and the properties.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_with_length(out, |out| {
            if let Some(text) = self.reason_string {
                out.push(id::REASON_STRING);
                put_field(out, text.as_bytes())?;
            }
            self.user_properties.encode_into(out);
            Ok(())
        })
    }
}

/// Appends an acknowledgement without properties: four bytes, or five when there is a reason to
/// tell to an MQTT 5.0 peer.
#[inline]
pub fn encode_ack(
    out: &mut Vec<u8>,
    version: Version,
    ack: AckKind,
    id: PacketId,
    reason: ReasonCode,
) {
    let [high, low] = id.get().to_be_bytes();
    if version < Version::V5 || reason == ReasonCode::SUCCESS {
        out.extend_from_slice(&[ack.first_byte(), 2, high, low]);
    } else {
        out.extend_from_slice(&[ack.first_byte(), 3, high, low, reason.0]);
    }
}
