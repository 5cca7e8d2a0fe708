//! The open line or connection of a bus.
//!
//! `rtu` has one transaction at a time on a serial line or on a TCP connection, `tcp` several.
//! `line` is the bytes of an RTU line, `owing` what its units still owe: only an answer that cannot
//! be an earlier request's is used. `port` opens serial ports and says what to do about those that
//! do not open. Every answer is checked against its request before anything is taken from it, and
//! counted if it is none.

mod line;
pub(crate) mod owing;
pub(crate) mod port;
pub(crate) mod rtu;
pub(crate) mod tcp;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::data::{BusError, Exception};

/// Bytes in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}

/// A server that is there answers within milliseconds; one that is not must not hold up the
/// other end of the queue for the minutes that TCP would try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

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

/// Connects to `host:port`.
pub(crate) async fn connect(address: &str) -> Result<TcpStream, String> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("cannot connect to {address}: {error}")),
        Err(_) => return Err(format!("cannot connect to {address}: no answer within 3 s")),
    };
    // A request is one small segment that should leave at once.
    stream
        .set_nodelay(true)
        .map_err(|error| format!("cannot set up {address}: {error}"))?;
    Ok(stream)
}
