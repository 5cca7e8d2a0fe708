//! Modbus TCP frames: a header with transaction, length and unit identifier.
//!
//! Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.

use super::PDU_MAX;

/// Transaction, protocol, length, unit identifier.
pub const HEADER: usize = 7;
/// The longest frame.
pub const FRAME_MAX: usize = HEADER + PDU_MAX;

/// One frame at the beginning of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// Which request it answers.
    pub transaction: u16,
    /// The unit identifier.
    pub unit: u8,
    /// Function code and data, 1 to 253 bytes.
    pub pdu: &'b [u8],
    /// How many bytes of the stream it takes.
    pub length: usize,
}

/// Why a stream cannot be read on: where its next frame begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// The protocol identifier is not 0.
    #[error("not Modbus TCP: protocol identifier {0}")]
    Protocol(u16),
    /// The length is outside 2..=254.
    #[error("not Modbus TCP: a frame of {0} bytes")]
    Length(u16),
}

/// Appends a frame.
pub fn encode(transaction: u16, unit: u8, pdu: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX);
    out.extend(transaction.to_be_bytes());
    out.extend([0, 0]);
    out.extend(length.to_be_bytes());
    out.push(unit);
    out.extend(pdu);
}

/// How many bytes the header at the beginning of a stream names, from the unit identifier on;
/// `None` if it is not there, or is none of Modbus TCP.
pub fn announced(stream: &[u8]) -> Option<usize> {
    let (header, _) = stream.split_first_chunk::<6>()?;
    let [_, _, p0, p1, l0, l1] = *header;
    (p0 | p1 == 0).then_some(usize::from(u16::from_be_bytes([l0, l1])))
}

/// The first frame of a stream; `None` if it is not there in full.
///
/// # Errors
///
/// If the stream is no Modbus TCP. It must be given up.
pub fn decode(stream: &[u8]) -> Result<Option<Frame<'_>>, Garbage> {
    let Some((header, rest)) = stream.split_first_chunk::<6>() else {
        return Ok(None);
    };
    let [t0, t1, p0, p1, l0, l1] = *header;
    let protocol = u16::from_be_bytes([p0, p1]);
    if protocol != 0 {
        return Err(Garbage::Protocol(protocol));
    }
    let announced = u16::from_be_bytes([l0, l1]);
    let length = usize::from(announced);
    if !(2..=PDU_MAX + 1).contains(&length) {
        return Err(Garbage::Length(announced));
    }
    let Some((unit, pdu)) = rest.get(..length).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    Ok(Some(Frame {
        transaction: u16::from_be_bytes([t0, t1]),
        unit: *unit,
        pdu,
        length: 6 + length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stream_is_cut_into_frames_and_what_is_none_ends_it() {
        let mut stream = Vec::new();
        encode(0x1234, 9, &[3, 2, 0, 7], &mut stream);
        assert_eq!(stream, [0x12, 0x34, 0, 0, 0, 5, 9, 3, 2, 0, 7]);
        let frame = Frame {
            transaction: 0x1234,
            unit: 9,
            pdu: &[3, 2, 0, 7],
            length: 11,
        };
        assert_eq!(decode(&stream), Ok(Some(frame)));
        for cut in 0..stream.len() {
            assert_eq!(decode(stream.get(..cut).unwrap()), Ok(None), "{cut}");
        }
        for (bytes, want) in [
            ([0, 1, 0, 1, 0, 5, 9], Garbage::Protocol(1)),
            ([0, 1, 0, 0, 0, 1, 9], Garbage::Length(1)),
            ([0, 1, 0, 0, 0, 255, 9], Garbage::Length(255)),
            (*b"HTTP/1.", Garbage::Protocol(0x5450)),
        ] {
            assert_eq!(decode(&bytes), Err(want));
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_no_stream_is_too_strange(
            transaction: u16, unit: u8,
            pdu in proptest::collection::vec(any::<u8>(), 1..=PDU_MAX),
            noise in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut stream = Vec::new();
            encode(transaction, unit, &pdu, &mut stream);
            let length = stream.len();
            stream.extend(&noise);
            let want = Frame { transaction, unit, pdu: &pdu, length };
            prop_assert_eq!(decode(&stream), Ok(Some(want)));
            let _ = decode(&noise);
        }
    }
}
