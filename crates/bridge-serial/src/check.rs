//! Checks at the end of a frame. Pure.

use crc::{
    Algorithm, CRC_16_ARC, CRC_16_IBM_3740, CRC_16_IBM_SDLC, CRC_16_KERMIT, CRC_16_MODBUS,
    CRC_16_XMODEM, Crc, NoTable,
};

/// How a check is computed. `BCC` and `LRC` mean different things to different makers; here they
/// are what each variant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// All bytes exclusive-or: the block check of ISO 1155, called BCC, LRC or "checksum".
    Bcc,
    /// The two's complement of the sum, so that all bytes with it add up to 0: the LRC of Modbus
    /// ASCII.
    Lrc,
    /// The sum modulo 256.
    Sum8,
    /// Polynomial 0x8005 reflected, from 0xFFFF: Modbus RTU. Low byte first on the wire.
    Crc16Modbus,
    /// Polynomial 0x8005 reflected, from 0: ARC, called CRC-16 or IBM; DF1. Low byte first.
    Crc16Arc,
    /// Polynomial 0x1021 from 0xFFFF: "CCITT-FALSE", called IBM-3740. High byte first.
    Crc16Ccitt,
    /// Polynomial 0x1021 from 0: XMODEM. High byte first.
    Crc16Xmodem,
    /// Polynomial 0x1021 reflected, from 0: KERMIT, the true CCITT. Low byte first.
    Crc16Kermit,
    /// Polynomial 0x1021 reflected, from 0xFFFF, inverted: X.25, the check of HDLC and PPP. Low
    /// byte first.
    Crc16X25,
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    /// The most significant byte.
    Big,
    /// The least significant byte.
    Little,
}

/// The check of a frame: how it is computed, over what, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// How it is computed.
    pub kind: CheckKind,
    /// Which of its two bytes comes first.
    pub order: ByteOrder,
    /// Whether it is written as hexadecimal digits instead of as bytes.
    pub hex: bool,
    /// How many bytes at the start of the frame are left out of it.
    pub from: usize,
    /// Whether it covers the byte that begins the frame; only with STX and ETX.
    pub with_start: bool,
    /// Whether it covers the byte that ends the frame; only with STX and ETX.
    pub with_end: bool,
}

impl CheckKind {
    fn is_wide(self) -> bool {
        !matches!(self, Self::Bcc | Self::Lrc | Self::Sum8)
    }

    /// In which order its bytes usually are.
    pub fn usual_order(self) -> ByteOrder {
        match self {
            Self::Crc16Modbus | Self::Crc16Arc | Self::Crc16Kermit | Self::Crc16X25 => {
                ByteOrder::Little
            }
            _ => ByteOrder::Big,
        }
    }

    /// Its value over some bytes; at most 255 for those of one byte.
    pub fn compute(self, bytes: impl Iterator<Item = u8>) -> u16 {
        match self {
            Self::Bcc => bytes.fold(0, |check, byte| check ^ u16::from(byte)),
            Self::Sum8 => bytes.fold(0u8, u8::wrapping_add).into(),
            Self::Lrc => bytes.fold(0u8, u8::wrapping_sub).into(),
            Self::Crc16Modbus => over(&CRC_16_MODBUS, bytes),
            Self::Crc16Arc => over(&CRC_16_ARC, bytes),
            Self::Crc16Kermit => over(&CRC_16_KERMIT, bytes),
            Self::Crc16X25 => over(&CRC_16_IBM_SDLC, bytes),
            Self::Crc16Ccitt => over(&CRC_16_IBM_3740, bytes),
            Self::Crc16Xmodem => over(&CRC_16_XMODEM, bytes),
        }
    }
}

/// Bit by bit: frames of instruments are short, and a table for each kind is not.
fn over(algorithm: &'static Algorithm<u16>, bytes: impl Iterator<Item = u8>) -> u16 {
    let crc = Crc::<u16, NoTable>::new(algorithm);
    let mut digest = crc.digest();
    bytes.for_each(|byte| digest.update(&[byte]));
    digest.finalize()
}

impl Check {
    /// With what is usual for its kind.
    pub fn usual(kind: CheckKind) -> Self {
        Self {
            kind,
            order: kind.usual_order(),
            hex: false,
            from: 0,
            with_start: false,
            with_end: true,
        }
    }

    /// Bytes that it takes on the wire: 1, 2 or 4.
    pub fn width(&self) -> usize {
        let bytes = if self.kind.is_wide() { 2 } else { 1 };
        if self.hex { bytes * 2 } else { bytes }
    }

    /// Whether `written` is the check over `covered`. Hexadecimal digits of either case count.
    pub fn holds(&self, covered: impl Iterator<Item = u8>, written: &[u8]) -> bool {
        let wanted = self.write(covered);
        if self.hex {
            written.eq_ignore_ascii_case(&wanted)
        } else {
            written == wanted
        }
    }

    /// The check as it is on the wire.
    pub fn write(&self, covered: impl Iterator<Item = u8>) -> Vec<u8> {
        let value = self.kind.compute(covered);
        let [high, low] = value.to_be_bytes();
        let bytes = match (self.kind.is_wide(), self.order) {
            (false, _) => vec![low],
            (true, ByteOrder::Big) => vec![high, low],
            (true, ByteOrder::Little) => vec![low, high],
        };
        if !self.hex {
            return bytes;
        }
        let digits = bytes.iter().map(|byte| format!("{byte:02X}"));
        digits.collect::<String>().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of parametrised CRC algorithms (Greg Cook), and sums
    /// done by hand.
    #[test]
    fn every_kind_has_its_published_value() {
        for (kind, want, wire) in [
            (CheckKind::Bcc, 0x31, &b"\x31"[..]),
            (CheckKind::Sum8, 0xDD, b"\xDD"),
            (CheckKind::Lrc, 0x23, b"\x23"),
            (CheckKind::Crc16Modbus, 0x4B37, b"\x37\x4B"),
            (CheckKind::Crc16Arc, 0xBB3D, b"\x3D\xBB"),
            (CheckKind::Crc16Ccitt, 0x29B1, b"\x29\xB1"),
            (CheckKind::Crc16Xmodem, 0x31C3, b"\x31\xC3"),
            (CheckKind::Crc16Kermit, 0x2189, b"\x89\x21"),
            (CheckKind::Crc16X25, 0x906E, b"\x6E\x90"),
        ] {
            assert_eq!(kind.compute(b"123456789".iter().copied()), want, "{kind:?}");
            assert_eq!(
                Check::usual(kind).write(b"123456789".iter().copied()),
                wire,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_check_in_digits_is_of_either_case_and_one_in_bytes_is_exact() {
        let digits = Check {
            hex: true,
            ..Check::usual(CheckKind::Crc16Ccitt)
        };
        let covered = || b"123456789".iter().copied();
        assert!(digits.holds(covered(), b"29B1"));
        assert!(digits.holds(covered(), b"29b1"));
        assert!(!digits.holds(covered(), b"29B2"));
        assert!(!digits.holds(covered(), b"29B"));
        // 0x61 and 0x41 are `a` and `A`.
        let bytes = Check::usual(CheckKind::Bcc);
        assert!(bytes.holds(b"a".iter().copied(), b"a"));
        assert!(!bytes.holds(b"a".iter().copied(), b"A"));
    }
}
