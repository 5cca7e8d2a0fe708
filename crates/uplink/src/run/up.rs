//! What goes up, and its acknowledgements.

use std::time::Instant;

use fieldgate_mqtt::{PacketId, QoS, ReasonCode, UserProperties};
use fieldgate_spool::ring::Record;

use super::{Uplink, unix_ms};
use crate::client::Event;
use crate::config::{Config, Retain};
use crate::item::Item;
use crate::lanes::{Lane, Next, Sending};
use crate::link::Link;
use crate::marks::{self, Mark};
use crate::remote::Remote;

/// Bytes that a message may grow by what is added to it.
const MARKS: usize = 512;

/// What became of an attempt to send.
enum Sent {
    Yes,
    /// The remote takes no packet that is so big.
    TooBig,
    /// The remote has it.
    Known,
    /// Its time is over.
    Expired,
    /// The remote takes no such topic: it was another remote when the message was kept.
    Refused(String),
    /// Its bytes are none of ours.
    Damaged,
}

impl Uplink {
    /// Sends as much as may be sent now.
    pub(super) fn fill(&mut self) {
        let now = Instant::now();
        loop {
            let Link::Open(open) = &self.link else { return };
            if !open.client.is_up() || !open.has_room() {
                return;
            }
            self.is_live_next = !self.is_live_next;
            let has_live = self.lanes.waiting() != (0, 0);
            // What is retained goes out beside what is new, one by one.
            let has_kept = !self.sync.is_empty();
            let is_live = !has_kept || (self.is_live_next && has_live);
            let is_sent = (is_live && self.send_next(now)) || (has_kept && self.send_kept(now));
            if !is_sent {
                return;
            }
        }
    }

    /// Sends the next message of the lanes. False if there is none that may be sent now.
    fn send_next(&mut self, now: Instant) -> bool {
        let Link::Open(open) = &mut self.link else {
            return false;
        };
        let sending = match self.lanes.next(now) {
            Next::Send(sending) => sending,
            Next::Wait(until) => {
                self.wake = until;
                return false;
            }
        };
        let terms = Terms {
            config: &self.config,
            most: open.packet,
            retain: open.retain,
        };
        let sent = terms.send(&sending, &mut open.client, now, &mut open.out);
        let (epoch, seq, id) = (sending.epoch, sending.record.seq, sending.id);
        self.status.resent += u64::from(sending.again && matches!(sent, Sent::Yes));
        match sent {
            Sent::Yes => {
                self.status.sent += 1;
                if id.is_none() {
                    self.lanes.settle(epoch, seq);
                }
            }
            Sent::Known => {
                self.lanes.settle(epoch, seq);
                self.status.acknowledged += 1;
                self.status.already_there += 1;
            }
            Sent::Expired => {
                self.lanes.settle(epoch, seq);
                self.status.dropped.age += 1;
            }
            Sent::TooBig | Sent::Refused(_) | Sent::Damaged => {
                let most = open.packet;
                let why = match sent {
                    Sent::TooBig => format!("the remote takes packets of {most} bytes at most"),
                    Sent::Refused(why) => why,
                    _ => "its record is damaged".to_owned(),
                };
                if let Some((epoch, record)) = self.lanes.settle(epoch, seq) {
                    self.reject_record(epoch, &record, why);
                }
            }
        }
        true
    }

    /// Sends the value of a topic that is kept now. False if that must wait.
    fn send_kept(&mut self, now: Instant) -> bool {
        let Link::Open(open) = &mut self.link else {
            return false;
        };
        let Some(name) = self.sync.last() else {
            return false;
        };
        let message = self.forwarder.retained_now(name);
        let forward = self
            .config
            .forward
            .iter()
            .find(|forward| forward.takes(name));
        let to = forward.and_then(|forward| forward.to.apply(name));
        let (Some(message), Some(to)) = (message, to) else {
            self.sync.pop();
            return true;
        };
        let Some(id) = self
            .lanes
            .reserve(message.payload().len(), now, &mut self.wake)
        else {
            return false;
        };
        self.sync.pop();
        let mut publish = message.publish();
        publish.topic = &to;
        publish.qos = QoS::AtLeastOnce;
        publish.retain = open.retain;
        publish.packet_id = Some(id);
        publish.properties.response_topic = None;
        let user = publish.properties.user_properties;
        let marked = match open.client.has_marks() {
            true => marks::mark(user, &self.config.gateway, Mark::Sync),
            false => Default::default(),
        };
        publish.properties.user_properties = marked.as_properties();
        if open
            .client
            .publish(&publish, open.packet, now, &mut open.out)
        {
            self.status.sent += 1;
        } else {
            self.lanes.acknowledge(id, false, false, now);
        }
        true
    }

    /// Takes what has come, and, if that was all, lets more come until it is read.
    pub(super) fn read(&mut self, is_all: bool) {
        let now = Instant::now();
        let mut at = 0;
        loop {
            let Link::Open(open) = &mut self.link else {
                return;
            };
            let rest = open.input.get(at..).unwrap_or_default();
            match open.client.take(rest, now, &mut open.out) {
                Ok(None) => break,
                Ok(Some((event, len))) => {
                    let packet = at..at + len;
                    at += len;
                    if let Err(error) = self.on_event(event, packet, now) {
                        return self.fail(error, false);
                    }
                }
                Err(fault) => {
                    if fault.is_version()
                        && let Some(dialect) = self.dialect.next()
                    {
                        self.dialect = dialect;
                        self.link = self.attempt();
                        return;
                    }
                    return self.fail(fault.to_string(), true);
                }
            }
        }
        if let Some(open) = self.link.open() {
            open.input.drain(..at);
            if is_all && open.client.is_up() {
                open.read_at(self.gather.read_at(now));
            }
        }
    }

    fn on_event(
        &mut self,
        event: Option<Event>,
        packet: std::ops::Range<usize>,
        now: Instant,
    ) -> Result<(), String> {
        match event {
            None => {}
            Some(Event::Connected(allowed)) => self.connected(allowed, now)?,
            Some(Event::Acknowledged(id, reason, text)) => {
                self.acknowledged(id, reason, &text, now)
            }
            Some(Event::Message(_)) => self.come_down(packet, now),
            Some(Event::Subscribed(codes)) => {
                if let Some(code) = codes.into_iter().find(|code| *code >= 0x80) {
                    let name = &self.config.name;
                    log::error!(
                        "uplink {name}: the remote refuses a filter of accept: {}",
                        ReasonCode(code)
                    );
                }
            }
        }
        Ok(())
    }

    fn connected(&mut self, allowed: crate::client::Allowed, now: Instant) -> Result<(), String> {
        let Link::Open(open) = &mut self.link else {
            return Ok(());
        };
        open.packet = allowed.packet.min(self.config.limits.packet + MARKS);
        open.retain = allowed.retain;
        if !self.config.accept.is_empty() {
            open.subscribe(&self.config, now)
                .map_err(|error| error.to_string())?;
        }
        let protocol = open.client.protocol();
        let is_packed = self.config.pack.is_some();
        if open.retain {
            for forward in self
                .config
                .forward
                .iter()
                .filter(|forward| forward.retain == Retain::Last && !is_packed)
            {
                let kept = forward
                    .topics
                    .iter()
                    .flat_map(|filter| self.forwarder.retained(filter));
                let is_sent =
                    |name: &str| forward.takes(name) && !name.starts_with(&self.config.own);
                let sent = kept.filter(|message| is_sent(message.topic()));
                self.sync.extend(sent.map(|message| message.topic().into()));
            }
        }
        self.sync.sort();
        self.sync.dedup();
        self.lanes.connect(allowed.in_flight, now);
        self.promises.is_connected(true, now);
        self.up_since = Some(now);
        self.status.protocol = Some(protocol);
        self.status.connected = true;
        self.status.error = None;
        self.status.since = unix_ms();
        let (name, remote) = (&self.config.name, &self.status.remote);
        log::info!("uplink {name}: connected to {remote}");
        Ok(())
    }

    fn acknowledged(&mut self, id: PacketId, reason: ReasonCode, text: &str, now: Instant) {
        let later = reason == ReasonCode::QUOTA_EXCEEDED;
        let refused = reason.is_error() && !later;
        let Some(done) = self.lanes.acknowledge(id, refused, later, now) else {
            return;
        };
        if let Some(open) = self.link.open() {
            self.status.already_there += open.client.take_duplicates();
        }
        // A good connection is one that messages get through.
        self.failures = 0;
        self.promises.answered(done.took);
        self.status.round_trip = done.took.as_millis().try_into().unwrap_or(u64::MAX);
        match done.record {
            Some((epoch, record)) => {
                let why = match text {
                    "" => reason.to_string(),
                    text => format!("{reason}: {}", text.escape_debug()),
                };
                self.reject_record(epoch, &record, why);
            }
            None => self.status.acknowledged += 1,
        }
    }
}

/// What decides how a message is sent.
struct Terms<'a> {
    config: &'a Config,
    most: usize,
    retain: bool,
}

impl Terms<'_> {
    fn send(
        &self,
        sending: &Sending<'_>,
        client: &mut Remote,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Sent {
        let Record { seq, bytes, .. } = sending.record;
        let Some(item) = Item::decode(bytes) else {
            return Sent::Damaged;
        };
        let time = unix_ms();
        if item.expires.is_some_and(|expires| expires <= time) {
            return Sent::Expired;
        }
        let is_late = sending.lane == Lane::Backlog;
        let diverted = match &self.config.replay.topic {
            Some(template) if is_late => template.apply(item.topic),
            _ => None,
        };
        let mark = match is_late {
            true => Mark::Late(sending.epoch, *seq),
            false => Mark::New(sending.epoch, *seq),
        };
        let marked = match client.has_marks() {
            true => marks::mark(item.user, &self.config.gateway, mark),
            false => Default::default(),
        };
        if client.may_know()
            && marks::name(marked.as_properties()).is_some_and(|id| client.knows(id))
        {
            return Sent::Known;
        }
        let user: UserProperties<'_> = marked.as_properties();
        let mut publish = item.publish(time, user);
        if let Some(topic) = &diverted {
            publish.topic = topic;
        }
        if let Some(why) = self.config.rules().refuse(publish.topic) {
            return Sent::Refused(why);
        }
        publish.packet_id = sending.id;
        // An old value is not what a later subscriber wants to see first.
        publish.retain &= self.retain && !is_late;
        match client.publish(&publish, self.most, now, out) {
            true => Sent::Yes,
            false => Sent::TooBig,
        }
    }
}
