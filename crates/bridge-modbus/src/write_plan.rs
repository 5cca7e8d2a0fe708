//! The requests that one write takes, and what a unit taught about them. Pure.
//!
//! A unit that does not know a function says so without doing anything, so another way can be
//! tried at once. It is remembered for as long as the bus runs.

use crate::config::Table;
use crate::data::{Data, Exception, WriteRequest};
use crate::wire::pdu::{Answer, Request};

/// What a unit refused as an illegal function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// Function 5.
    single_coil: bool,
    /// Function 6.
    single_register: bool,
    /// Function 15.
    several_coils: bool,
    /// Function 16.
    several_registers: bool,
    /// Function 22.
    mask: bool,
    /// Function 23.
    exchange: bool,
}

/// One transaction as its device sees it: mostly one request, sometimes several with nothing in
/// between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One request.
    Plain(Request),
    /// A write by whatever functions the unit knows.
    Write {
        /// What to write.
        write: WriteRequest,
        /// Whether function 22 may be tried.
        masks: bool,
    },
}

impl Work {
    /// What it asks, for people.
    pub(crate) fn describe(&self, unit: u8) -> String {
        match self {
            Self::Plain(request) => request.describe(unit),
            Self::Write { write, .. } => write.describe(unit),
        }
    }

    /// Whether nothing else may reach the unit until it is over.
    pub(crate) fn is_exclusive(&self) -> bool {
        let Self::Write { write, .. } = self else {
            return false;
        };
        match write {
            WriteRequest::Mask { .. } => true,
            // It may take one request for each.
            WriteRequest::Coils { bits, .. } => bits.len() > 1,
            WriteRequest::Registers { words, .. } | WriteRequest::Exchange { words, .. } => {
                words.len() > 1
            }
            WriteRequest::Coil { .. } => false,
        }
    }

    /// How many registers or coils were written before `request`, and of how many, if each takes a
    /// request of its own.
    pub(crate) fn written_before(&self, request: &Request) -> Option<(usize, usize)> {
        let Self::Write { write, .. } = self else {
            return None;
        };
        let (first, of) = match write {
            WriteRequest::Coils { address, bits } => (*address, bits.len()),
            WriteRequest::Registers { address, words }
            | WriteRequest::Exchange { address, words } => (*address, words.len()),
            WriteRequest::Mask { .. } | WriteRequest::Coil { .. } => return None,
        };
        let at = match request {
            Request::WriteCoil { address, .. } | Request::WriteRegister { address, .. } => *address,
            _ => return None,
        };
        let before = usize::from(at.checked_sub(first)?);
        (before > 0).then_some((before, of))
    }

    /// The first request.
    pub(crate) fn first(&self, lacks: Lacks) -> Request {
        let (write, masks) = match self {
            Self::Plain(request) => return request.clone(),
            Self::Write { write, masks } => (write, *masks),
        };
        match write {
            WriteRequest::Coil { address, on } => coil(*address, *on, lacks),
            WriteRequest::Coils { address, bits } => coils(*address, bits, lacks),
            WriteRequest::Registers { address, words } => registers(*address, words, lacks),
            WriteRequest::Mask {
                address,
                mask,
                bits,
            } if masks && !lacks.mask => Request::MaskRegister {
                address: *address,
                and: !mask,
                or: bits & mask,
            },
            WriteRequest::Mask { address, .. } => Request::Read {
                table: Table::Holding,
                address: *address,
                count: 1,
            },
            WriteRequest::Exchange { address, words } if !lacks.exchange => Request::ReadWrite {
                from: *address,
                count: u16::try_from(words.len()).unwrap_or(u16::MAX),
                to: *address,
                words: words.clone(),
            },
            WriteRequest::Exchange { address, words } => registers(*address, words, lacks),
        }
    }

    /// The request after `sent`, if its answer leaves something to do.
    pub(crate) fn next(
        &self,
        sent: &Request,
        answer: &Result<Answer, Exception>,
        lacks: &mut Lacks,
    ) -> Option<Request> {
        let Self::Write { write, .. } = self else {
            return None;
        };
        match (sent, answer) {
            (Request::Read { .. }, Ok(Answer::Data(Data::Words(words)))) => {
                match (write, words.as_slice()) {
                    (
                        WriteRequest::Mask {
                            address,
                            mask,
                            bits,
                        },
                        [old],
                    ) => Some(registers(*address, &[old & !mask | bits & mask], *lacks)),
                    _ => None,
                }
            }
            (
                Request::WriteCoil { address, .. } | Request::WriteRegister { address, .. },
                Ok(Answer::Done),
            ) => one_more(write, *address),
            (_, Err(Exception::ILLEGAL_FUNCTION)) => {
                let lack = match sent {
                    Request::WriteCoil { .. } if !lacks.several_coils => &mut lacks.single_coil,
                    Request::WriteRegister { .. } if !lacks.several_registers => {
                        &mut lacks.single_register
                    }
                    // Without either there is no way.
                    Request::WriteCoils { .. } if !lacks.single_coil => &mut lacks.several_coils,
                    Request::WriteRegisters { .. } if !lacks.single_register => {
                        &mut lacks.several_registers
                    }
                    Request::MaskRegister { .. } => &mut lacks.mask,
                    Request::ReadWrite { .. } => &mut lacks.exchange,
                    _ => return None,
                };
                *lack = true;
                match sent {
                    // After a read-modify-write the word is in the request, not in the work.
                    Request::WriteRegister { address, word } => {
                        Some(registers(*address, &[*word], *lacks))
                    }
                    _ => Some(self.first(*lacks)),
                }
            }
            _ => None,
        }
    }
}

/// The next register or coil of a write to several, of which `sent` was written alone.
fn one_more(write: &WriteRequest, sent: u16) -> Option<Request> {
    let next = sent.checked_add(1)?;
    let place = |first: u16| next.checked_sub(first).map(usize::from);
    match write {
        WriteRequest::Coils { address, bits } => {
            let on = *bits.get(place(*address)?)?;
            Some(Request::WriteCoil { address: next, on })
        }
        WriteRequest::Registers { address, words } | WriteRequest::Exchange { address, words } => {
            let word = *words.get(place(*address)?)?;
            Some(Request::WriteRegister {
                address: next,
                word,
            })
        }
        WriteRequest::Coil { .. } | WriteRequest::Mask { .. } => None,
    }
}

fn coil(address: u16, on: bool, lacks: Lacks) -> Request {
    coils(address, &[on], lacks)
}

fn coils(address: u16, bits: &[bool], lacks: Lacks) -> Request {
    match bits {
        [on] if !lacks.single_coil => Request::WriteCoil { address, on: *on },
        [on, ..] if lacks.several_coils => Request::WriteCoil { address, on: *on },
        bits => Request::WriteCoils {
            address,
            bits: bits.to_vec(),
        },
    }
}

fn registers(address: u16, words: &[u16], lacks: Lacks) -> Request {
    match words {
        [word] if !lacks.single_register => Request::WriteRegister {
            address,
            word: *word,
        },
        [word, ..] if lacks.several_registers => Request::WriteRegister {
            address,
            word: *word,
        },
        words => Request::WriteRegisters {
            address,
            words: words.to_vec(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(write: WriteRequest) -> Work {
        Work::Write { write, masks: true }
    }

    /// Carries a write out on a unit that refuses some functions; its register holds `0xAAAA`.
    fn functions(work: &Work, refuses: &[u8], lacks: &mut Lacks) -> Vec<u8> {
        let mut seen = Vec::new();
        let mut next = Some(work.first(*lacks));
        while let Some(request) = next {
            seen.push(request.function());
            let answer = if refuses.contains(&request.function()) {
                Err(Exception::ILLEGAL_FUNCTION)
            } else if matches!(request, Request::Read { .. }) {
                Ok(Answer::Data(Data::Words(vec![0xAAAA])))
            } else {
                match request {
                    Request::WriteRegister { address: 1, word } => {
                        assert!(word == 0xAAAB || word == 7, "{word:x}");
                    }
                    Request::WriteRegister { address, word } => assert_eq!((address, word), (2, 8)),
                    _ => {}
                }
                Ok(Answer::Done)
            };
            next = work.next(&request, &answer, lacks);
        }
        seen
    }

    #[test]
    fn what_a_unit_refuses_is_done_another_way_and_not_tried_again() {
        let coil = write(WriteRequest::Coil {
            address: 1,
            on: true,
        });
        let one = write(WriteRequest::Registers {
            address: 1,
            words: vec![7],
        });
        let two = write(WriteRequest::Registers {
            address: 1,
            words: vec![7, 8],
        });
        let two_coils = write(WriteRequest::Coils {
            address: 1,
            bits: vec![true, false],
        });
        let mask = write(WriteRequest::Mask {
            address: 1,
            mask: 1,
            bits: 1,
        });
        let exchange = write(WriteRequest::Exchange {
            address: 1,
            words: vec![7, 8],
        });
        for (work, refuses, first, again) in [
            (&coil, &[][..], &[5][..], &[5][..]),
            (&coil, &[5], &[5, 15], &[15]),
            (&one, &[], &[6], &[6]),
            (&one, &[6], &[6, 16], &[16]),
            (&two, &[], &[16], &[16]),
            // One by one, in their order.
            (&two, &[16], &[16, 6, 6], &[6, 6]),
            (&two, &[6, 16], &[16, 6], &[6]),
            (&two_coils, &[], &[15], &[15]),
            (&two_coils, &[15], &[15, 5, 5], &[5, 5]),
            (&exchange, &[23, 16], &[23, 16, 6, 6], &[6, 6]),
            (&mask, &[], &[22], &[22]),
            (&mask, &[22], &[22, 3, 6], &[3, 6]),
            (&mask, &[22, 6], &[22, 3, 6, 16], &[3, 16]),
            (&exchange, &[], &[23], &[23]),
            (&exchange, &[23], &[23, 16], &[16]),
        ] {
            let mut lacks = Lacks::default();
            assert_eq!(functions(work, refuses, &mut lacks), first, "{work:?}");
            assert_eq!(functions(work, refuses, &mut lacks), again, "{work:?}");
        }
    }

    #[test]
    fn it_is_known_how_much_of_a_write_was_done() {
        let two = write(WriteRequest::Registers {
            address: 1,
            words: vec![7, 8],
        });
        for (address, want) in [(1, None), (2, Some((1, 2)))] {
            let request = Request::WriteRegister { address, word: 8 };
            assert_eq!(two.written_before(&request), want, "{address}");
        }
        assert!(two.is_exclusive());
    }

    #[test]
    fn without_leave_function_22_is_not_tried() {
        let work = Work::Write {
            write: WriteRequest::Mask {
                address: 1,
                mask: 1,
                bits: 1,
            },
            masks: false,
        };
        assert_eq!(functions(&work, &[], &mut Lacks::default()), [3, 6]);
        assert!(work.is_exclusive());
    }
}
