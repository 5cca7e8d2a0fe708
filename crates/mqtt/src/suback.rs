//! SUBACK (section 3.9) and UNSUBACK (section 3.11): one code for each topic filter.

use crate::frame::kind;
use crate::read::Reader;
use crate::write::{put_id, put_with_length};
use crate::{AckProperties, DecodeError, EncodeError, PacketId, ReasonCode, Version};

/// The answer to SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// That of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// [Reason codes](ReasonCode) in the order of the filters: the granted QoS, or a failure.
    /// Every failure is encoded as 0x80 before MQTT 5.0.
    pub codes: &'a [u8],
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: AckProperties<'a>,
}

impl<'a> SubAck<'a> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let packet_id = rest.packet_id()?;
        let properties = match version {
            Version::V5 => AckProperties::decode(rest.properties()?)?,
            _ => AckProperties::default(),
        };
        let codes = rest.rest();
        let allowed = |code: &u8| match version {
            // Table 3-8.
            Version::V5 => matches!(
                code,
                0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2
            ),
            _ => matches!(code, 0..=2 | 0x80),
        };
        check_codes(codes, allowed)?;
        Ok(Self {
            packet_id,
            codes,
            properties,
        })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(kind::SUBACK << 4);
        put_with_length(out, |out| {
            put_id(out, self.packet_id);
            if version == Version::V5 {
                self.properties.encode(out)?;
                out.extend_from_slice(self.codes);
            } else {
                out.extend(self.codes.iter().map(|&code| match ReasonCode(code) {
                    reason if reason.is_error() => ReasonCode::UNSPECIFIED_ERROR.0,
                    granted => granted.0,
                }));
            }
            Ok(())
        })
    }
}

/// The answer to UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// That of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// [Reason codes](ReasonCode) in the order of the filters. MQTT 5.0 only.
    pub codes: &'a [u8],
    /// MQTT 5.0 only; not encoded in other versions.
    pub properties: AckProperties<'a>,
}

impl<'a> UnsubAck<'a> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut rest = Reader::new(body);
        let packet_id = rest.packet_id()?;
        if version < Version::V5 {
            rest.end()?;
            return Ok(Self {
                packet_id,
                codes: &[],
                properties: AckProperties::default(),
            });
        }
        let properties = AckProperties::decode(rest.properties()?)?;
        let codes = rest.rest();
        // Table 3-9.
        check_codes(codes, |code| {
            matches!(code, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91)
        })?;
        Ok(Self {
            packet_id,
            codes,
            properties,
        })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(kind::UNSUBACK << 4);
        put_with_length(out, |out| {
            put_id(out, self.packet_id);
            if version == Version::V5 {
                self.properties.encode(out)?;
                out.extend_from_slice(self.codes);
            }
            Ok(())
        })
    }
}

fn check_codes(codes: &[u8], allowed: impl Fn(&u8) -> bool) -> Result<(), DecodeError> {
    if codes.is_empty() {
        return Err(DecodeError::malformed(
            "a SUBACK or UNSUBACK has no reason code",
        ));
    }
    if !codes.iter().all(allowed) {
        return Err(DecodeError::protocol(
            "a SUBACK or UNSUBACK has a reason code of another packet",
        ));
    }
    Ok(())
}
