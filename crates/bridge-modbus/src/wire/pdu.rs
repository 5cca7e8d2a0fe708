//! Requests and answers without unit identifier and check.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, chapter 6; the limits are those of
//! the sections of the functions.

use crate::config::Table;
use crate::data::{Data, Exception, ReadRequest, describe};

use super::PDU_MAX;
use super::identify::Identification;

/// One request to one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Functions 1 to 4.
    Read {
        /// Which table.
        table: Table,
        /// The first register or bit.
        address: u16,
        /// How many: 1 to 125 registers or 1 to 2000 bits.
        count: u16,
    },
    /// Function 5.
    WriteCoil {
        /// The coil.
        address: u16,
        /// Its new state.
        on: bool,
    },
    /// Function 15.
    WriteCoils {
        /// The first coil.
        address: u16,
        /// 1 to 1968 states.
        bits: Vec<bool>,
    },
    /// Function 6.
    WriteRegister {
        /// The register.
        address: u16,
        /// Its new word.
        word: u16,
    },
    /// Function 16.
    WriteRegisters {
        /// The first register.
        address: u16,
        /// 1 to 123 words.
        words: Vec<u16>,
    },
    /// Function 22: the register becomes `(register & and) | (or & !and)`.
    MaskRegister {
        /// The register.
        address: u16,
        /// The bits to keep.
        and: u16,
        /// The new state of the others.
        or: u16,
    },
    /// Function 23: writes, then reads, in one transaction.
    ReadWrite {
        /// The first register to read.
        from: u16,
        /// How many to read: 1 to 125.
        count: u16,
        /// The first register to write.
        to: u16,
        /// 1 to 121 words to write.
        words: Vec<u16>,
    },
    /// Function 8 with sub-function 0: return query data.
    Echo {
        /// What the unit sends back.
        data: u16,
    },
    /// Function 43 with type 14: read device identification.
    Identify {
        /// 1 basic, 2 regular, 3 extended, 4 one single object.
        level: u8,
        /// The first object that is wanted.
        object: u8,
    },
    /// Anything: function code and data, 1 to 253 bytes.
    Raw(Vec<u8>),
}

/// What a unit answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The registers or bits that were read.
    Data(Data),
    /// A write was acknowledged.
    Done,
    /// Function 43 with type 14.
    Identification(Identification),
    /// To [`Request::Raw`]: function code and data.
    Raw(Vec<u8>),
}

/// Why a protocol data unit is no answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The unit refused. That is an answer, if not the one hoped for.
    Exception(Exception),
    /// It is about another function.
    Function(u8),
    /// Its content does not fit the request.
    Content(&'static str),
}

/// How many bits one write may set.
const WRITE_BITS_MAX: usize = 1968;
/// How many registers one write may set.
const WRITE_WORDS_MAX: usize = 123;
/// How many registers function 23 may set.
const EXCHANGE_WORDS_MAX: usize = 121;
const READ_BITS_MAX: u16 = 2000;
const READ_WORDS_MAX: u16 = 125;

impl ReadRequest {
    /// What goes over the wire.
    pub fn to_wire(&self) -> Request {
        Request::Read {
            table: self.table,
            address: self.address,
            count: self.count,
        }
    }
}

impl Request {
    /// The function code.
    pub fn function(&self) -> u8 {
        match self {
            Self::Read { table, .. } => match table {
                Table::Coil => 1,
                Table::Discrete => 2,
                Table::Holding => 3,
                Table::Input => 4,
            },
            Self::WriteCoil { .. } => 5,
            Self::WriteRegister { .. } => 6,
            Self::Echo { .. } => 8,
            Self::WriteCoils { .. } => 15,
            Self::WriteRegisters { .. } => 16,
            Self::MaskRegister { .. } => 22,
            Self::ReadWrite { .. } => 23,
            Self::Identify { .. } => 43,
            Self::Raw(pdu) => pdu.first().copied().unwrap_or_default(),
        }
    }

    /// Whether it can change something in the device, so that it must not be sent twice.
    pub fn is_write(&self) -> bool {
        !matches!(
            self,
            Self::Read { .. } | Self::Echo { .. } | Self::Identify { .. }
        )
    }

    /// Whether a good answer is the request itself.
    pub fn is_repeated_by_answer(&self) -> bool {
        matches!(
            self,
            Self::WriteCoil { .. }
                | Self::WriteRegister { .. }
                | Self::MaskRegister { .. }
                | Self::Echo { .. }
        )
    }

    /// Whether counts and lengths are those that the specification allows, and no address lies
    /// beyond 65535.
    ///
    /// # Errors
    ///
    /// The text says which limit is passed.
    pub fn check(&self) -> Result<(), String> {
        let within = |what: &str, address: u16, count: usize, most: usize| {
            if !(1..=most).contains(&count) {
                return Err(format!("{count} {what} are outside 1..={most}"));
            }
            if usize::from(address) + count > 0x1_0000 {
                return Err(format!(
                    "{count} {what} from {address} on pass address 65535"
                ));
            }
            Ok(())
        };
        match self {
            Self::Read {
                table,
                address,
                count,
            } => {
                let (what, most) = if table.is_bits() {
                    ("bits", READ_BITS_MAX)
                } else {
                    ("registers", READ_WORDS_MAX)
                };
                within(what, *address, usize::from(*count), usize::from(most))
            }
            Self::WriteCoils { address, bits } => {
                within("bits", *address, bits.len(), WRITE_BITS_MAX)
            }
            Self::WriteRegisters { address, words } => {
                within("registers", *address, words.len(), WRITE_WORDS_MAX)
            }
            Self::ReadWrite {
                from,
                count,
                to,
                words,
            } => {
                let most = usize::from(READ_WORDS_MAX);
                within("registers", *from, usize::from(*count), most)?;
                within("registers", *to, words.len(), EXCHANGE_WORDS_MAX)
            }
            Self::Raw(pdu) if !(1..=PDU_MAX).contains(&pdu.len()) => {
                Err(format!("{} bytes are outside 1..={PDU_MAX}", pdu.len()))
            }
            Self::Raw(_)
            | Self::WriteCoil { .. }
            | Self::WriteRegister { .. }
            | Self::MaskRegister { .. }
            | Self::Echo { .. }
            | Self::Identify { .. } => Ok(()),
        }
    }

    /// Appends function code and data. Of a request that [`Self::check`] refuses, what is
    /// appended is no request either.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Self::Raw(pdu) = self {
            out.extend(pdu);
            return;
        }
        out.push(self.function());
        match self {
            Self::Read { address, count, .. } => words(out, &[*address, *count]),
            Self::WriteCoil { address, on } => {
                words(out, &[*address, if *on { 0xFF00 } else { 0 }]);
            }
            Self::WriteRegister { address, word } => words(out, &[*address, *word]),
            Self::WriteCoils { address, bits } => {
                words(out, &[*address, length(bits.len())]);
                out.push(bits.len().div_ceil(8) as u8);
                out.extend(bits.chunks(8).map(|bits| {
                    let set = (0..).zip(bits).filter(|(_, bit)| **bit);
                    set.fold(0u8, |byte, (place, _)| byte | 1 << place)
                }));
            }
            Self::WriteRegisters { address, words: of } => {
                words(out, &[*address, length(of.len())]);
                out.push((of.len() * 2) as u8);
                words(out, of);
            }
            Self::MaskRegister { address, and, or } => words(out, &[*address, *and, *or]),
            Self::ReadWrite {
                from,
                count,
                to,
                words: of,
            } => {
                words(out, &[*from, *count, *to, length(of.len())]);
                out.push((of.len() * 2) as u8);
                words(out, of);
            }
            Self::Echo { data } => words(out, &[0, *data]),
            Self::Identify { level, object } => out.extend([14, *level, *object]),
            Self::Raw(_) => {}
        }
    }

    /// Takes the answer out of a protocol data unit, after it has been checked against the
    /// request.
    ///
    /// # Errors
    ///
    /// See [`Wrong`].
    pub fn decode(&self, pdu: &[u8]) -> Result<Answer, Wrong> {
        let (function, body) = pdu.split_first().ok_or(Wrong::Content("it is empty"))?;
        if *function == self.function() | 0x80 && self.function() < 0x80 {
            return match body {
                [code] => Err(Wrong::Exception(Exception(*code))),
                _ => Err(Wrong::Content("an exception without its code")),
            };
        }
        if *function != self.function() {
            return Err(Wrong::Function(*function));
        }
        let mut echo = Vec::new();
        match self {
            Self::Read { table, count, .. } if table.is_bits() => bits(body, *count),
            Self::Read { count, .. } | Self::ReadWrite { count, .. } => registers(body, *count),
            Self::WriteCoils { address, bits } => {
                words(&mut echo, &[*address, length(bits.len())]);
                echoed(body, &echo)
            }
            Self::WriteRegisters { address, words: of } => {
                words(&mut echo, &[*address, length(of.len())]);
                echoed(body, &echo)
            }
            Self::WriteCoil { .. }
            | Self::WriteRegister { .. }
            | Self::MaskRegister { .. }
            | Self::Echo { .. } => {
                self.encode(&mut echo);
                echoed(pdu, &echo)
            }
            Self::Identify { level, .. } => {
                let read = Identification::decode(body, *level).map_err(Wrong::Content)?;
                Ok(Answer::Identification(read))
            }
            Self::Raw(_) => Ok(Answer::Raw(pdu.to_vec())),
        }
    }

    /// How long the answer is if the unit does not refuse, without unit identifier and check;
    /// `None` if only the answer itself can say.
    pub fn answer_length(&self) -> Option<usize> {
        match self {
            Self::Read { table, count, .. } if table.is_bits() => {
                Some(2 + usize::from(count.div_ceil(8)))
            }
            Self::Read { count, .. } | Self::ReadWrite { count, .. } => {
                Some(2 + usize::from(*count) * 2)
            }
            Self::WriteCoil { .. }
            | Self::WriteRegister { .. }
            | Self::WriteCoils { .. }
            | Self::WriteRegisters { .. }
            | Self::Echo { .. } => Some(5),
            Self::MaskRegister { .. } => Some(7),
            Self::Identify { .. } | Self::Raw(_) => None,
        }
    }

    /// What it asks of `unit`, for people: `read holding 10..=13 of unit 2`.
    pub fn describe(&self, unit: u8) -> String {
        let place = |verb: &str, table: Table, address: u16, count: usize| {
            describe(verb, table, unit, address, count)
        };
        match self {
            Self::Read {
                table,
                address,
                count,
            } => place("read", *table, *address, usize::from(*count)),
            Self::WriteCoil { address, .. } => place("write", Table::Coil, *address, 1),
            Self::WriteCoils { address, bits } => place("write", Table::Coil, *address, bits.len()),
            Self::WriteRegister { address, .. } => place("write", Table::Holding, *address, 1),
            Self::WriteRegisters { address, words } => {
                place("write", Table::Holding, *address, words.len())
            }
            Self::MaskRegister { address, .. } => {
                place("change bits of", Table::Holding, *address, 1)
            }
            Self::ReadWrite { to, words, .. } => {
                place("write and read", Table::Holding, *to, words.len())
            }
            Self::Echo { .. } => format!("echo of unit {unit}"),
            Self::Identify { .. } => format!("identification of unit {unit}"),
            Self::Raw(_) => format!("function {} of unit {unit}", self.function()),
        }
    }
}

fn words(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

fn length(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn counted<'b>(body: &'b [u8], wanted: usize, what: &'static str) -> Result<&'b [u8], Wrong> {
    match body.split_first() {
        Some((count, data)) if usize::from(*count) == wanted && data.len() == wanted => Ok(data),
        _ => Err(Wrong::Content(what)),
    }
}

fn bits(body: &[u8], count: u16) -> Result<Answer, Wrong> {
    let wanted = usize::from(count.div_ceil(8));
    let data = counted(body, wanted, "not as many bits as asked for")?;
    let all = data
        .iter()
        .flat_map(|byte| (0..8).map(move |place| byte >> place & 1 == 1));
    let bits = all.take(usize::from(count)).collect();
    Ok(Answer::Data(Data::Bits(bits)))
}

fn registers(body: &[u8], count: u16) -> Result<Answer, Wrong> {
    let wanted = usize::from(count) * 2;
    let data = counted(body, wanted, "not as many registers as asked for")?;
    let (pairs, _) = data.as_chunks::<2>();
    let words = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    Ok(Answer::Data(Data::Words(words)))
}

fn echoed(got: &[u8], want: &[u8]) -> Result<Answer, Wrong> {
    if got == want {
        Ok(Answer::Done)
    } else {
        Err(Wrong::Content("acknowledges another write"))
    }
}

#[cfg(test)]
mod tests;
