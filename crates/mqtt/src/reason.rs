//! Reason codes (section 2.4).

use core::fmt;

/// The result of an operation, as MQTT 5.0 numbers it. Codes of 0x80 and above are failures.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl ReasonCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The specification's name of the code.
            const fn text(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }

            const fn constant(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

reason_codes! {
    /// It worked. CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK, AUTH.
    SUCCESS = 0x00, "Success";
    /// The subscription has maximum QoS 1. SUBACK.
    GRANTED_QOS_1 = 0x01, "Granted QoS 1";
    /// The subscription has maximum QoS 2. SUBACK.
    GRANTED_QOS_2 = 0x02, "Granted QoS 2";
    /// The client leaves and wants its will published. DISCONNECT.
    DISCONNECT_WITH_WILL = 0x04, "Disconnect with Will Message";
    /// Accepted, and there are no subscribers. PUBACK, PUBREC.
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers";
    /// There was no such subscription. UNSUBACK.
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed";
    /// The next step of an authentication. AUTH.
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication";
    /// The client authenticates anew. AUTH.
    RE_AUTHENTICATE = 0x19, "Re-authenticate";
    /// A failure whose reason the sender keeps or that no other code describes.
    UNSPECIFIED_ERROR = 0x80, "Unspecified error";
    /// The packet cannot be parsed. CONNACK, DISCONNECT.
    MALFORMED_PACKET = 0x81, "Malformed Packet";
    /// The packet is not allowed here, or holds what the protocol does not allow. CONNACK, DISCONNECT.
    PROTOCOL_ERROR = 0x82, "Protocol Error";
    /// Valid, and refused by this implementation.
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error";
    /// The server does not speak the version that the client asks for. CONNACK.
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version";
    /// The client identifier is not accepted. CONNACK.
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid";
    /// The user name or the password is wrong. CONNACK.
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password";
    /// The client may not do this.
    NOT_AUTHORIZED = 0x87, "Not authorized";
    /// The server is not available. CONNACK.
    SERVER_UNAVAILABLE = 0x88, "Server unavailable";
    /// The server cannot take more work. CONNACK, DISCONNECT.
    SERVER_BUSY = 0x89, "Server busy";
    /// An administrator banned the client. CONNACK.
    BANNED = 0x8A, "Banned";
    /// The server stops. DISCONNECT.
    SERVER_SHUTTING_DOWN = 0x8B, "Server shutting down";
    /// The authentication method is not supported, or not the current one. CONNACK, DISCONNECT.
    BAD_AUTHENTICATION_METHOD = 0x8C, "Bad authentication method";
    /// Nothing came for one and a half keep-alive times. DISCONNECT.
    KEEP_ALIVE_TIMEOUT = 0x8D, "Keep Alive timeout";
    /// Another connection uses the client identifier. DISCONNECT.
    SESSION_TAKEN_OVER = 0x8E, "Session taken over";
    /// The topic filter is not accepted. SUBACK, UNSUBACK, DISCONNECT.
    TOPIC_FILTER_INVALID = 0x8F, "Topic Filter invalid";
    /// The topic name is not accepted. CONNACK, PUBACK, PUBREC, DISCONNECT.
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid";
    /// The packet identifier is in use. PUBACK, PUBREC, SUBACK, UNSUBACK.
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use";
    /// The packet identifier is not known. PUBREL, PUBCOMP.
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found";
    /// More unacknowledged messages than the receive maximum. DISCONNECT.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded";
    /// The topic alias is above the maximum. DISCONNECT.
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid";
    /// The packet is above the maximum packet size. CONNACK, DISCONNECT.
    PACKET_TOO_LARGE = 0x95, "Packet too large";
    /// Messages come too fast. DISCONNECT.
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high";
    /// A limit is reached.
    QUOTA_EXCEEDED = 0x97, "Quota exceeded";
    /// An administrator closed the connection. DISCONNECT.
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action";
    /// The payload is not what its format indicator says. CONNACK, PUBACK, PUBREC, DISCONNECT.
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid";
    /// The server keeps no retained messages. CONNACK, DISCONNECT.
    RETAIN_NOT_SUPPORTED = 0x9A, "Retain not supported";
    /// The QoS is above the maximum in CONNACK. CONNACK, DISCONNECT.
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported";
    /// Use another server for now. CONNACK, DISCONNECT.
    USE_ANOTHER_SERVER = 0x9C, "Use another server";
    /// Use another server from now on. CONNACK, DISCONNECT.
    SERVER_MOVED = 0x9D, "Server moved";
    /// The server has no shared subscriptions. SUBACK, DISCONNECT.
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "Shared Subscriptions not supported";
    /// Connections come too fast. CONNACK, DISCONNECT.
    CONNECTION_RATE_EXCEEDED = 0x9F, "Connection rate exceeded";
    /// The connection lasted as long as it may. DISCONNECT.
    MAXIMUM_CONNECT_TIME = 0xA0, "Maximum connect time";
    /// The server has no subscription identifiers. SUBACK, DISCONNECT.
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "Subscription Identifiers not supported";
    /// The server has no wildcard subscriptions. SUBACK, DISCONNECT.
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// The name of 0x00 in DISCONNECT.
    pub const NORMAL_DISCONNECTION: Self = Self(0x00);
    /// The name of 0x00 in SUBACK.
    pub const GRANTED_QOS_0: Self = Self(0x00);

    /// Whether the code reports a failure.
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The nearest CONNACK return code of MQTT 3.1 and 3.1.1, 0 to 5 (3.1.1, table 3.1).
    pub const fn connack_v3(self) -> u8 {
        match self {
            Self::UNSUPPORTED_PROTOCOL_VERSION => 1,
            Self::CLIENT_IDENTIFIER_NOT_VALID => 2,
            Self::BAD_USER_NAME_OR_PASSWORD | Self::BAD_AUTHENTICATION_METHOD => 4,
            Self::NOT_AUTHORIZED | Self::BANNED => 5,
            code if code.is_error() => 3,
            _ => 0,
        }
    }

    /// The meaning of a CONNACK return code of MQTT 3.1 and 3.1.1. `None` above 5.
    pub(crate) const fn from_connack_v3(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::SUCCESS,
            1 => Self::UNSUPPORTED_PROTOCOL_VERSION,
            2 => Self::CLIENT_IDENTIFIER_NOT_VALID,
            3 => Self::SERVER_UNAVAILABLE,
            4 => Self::BAD_USER_NAME_OR_PASSWORD,
            5 => Self::NOT_AUTHORIZED,
            _ => return None,
        })
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.constant() {
            Some(name) => write!(f, "{name}(0x{:02X})", self.0),
            None => write!(f, "ReasonCode(0x{:02X})", self.0),
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => write!(f, "{text} (0x{:02X})", self.0),
            None => write!(f, "unknown reason code (0x{:02X})", self.0),
        }
    }
}
