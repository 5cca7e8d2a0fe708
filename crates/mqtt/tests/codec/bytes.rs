//! Builds packets byte by byte, without the encoder that is under test.

use fieldgate_mqtt::{MAX_PACKET_SIZE, Packet, ReasonCode, Version, decode};

/// A field with its two-byte length.
pub(crate) fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = (bytes.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

/// `bytes` after their length as a variable byte integer.
pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(bytes.len());
    out.extend_from_slice(bytes);
    out
}

pub(crate) fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// A packet from its first byte and the parts of its body.
pub(crate) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![first];
    out.extend(counted(&parts.concat()));
    out
}

/// The packet that `bytes` are, all of them, or the reason code of the refusal.
pub(crate) fn outcome(bytes: &[u8], version: Version) -> Result<Packet<'_>, ReasonCode> {
    match decode(bytes, version, MAX_PACKET_SIZE) {
        Ok(Some((packet, len))) => {
            assert_eq!(len, bytes.len());
            Ok(packet)
        }
        Ok(None) => panic!("incomplete: {bytes:02x?}"),
        Err(error) => Err(error.reason),
    }
}

/// What is left of an outcome when only success matters.
pub(crate) fn verdict(bytes: &[u8], version: Version) -> Result<(), ReasonCode> {
    outcome(bytes, version).map(|_| ())
}
