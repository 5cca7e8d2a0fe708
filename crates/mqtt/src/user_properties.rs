//! User properties: pairs of strings that the broker hands on unaltered and in order.

use core::fmt;

use crate::property::{PropertyReader, id, split_first};
use crate::read::Reader;
use crate::write::put_field;
use crate::{DecodeError, EncodeError};

/// Pairs of name and value, in encoded form, so that handing them on is a copy of bytes.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    /// Starts and ends with a user property. Other properties may lie between them.
    span: &'a [u8],
    /// Bytes of the user properties in `span`.
    len: usize,
}

impl<'a> UserProperties<'a> {
    pub(crate) fn validated(span: &'a [u8], len: usize) -> Self {
        Self { span, len }
    }

    /// Takes what [`encode_into`](Self::encode_into) wrote, for example before a restart.
    ///
    /// # Errors
    /// The reason why `bytes` are not user properties and nothing else.
    pub fn from_encoded(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut properties = PropertyReader::new(bytes);
        while properties.next()?.is_some() {}
        let found = properties.user_properties();
        if found.len == bytes.len() {
            Ok(found)
        } else {
            Err(crate::property::NOT_HERE)
        }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that [`encode_into`](Self::encode_into) appends.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        self.len
    }

    /// Appends the properties as they stand in a packet, each with its identifier 0x26.
    #[inline]
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        if self.len == self.span.len() {
            out.extend_from_slice(self.span);
        } else {
            self.encode_scattered(out);
        }
    }

    #[cold]
    fn encode_scattered(&self, out: &mut Vec<u8>) {
        let mut rest = self.span;
        while let Some((id, value, behind)) = split_first(rest) {
            if id == id::USER_PROPERTY {
                out.push(id);
                out.extend_from_slice(value);
            }
            rest = behind;
        }
    }

    /// Names and values, in the order of the packet. A name may occur more than once.
    pub fn iter(&self) -> UserPropertiesIter<'a> {
        UserPropertiesIter { rest: self.span }
    }
}

impl<'a> IntoIterator for UserProperties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Yields the pairs of [`UserProperties`].
#[derive(Clone, Debug)]
pub struct UserPropertiesIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (id, value, rest) = split_first(self.rest)?;
            self.rest = rest;
            if id == id::USER_PROPERTY {
                let mut pair = Reader::new(value);
                return Some((pair.string().ok()?, pair.string().ok()?));
            }
        }
    }
}

/// Owned user properties, in encoded form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserPropertiesBuf {
    encoded: Vec<u8>,
}

impl UserPropertiesBuf {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, with room for so many bytes: five for each pair, and its texts.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            encoded: Vec::with_capacity(bytes),
        }
    }

    /// Appends one pair. Neither text may contain U+0000.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`] when a text exceeds 65,535 bytes; nothing is appended then.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let before = self.encoded.len();
        self.encoded.reserve(5 + name.len() + value.len());
        self.encoded.push(id::USER_PROPERTY);
        let pushed = put_field(&mut self.encoded, name.as_bytes())
            .and_then(|()| put_field(&mut self.encoded, value.as_bytes()));
        if pushed.is_err() {
            self.encoded.truncate(before);
        }
        pushed
    }

    /// The pairs, to put into a packet.
    #[inline]
    pub fn as_properties(&self) -> UserProperties<'_> {
        UserProperties::validated(&self.encoded, self.encoded.len())
    }
}

impl From<UserProperties<'_>> for UserPropertiesBuf {
    fn from(properties: UserProperties<'_>) -> Self {
        let mut encoded = Vec::with_capacity(properties.len);
        properties.encode_into(&mut encoded);
        Self { encoded }
    }
}

impl fmt::Debug for UserPropertiesBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_properties().fmt(f)
    }
}
