//! One connection to see whether it works: what it says of itself, and one message there.

use std::time::{Duration, Instant};

use fieldgate_mqtt::{PacketId, Publish, PublishProperties, QoS, ReasonCode};

use crate::client::{Allowed, Event as ClientEvent};
use crate::config::{Config, Url};
use crate::link::{Dialect, Event, Link, Open};
use crate::nats::Memory;
use crate::net::{self, Peer};
use crate::remote::Fault;
use crate::secrets::Secrets;

/// How long all of it may take after the connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the handshake told.
    pub peer: Peer,
    /// What is spoken, such as `MQTT 5.0`.
    pub protocol: String,
    /// What the remote allows.
    pub allowed: Allowed,
    /// What became of the message, and how long that took.
    pub published: (ReasonCode, Duration),
}

/// Connects to one of the URLs with a client identifier of its own and publishes a message to `topic`, not retained.
///
/// # Errors
/// What is in the way.
pub async fn probe(config: &Config, url: &Url, topic: &str) -> Result<Found, String> {
    let mut config = config.clone();
    if config.preset == crate::config::Preset::None {
        // The running uplink is not put out by it; the clouds know only the name that they were told.
        config.client_id.push_str("-probe");
    }
    let mut dialect = Dialect::first(config.preset);
    loop {
        match attempt(&config, url, topic, dialect).await {
            Ok(found) => return Ok(found),
            Err(Trouble::Other(text)) => return Err(text),
            Err(Trouble::Version) => {
                let nothing = || "the remote speaks neither MQTT 5.0 nor 3.1.1".to_owned();
                dialect = dialect.next().ok_or_else(nothing)?;
            }
        }
    }
}

enum Trouble {
    Version,
    Other(String),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault.is_version() {
            true => Self::Version,
            false => Self::Other(fault.to_string()),
        }
    }
}

async fn attempt(
    config: &Config,
    url: &Url,
    topic: &str,
    dialect: Dialect,
) -> Result<Found, Trouble> {
    let secrets = Secrets::read(config).await.map_err(Trouble::Other)?;
    let opened = net::open(url.clone(), config.files.clone(), config.preset).await;
    let opened = opened.map_err(|error| Trouble::Other(error.to_string()))?;
    let peer = opened.peer.clone();
    let open = Open::new(opened, config, secrets, dialect, Memory::default(), false)?;
    let talk = talk(Link::Open(Box::new(open)), topic);
    let talked = tokio::time::timeout(PATIENCE, talk).await;
    let slow = |_| Trouble::Other(format!("no answer within {PATIENCE:?}"));
    let (protocol, allowed, reason, took) = talked.map_err(slow)??;
    Ok(Found {
        peer,
        protocol,
        allowed,
        published: (reason, took),
    })
}

type Talked = (String, Allowed, ReasonCode, Duration);

async fn talk(mut link: Link, topic: &str) -> Result<Talked, Trouble> {
    let (mut allowed, mut sent) = (None, Instant::now());
    let mut has_greeting = link.open().is_some_and(|open| !open.input.is_empty());
    loop {
        let event = match std::mem::take(&mut has_greeting) {
            true => Event::Read(false),
            false => link.event().await,
        };
        match event {
            Event::Ended(error) => return Err(Trouble::Other(error)),
            Event::Read(_) => {}
            _ => continue,
        }
        let Some(open) = link.open() else { continue };
        let now = Instant::now();
        while let Some((event, len)) = open.client.take(&open.input, now, &mut open.out)? {
            open.input.drain(..len);
            match event {
                Some(ClientEvent::Connected(found)) => {
                    let publish = Publish {
                        dup: false,
                        qos: QoS::AtLeastOnce,
                        retain: false,
                        topic,
                        packet_id: PacketId::new(1),
                        properties: PublishProperties::default(),
                        payload: b"fieldgate test uplink",
                    };
                    if !open
                        .client
                        .publish(&publish, found.packet, now, &mut open.out)
                    {
                        return Err(Trouble::Other(
                            "the remote takes no message at all".to_owned(),
                        ));
                    }
                    sent = now;
                    allowed = Some(found);
                }
                Some(ClientEvent::Acknowledged(_, reason, _)) => {
                    if let (Some(allowed), Link::Open(open)) = (allowed, link) {
                        let (protocol, took) = (open.client.protocol(), sent.elapsed());
                        open.leave(Duration::from_millis(500)).await;
                        return Ok((protocol, allowed, reason, took));
                    }
                    return Err(Trouble::Other("an acknowledgement of nothing".to_owned()));
                }
                _ => {}
            }
        }
    }
}
