//! A blocking MQTT client that does nothing by itself: its user says what it sends and when it looks.
//!
//! It speaks through the codec of `fieldgate-mqtt` and keeps no session: acknowledgements, packet identifiers and what
//! survives a connection are its holder's.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    AckKind, ConnAck, Connect, ConnectProperties, MAX_PACKET_SIZE, Packet, PacketId, ReasonCode,
    Subscribe, SubscriptionOptions, Version, decode, encode_ack,
};

/// What came, in a form that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    ConnAck(Greeting),
    Publish(Box<Message>),
    /// Packet identifier and reason.
    Ack(AckKind, u16, u8),
    SubAck(u16, Vec<u8>),
    /// The codes are empty before MQTT 5.0.
    UnsubAck(u16, Vec<u8>),
    PingResp,
    Disconnect(u8),
    /// The end of the stream, for a holder to whom it is no error. [`Raw::next`] never gives it.
    Closed,
}

/// A CONNACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    pub session_present: bool,
    pub reason: u8,
    pub assigned: Option<String>,
    /// Seconds.
    pub session_expiry: Option<u32>,
    pub receive_maximum: Option<u16>,
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: u16,
    /// Seconds.
    pub keep_alive: Option<u16>,
}

/// A PUBLISH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    /// 0 with QoS 0.
    pub id: u16,
    pub alias: Option<u16>,
    pub subscription_ids: Vec<u32>,
    /// Seconds.
    pub expiry: Option<u32>,
    pub utf8: Option<bool>,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation: Option<Vec<u8>>,
    pub user: Vec<(String, String)>,
}

impl Message {
    /// The payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a payload of a test is a text")
    }

    /// Without its packet identifier, which is the broker's to choose.
    #[must_use]
    pub fn anonymous(self) -> Self {
        Self { id: 0, ..self }
    }
}

/// A connection, with or without a CONNECT.
pub struct Raw {
    pub stream: TcpStream,
    version: Version,
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
}

/// A CONNECT that takes up a session or begins one, which lasts 10 minutes in MQTT 5.0 and for ever before.
pub fn lasting(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        bridge: false,
        clean_start: false,
        keep_alive: 60,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties {
            session_expiry: Some(600),
            ..ConnectProperties::default()
        },
    }
}

impl Raw {
    /// A TCP connection. What comes is decoded as `version`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(address: SocketAddr, version: Version) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        Self::over(stream, version)
    }

    /// A connection that exists already. Its timeout for writes stays as it is.
    ///
    /// # Errors
    /// The system's.
    pub fn over(stream: TcpStream, version: Version) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            version,
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
        })
    }

    /// Connects and is accepted; returns whether there was a session.
    ///
    /// # Errors
    /// The connection's, and a CONNACK that refuses.
    pub fn connect(
        address: SocketAddr,
        connect: &Connect<'_>,
        within: Duration,
    ) -> io::Result<(Self, bool)> {
        let mut client = Self::open(address, connect.version)?;
        client.send(&Packet::Connect(Box::new(connect.clone())))?;
        match client.next(within)? {
            Some(Event::ConnAck(greeting)) if greeting.reason == 0 => {
                Ok((client, greeting.session_present))
            }
            Some(other) => Err(io::Error::other(format!("{other:?} instead of CONNACK"))),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Writes a packet at once.
    ///
    /// # Errors
    /// The connection's.
    pub fn send(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        self.put(packet);
        self.flush()
    }

    /// Appends a packet to what the next [`Self::flush`] writes.
    pub fn put(&mut self, packet: &Packet<'_>) {
        let encoded = packet.encode(self.version, &mut self.output);
        encoded.expect("a packet of a test can be encoded");
    }

    /// Appends an acknowledgement without an error.
    pub fn put_ack(&mut self, kind: AckKind, id: u16) {
        let id = PacketId::new(id).expect("identifier 0 is never acknowledged");
        encode_ack(
            &mut self.output,
            self.version,
            kind,
            id,
            ReasonCode::SUCCESS,
        );
    }

    /// Appends a SUBSCRIBE.
    pub fn put_subscribe(&mut self, id: u16, filters: &[(&str, SubscriptionOptions)]) {
        let id = PacketId::new(id).expect("not 0");
        self.put(&Packet::Subscribe(Subscribe::new(id, filters)));
    }

    /// Writes what was put.
    ///
    /// # Errors
    /// The connection's.
    pub fn flush(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.output);
        self.output.clear();
        written
    }

    /// Forgets what was put and not written, as a client does that is killed.
    pub fn forget(&mut self) {
        self.output.clear();
    }

    /// A packet that has come already.
    ///
    /// # Errors
    /// When it is no MQTT.
    pub fn buffered(&mut self) -> io::Result<Option<Event>> {
        let decoded = decode(&self.input[self.at..], self.version, MAX_PACKET_SIZE);
        match decoded {
            Err(error) => Err(io::Error::other(format!("undecodable: {error:?}"))),
            Ok(None) => Ok(None),
            Ok(Some((packet, len))) => {
                let event = event(&packet).map_err(io::Error::other)?;
                self.at += len;
                Ok(Some(event))
            }
        }
    }

    /// The next packet; `None` when there is none within the time, which is not below 1 ms.
    ///
    /// # Errors
    /// `UnexpectedEof` or `ConnectionReset` when the other side has ended the connection, others as the system says.
    pub fn next(&mut self, within: Duration) -> io::Result<Option<Event>> {
        let end = Instant::now() + within;
        loop {
            if let Some(event) = self.buffered()? {
                return Ok(Some(event));
            }
            self.input.drain(..self.at);
            self.at = 0;
            let left = end.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left))?;
            let mut some = [0; 16 * 1024];
            match self.stream.read(&mut some) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend_from_slice(&some[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if Instant::now() >= end {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether no packet has come in part.
    pub fn is_between(&self) -> bool {
        self.input.len() == self.at
    }

    /// Ends the connection without a DISCONNECT and waits until the broker has ended it too.
    pub fn vanish(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        while let Ok(Some(_)) = self.next(Duration::from_secs(10)) {}
    }

    /// The version that this speaks.
    pub fn version(&self) -> Version {
        self.version
    }
}

fn event(packet: &Packet<'_>) -> Result<Event, String> {
    let ack =
        |kind, ack: &fieldgate_mqtt::Ack<'_>| Event::Ack(kind, ack.packet_id.get(), ack.reason.0);
    Ok(match packet {
        Packet::ConnAck(packet) => Event::ConnAck(greeting(packet)),
        Packet::Publish(packet) => Event::Publish(Box::new(message(packet))),
        Packet::PubAck(packet) => ack(AckKind::PubAck, packet),
        Packet::PubRec(packet) => ack(AckKind::PubRec, packet),
        Packet::PubRel(packet) => ack(AckKind::PubRel, packet),
        Packet::PubComp(packet) => ack(AckKind::PubComp, packet),
        Packet::SubAck(packet) => Event::SubAck(packet.packet_id.get(), packet.codes.into()),
        Packet::UnsubAck(packet) => Event::UnsubAck(packet.packet_id.get(), packet.codes.into()),
        Packet::PingResp => Event::PingResp,
        Packet::Disconnect(packet) => Event::Disconnect(packet.reason.0),
        other => return Err(format!("a server does not send {other:?}")),
    })
}

fn greeting(packet: &ConnAck<'_>) -> Greeting {
    let properties = &packet.properties;
    Greeting {
        session_present: packet.session_present,
        reason: packet.reason.0,
        assigned: properties.assigned_client_id.map(Into::into),
        session_expiry: properties.session_expiry,
        receive_maximum: properties.receive_maximum.map(Into::into),
        maximum_packet_size: properties.maximum_packet_size.map(Into::into),
        topic_alias_maximum: properties.topic_alias_maximum,
        keep_alive: properties.server_keep_alive,
    }
}

fn message(packet: &fieldgate_mqtt::Publish<'_>) -> Message {
    let properties = &packet.properties;
    let user = properties.user_properties.iter();
    Message {
        topic: packet.topic.into(),
        payload: packet.payload.into(),
        qos: packet.qos as u8,
        retain: packet.retain,
        dup: packet.dup,
        id: packet.packet_id.map_or(0, PacketId::get),
        alias: properties.topic_alias.map(Into::into),
        subscription_ids: properties.subscription_ids.iter().collect(),
        expiry: properties.message_expiry,
        utf8: properties.payload_format_utf8,
        content_type: properties.content_type.map(Into::into),
        response_topic: properties.response_topic.map(Into::into),
        correlation: properties.correlation_data.map(Into::into),
        user: user
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    }
}
