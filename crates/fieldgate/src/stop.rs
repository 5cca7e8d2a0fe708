//! Why the program ends, and with which exit code.

use std::io;

use fieldgate_bridge::Untested;
use fieldgate_config::Report;

/// What keeps a command from being carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The configuration has mistakes.
    #[error("{0}")]
    Config(Report),
    /// The configuration is right, and the command line names something that is not in it.
    #[error("{0}")]
    Usage(String),
    /// An address cannot be listened on.
    #[error("{0}")]
    Listen(io::Error),
    /// A device did not answer.
    #[error("{0}")]
    Device(String),
    /// The system refuses something.
    #[error("{0}")]
    Other(io::Error),
}

impl Stop {
    /// As `--help` documents it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 1,
            Self::Usage(_) => 2,
            Self::Listen(_) => 3,
            Self::Device(_) => 4,
            Self::Other(_) => 5,
        }
    }
}

impl From<Untested> for Stop {
    fn from(why: Untested) -> Self {
        match why {
            Untested::Device(text) => Self::Device(text),
            Untested::System(error) => Self::Other(error),
        }
    }
}
