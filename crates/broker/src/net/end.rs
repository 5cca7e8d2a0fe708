//! Why a connection ends.

use fieldgate_mqtt::ReasonCode;

use crate::hub::Departure;
use fieldgate_broker_core::session::WrongAck;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// DISCONNECT came.
    Orderly(Departure),
    /// The client closed its side, or the socket failed.
    Lost,
    /// Another connection has the session.
    TakenOver,
    /// We end it, and tell an MQTT 5 client why.
    Fault {
        reason: ReasonCode,
        what: &'static str,
    },
    /// CONNECT was refused; the CONNACK is written.
    Refused,
}

impl End {
    /// The disk does not take what would have to be kept, and the client's version of MQTT cannot be
    /// told so otherwise. It has no acknowledgement, so it will send again.
    pub(super) const NOT_KEPT: Self = Self::Fault {
        reason: ReasonCode::QUOTA_EXCEEDED,
        what: "its message cannot be kept: the disk takes nothing",
    };

    pub(super) fn kicked(reason: ReasonCode) -> Self {
        let what = match reason {
            ReasonCode::NOT_AUTHORIZED => "its right to be here has been withdrawn",
            _ => "ended by the broker",
        };
        Self::Fault { reason, what }
    }

    pub(super) fn protocol(what: &'static str) -> Self {
        Self::Fault {
            reason: ReasonCode::PROTOCOL_ERROR,
            what,
        }
    }
}

impl From<fieldgate_mqtt::DecodeError> for End {
    fn from(error: fieldgate_mqtt::DecodeError) -> Self {
        Self::Fault {
            reason: error.reason,
            what: error.what,
        }
    }
}

impl From<WrongAck> for End {
    fn from(WrongAck: WrongAck) -> Self {
        Self::protocol("an acknowledgement of another kind than its message waits for")
    }
}
