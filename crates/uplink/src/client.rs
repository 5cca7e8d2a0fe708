//! The client's side of MQTT 5.0 and 3.1.1, for one connection. Sans-IO: bytes in, events out.
//!
//! It knows nothing of lanes or files. Every connection begins clean, and its session ends with it:
//! what is not acknowledged is the lanes' to send again.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    AckKind, Connect, ConnectProperties, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode,
    RetainHandling, Subscribe, SubscriptionOptions, Version, decode, encode_ack, encode_publish,
    frame_len, publish_len,
};

/// How long CONNACK, SUBACK and PINGRESP may take.
pub const ANSWER: Duration = Duration::from_secs(15);
/// Messages from the remote that we let be unacknowledged.
const RECEIVE_MAXIMUM: u16 = 100;

/// Who connects, and how.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The client identifier.
    pub client_id: &'a str,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password.
    pub password: Option<&'a [u8]>,
    /// Seconds between two packets at most.
    pub keep_alive: u16,
    /// The largest packet that we take, in bytes.
    pub packet: u32,
    /// Say in MQTT 3.1.1 that we are a bridge, as mosquitto does: it does not send us our own.
    pub bridge: bool,
}

/// What CONNACK allows. Absent limits are those of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Unacknowledged messages at most.
    pub in_flight: u16,
    /// Bytes of a packet at most.
    pub packet: usize,
    /// Whether it keeps messages.
    pub retain: bool,
    /// Its topic alias maximum, which is not used.
    pub aliases: u16,
    /// Seconds between two of our packets at most.
    pub keep_alive: u16,
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It speaks an older version only.
    #[error("the remote does not speak MQTT {}", match .0 { Version::V5 => "5.0", _ => "3.1.1" })]
    Version(Version),
    /// It refused CONNECT.
    #[error("the remote refuses the connection: {0}{1}")]
    Refused(ReasonCode, String),
    /// It takes no message that it would acknowledge.
    #[error("the remote takes QoS 0 only")]
    Qos0,
    /// It ended the connection with a reason.
    #[error("the remote ends the connection: {0}{1}")]
    Disconnected(ReasonCode, String),
    /// It sent what the protocol does not allow.
    #[error("the remote sends nonsense: {0}")]
    Nonsense(String),
    /// It owes an answer for too long.
    #[error("no {0} from the remote within {1:?}")]
    Silent(&'static str, Duration),
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The remote let us in.
    Connected(Allowed),
    /// One of our messages was taken or refused.
    Acknowledged(PacketId, ReasonCode, String),
    /// A message came: the bytes of its packet at the beginning of the input, which is to be taken in now.
    Message(usize),
    /// The answer to our SUBSCRIBE: reason codes in the order of the filters.
    Subscribed(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Up,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    version: Version,
    phase: Phase,
    keep_alive: Duration,
    packet_max: usize,
    /// What must come by when, and what it is called.
    owed: [Option<(Instant, &'static str)>; 3],
    sent_at: Instant,
}

const CONNACK: usize = 0;
const SUBACK: usize = 1;
const PINGRESP: usize = 2;

impl Client {
    /// Begins a connection: its CONNECT is appended to `out`.
    ///
    /// # Errors
    /// [`Fault::Nonsense`] if a name is too long for a packet.
    pub fn new(
        version: Version,
        identity: &Identity<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Self, Fault> {
        let connect = Connect {
            version,
            bridge: identity.bridge && version < Version::V5,
            clean_start: true,
            keep_alive: identity.keep_alive,
            client_id: identity.client_id,
            will: None,
            username: identity.username,
            password: identity.password,
            properties: ConnectProperties {
                // Nothing is left waiting for us: a command of last night starts no pump.
                session_expiry: Some(0),
                receive_maximum: NonZeroU16::new(RECEIVE_MAXIMUM),
                maximum_packet_size: NonZeroU32::new(identity.packet),
                ..ConnectProperties::default()
            },
        };
        let packet = Packet::Connect(Box::new(connect));
        let encoded = packet.encode(version, out);
        encoded.map_err(|error| Fault::Nonsense(error.to_string()))?;
        Ok(Self {
            version,
            phase: Phase::Greeting,
            keep_alive: Duration::from_secs(identity.keep_alive.into()),
            packet_max: identity.packet as usize,
            owed: [Some((now + ANSWER, "CONNACK")), None, None],
            sent_at: now,
        })
    }

    /// The version that is spoken.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the remote let us in.
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Looks at the packet at the beginning of `input`; returns what happened and the bytes of the
    /// packet. `None`: more bytes are needed. Answers are appended to `out`.
    ///
    /// # Errors
    /// The connection has to end.
    pub fn take(
        &mut self,
        input: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Option<Event>, usize)>, Fault> {
        if self.phase == Phase::Greeting {
            self.check_greeting(input)?;
        }
        let decoded = decode(input, self.version, self.packet_max);
        let decoded = decoded.map_err(|error| Fault::Nonsense(error.to_string()))?;
        let Some((packet, len)) = decoded else {
            return Ok(None);
        };
        let event = match (self.phase, packet) {
            (Phase::Greeting, Packet::ConnAck(ack)) => Some(self.greet(&ack)?),
            (_, Packet::Disconnect(packet)) => {
                let text = packet.properties.reason_string;
                return Err(Fault::Disconnected(packet.reason, in_brackets(text)));
            }
            (Phase::Up, Packet::PubAck(ack)) => {
                let text = ack.properties.reason_string.unwrap_or_default();
                Some(Event::Acknowledged(
                    ack.packet_id,
                    ack.reason,
                    text.to_owned(),
                ))
            }
            (Phase::Up, Packet::Publish(publish)) => {
                if publish.properties.topic_alias.is_some() {
                    return Err(Fault::Nonsense(
                        "a topic alias that we did not allow".into(),
                    ));
                }
                Some(Event::Message(len))
            }
            // The second half of QoS 2, which we never ask for; it is harmless to answer.
            (Phase::Up, Packet::PubRel(ack)) => {
                let done = (AckKind::PubComp, ack.packet_id, ReasonCode::SUCCESS);
                encode_ack(out, self.version, done.0, done.1, done.2);
                self.sent_at = now;
                None
            }
            (Phase::Up, Packet::SubAck(ack)) => {
                self.owed[SUBACK] = None;
                Some(Event::Subscribed(ack.codes.to_vec()))
            }
            (Phase::Up, Packet::PingResp) => {
                self.owed[PINGRESP] = None;
                None
            }
            (_, packet) => {
                let name = format!("{packet:?}");
                let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
                return Err(Fault::Nonsense(format!("a {name} is out of place")));
            }
        };
        Ok(Some((event, len)))
    }

    /// Before MQTT 5.0 a server answers an unknown version in its own, which is none of version 5.0.
    fn check_greeting(&self, input: &[u8]) -> Result<(), Fault> {
        let too_long = |len: usize| len > self.packet_max;
        match frame_len(input) {
            Ok(len) if len.is_some_and(too_long) => Err(Fault::Nonsense("no CONNACK".into())),
            Err(error) => Err(Fault::Nonsense(error.to_string())),
            Ok(_) => match (self.version, input) {
                (Version::V5, [0x20, 2, _, 1, ..]) => Err(Fault::Version(Version::V5)),
                _ => Ok(()),
            },
        }
    }

    fn greet(&mut self, ack: &fieldgate_mqtt::ConnAck<'_>) -> Result<Event, Fault> {
        let properties = &ack.properties;
        match ack.reason {
            ReasonCode::SUCCESS => {}
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => return Err(Fault::Version(self.version)),
            reason => {
                let text = in_brackets(properties.reason_string);
                return Err(Fault::Refused(reason, text));
            }
        }
        if properties.maximum_qos == QoS::AtMostOnce {
            return Err(Fault::Qos0);
        }
        self.owed[CONNACK] = None;
        self.phase = Phase::Up;
        if let Some(seconds) = properties.server_keep_alive {
            self.keep_alive = Duration::from_secs(seconds.into());
        }
        Ok(Event::Connected(Allowed {
            in_flight: properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get),
            packet: properties
                .maximum_packet_size
                .map_or(usize::MAX, |size| size.get() as usize),
            retain: properties.retain_available,
            aliases: properties.topic_alias_maximum,
            keep_alive: self.keep_alive.as_secs().try_into().unwrap_or(u16::MAX),
        }))
    }

    /// Appends a message. False, and nothing is appended, if its packet has more than `most` bytes.
    pub fn publish(
        &mut self,
        publish: &Publish<'_>,
        most: usize,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        if publish_len(self.version, publish) > most {
            return false;
        }
        encode_publish(out, self.version, publish);
        self.sent_at = now;
        true
    }

    /// Appends one SUBSCRIBE for all filters: nothing of ours, and nothing that was kept.
    ///
    /// # Errors
    /// [`Fault::Nonsense`] if they are too long for a packet.
    pub fn subscribe(
        &mut self,
        filters: &[(&str, QoS)],
        id: PacketId,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let options = |qos| SubscriptionOptions {
            qos,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
        };
        let filters: Vec<_> = filters
            .iter()
            .map(|(filter, qos)| (*filter, options(*qos)))
            .collect();
        let packet = Packet::Subscribe(Subscribe::new(id, &filters));
        let encoded = packet.encode(self.version, out);
        encoded.map_err(|error| Fault::Nonsense(error.to_string()))?;
        self.owed[SUBACK] = Some((now + ANSWER, "SUBACK"));
        self.sent_at = now;
        Ok(())
    }

    /// Acknowledges a message of the remote.
    pub fn acknowledge(&mut self, publish: &Publish<'_>, now: Instant, out: &mut Vec<u8>) {
        let Some(id) = publish.packet_id else {
            return;
        };
        let kind = match publish.qos {
            QoS::ExactlyOnce => AckKind::PubRec,
            _ => AckKind::PubAck,
        };
        encode_ack(out, self.version, kind, id, ReasonCode::SUCCESS);
        self.sent_at = now;
    }

    /// Says goodbye.
    pub fn disconnect(&self, out: &mut Vec<u8>) {
        // It has no text that could be too long.
        let _ = Packet::Disconnect(Disconnect::default()).encode(self.version, out);
    }

    /// What is due at `now`: a PINGREQ is appended, or the remote owes something for too long.
    ///
    /// # Errors
    /// [`Fault::Silent`]
    pub fn tick(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Fault> {
        for (until, name) in self.owed.into_iter().flatten() {
            if now >= until {
                return Err(Fault::Silent(name, ANSWER));
            }
        }
        let is_idle = !self.keep_alive.is_zero()
            && now.saturating_duration_since(self.sent_at) >= self.ping_after();
        if self.phase == Phase::Up && is_idle && self.owed[PINGRESP].is_none() {
            // It has no fields that could be too long.
            let _ = Packet::PingReq.encode(self.version, out);
            self.sent_at = now;
            self.owed[PINGRESP] = Some((now + ANSWER, "PINGRESP"));
        }
        Ok(())
    }

    /// Three quarters of the keep-alive time, so that a slow line is still in time.
    fn ping_after(&self) -> Duration {
        self.keep_alive * 3 / 4
    }
}

fn in_brackets(text: Option<&str>) -> String {
    let short = |text: &str| -> String {
        text.chars()
            .take(200)
            .flat_map(char::escape_debug)
            .collect()
    };
    text.map_or(String::new(), |text| format!(" ({})", short(text)))
}

#[cfg(test)]
mod tests;
