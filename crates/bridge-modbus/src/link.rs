//! The open line or connection of a bus.
//!
//! `rtu` has one transaction at a time on a serial line or on a TCP connection, `tcp` several.
//! `line` is the bytes of an RTU line, `owing` what its units still owe: only an answer that cannot
//! be an earlier request's is used. Every answer is checked against its request before anything is taken from it, and
//! counted if it is none.

mod line;
pub(crate) mod owing;
pub(crate) mod rtu;
pub(crate) mod tcp;

use std::time::Duration;

use crate::data::{BusError, Exception};

/// What went wrong in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection broke, or the adapter is gone.
    Lost(String),
    /// So much came that it cannot have been asked for; the connection is closed.
    Flood,
    /// No answer began in time.
    Timeout,
    /// An answer that cannot be used.
    Wrong(String),
    /// The unit refused.
    Exception(Exception),
    /// It was not sent, as the unit owes an answer that could be taken for its own.
    Unsent(String),
}

/// What is said of a flood.
const FLOOD: &str = "it sends without end";

impl Fault {
    /// Whether the connection or the port is of no use any more.
    pub(crate) fn ends_link(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Flood)
    }

    /// What went wrong, without what was asked.
    pub(crate) fn detail(&self, limit: Duration) -> String {
        match self {
            Self::Exception(exception) => format!("exception {exception}"),
            Self::Timeout => format!("no answer within {} ms", limit.as_millis()),
            Self::Lost(detail) | Self::Wrong(detail) | Self::Unsent(detail) => detail.clone(),
            Self::Flood => FLOOD.into(),
        }
    }

    /// With what was asked of whom.
    pub(crate) fn into_error(self, request: String, limit: Duration) -> BusError {
        match self {
            Self::Exception(exception) => BusError::Exception { request, exception },
            Self::Timeout => BusError::Timeout {
                request,
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            },
            Self::Lost(detail) => BusError::Lost { request, detail },
            Self::Flood => BusError::Lost {
                request,
                detail: FLOOD.into(),
            },
            Self::Wrong(detail) => BusError::Protocol { request, detail },
            Self::Unsent(detail) => BusError::Unsent { request, detail },
        }
    }
}
