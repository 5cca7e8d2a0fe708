//! How a device writes texts as bytes. Pure.

use std::fmt;

/// How characters are written as bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
pub enum Encoding {
    /// UTF-8, which ASCII is, too.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1: one byte for each of the first 256 characters.
    #[serde(rename = "latin-1")]
    Latin1,
    /// UTF-16, high byte first: one register for each character.
    #[serde(rename = "utf-16")]
    Utf16,
}

/// Why bytes are no text, or a text cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not UTF-8.
    #[error("not UTF-8 text; is it `encoding: latin-1`?")]
    Utf8,
    /// Not UTF-16.
    #[error("not UTF-16 text")]
    Utf16,
    /// Every second byte is NUL.
    #[error("a NUL beside each character; is it `encoding: utf-16`?")]
    Wide,
    /// A character that the encoding does not have.
    #[error("`{0}` is not in {1}")]
    Character(char, Encoding),
    /// A NUL in the text.
    #[error("a text with a NUL in it would end there")]
    Nul,
}

/// So many characters with a NUL beside each are no accident: a buffer can hold what is left of an
/// older text behind its end.
const WIDE_MIN: usize = 3;

impl Encoding {
    /// The text in a buffer. It ends at its first NUL; blanks and bytes of 0xFF after it are padding.
    ///
    /// # Errors
    ///
    /// See [`TextError`].
    pub fn decode(self, bytes: &[u8]) -> Result<String, TextError> {
        if self == Self::Utf16 {
            let units = bytes.chunks_exact(2).map(|pair| {
                pair.iter()
                    .fold(0u16, |unit, byte| unit << 8 | u16::from(*byte))
            });
            let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
            let used = trimmed(&units, |unit| matches!(*unit, 0xFFFF | 0x20));
            return String::from_utf16(used).map_err(|_| TextError::Utf16);
        }
        if is_wide(bytes) {
            return Err(TextError::Wide);
        }
        let end = bytes.iter().position(|byte| *byte == 0);
        let used = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
        if !used.is_empty() && used.iter().all(|byte| *byte == 0xFF) {
            // Of a memory that was never written: that is no text.
            return Err(TextError::Utf8);
        }
        let used = trimmed(used, |byte| *byte == 0xFF || byte.is_ascii_whitespace());
        match self {
            Self::Latin1 => Ok(used.iter().map(|byte| char::from(*byte)).collect()),
            _ => match std::str::from_utf8(used) {
                Ok(text) => Ok(text.trim_end().to_owned()),
                Err(_) => Err(TextError::Utf8),
            },
        }
    }

    /// The bytes of a text, without padding.
    ///
    /// # Errors
    ///
    /// See [`TextError`].
    pub fn encode(self, text: &str) -> Result<Vec<u8>, TextError> {
        if text.contains('\0') {
            return Err(TextError::Nul);
        }
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Latin1 => {
                let byte = |c: char| u8::try_from(c).map_err(|_| TextError::Character(c, self));
                text.chars().map(byte).collect()
            }
            Self::Utf16 => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        }
    }
}

/// Whether this is one character a register, in either order of bytes.
fn is_wide(bytes: &[u8]) -> bool {
    let is_padding = |byte: &u8| matches!(byte, 0 | 0xFF | b' ');
    let starts_empty = bytes.first() == Some(&0);
    let rest = bytes.get(1..).unwrap_or_default();
    if starts_empty {
        return rest.iter().any(|byte| !is_padding(byte));
    }
    let pairs = bytes.chunks_exact(2).map(|pair| matches!(pair, [(1..), 0]));
    pairs.take_while(|is_wide| *is_wide).count() >= WIDE_MIN
}

fn trimmed<T>(all: &[T], is_padding: impl Fn(&T) -> bool) -> &[T] {
    let end = all.iter().rposition(|one| !is_padding(one));
    all.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "utf-8",
            Self::Latin1 => "latin-1",
            Self::Utf16 => "utf-16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_in_their_encoding_without_their_padding() {
        use Encoding::{Latin1, Utf8, Utf16};
        let wide = |text: &str| text.bytes().flat_map(|byte| [0, byte]).collect::<Vec<_>>();
        let swapped = |text: &str| text.bytes().flat_map(|byte| [byte, 0]).collect::<Vec<_>>();
        for (encoding, bytes, want) in [
            (Utf8, b"SDM630\0\0".to_vec(), Ok("SDM630")),
            (Utf8, b"SDM630  ".to_vec(), Ok("SDM630")),
            (Utf8, b"SDM630\xFF\xFF".to_vec(), Ok("SDM630")),
            (Utf8, b"SDM630 \xFF \xFF".to_vec(), Ok("SDM630")),
            (Utf8, b"  SDM".to_vec(), Ok("  SDM")),
            (Utf8, b"a\0old".to_vec(), Ok("a")),
            (Utf8, b"a\0x\0".to_vec(), Ok("a")),
            (Utf8, vec![0; 8], Ok("")),
            (Utf8, b"\0\0\xFF\xFF".to_vec(), Ok("")),
            (Utf8, vec![], Ok("")),
            (Utf8, "Zähler".into(), Ok("Zähler")),
            (Utf8, b"Z\xE4hler".to_vec(), Err(TextError::Utf8)),
            (Utf8, vec![0xFF; 4], Err(TextError::Utf8)),
            (Latin1, vec![0xFF; 4], Err(TextError::Utf8)),
            (Latin1, b"Z\xE4hler \xFF\0".to_vec(), Ok("Zähler")),
            (Utf8, wide("2.4"), Err(TextError::Wide)),
            (Utf8, swapped("2.4"), Err(TextError::Wide)),
            (Latin1, wide("2.4"), Err(TextError::Wide)),
            (Utf16, wide("2.4"), Ok("2.4")),
            (Utf16, [wide("2.4"), vec![0; 6]].concat(), Ok("2.4")),
            (Utf16, [wide("2.4  "), vec![0xFF; 4]].concat(), Ok("2.4")),
            (Utf16, vec![0xD8, 0, 0, 0x41], Err(TextError::Utf16)),
        ] {
            let got = encoding.decode(&bytes);
            assert_eq!(
                got.as_deref(),
                want.as_ref().copied(),
                "{encoding} {bytes:x?}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        use Encoding::{Latin1, Utf8, Utf16};
        for (encoding, text, want) in [
            (Utf8, "Zähler", Ok(7)),
            (Latin1, "Zähler", Ok(6)),
            (Utf16, "Zähler", Ok(12)),
            (Latin1, "5 €", Err(TextError::Character('€', Latin1))),
            (Utf8, "a\0b", Err(TextError::Nul)),
        ] {
            let bytes = encoding.encode(text);
            assert_eq!(
                bytes.as_ref().map(Vec::len),
                want.as_ref().copied(),
                "{text}"
            );
            if let Ok(bytes) = bytes {
                assert_eq!(encoding.decode(&bytes).as_deref(), Ok(text));
            }
        }
        let named: Encoding = serde_json::from_str("\"latin-1\"").unwrap();
        assert_eq!(named, Latin1);
    }
}
