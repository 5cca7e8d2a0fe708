//! The client's side of NATS with JetStream, for one connection. Sans-IO: bytes in, events out.
//!
//! A message counts as taken when a stream says so. Before the first is sent, [`readback`] asks the streams which of
//! those in doubt they have.

pub mod api;
mod fault;
mod headers;
pub mod login;
mod marks;
pub mod readback;
pub mod wire;

use std::time::{Duration, Instant};

use fieldgate_mqtt::{PacketId, Publish, ReasonCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::{ANSWER, Allowed, Event};
use crate::subject;
use api::Ack;
pub use fault::Fault;
use headers::header_of;
pub use headers::{Incoming, incoming};
use login::Login;
use marks::Marks;
pub use readback::{Memory, Wanted};
use readback::{Readback, Trouble};
use wire::{HeadersBuf, Op};

/// How long an acknowledgement of a stream may take. A new leader is found within a few seconds.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);
/// How long JetStream may be silent while streams are read back. A stream without a leader does not answer.
const READ: Duration = Duration::from_secs(5);
/// The largest message of a stream that is read back, in bytes: more than its makers recommend.
const PAYLOAD_MAX: usize = 8 << 20;
/// The number of our first subscription to messages; 1 is that to answers.
const FIRST_SID: u64 = 2;

/// Who connects, and to what.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the server's lists show.
    pub name: String,
    /// The connection is encrypted.
    pub is_encrypted: bool,
    /// The largest message that we take, in bytes.
    pub most: usize,
    /// Seconds without a word of the server before it is asked for one.
    pub keep_alive: Duration,
    /// Something by chance, in letters and digits: nobody can answer in a stream's place.
    pub secret: String,
    /// Where streams have what is ours.
    pub wanted: Vec<Wanted>,
    /// There may be messages that were sent before.
    pub has_old: bool,
}

/// What INFO says, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    version: String,
    headers: bool,
    max_payload: usize,
    tls_required: bool,
    nonce: Option<String>,
    /// It is about to stop.
    ldm: bool,
}

#[derive(Debug)]
enum Phase {
    Greeting,
    Login,
    Reading(Box<Readback>),
    Up,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    generation: u64,
    subject: String,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    login: Login,
    phase: Phase,
    inbox: String,
    version: String,
    max_payload: usize,
    memory: Memory,
    marks: Marks,
    /// By packet identifier.
    sent: Vec<Option<Sent>>,
    /// Messages that a stream had already, since this was asked last.
    duplicates: u64,
    heard: Instant,
    pinged: Option<Instant>,
    headers: HeadersBuf,
    subject: String,
}

impl Client {
    /// Begins a connection: the server speaks first.
    pub fn new(settings: Settings, login: Login, memory: Memory, now: Instant) -> Self {
        Self {
            inbox: format!("_INBOX.{}.", settings.secret),
            settings,
            login,
            phase: Phase::Greeting,
            version: String::new(),
            max_payload: 0,
            memory,
            marks: Marks::default(),
            sent: Vec::new(),
            duplicates: 0,
            heard: now,
            pinged: None,
            headers: HeadersBuf::default(),
            subject: String::new(),
        }
    }

    /// Whether messages can be sent.
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }

    /// The server's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the next connection has to know.
    pub fn take_memory(&mut self) -> Memory {
        self.marks.save(&mut self.memory.low);
        std::mem::take(&mut self.memory)
    }

    /// Whether a stream has the message of this name. It is asked once for each.
    pub fn knows(&mut self, id: &str) -> bool {
        self.memory.known.remove(id)
    }

    /// Nothing is in doubt any more.
    pub fn forget(&mut self) {
        self.memory.known.clear();
    }

    /// Messages that a stream had already, since the last call.
    pub fn take_duplicates(&mut self) -> u64 {
        std::mem::take(&mut self.duplicates)
    }

    /// Looks at what is at the beginning of `input`; returns what happened and its length in bytes. `None`: more bytes
    /// are needed. Answers are appended to `out`.
    ///
    /// # Errors
    /// The connection has to end.
    pub fn take(
        &mut self,
        input: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Option<Event>, usize)>, Fault> {
        let decoded = wire::decode(input, self.settings.most);
        let decoded = decoded.map_err(|error| Fault::Nonsense(error.to_string()))?;
        let Some((op, len)) = decoded else {
            return Ok(None);
        };
        self.heard = now;
        self.pinged = None;
        let event = match (&self.phase, op) {
            (Phase::Greeting, Op::Info(json)) => {
                self.greet(json, out)?;
                None
            }
            (Phase::Greeting, Op::Err(text)) => return Err(Fault::Refused(unquoted(text))),
            (Phase::Greeting, _) => return Err(Fault::Nonsense("no INFO".to_owned())),
            (_, Op::Info(json)) => {
                let info: Info = serde_json::from_slice(json).unwrap_or_default();
                if info.ldm {
                    return Err(Fault::Ended("it is about to stop".to_owned()));
                }
                None
            }
            (_, Op::Ping) => {
                out.extend_from_slice(b"PONG\r\n");
                None
            }
            (Phase::Login, Op::Pong) => {
                let wanted = std::mem::take(&mut self.settings.wanted);
                self.phase = Phase::Reading(Box::new(Readback::new(wanted, self.settings.has_old)));
                self.read_on(out)
            }
            (Phase::Login, Op::Err(text)) => return Err(Fault::Refused(unquoted(text))),
            (_, Op::Err(text)) => self.complain(text)?,
            (_, Op::Pong | Op::Ok) => None,
            (_, Op::Message(message)) => self.message(&message, len, out)?,
        };
        Ok(Some((event, len)))
    }

    fn greet(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let info = serde_json::from_slice::<Info>(json);
        let info = info.map_err(|_| Fault::Nonsense("no INFO".to_owned()))?;
        if info.tls_required && !self.settings.is_encrypted {
            return Err(Fault::NeedsTls);
        }
        if !info.headers {
            return Err(Fault::TooOld);
        }
        self.max_payload = info.max_payload;
        // What JetStream tells of a message has all of it in base64.
        let told = info.max_payload.min(PAYLOAD_MAX) / 2 * 3 + wire::LINE_MAX;
        self.settings.most = self.settings.most.max(told);
        self.version = info
            .version
            .chars()
            .filter(char::is_ascii_graphic)
            .take(40)
            .collect();
        let mut connect = Map::new();
        for (key, value) in [
            ("verbose", Value::from(false)),
            ("pedantic", false.into()),
            ("tls_required", self.settings.is_encrypted.into()),
            ("name", self.settings.name.as_str().into()),
            ("lang", "fieldgate".into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("protocol", 1.into()),
            // What we publish does not come back to us.
            ("echo", false.into()),
            ("headers", true.into()),
            ("no_responders", true.into()),
        ] {
            connect.insert(key.to_owned(), value);
        }
        self.login.fill(info.nonce.as_deref(), &mut connect);
        let connect = Value::Object(connect);
        out.extend_from_slice(format!("CONNECT {connect}\r\n").as_bytes());
        wire::subscribe(&format!("{}*", self.inbox), 1, out);
        out.extend_from_slice(b"PING\r\n");
        self.phase = Phase::Login;
        Ok(())
    }

    /// Asks on; the event if everything is read.
    fn read_on(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let Phase::Reading(readback) = &mut self.phase else {
            return None;
        };
        while let Some((number, subject, body)) = readback.request() {
            let inbox = format!("{}r", self.inbox);
            wire::publish(
                &subject,
                Some((&inbox, number)),
                &HeadersBuf::default(),
                body.as_bytes(),
                out,
            );
        }
        if !readback.is_done() {
            return None;
        }
        if let Phase::Reading(readback) = std::mem::replace(&mut self.phase, Phase::Up) {
            self.marks = Marks::new(readback.tops());
        }
        Some(self.connected())
    }

    fn connected(&self) -> Event {
        Event::Connected(Allowed {
            in_flight: u16::MAX,
            packet: match self.max_payload {
                0 => usize::MAX,
                most => most,
            },
            retain: false,
            aliases: 0,
            keep_alive: self
                .settings
                .keep_alive
                .as_secs()
                .try_into()
                .unwrap_or(u16::MAX),
        })
    }

    /// An error that the server tells.
    fn complain(&mut self, text: &str) -> Result<Option<Event>, Fault> {
        let text = unquoted(text);
        let lower = text.to_ascii_lowercase();
        let Some(rest) = lower.strip_prefix("permissions violation for ") else {
            return Err(Fault::Ended(text));
        };
        let subject = text.split('"').nth(1).unwrap_or_default();
        if rest.starts_with("subscription") {
            return match subject.starts_with(self.inbox.trim_end_matches('.')) {
                true => Err(Fault::Refused(text)),
                false => Ok(Some(Event::Subscribed(vec![ReasonCode::NOT_AUTHORIZED.0]))),
            };
        }
        if subject.starts_with("$JS.") && matches!(self.phase, Phase::Reading(_)) {
            log::warn!(
                "{text}: what the stream has cannot be read back, so that messages may come twice after an outage"
            );
            self.phase = Phase::Up;
            self.marks = Marks::default();
            return Ok(Some(self.connected()));
        }
        let is_it = |sent: &Option<Sent>| sent.as_ref().is_some_and(|sent| sent.subject == subject);
        let Some(at) = self.sent.iter().position(is_it) else {
            return Ok(None);
        };
        if let Some(Some(sent)) = self.sent.get(at) {
            self.marks.refused(sent.generation);
        }
        let id = self.done(at);
        Ok(id.map(|id| Event::Acknowledged(id, ReasonCode::NOT_AUTHORIZED, text)))
    }

    fn message(
        &mut self,
        message: &wire::Message<'_>,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Fault> {
        let Some(answer) = message.subject.strip_prefix(self.inbox.as_str()) else {
            return Ok((message.sid >= FIRST_SID).then_some(Event::Message(len)));
        };
        let number = |digits: &str| digits.parse::<u32>().ok();
        if let Some(number) = answer.strip_prefix('r').and_then(number) {
            if let Phase::Reading(readback) = &mut self.phase {
                readback.answer(number, message.headers, message.payload, &mut self.memory)?;
            }
            return Ok(self.read_on(out));
        }
        match answer.strip_prefix('a').and_then(number) {
            Some(number) => self.acknowledged(number as usize, message),
            None => Ok(None),
        }
    }

    fn acknowledged(
        &mut self,
        at: usize,
        message: &wire::Message<'_>,
    ) -> Result<Option<Event>, Fault> {
        let Some(Some(sent)) = self.sent.get(at) else {
            return Ok(None);
        };
        if message.headers.status() == Some(503) {
            return Err(Trouble::NoStream(sent.subject.clone()).into());
        }
        match api::ack(message.payload) {
            None => Ok(None),
            Some(Ack::Stored {
                stream,
                seq,
                duplicate,
            }) => {
                self.marks.acknowledged(sent.generation, stream, seq);
                self.duplicates += u64::from(duplicate);
                Ok(self
                    .done(at)
                    .map(|id| Event::Acknowledged(id, ReasonCode::SUCCESS, String::new())))
            }
            Some(Ack::Refused(error)) if error.is_of_message() => {
                self.marks.refused(sent.generation);
                let reason = ReasonCode::PACKET_TOO_LARGE;
                Ok(self
                    .done(at)
                    .map(|id| Event::Acknowledged(id, reason, error.description)))
            }
            Some(Ack::Refused(error)) => Err(Fault::Stream {
                subject: sent.subject.clone(),
                why: error.description.escape_debug().to_string(),
            }),
        }
    }

    fn done(&mut self, at: usize) -> Option<PacketId> {
        self.sent.get_mut(at)?.take()?;
        PacketId::new(u16::try_from(at).ok()?)
    }

    /// Appends a message. False, and nothing is appended, if it has more than `most` bytes with its headers.
    pub fn publish(
        &mut self,
        publish: &Publish<'_>,
        most: usize,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        self.headers.clear();
        for (name, value) in publish.properties.user_properties.iter() {
            if let Some(name) = header_of(name) {
                self.headers.push(name, value);
            }
        }
        if let Some(kind) = publish.properties.content_type {
            self.headers.push(headers::CONTENT_TYPE, kind);
        }
        if self.headers.wire_len() + publish.payload.len() > most {
            return false;
        }
        subject::of_topic(publish.topic, &mut self.subject);
        let inbox = format!("{}a", self.inbox);
        let id = publish.packet_id.map(|id| u32::from(id.get()));
        let reply = id.map(|id| (inbox.as_str(), id));
        wire::publish(&self.subject, reply, &self.headers, publish.payload, out);
        if let Some(id) = id {
            let at = id as usize;
            if self.sent.len() <= at {
                self.sent.resize_with(at + 1, || None);
            }
            if let Some(slot) = self.sent.get_mut(at) {
                *slot = Some(Sent {
                    at: now,
                    generation: self.marks.sent(),
                    subject: self.subject.clone(),
                });
            }
        }
        true
    }

    /// Appends subscriptions to what MQTT's filters match.
    pub fn subscribe<'f>(&mut self, filters: impl Iterator<Item = &'f str>, out: &mut Vec<u8>) {
        let subjects = filters.flat_map(|filter| {
            let (subject, above) = subject::of_filter(filter);
            [Some(subject), above].into_iter().flatten()
        });
        for (sid, subject) in (FIRST_SID..).zip(subjects) {
            wire::subscribe(&subject, sid, out);
        }
    }

    /// What is due at `now`: a PING is appended, or the remote owes something for too long.
    ///
    /// # Errors
    /// [`Fault::Silent`]
    pub fn tick(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Fault> {
        let since = |at: Instant| now.saturating_duration_since(at);
        let (owed, within) = match self.phase {
            Phase::Up => ("", Duration::MAX),
            Phase::Reading(_) => ("answer of JetStream", READ),
            Phase::Greeting | Phase::Login => ("answer", ANSWER),
        };
        if since(self.heard) >= within {
            return Err(Fault::Silent(owed, within));
        }
        if !self.is_up() {
            return Ok(());
        }
        let oldest = self.sent.iter().flatten().map(|sent| sent.at).min();
        if oldest.is_some_and(|oldest| since(oldest) >= ACKNOWLEDGE) {
            return Err(Fault::Silent("acknowledgement of a stream", ACKNOWLEDGE));
        }
        match self.pinged {
            Some(at) if since(at) >= ANSWER => Err(Fault::Silent("PONG", ANSWER)),
            None if since(self.heard) >= self.settings.keep_alive => {
                out.extend_from_slice(b"PING\r\n");
                self.pinged = Some(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A server's words, without their quotes and nothing that a terminal obeys.
fn unquoted(text: &str) -> String {
    let text = text.trim().trim_matches('\'');
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests;
