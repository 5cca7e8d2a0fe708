//! Lines of JSON: a greeting of the gateway, then a request and its answer by turns. Pure.

use fieldgate_bridge_modbus::wire::identify::Identification;
use fieldgate_bridge_modbus::wire::pdu::Answer;
use fieldgate_bridge_modbus::{BusError, Data, Exception, Table};
use serde::{Deserialize, Serialize};

/// The longest request: 1968 bits, written as `false,`.
pub(crate) const REQUEST_MAX: usize = 16 * 1024;
/// The longest answer: an identification in 32 parts, each byte as `255,`.
pub(crate) const ANSWER_MAX: usize = 64 * 1024;

/// What the gateway says first.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Greeting {
    /// The file that it runs with.
    pub(crate) config: String,
}

/// One request.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    pub(crate) bus: String,
    pub(crate) unit: u8,
    /// Only when nothing else waits for the bus.
    pub(crate) background: bool,
    pub(crate) ask: Ask,
}

/// What a tool wants to know of an uplink.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UplinkQuestion {
    pub(crate) uplink: String,
    /// The messages that its remote did not take, instead of its state.
    pub(crate) rejected: bool,
}

/// What a unit shall do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    Read {
        #[serde(with = "table")]
        table: Table,
        address: u16,
        count: u16,
        /// Instead of the bus's own, and then without another attempt.
        timeout_ms: Option<u32>,
    },
    Identify,
    Bits {
        address: u16,
        bits: Vec<bool>,
    },
    Words {
        address: u16,
        words: Vec<u16>,
    },
    Mask {
        address: u16,
        mask: u16,
        bits: u16,
    },
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    Bits(Vec<bool>),
    Words(Vec<u16>),
    Identification {
        conformity: u8,
        objects: Vec<(u8, Vec<u8>)>,
    },
    Done,
    /// What an uplink says of itself.
    Uplink(serde_json::Value),
    /// The request never reached a bus.
    Refused(String),
    Connect {
        request: String,
        detail: String,
    },
    Lost {
        request: String,
        detail: String,
    },
    Timeout {
        request: String,
        after_ms: u64,
    },
    Unsent {
        request: String,
        detail: String,
    },
    Protocol {
        request: String,
        detail: String,
    },
    Exception {
        request: String,
        code: u8,
    },
    Illegal {
        request: String,
        detail: String,
    },
    Closed {
        request: String,
    },
}

impl From<Result<Answer, BusError>> for Told {
    fn from(answer: Result<Answer, BusError>) -> Self {
        match answer {
            Ok(Answer::Data(Data::Bits(bits))) => Self::Bits(bits),
            Ok(Answer::Data(Data::Words(words))) => Self::Words(words),
            Ok(Answer::Identification(found)) => Self::Identification {
                conformity: found.conformity,
                objects: found.objects,
            },
            Ok(Answer::Done | Answer::Raw(_)) => Self::Done,
            Err(BusError::Connect { request, detail }) => Self::Connect { request, detail },
            Err(BusError::Lost { request, detail }) => Self::Lost { request, detail },
            Err(BusError::Timeout { request, after_ms }) => Self::Timeout { request, after_ms },
            Err(BusError::Unsent { request, detail }) => Self::Unsent { request, detail },
            Err(BusError::Protocol { request, detail }) => Self::Protocol { request, detail },
            Err(BusError::Exception { request, exception }) => Self::Exception {
                request,
                code: exception.0,
            },
            Err(BusError::Illegal { request, detail }) => Self::Illegal { request, detail },
            Err(BusError::Closed { request }) => Self::Closed { request },
        }
    }
}

impl Told {
    /// The answer of the bus, or why the gateway did not ask it.
    pub(crate) fn into_answer(self) -> Result<Result<Answer, BusError>, String> {
        Ok(match self {
            Self::Bits(bits) => Ok(Answer::Data(Data::Bits(bits))),
            Self::Words(words) => Ok(Answer::Data(Data::Words(words))),
            Self::Identification {
                conformity,
                objects,
            } => Ok(Answer::Identification(Identification {
                conformity,
                next: None,
                objects,
            })),
            Self::Done => Ok(Answer::Done),
            Self::Uplink(_) => return Err("an answer to another question".to_owned()),
            Self::Refused(text) => return Err(text),
            Self::Connect { request, detail } => Err(BusError::Connect { request, detail }),
            Self::Lost { request, detail } => Err(BusError::Lost { request, detail }),
            Self::Timeout { request, after_ms } => Err(BusError::Timeout { request, after_ms }),
            Self::Unsent { request, detail } => Err(BusError::Unsent { request, detail }),
            Self::Protocol { request, detail } => Err(BusError::Protocol { request, detail }),
            Self::Exception { request, code } => Err(BusError::Exception {
                request,
                exception: Exception(code),
            }),
            Self::Illegal { request, detail } => Err(BusError::Illegal { request, detail }),
            Self::Closed { request } => Err(BusError::Closed { request }),
        })
    }
}

mod table {
    use fieldgate_bridge_modbus::Table;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(table: &Table, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(table.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Table, D::Error> {
        let name = String::deserialize(from)?;
        let all = [Table::Coil, Table::Discrete, Table::Input, Table::Holding];
        let found = all.into_iter().find(|table| table.name() == name);
        found.ok_or_else(|| D::Error::custom("no such table"))
    }
}
