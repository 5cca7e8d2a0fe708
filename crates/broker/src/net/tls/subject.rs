//! The name in a certificate that has been verified.
//!
//! A walk through the DER (X.690) of a certificate (RFC 5280 section 4.1) to one field. Whether
//! the certificate is sound was decided before by the TLS handshake.

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The certificate's version, which the oldest do not have.
const VERSION: u8 = 0xA0;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The common name of the certificate's subject. `None` if it has none or several, and if it is
/// empty or holds control characters: such a name must not become an identity.
pub(super) fn common_name(certificate: &[u8]) -> Option<Box<str>> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let rest = element(certificate, VERSION).map_or(certificate, |(_, rest)| rest);
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (_validity, rest) = element(rest, SEQUENCE)?;
    let (mut subject, _) = element(rest, SEQUENCE)?;
    let mut found = None;
    while !subject.is_empty() {
        let (mut names, rest) = element(subject, SET)?;
        subject = rest;
        while !names.is_empty() {
            let (name, rest) = element(names, SEQUENCE)?;
            names = rest;
            let (kind, value) = element(name, OBJECT_IDENTIFIER)?;
            if kind == COMMON_NAME && found.replace(text(value)?).is_some() {
                return None;
            }
        }
    }
    found
}

fn text(value: &[u8]) -> Option<Box<str>> {
    let (bytes, _) = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING]
        .iter()
        .find_map(|&tag| element(value, tag))?;
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.into())
}

/// The content of the element that `data` begins with, which must have this tag, and what follows.
fn element(data: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = data.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7F => (usize::from(length), rest),
        // Longer ones are in the next one to three bytes; no certificate is longer.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
            let length = bytes.iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
