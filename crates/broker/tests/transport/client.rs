//! A client over any stream.

use std::net::SocketAddr;

use fieldgate_mqtt::{
    Ack, AckKind, Connect, ConnectProperties, MAX_PACKET_SIZE, Packet, PacketId, Publish,
    PublishProperties, QoS, ReasonCode, Subscribe, SubscriptionOptions, Version, decode,
    encode_ack,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};

use crate::PATIENCE;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) type AnyStream = Box<dyn Stream>;

/// One packet that is under way each way.
const ID: u16 = 7;

pub(crate) struct Client {
    stream: AnyStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects with a session that outlives the connection, and subscribes to everything under
    /// its name. Returns whether there was a session.
    pub(crate) async fn connect(stream: AnyStream, id: &str) -> (Self, bool) {
        let (mut client, present) = Self::reconnect(stream, id).await;
        let filter = format!("{id}/#");
        let options = SubscriptionOptions::new(QoS::ExactlyOnce);
        let filters = [(filter.as_str(), options)];
        let subscribe = Subscribe::new(PacketId::new(ID).unwrap(), &filters);
        client.send(&Packet::Subscribe(subscribe)).await;
        let is_suback = |packet: &Packet<'_>| matches!(packet, Packet::SubAck(_));
        client.until(is_suback).await;
        (client, present)
    }

    /// Connects with the session that there is.
    pub(crate) async fn reconnect(stream: AnyStream, id: &str) -> (Self, bool) {
        let buffer = Vec::new();
        let mut client = Self { stream, buffer };
        let connect = Connect {
            version: Version::V5,
            bridge: false,
            clean_start: false,
            keep_alive: 60,
            client_id: id,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties {
                session_expiry: Some(600),
                ..ConnectProperties::default()
            },
        };
        client.send(&Packet::Connect(Box::new(connect))).await;
        let mut present = false;
        client
            .until(|packet| {
                let Packet::ConnAck(connack) = packet else {
                    return false;
                };
                present = connack.session_present;
                connack.reason == ReasonCode::SUCCESS
            })
            .await;
        (client, present)
    }

    async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(Version::V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Publishes a message and goes through the whole exchange of its QoS.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) {
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: (qos > QoS::AtMostOnce).then(|| PacketId::new(ID).unwrap()),
            properties: PublishProperties::default(),
            payload,
        }))
        .await;
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => {
                self.until(|packet| matches!(packet, Packet::PubAck(_)))
                    .await;
            }
            QoS::ExactlyOnce => {
                self.until(|packet| matches!(packet, Packet::PubRec(_)))
                    .await;
                self.ack(AckKind::PubRel, ID).await;
                self.until(|packet| matches!(packet, Packet::PubComp(_)))
                    .await;
            }
        }
    }

    /// The next message's payload, with the whole exchange of its QoS.
    pub(crate) async fn message(&mut self, want: QoS) -> Vec<u8> {
        let (mut got, mut id) = (Vec::new(), 0);
        self.until(|packet| {
            let Packet::Publish(publish) = packet else {
                return false;
            };
            assert_eq!(publish.qos, want);
            got = publish.payload.to_vec();
            id = publish.packet_id.map_or(0, PacketId::get);
            true
        })
        .await;
        match want {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.ack(AckKind::PubAck, id).await,
            QoS::ExactlyOnce => {
                self.ack(AckKind::PubRec, id).await;
                let released = |packet: &Packet<'_>| matches!(packet, Packet::PubRel(Ack { packet_id, .. }) if packet_id.get() == id);
                self.until(released).await;
                self.ack(AckKind::PubComp, id).await;
            }
        }
        got
    }

    async fn ack(&mut self, kind: AckKind, id: u16) {
        let mut bytes = Vec::new();
        let id = PacketId::new(id).unwrap();
        encode_ack(&mut bytes, Version::V5, kind, id, ReasonCode::SUCCESS);
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads packets until one is as wanted; the others must not be messages.
    async fn until(&mut self, mut wanted: impl FnMut(&Packet<'_>) -> bool) {
        loop {
            let decoded = decode(&self.buffer, Version::V5, MAX_PACKET_SIZE).unwrap();
            if let Some((packet, len)) = decoded {
                assert!(wanted(&packet), "{packet:?}");
                self.buffer.drain(..len);
                return;
            }
            let read = self.stream.read_buf(&mut self.buffer);
            let read = tokio::time::timeout(PATIENCE, read).await.unwrap();
            assert_ne!(read.unwrap(), 0, "the connection ends");
        }
    }
}

/// MQTT inside WebSocket, in frames of `size` bytes, as RFC 6455 has it: written by hand.
pub(crate) async fn websocket(
    mut stream: AnyStream,
    address: SocketAddr,
    size: usize,
) -> AnyStream {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    let (near, far) = duplex(64 * 1024);
    let (mut from_client, mut to_client) = split(far);
    let (mut from_broker, mut to_broker) = split(stream);
    tokio::spawn(async move {
        let mut buffer = vec![0; size];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let mut frame = vec![0x82, 0xFE];
            frame.extend((count as u16).to_be_bytes());
            frame.extend([1, 2, 3, 4]);
            let masked = buffer[..count].iter().zip([1, 2, 3, 4].iter().cycle());
            frame.extend(masked.map(|(byte, key)| byte ^ key));
            to_broker.write_all(&frame).await.unwrap();
            to_broker.flush().await.unwrap();
        }
        let _ = to_broker.shutdown().await;
    });
    tokio::spawn(async move {
        while let Ok(first) = from_broker.read_u8().await {
            if first != 0x82 {
                break; // A close.
            }
            let length = match from_broker.read_u8().await.unwrap() {
                126 => u64::from(from_broker.read_u16().await.unwrap()),
                127 => from_broker.read_u64().await.unwrap(),
                short => short.into(),
            };
            let mut payload = (&mut from_broker).take(length);
            tokio::io::copy(&mut payload, &mut to_client).await.unwrap();
        }
    });
    Box::new(near)
}
