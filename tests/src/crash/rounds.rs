//! Rounds of one broker and one state: look what is there, change something, be killed.
//!
//! One thread plays all clients, so that the order of what was acknowledged is beyond doubt. The last packets of a round
//! are underway when the broker dies.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    AckKind, Connect, Packet, PacketId, Publish, PublishProperties, QoS, SubscriptionOptions,
    Version, Will, WillProperties,
};

use super::promise::{Broken, Fault, Queue, Topic};
use super::{Daemon, PATIENCE};
use crate::random::Random;
use fieldgate_test_client::{Event, Raw, lasting};

/// Retained topics that change again and again. Every fourth change has a new topic.
const TOPICS: u64 = 8;
const RETAINED: &str = "crash/r";
const QUEUED: &str = "crash/q";

/// Sessions, and how long each outlives its connection: a day and ten minutes are shorter than the clock's steps.
const SESSIONS: [u32; 3] = [u32::MAX, 86_400, 600];

/// Packets of the writer without an acknowledgement.
const WINDOW: usize = 8;

/// How long a will may take that a broker publishes after its start.
const WILL_MAX: Duration = Duration::from_secs(5);

/// Where the clock is set to; the last is the true time.
const CLOCKS: [&str; 4] = ["@1970-01-01 00:10:00", "+3d", "-1d", "+0"];

/// Sets the clock that the broker reads.
pub type SetClock<'a> = &'a mut dyn FnMut(&str);

enum Change {
    Retained(u64, Option<u64>),
    Message(usize, u64),
}

struct Rounds<'a> {
    daemon: &'a mut dyn Daemon,
    address: SocketAddr,
    set_clock: SetClock<'a>,
    random: Random,
    /// Values and messages have numbers that never come again.
    last: u64,
    topics: BTreeMap<u64, Topic>,
    /// Topics of wills that the broker has to publish after its next start.
    wills: Vec<u64>,
    queues: Vec<Queue>,
    broken: Broken,
}

/// Plays so many rounds, and looks a last time what is there.
pub fn rounds(
    daemon: &mut dyn Daemon,
    address: SocketAddr,
    set_clock: SetClock<'_>,
    seed: u64,
    count: usize,
) -> io::Result<Broken> {
    let mut rounds = Rounds {
        daemon,
        address,
        set_clock,
        random: Random::new(seed),
        last: 1000,
        topics: BTreeMap::new(),
        wills: Vec::new(),
        queues: vec![Queue::default(); SESSIONS.len()],
        broken: Broken::default(),
    };
    rounds.daemon.start();
    for session in 0..SESSIONS.len() {
        rounds.renew(session)?;
    }
    for _ in 0..count {
        rounds.change()?;
        rounds.daemon.kill();
        rounds.broken.rounds += 1;
        rounds.daemon.start();
        rounds.look()?;
    }
    for session in 0..SESSIONS.len() {
        rounds.drain(session)?;
    }
    Ok(rounds.broken)
}

fn clean(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        clean_start: true,
        properties: fieldgate_mqtt::ConnectProperties::default(),
        ..lasting(version, client_id)
    }
}

impl Rounds<'_> {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Connects as soon as the broker serves.
    fn connect(&mut self, connect: &Connect<'_>) -> io::Result<(Raw, bool)> {
        let end = Instant::now() + PATIENCE;
        loop {
            match Raw::connect(self.address, connect, Duration::from_secs(10)) {
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(1)),
                connected => return connected,
            }
            if let Some(why) = self.daemon.ended() {
                return Err(io::Error::other(format!("the broker has ended: {why}")));
            }
        }
    }

    fn connect_session(&mut self, session: usize, clean_start: bool) -> io::Result<(Raw, bool)> {
        let name = format!("session-{session}");
        let mut connect = lasting(Version::V5, &name);
        connect.clean_start = clean_start;
        connect.properties.session_expiry = Some(SESSIONS[session]);
        self.connect(&connect)
    }

    /// Ends a session and begins it anew, both acknowledged.
    fn renew(&mut self, session: usize) -> io::Result<()> {
        let (mut client, _) = self.connect_session(session, true)?;
        self.queues[session].end();
        self.broken.sessions += 1;
        let filter = format!("{QUEUED}/{session}/+");
        let options = SubscriptionOptions::new(QoS::ExactlyOnce);
        client.put_subscribe(1, &[(&filter, options)]);
        client.flush()?;
        loop {
            match client.next(PATIENCE)? {
                Some(Event::SubAck(..)) => break,
                Some(Event::Publish(message)) => {
                    let what =
                        format!("session {session}: {:?} after a clean start", message.topic);
                    self.broken.push(Fault::Undone, what);
                }
                Some(_) => {}
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        client.vanish();
        Ok(())
    }

    /// Everything that a round changes; the last of it without waiting for the acknowledgement.
    fn change(&mut self) -> io::Result<()> {
        if self.random.one_in(6) {
            let session = self.random.below(SESSIONS.len());
            self.renew(session)?;
        }
        let wills = self.leave_wills()?;
        let version = *self.random.pick(&[Version::V4, Version::V5]);
        let (mut writer, _) = self.connect(&clean(version, "writer"))?;
        let mut underway = HashMap::new();
        for id in 1..=5 + self.random.below(40) as u16 {
            if self.random.one_in(25) {
                let clock = *self.random.pick(&CLOCKS);
                (self.set_clock)(clock);
                self.broken.steps += 1;
            }
            let change = self.next_change();
            let qos = 1 + self.random.below(2) as u8;
            self.put(&mut writer, id, qos, &change, version);
            underway.insert(id, change);
            writer.flush()?;
            while underway.len() >= WINDOW {
                self.acknowledge(&mut writer, &mut underway, PATIENCE)?;
            }
        }
        let end = Instant::now() + self.random.time(Duration::from_millis(8));
        while !underway.is_empty() && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            self.acknowledge(&mut writer, &mut underway, left)?;
        }
        drop(wills);
        Ok(())
    }

    /// Clients with retained wills that are connected when the broker dies. Their CONNACK promises them.
    fn leave_wills(&mut self) -> io::Result<Vec<Raw>> {
        let mut clients = vec![];
        for place in 0..self.random.below(3) {
            let version = *self.random.pick(&[Version::V4, Version::V5]);
            let value = self.number();
            let (topic, payload) = (format!("{RETAINED}/{value}"), value.to_string());
            let name = format!("will-{place}");
            let connect = Connect {
                will: Some(Will {
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    topic: &topic,
                    payload: payload.as_bytes(),
                    properties: WillProperties::default(),
                }),
                ..clean(version, &name)
            };
            clients.push(self.connect(&connect)?.0);
            let topic = self.topics.entry(value).or_default();
            topic.send(Some(value));
            topic.acknowledge(Some(value));
            self.wills.push(value);
            self.broken.wills += 1;
        }
        Ok(clients)
    }

    fn next_change(&mut self) -> Change {
        let number = self.number();
        if self.random.one_in(2) {
            return Change::Message(self.random.below(SESSIONS.len()), number);
        }
        // Wills of this round are not there yet.
        let known = self.topics.iter();
        let known = known.filter(|(topic, state)| state.is_set() && !self.wills.contains(topic));
        let known: Vec<u64> = known.map(|(topic, _)| *topic).collect();
        if !known.is_empty() && self.random.one_in(4) {
            return Change::Retained(*self.random.pick(&known), None);
        }
        match self.random.one_in(4) {
            true => Change::Retained(number, Some(number)),
            false => {
                let topic = self.random.below(TOPICS as usize) as u64;
                let value = (!self.random.one_in(3)).then_some(number);
                Change::Retained(topic, value)
            }
        }
    }

    fn put(&mut self, writer: &mut Raw, id: u16, qos: u8, change: &Change, version: Version) {
        let (topic, payload, retain) = match change {
            Change::Retained(topic, value) => {
                self.topics.entry(*topic).or_default().send(*value);
                let payload = value.map_or(String::new(), |value| value.to_string());
                (format!("{RETAINED}/{topic}"), payload, true)
            }
            Change::Message(session, number) => {
                self.queues[*session].send(*number, qos);
                let topic = format!("{QUEUED}/{session}/{}", number % 3);
                (topic, number.to_string(), false)
            }
        };
        let day = (version == Version::V5 && self.random.one_in(4)).then_some(86_400);
        writer.put(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::from_u8(qos).expect("1 or 2"),
            retain,
            topic: &topic,
            packet_id: PacketId::new(id),
            properties: PublishProperties {
                message_expiry: day,
                ..PublishProperties::default()
            },
            payload: payload.as_bytes(),
        }));
    }

    fn acknowledge(
        &mut self,
        writer: &mut Raw,
        underway: &mut HashMap<u16, Change>,
        within: Duration,
    ) -> io::Result<()> {
        let Some(event) = writer.next(within)? else {
            return Ok(());
        };
        let Event::Ack(kind, id, reason) = event else {
            return Ok(());
        };
        if kind == AckKind::PubRec && reason < 0x80 {
            writer.put_ack(AckKind::PubRel, id);
            writer.flush()?;
        }
        if matches!(kind, AckKind::PubAck | AckKind::PubRec)
            && let Some(change) = underway.remove(&id)
            && reason < 0x80
        {
            match change {
                Change::Retained(topic, value) => {
                    self.topics.entry(topic).or_default().acknowledge(value);
                    match value {
                        Some(_) => self.broken.changes += 1,
                        None => self.broken.deletions += 1,
                    }
                }
                Change::Message(session, number) => {
                    self.queues[session].acknowledge(number);
                    self.broken.messages += 1;
                }
            }
        }
        Ok(())
    }

    /// Compares what is there after a start with what was promised.
    fn look(&mut self) -> io::Result<()> {
        let end = Instant::now() + WILL_MAX;
        let found = loop {
            let found = self.find()?;
            let is_there = |topic| found.contains_key(topic);
            if self.wills.iter().all(is_there) || Instant::now() > end {
                break found;
            }
            thread::sleep(Duration::from_millis(20));
        };
        self.wills.clear();
        for topic in found.keys() {
            self.topics.entry(*topic).or_default();
        }
        for (topic, state) in &mut self.topics {
            let found = found.get(topic).copied();
            if let Some(fault) = state.judge(found) {
                let what = format!("{RETAINED}/{topic}: {state:?}, found {found:?}");
                self.broken.push(fault, what);
            }
            state.settle(found);
        }
        if self.random.one_in(3) {
            let session = self.random.below(SESSIONS.len());
            self.drain(session)?;
        }
        Ok(())
    }

    /// What is retained.
    fn find(&mut self) -> io::Result<BTreeMap<u64, u64>> {
        let (mut client, _) = self.connect(&clean(Version::V5, "finder"))?;
        let options = SubscriptionOptions::new(QoS::AtMostOnce);
        client.put_subscribe(1, &[(&format!("{RETAINED}/+"), options)]);
        client.send(&Packet::PingReq)?;
        let mut found = BTreeMap::new();
        loop {
            match client.next(PATIENCE)? {
                Some(Event::Publish(message)) => {
                    let topic = message.topic.rsplit('/').next().unwrap_or_default();
                    let value = String::from_utf8_lossy(&message.payload);
                    let (Ok(topic), Ok(value)) = (topic.parse(), value.parse()) else {
                        let what = format!("{}: {value:?}", message.topic);
                        self.broken.push(Fault::Wrong, what);
                        continue;
                    };
                    found.insert(topic, value);
                }
                Some(Event::PingResp) => break,
                Some(_) => {}
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        client.vanish();
        Ok(found)
    }

    /// Takes what waits for a session, to the end of each exchange.
    fn drain(&mut self, session: usize) -> io::Result<()> {
        let (mut client, present) = self.connect_session(session, false)?;
        if !present {
            self.broken.push(Fault::Lost, format!("session {session}"));
            client.vanish();
            return self.renew(session);
        }
        let (mut end, mut asked) = (Instant::now() + WILL_MAX, false);
        let mut open: HashMap<u16, u64> = HashMap::new();
        let mut seen = BTreeSet::new();
        loop {
            let is_over = |queue: &Queue| queue.due().is_empty() && open.is_empty();
            if !asked && (is_over(&self.queues[session]) || Instant::now() > end) {
                // What else is underway comes before the answer.
                client.put(&Packet::PingReq);
                (asked, end) = (true, Instant::now() + PATIENCE);
            }
            client.flush()?;
            match client.next(Duration::from_millis(50))? {
                Some(Event::Publish(message)) => {
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    let number = text.parse().unwrap_or_default();
                    if message.qos == 2 {
                        open.insert(message.id, number);
                        client.put_ack(AckKind::PubRec, message.id);
                    } else {
                        client.put_ack(AckKind::PubAck, message.id);
                        self.receive(session, number, &mut seen);
                    }
                }
                Some(Event::Ack(AckKind::PubRel, id, _)) => {
                    client.put_ack(AckKind::PubComp, id);
                    if let Some(number) = open.remove(&id) {
                        self.receive(session, number, &mut seen);
                    }
                }
                Some(Event::PingResp) => break,
                None if asked && Instant::now() > end => return Err(io::ErrorKind::TimedOut.into()),
                Some(_) | None => {}
            }
        }
        for number in self.queues[session].due() {
            let (round, came) = (self.broken.rounds, seen.len());
            let what =
                format!("round {round}, session {session}: message {number}; {came} others came");
            self.broken.push(Fault::Lost, what);
        }
        self.queues[session].close();
        client.vanish();
        Ok(())
    }

    fn receive(&mut self, session: usize, number: u64, seen: &mut BTreeSet<u64>) {
        let fault = match self.queues[session].receive(number) {
            // Within one connection nothing comes twice.
            None if !seen.insert(number) => Some(Fault::Wrong),
            fault => fault,
        };
        if let Some(fault) = fault {
            let what = format!("session {session}: message {number} came");
            self.broken.push(fault, what);
        }
    }
}
