//! Why a device could not be polled, and what that costs.

/// What kind of fault it was; decides what it costs and which counter it raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The port or the connection could not be opened.
    Open,
    /// The port or the connection was lost.
    Lost,
    /// No answer in time.
    Timeout,
    /// An answer that is none to what was asked, or that breaks the protocol.
    Protocol,
    /// The device itself refused what was asked.
    Refused,
}

/// Why a poll failed, with a text for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct DriverError {
    /// The kind of fault.
    pub cause: Cause,
    /// One short sentence that names what was asked of whom.
    pub detail: String,
}

impl DriverError {
    /// From its parts.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
        }
    }

    /// The one place that decides what costs the session and what costs a single poll.
    ///
    /// A port that is gone must be opened again. A late, wrong or refused answer says nothing
    /// about the next one; only several in a row do (see [`crate::Settings::offline_after`]).
    pub fn ends_session(&self) -> bool {
        match self.cause {
            Cause::Open | Cause::Lost => true,
            Cause::Timeout | Cause::Protocol | Cause::Refused => false,
        }
    }
}
