//! Why a connection to NATS ends.

use std::time::Duration;

use super::readback::Trouble;

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not let us in.
    #[error("the remote refuses the connection: {0}")]
    Refused(String),
    /// It wants encryption.
    #[error("the remote wants encryption: expected tls:// instead of nats://")]
    NeedsTls,
    /// It is older than 2.2.
    #[error("the remote is too old: it takes no headers")]
    TooOld,
    /// It ended the connection with a reason.
    #[error("the remote ends the connection: {0}")]
    Ended(String),
    /// It sent what the protocol does not allow.
    #[error("the remote sends nonsense: {0}")]
    Nonsense(String),
    /// It owes an answer for too long.
    #[error("no {0} from the remote within {1:?}")]
    Silent(&'static str, Duration),
    /// JetStream cannot be used.
    #[error(transparent)]
    JetStream(#[from] Trouble),
    /// A stream does not take messages now.
    #[error("the stream does not take a message of {subject}: {why}")]
    Stream {
        /// The message's.
        subject: String,
        /// In the words of the server.
        why: String,
    },
}
