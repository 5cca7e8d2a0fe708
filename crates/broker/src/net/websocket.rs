//! MQTT inside WebSocket (RFC 6455; MQTT 5.0 section 6): the handshake, and a stream of bytes
//! made of binary messages. Where messages begin and end means nothing to MQTT.

mod handshake;
mod meter;
mod origin;
mod stream;

#[cfg(test)]
mod tests;

pub(super) use handshake::{ForeignOrigin, accept};
