//! What a frame of the log holds: changes, one behind the other. Pure.
//!
//! A message that several sessions wait for, and that is retained too, stands once in its frame, before
//! the changes that name it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// The bytes do not mean anything: the store is damaged, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One change, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Session {
        session: u64,
        record: &'a [u8],
    },
    Ended {
        session: u64,
    },
    Subscribed {
        session: u64,
        filter: &'a str,
        grant: [u8; 5],
    },
    Unsubscribed {
        session: u64,
        filter: &'a str,
    },
    /// A message for a session: its flags, the subscription identifiers, the message.
    Queued {
        session: u64,
        number: u64,
        flags: u8,
        ids: &'a [u8],
        message: Body<'a>,
    },
    Released {
        session: u64,
        number: u64,
    },
    Gone {
        session: u64,
        number: u64,
    },
    Received {
        session: u64,
        id: u16,
    },
    Completed {
        session: u64,
        id: u16,
    },
    Retained {
        publisher: &'a str,
        message: Body<'a>,
    },
    Cleared {
        topic: &'a str,
    },
}

/// A message of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    /// Which of the frame's messages it is.
    pub(crate) index: usize,
    pub(crate) bytes: &'a [u8],
}

const MESSAGE: u8 = 0;
const SESSION: u8 = 1;
const ENDED: u8 = 2;
const SUBSCRIBED: u8 = 3;
const UNSUBSCRIBED: u8 = 4;
const QUEUED: u8 = 5;
const RELEASED: u8 = 6;
const GONE: u8 = 7;
const RECEIVED: u8 = 8;
const COMPLETED: u8 = 9;
const RETAINED: u8 = 10;
const CLEARED: u8 = 11;

/// Makes the payload of a frame.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
    /// The messages of the frame, by whatever tells them apart.
    messages: HashMap<usize, usize, RandomState>,
}

impl Encoder {
    /// Adds a message unless `key` is known already. Returns which of the frame's messages it is.
    pub(crate) fn message(&mut self, key: usize, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if let Some(&known) = self.messages.get(&key) {
            return known;
        }
        let mut message = Vec::new();
        write(&mut message);
        self.bytes.push(MESSAGE);
        put_bytes(&mut self.bytes, &message);
        let index = self.messages.len();
        self.messages.insert(key, index);
        index
    }

    /// Adds a change; of a message it takes the index alone.
    pub(crate) fn push(&mut self, op: &Op<'_>) {
        let bytes = &mut self.bytes;
        let numbers = |bytes: &mut Vec<u8>, tag, numbers: &[u64]| {
            bytes.push(tag);
            numbers.iter().for_each(|&number| put_number(bytes, number));
        };
        match *op {
            Op::Session { session, record } => {
                numbers(bytes, SESSION, &[session]);
                put_bytes(bytes, record);
            }
            Op::Ended { session } => numbers(bytes, ENDED, &[session]),
            Op::Subscribed {
                session,
                filter,
                grant,
            } => {
                numbers(bytes, SUBSCRIBED, &[session]);
                put_bytes(bytes, filter.as_bytes());
                bytes.extend(grant);
            }
            Op::Unsubscribed { session, filter } => {
                numbers(bytes, UNSUBSCRIBED, &[session]);
                put_bytes(bytes, filter.as_bytes());
            }
            Op::Queued {
                session,
                number,
                flags,
                ids,
                message,
            } => {
                numbers(bytes, QUEUED, &[session, number, flags.into()]);
                put_bytes(bytes, ids);
                put_number(bytes, message.index as u64);
            }
            Op::Released { session, number } => numbers(bytes, RELEASED, &[session, number]),
            Op::Gone { session, number } => numbers(bytes, GONE, &[session, number]),
            Op::Received { session, id } => numbers(bytes, RECEIVED, &[session, id.into()]),
            Op::Completed { session, id } => numbers(bytes, COMPLETED, &[session, id.into()]),
            Op::Retained { publisher, message } => {
                bytes.push(RETAINED);
                put_bytes(bytes, publisher.as_bytes());
                put_number(bytes, message.index as u64);
            }
            Op::Cleared { topic } => {
                bytes.push(CLEARED);
                put_bytes(bytes, topic.as_bytes());
            }
        }
    }
}

/// Reads the payload of a frame.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    messages: Vec<&'a [u8]>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self {
            rest: payload,
            messages: Vec::new(),
        }
    }

    /// The next change; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Op<'a>>, Malformed> {
        while let Some((&tag, rest)) = self.rest.split_first() {
            self.rest = rest;
            if tag != MESSAGE {
                return self.op(tag).map(Some);
            }
            let message = self.bytes()?;
            self.messages.push(message);
        }
        Ok(None)
    }

    fn op(&mut self, tag: u8) -> Result<Op<'a>, Malformed> {
        Ok(match tag {
            SESSION => Op::Session {
                session: self.number()?,
                record: self.bytes()?,
            },
            ENDED => Op::Ended {
                session: self.number()?,
            },
            SUBSCRIBED => Op::Subscribed {
                session: self.number()?,
                filter: self.text()?,
                grant: self.take()?,
            },
            UNSUBSCRIBED => Op::Unsubscribed {
                session: self.number()?,
                filter: self.text()?,
            },
            QUEUED => Op::Queued {
                session: self.number()?,
                number: self.number()?,
                flags: self.small()?,
                ids: self.bytes()?,
                message: self.body()?,
            },
            RELEASED => Op::Released {
                session: self.number()?,
                number: self.number()?,
            },
            GONE => Op::Gone {
                session: self.number()?,
                number: self.number()?,
            },
            RECEIVED => Op::Received {
                session: self.number()?,
                id: self.small()?,
            },
            COMPLETED => Op::Completed {
                session: self.number()?,
                id: self.small()?,
            },
            RETAINED => Op::Retained {
                publisher: self.text()?,
                message: self.body()?,
            },
            CLEARED => Op::Cleared {
                topic: self.text()?,
            },
            _ => return Err(Malformed),
        })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        get_number(&mut self.rest)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| Malformed)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.small()?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn body(&mut self) -> Result<Body<'a>, Malformed> {
        let index: usize = self.small()?;
        let bytes = self.messages.get(index).copied().ok_or(Malformed)?;
        Ok(Body { index, bytes })
    }
}

/// Seven bits a byte, lowest first.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub(crate) fn get_number(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first().ok_or(Malformed)?;
        *rest = behind;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits {
            return Err(Malformed);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

fn put_bytes(bytes: &mut Vec<u8>, more: &[u8]) {
    put_number(bytes, more.len() as u64);
    bytes.extend_from_slice(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_change_reads_as_it_was_written() {
        let mut encoder = Encoder::default();
        let first = encoder.message(77, |bytes| bytes.extend(b"one"));
        let second = encoder.message(78, |bytes| bytes.extend(b"two"));
        assert_eq!(encoder.message(77, |_| panic!("it is known")), first);
        let body = |index, bytes| Body { index, bytes };
        let (session, number, filter) = (u64::MAX, 300, "a/ü");
        let ops = [
            Op::Session {
                session,
                record: b"record",
            },
            Op::Ended { session: 0 },
            Op::Subscribed {
                session,
                filter,
                grant: [1, 2, 3, 4, 5],
            },
            Op::Unsubscribed { session, filter },
            Op::Queued {
                session,
                number,
                flags: 255,
                ids: &[9, 8],
                message: body(second, b"two"),
            },
            Op::Released { session, number },
            Op::Gone { session, number },
            Op::Received {
                session,
                id: u16::MAX,
            },
            Op::Completed { session, id: 1 },
            Op::Retained {
                publisher: "me",
                message: body(first, b"one"),
            },
            Op::Cleared { topic: filter },
        ];
        ops.iter().for_each(|op| encoder.push(op));
        let mut reader = Reader::new(&encoder.bytes);
        for op in ops {
            assert_eq!(reader.next(), Ok(Some(op)));
        }
        assert_eq!(reader.next(), Ok(None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_go_on_for_ever(
            bytes in prop::collection::vec(0..16_u8, 0..200),
        ) {
            let mut reader = Reader::new(&bytes);
            let mut count = 0;
            while let Ok(Some(_)) = reader.next() {
                count += 1;
            }
            prop_assert!(count <= bytes.len());
        }

        #[test]
        fn numbers_come_back(number in any::<u64>()) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            prop_assert_eq!(get_number(&mut bytes.as_slice()), Ok(number));
        }
    }
}
