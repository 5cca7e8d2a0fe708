//! Bytes as a person writes and reads them: `P\r\n`, `\x02`. Pure.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use fieldgate_model::Encoding;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Bytes from a text with escapes: `\r`, `\n`, `\t`, `\0`, `\\`, `\xHH`.
///
/// A control character that the YAML already holds counts as itself, so that `"\r\n"` and
/// `'\r\n'` are the same. A letter outside ASCII is refused: which byte it is depends on the
/// device, and `"\xB0"` in double quotes is such a letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escaped(pub Vec<u8>);

/// Longest text of a mapping: a request, a delimiter, a template.
const TEXT_MAX: usize = 1024;

impl Escaped {
    /// From its text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let byte = match character {
                '\\' => escape(&mut characters)?,
                plain => u8::try_from(plain)
                    .ok()
                    .filter(u8::is_ascii)
                    .ok_or_else(|| foreign(plain))?,
            };
            bytes.push(byte);
        }
        if bytes.len() > TEXT_MAX {
            return Err(format!("longer than {TEXT_MAX} bytes"));
        }
        Ok(Self(bytes))
    }
}

/// What to write for a character that is more than one byte, or another byte, depending on the device.
fn foreign(character: char) -> String {
    let bytes = match u8::try_from(character) {
        Ok(byte) => vec![byte],
        Err(_) => character.to_string().into_bytes(),
    };
    let bytes: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
    format!("`{character}` is no ASCII character; write its bytes as '{bytes}', in single quotes")
}

fn escape(characters: &mut std::str::Chars<'_>) -> Result<u8, String> {
    let character = characters.next().ok_or("it ends in a single backslash")?;
    Ok(match character {
        'r' => b'\r',
        'n' => b'\n',
        't' => b'\t',
        '0' => 0,
        '\\' => b'\\',
        'x' => {
            let digits = [characters.next(), characters.next()].map(|c| c?.to_digit(16));
            let [Some(high), Some(low)] = digits else {
                return Err("expected two hexadecimal digits after \\x".into());
            };
            u8::try_from(high << 4 | low).unwrap_or_default()
        }
        other => {
            return Err(format!(
                "unknown escape \\{other}; expected \\r, \\n, \\t, \\0, \\\\ or \\x and two hexadecimal digits"
            ));
        }
    })
}

impl<'de> Deserialize<'de> for Escaped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(EscapedVisitor)
    }
}

struct EscapedVisitor;

impl Visitor<'_> for EscapedVisitor {
    type Value = Escaped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text such as \"P\\r\\n\" or '\\x02'")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Escaped, E> {
        Escaped::parse(text).map_err(E::custom)
    }
}

/// The text of a frame: UTF-8 if it is that, or else Latin-1, in which every byte is a letter.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// The text of a frame in a known encoding; `None` if it is none.
pub fn encoded(bytes: &[u8], encoding: Option<Encoding>) -> Option<Cow<'_, str>> {
    match encoding {
        None => Some(text(bytes)),
        Some(Encoding::Latin1) => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Some(_) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

/// The text in a place of fixed length. It ends at its first NUL; blanks and bytes of 0xFF at its
/// end are padding.
pub fn padded(bytes: &[u8], encoding: Option<Encoding>) -> Option<String> {
    let used = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_padding = |byte: &u8| *byte == 0xFF || byte.is_ascii_whitespace();
    let end = used.iter().rposition(|byte| !is_padding(byte));
    let used = used.get(..end.map_or(0, |end| end + 1))?;
    Some(encoded(used, encoding)?.trim().to_owned())
}

/// Bytes as [`Escaped`] takes them: printable ASCII as it is, the rest as escapes.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            // Writing to a string does not fail.
            other => drop(write!(text, "\\x{other:02X}")),
        }
    }
    text
}

/// Bytes in hexadecimal, two digits each with a space between: `02 50 0D`.
pub fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_bytes_and_what_is_none_is_refused() {
        for (text, want) in [
            ("P\\r\\n", Ok(&b"P\r\n"[..])),
            ("P\r\n", Ok(b"P\r\n")),
            ("\\x02A\\x1b\\0\\t\\\\", Ok(b"\x02A\x1B\0\t\\")),
            ("\\xFF", Ok(b"\xFF")),
            ("", Ok(b"")),
            ("a\\", Err("single backslash")),
            ("\\x2", Err("two hexadecimal digits")),
            ("\\x+2", Err("two hexadecimal digits")),
            ("\\q", Err("unknown escape \\q")),
            ("\u{FF}", Err("single quotes")),
            ("°", Err("no ASCII")),
        ] {
            let got = Escaped::parse(text);
            match want {
                Ok(bytes) => assert_eq!(got, Ok(Escaped(bytes.to_vec())), "{text}"),
                Err(part) => assert!(got.clone().unwrap_err().contains(part), "{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_frame_that_is_not_utf8_is_latin1() {
        assert_eq!(text("21 °C".as_bytes()), "21 °C");
        assert_eq!(text(b"21 \xB0C"), "21 °C");
        assert_eq!(hex(b"\x02P\r"), "02 50 0D");
    }

    #[test]
    fn a_padded_text_is_read_in_its_encoding() {
        use Encoding::{Latin1, Utf8};
        for (bytes, encoding, want) in [
            (&b"SDM630\0old"[..], None, Some("SDM630")),
            (b"SDM630 \xFF \xFF", None, Some("SDM630")),
            (b"  SDM630", Some(Utf8), Some("SDM630")),
            (b"\xFF\xFF\xFF", None, Some("")),
            (b"Z\xE4hler\xFF", None, Some("Zähler")),
            (b"Z\xE4hler\xFF", Some(Utf8), None),
            (b"Z\xC3\xA4hler", None, Some("Zähler")),
            (b"Z\xC3\xA4hler", Some(Latin1), Some("ZÃ¤hler")),
        ] {
            let got = padded(bytes, encoding);
            assert_eq!(got.as_deref(), want, "{bytes:?} {encoding:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(Escaped::parse(&shown(&bytes)), Ok(Escaped(bytes)));
        }
    }
}
