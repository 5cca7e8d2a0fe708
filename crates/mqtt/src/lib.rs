//! MQTT 3.1, 3.1.1 and 5.0 packets: borrowing decode, appending encode.
//!
//! The crate knows the form of every packet and refuses what the specifications refuse, with the
//! reason code that they name. It knows nothing of sockets, sessions or clocks, nor which side of
//! a connection it is on: rules that need one of these (a subscription identifier in a PUBLISH
//! from a client, a second CONNECT, a topic alias above the maximum) are the caller's.
//!
//! A decoded packet borrows from the input. PUBLISH and the acknowledgements allocate nothing in
//! either direction, apart from the growth of the output buffer.
//!
//! Sources: MQTT V3.1 Protocol Specification (IBM, Eurotech, 2010), MQTT Version 3.1.1 Plus
//! Errata 01 (OASIS, 2015) and MQTT Version 5.0 (OASIS, 2019). Section numbers in comments are
//! those of version 5.0, unless they say otherwise.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod error;
mod frame;
mod packet;
mod property;
mod publish;
mod read;
mod reason;
mod suback;
mod subscribe;
mod subscription_ids;
pub mod topic;
mod types;
mod user_properties;
mod write;

pub use ack::{Ack, AckKind, AckProperties, encode_ack};
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{
    Connect, ConnectProperties, Will, WillProperties, answer_version, decode_connect,
};
pub use disconnect::{Disconnect, DisconnectProperties};
pub use error::{DecodeError, EncodeError};
pub use frame::frame_len;
pub use packet::{Packet, decode};
pub use publish::{
    PlainPublish, Publish, PublishProperties, encode_plain_publish, encode_publish,
    encode_publish_head, publish_len,
};
pub use reason::ReasonCode;
pub use suback::{SubAck, UnsubAck};
pub use subscribe::{
    RetainHandling, Subscribe, SubscribeFilters, SubscriptionOptions, Unsubscribe,
    UnsubscribeFilters,
};
pub use subscription_ids::{SubscriptionIds, SubscriptionIdsIter};
pub use types::{MAX_PACKET_SIZE, MAX_REMAINING_LENGTH, PacketId, QoS, Version};
pub use user_properties::{UserProperties, UserPropertiesBuf, UserPropertiesIter};
