//! Does the steps of a script against a broker and writes down what the clients see.
//!
//! A step is over when its acknowledgement has come and then every client has had nothing but the answers to its
//! PINGREQs, twice in a row: nothing waits for time to pass.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use fieldgate_mqtt::{
    AckKind, Connect, ConnectProperties, Disconnect, DisconnectProperties, Packet, PacketId,
    Publish, PublishProperties, ReasonCode, Subscribe, Unsubscribe, UserPropertiesBuf, Version,
    Will, WillProperties,
};

use super::script::{Acks, CLIENTS, ConnectSpec, Op, PublishSpec, Script, TOPICS};
use fieldgate_test_client::{Event, Message, Raw};

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Session present, reason.
    ConnAck(bool, u8),
    Ack(AckKind, u8),
    SubAck(Vec<u8>),
    UnsubAck(Vec<u8>),
    Message(Box<Message>),
    Disconnect(u8),
    Closed,
}

/// What every client saw in every step.
pub type Record = Vec<[Vec<Seen>; CLIENTS]>;

#[derive(Default)]
struct Client {
    raw: Option<Raw>,
    acks: Acks,
    withheld: Vec<(AckKind, u16)>,
    last_id: u16,
    /// Topics by alias, the broker's and its own.
    their_aliases: Vec<(u16, String)>,
    own_aliases: Vec<u16>,
    seen: Vec<Seen>,
}

struct Player<'a> {
    address: SocketAddr,
    name: &'a str,
    clients: [Client; CLIENTS],
}

/// Plays a script and removes behind itself what it left. Clients are called `NAME-0` and so on.
///
/// # Errors
/// When an answer does not come, with the number of the step.
pub fn play(address: SocketAddr, name: &str, script: &Script) -> Result<Record, String> {
    let mut player = Player {
        address,
        name,
        clients: Default::default(),
    };
    let mut record = Record::new();
    for (number, step) in script.steps.iter().enumerate() {
        let done = player.act(step.client, &step.op);
        let settled = done.and_then(|()| player.settle());
        settled.map_err(|error| format!("step {number}, {:?}: {error}", step.op))?;
        let seen = player.clients.each_mut();
        record.push(seen.map(|client| std::mem::take(&mut client.seen)));
    }
    player
        .clean()
        .map_err(|error| format!("behind it: {error}"))?;
    Ok(record)
}

impl Player<'_> {
    fn act(&mut self, number: usize, op: &Op) -> io::Result<()> {
        if let Op::Connect(spec) = op {
            return self.connect(number, spec);
        }
        let client = &mut self.clients[number];
        // The broker may have ended what the script thinks is open; the record shows it.
        let Some(raw) = client.raw.as_mut() else {
            return Ok(());
        };
        match op {
            Op::Connect(_) => Ok(()),
            Op::Disconnect { with_will, expiry } => {
                let reason = ReasonCode(if *with_will { 4 } else { 0 });
                let properties = DisconnectProperties {
                    session_expiry: *expiry,
                    ..DisconnectProperties::default()
                };
                raw.send(&Packet::Disconnect(Disconnect { reason, properties }))?;
                client.end();
                Ok(())
            }
            Op::Vanish => {
                client.end();
                Ok(())
            }
            Op::Subscribe { id, filters } => {
                let filters: Vec<_> = filters
                    .iter()
                    .map(|(filter, options)| (filter.as_str(), *options))
                    .collect();
                let packet_id = client.next_id();
                let mut subscribe = Subscribe::new(packet_id, &filters);
                subscribe.subscription_id = *id;
                client.send(&Packet::Subscribe(subscribe))?;
                client.wait_for(|event| matches!(event, Event::SubAck(..)))
            }
            Op::Unsubscribe(filters) => {
                let filters: Vec<_> = filters.iter().map(String::as_str).collect();
                let packet_id = client.next_id();
                client.send(&Packet::Unsubscribe(Unsubscribe::new(packet_id, &filters)))?;
                client.wait_for(|event| matches!(event, Event::UnsubAck(..)))
            }
            Op::Publish(spec) => client.publish(spec),
            Op::Insist {
                message,
                again,
                connect,
            } => self.insist(number, message, *again, connect),
            Op::Acknowledge(acks) => client.acknowledge(*acks),
        }
    }

    fn insist(
        &mut self,
        number: usize,
        message: &PublishSpec,
        again: usize,
        connect: &ConnectSpec,
    ) -> io::Result<()> {
        let received = |event: &Event| matches!(event, Event::Ack(AckKind::PubRec, ..));
        let client = &mut self.clients[number];
        let id = client.next_id();
        client.put_publish(message, Some(id), false)?;
        client.wait_for(received)?;
        for _ in 0..again {
            // What it gets of its own message it gets now or behind the PUBREL.
            self.settle()?;
            self.clients[number].end();
            self.connect(number, connect)?;
            let client = &mut self.clients[number];
            client.put_publish(message, Some(id), true)?;
            client.wait_for(received)?;
        }
        let client = &mut self.clients[number];
        client.put_release(id.get())
    }

    fn connect(&mut self, number: usize, spec: &ConnectSpec) -> io::Result<()> {
        let id = format!("{}-{number}", self.name);
        let mut user = UserPropertiesBuf::new();
        if let Some((will, _)) = &spec.will {
            fill(&mut user, will);
        }
        let will = spec.will.as_ref().map(|(will, delay)| Will {
            topic: will.topic,
            payload: will.payload.as_bytes(),
            qos: will.qos,
            retain: will.retain,
            properties: WillProperties {
                delay: *delay,
                payload_format_utf8: will.utf8,
                message_expiry: will.expiry,
                content_type: will.content_type,
                response_topic: will.response_topic,
                correlation_data: will.correlation,
                user_properties: user.as_properties(),
            },
        });
        let connect = Connect {
            version: spec.version,
            bridge: false,
            clean_start: spec.clean,
            keep_alive: 60,
            client_id: &id,
            will,
            username: None,
            password: None,
            properties: ConnectProperties {
                session_expiry: spec.expiry,
                receive_maximum: spec.receive_maximum.and_then(NonZeroU16::new),
                topic_alias_maximum: spec.aliases,
                ..ConnectProperties::default()
            },
        };
        let client = &mut self.clients[number];
        let older = client.raw.take();
        let mut raw = Raw::open(self.address, spec.version)?;
        raw.send(&Packet::Connect(Box::new(connect)))?;
        client.acks = Acks::All;
        client.their_aliases.clear();
        client.own_aliases.clear();
        client.withheld.clear();
        if let Some(older) = older {
            // What it had not read yet is not of interest, as it comes again or was of QoS 0; why it ends is.
            client.see_end(older);
        }
        match raw.next(PATIENCE)? {
            Some(Event::ConnAck(greeting)) => {
                let (present, reason) = (greeting.session_present, greeting.reason);
                // MQTT 3.1 has no such flag.
                let shown = present && spec.version > Version::V3;
                client.seen.push(Seen::ConnAck(shown, reason));
                if reason == 0 {
                    client.raw = Some(raw);
                }
                Ok(())
            }
            other => Err(io::Error::other(format!("{other:?} instead of CONNACK"))),
        }
    }

    /// Reads until no client gets anything any more.
    fn settle(&mut self) -> io::Result<()> {
        let mut quiet = 0;
        while quiet < 2 {
            quiet += 1;
            for client in &mut self.clients {
                let count = client.seen.len();
                client.ping()?;
                if client.seen.len() != count {
                    quiet = 0;
                }
            }
        }
        Ok(())
    }

    /// Ends all sessions and removes all retained messages.
    fn clean(&mut self) -> io::Result<()> {
        for client in &mut self.clients {
            client.end();
        }
        for number in 0..CLIENTS {
            let bare = ConnectSpec {
                version: Version::V5,
                clean: true,
                expiry: None,
                receive_maximum: None,
                aliases: 0,
                will: None,
            };
            self.connect(number, &bare)?;
        }
        let client = &mut self.clients[0];
        for topic in TOPICS {
            client.publish(&PublishSpec {
                topic,
                retain: true,
                qos: fieldgate_mqtt::QoS::AtLeastOnce,
                ..PublishSpec::default()
            })?;
        }
        for client in &mut self.clients {
            if let Some(raw) = &mut client.raw {
                raw.send(&Packet::Disconnect(Disconnect::default()))?;
            }
            client.end();
            client.seen.clear();
        }
        Ok(())
    }
}

fn fill(user: &mut UserPropertiesBuf, spec: &PublishSpec) {
    for (name, value) in &spec.user {
        user.push(name, value).expect("short");
    }
}

impl Client {
    fn raw(&mut self) -> io::Result<&mut Raw> {
        self.raw.as_mut().ok_or(io::ErrorKind::NotConnected.into())
    }

    fn send(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        self.raw()?.send(packet)
    }

    fn next_id(&mut self) -> PacketId {
        self.last_id = self.last_id % 100 + 1;
        PacketId::new(self.last_id).expect("not 0")
    }

    fn publish(&mut self, spec: &PublishSpec) -> io::Result<()> {
        let id = match spec.qos as u8 {
            0 => None,
            _ => Some(self.next_id()),
        };
        self.put_publish(spec, id, false)?;
        match spec.qos as u8 {
            0 => Ok(()),
            1 => self.wait_for(|event| matches!(event, Event::Ack(AckKind::PubAck, ..))),
            _ => {
                self.wait_for(|event| matches!(event, Event::Ack(AckKind::PubRec, ..)))?;
                let refused = matches!(self.seen.last(), Some(Seen::Ack(_, 0x80..)));
                match id {
                    Some(id) if !refused => self.put_release(id.get()),
                    _ => Ok(()),
                }
            }
        }
    }

    fn put_release(&mut self, id: u16) -> io::Result<()> {
        let raw = self.raw()?;
        raw.put_ack(AckKind::PubRel, id);
        raw.flush()?;
        self.wait_for(|event| matches!(event, Event::Ack(AckKind::PubComp, ..)))
    }

    fn put_publish(
        &mut self,
        spec: &PublishSpec,
        packet_id: Option<PacketId>,
        dup: bool,
    ) -> io::Result<()> {
        let mut user = UserPropertiesBuf::new();
        fill(&mut user, spec);
        // The topic goes with an alias once on a connection.
        let known = spec
            .alias
            .is_some_and(|alias| self.own_aliases.contains(&alias));
        self.own_aliases.extend(spec.alias.filter(|_| !known));
        let packet = Packet::Publish(Publish {
            dup,
            qos: spec.qos,
            retain: spec.retain,
            topic: if known { "" } else { spec.topic },
            packet_id,
            properties: PublishProperties {
                payload_format_utf8: spec.utf8,
                message_expiry: spec.expiry,
                topic_alias: spec.alias.and_then(NonZeroU16::new),
                response_topic: spec.response_topic,
                correlation_data: spec.correlation,
                content_type: spec.content_type,
                user_properties: user.as_properties(),
                ..PublishProperties::default()
            },
            payload: spec.payload.as_bytes(),
        });
        self.send(&packet)
    }

    /// Reads until a packet of a kind has come, or the connection has ended.
    fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) -> io::Result<()> {
        while let Some(raw) = &mut self.raw {
            let event = match raw.next(PATIENCE) {
                Ok(Some(event)) => event,
                Ok(None) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return self.ended(error),
            };
            let found = wanted(&event);
            self.see(event)?;
            if found {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads what there is, up to the answer to a PINGREQ.
    fn ping(&mut self) -> io::Result<()> {
        let Some(raw) = &mut self.raw else {
            return Ok(());
        };
        if let Err(error) = raw.send(&Packet::PingReq) {
            return self.ended(error);
        }
        self.wait_for(|event| *event == Event::PingResp)
    }

    fn ended(&mut self, error: io::Error) -> io::Result<()> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionReset | UnexpectedEof => {
                self.raw = None;
                self.seen.push(Seen::Closed);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Writes down what came, and answers it as far as this client answers now.
    fn see(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::PingResp => {}
            Event::ConnAck(greeting) => {
                let seen = Seen::ConnAck(greeting.session_present, greeting.reason);
                self.seen.push(seen);
            }
            Event::SubAck(_, codes) => self.seen.push(Seen::SubAck(codes)),
            Event::UnsubAck(_, codes) => self.seen.push(Seen::UnsubAck(codes)),
            Event::Closed => {}
            Event::Disconnect(reason) => self.seen.push(Seen::Disconnect(reason)),
            Event::Ack(kind, id, reason) => {
                self.seen.push(Seen::Ack(kind, reason));
                if kind == AckKind::PubRel {
                    self.answer(AckKind::PubComp, id)?;
                }
            }
            Event::Publish(mut message) => {
                self.resolve(&mut message);
                let (id, qos) = (message.id, message.qos);
                // The broker's to choose.
                (message.id, message.alias) = (0, None);
                self.seen.push(Seen::Message(message));
                match qos {
                    1 => self.answer(AckKind::PubAck, id)?,
                    2 => self.answer(AckKind::PubRec, id)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn resolve(&mut self, message: &mut Message) {
        let Some(alias) = message.alias else { return };
        if message.topic.is_empty() {
            let known = self.their_aliases.iter().find(|(known, _)| *known == alias);
            message.topic =
                known.map_or_else(|| "an alias never set".into(), |(_, topic)| topic.clone());
        } else {
            self.their_aliases.retain(|(known, _)| *known != alias);
            self.their_aliases.push((alias, message.topic.clone()));
        }
    }

    fn answer(&mut self, kind: AckKind, id: u16) -> io::Result<()> {
        let now = match self.acks {
            Acks::All => true,
            Acks::Received => kind != AckKind::PubComp,
            Acks::None => false,
        };
        if !now {
            self.withheld.push((kind, id));
            return Ok(());
        }
        let raw = self.raw()?;
        raw.put_ack(kind, id);
        raw.flush()
    }

    fn acknowledge(&mut self, acks: Acks) -> io::Result<()> {
        self.acks = acks;
        if acks == Acks::All {
            for (kind, id) in std::mem::take(&mut self.withheld) {
                self.answer(kind, id)?;
            }
        }
        Ok(())
    }

    /// Ends the connection and waits until the broker has: by then it has published the will.
    fn end(&mut self) {
        if let Some(raw) = self.raw.take() {
            raw.vanish();
        }
        self.withheld.clear();
    }

    fn see_end(&mut self, mut older: Raw) {
        loop {
            match older.next(PATIENCE) {
                Ok(Some(Event::Disconnect(reason))) => self.seen.push(Seen::Disconnect(reason)),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    self.seen.push(Seen::Closed);
                    return;
                }
            }
        }
    }
}
