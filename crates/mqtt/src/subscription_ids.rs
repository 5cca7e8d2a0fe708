//! The subscription identifiers of a PUBLISH to a client (section 3.3.2.3.8).

use core::fmt;

use crate::property::{id, split_first};
use crate::read::Reader;
use crate::types::MAX_REMAINING_LENGTH;
use crate::write::{put_varint, varint_len};

/// The identifiers of all subscriptions that a message matched.
#[derive(Clone, Copy)]
pub struct SubscriptionIds<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// `span` starts and ends with a subscription identifier; other properties may lie between
    /// them. `len`: bytes of the subscription identifiers.
    Encoded {
        span: &'a [u8],
        len: usize,
    },
    List(&'a [u32]),
}

impl<'a> SubscriptionIds<'a> {
    pub(crate) fn validated(span: &'a [u8], len: usize) -> Self {
        Self(Source::Encoded { span, len })
    }

    /// Identifiers to send, each 1 to 268,435,455. A packet with any other is not encoded.
    #[inline]
    pub fn from_list(ids: &'a [u32]) -> Self {
        Self(Source::List(ids))
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        match self.0 {
            Source::Encoded { len, .. } => len == 0,
            Source::List(ids) => ids.is_empty(),
        }
    }

    /// The identifiers, in the order of the packet.
    pub fn iter(&self) -> SubscriptionIdsIter<'a> {
        SubscriptionIdsIter(self.0)
    }

    /// Bytes of the properties in a packet; `None` when an identifier is out of range.
    #[inline]
    pub(crate) fn encoded_len(&self) -> Option<usize> {
        match self.0 {
            Source::Encoded { len, .. } => Some(len),
            Source::List(ids) => ids.iter().try_fold(0, |sum, &id| {
                let id = id as usize;
                (1..=MAX_REMAINING_LENGTH)
                    .contains(&id)
                    .then(|| sum + 1 + varint_len(id))
            }),
        }
    }

    #[inline]
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        for id in self.iter() {
            out.push(id::SUBSCRIPTION_ID);
            put_varint(out, id as usize);
        }
    }
}

impl Default for SubscriptionIds<'_> {
    fn default() -> Self {
        Self::from_list(&[])
    }
}

impl<'a> IntoIterator for SubscriptionIds<'a> {
    type Item = u32;
    type IntoIter = SubscriptionIdsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Yields [`SubscriptionIds`].
#[derive(Clone)]
pub struct SubscriptionIdsIter<'a>(Source<'a>);

impl Iterator for SubscriptionIdsIter<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        match &mut self.0 {
            Source::List(ids) => {
                let (&first, rest) = ids.split_first()?;
                *ids = rest;
                Some(first)
            }
            Source::Encoded { span, .. } => loop {
                let (id, value, rest) = split_first(span)?;
                *span = rest;
                if id == id::SUBSCRIPTION_ID {
                    return Reader::new(value).varint().ok();
                }
            },
        }
    }
}
