//! What of ours a stream has: asked after each login, before anything is sent. Pure: answers in, requests out.
//!
//! A server knows the identifiers of a stream's last two minutes; an outage is longer. So those messages of the stream
//! are read that came since the last acknowledgement before which nothing was under way, and what is among them is not
//! sent again. The last one alone does not say that those before it have arrived: when a stream's leader dies, some of
//! those under way are lost and later ones are not.
//!
//! A stream that holds nothing is not asked for a message: nats-server 2.9 (Debian 12) dies of that question while the
//! stream is being made, which is just when a gateway that waits for it looks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::api::{self, ApiError};
use super::wire::Headers;

/// The header with a message's identifier.
pub const ID: &str = "Nats-Msg-Id";
/// Requests under way at most.
const DEPTH: usize = 128;
/// Messages that are read of a stream at most.
const SCAN: u64 = 100_000;
/// Messages before our last one that are read after a start: more than what is sent again then, two blocks of the
/// ring with new messages between.
const SCAN_START: u64 = 10_000;
/// Identifiers that are kept at most.
const KNOWN: usize = 200_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A subject with wildcards.
    pub subject: String,
    /// Whether there must be a stream for it.
    pub needs_stream: bool,
}

/// What outlives a connection.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Where to begin to read: of each stream the last message before which nothing is in doubt.
    pub low: BTreeMap<String, u64>,
    /// Identifiers that are in a stream.
    pub known: BTreeSet<Box<str>>,
}

/// Why it cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody answers.
    #[error("the remote has no JetStream, or it is not ready")]
    NoJetStream,
    /// No stream takes the subject.
    #[error("no stream takes the subject {0}")]
    NoStream(String),
    /// It says no.
    #[error("JetStream: {}", .0.description.escape_debug())]
    Api(ApiError),
    /// What comes is no answer.
    #[error("JetStream answers with something else")]
    Nonsense,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Names(usize),
    Info(usize),
    Last(usize),
    Get(usize),
}

/// A stream and a subject of which it has messages.
#[derive(Debug)]
struct Pair {
    stream: String,
    subject: String,
    next: u64,
    end: u64,
}

/// One reading.
#[derive(Debug)]
pub struct Readback {
    wanted: Vec<Wanted>,
    asked: usize,
    pairs: Vec<Pair>,
    pairs_asked: usize,
    /// Pairs whose last message is still to be asked for.
    filled: Vec<usize>,
    under_way: BTreeMap<u32, Request>,
    number: u32,
    has_old: bool,
    /// The messages that were read.
    pub read: u64,
    tops: BTreeMap<String, u64>,
}

impl Readback {
    /// Begins. `has_old` if there is something that may have been sent before.
    pub fn new(wanted: Vec<Wanted>, has_old: bool) -> Self {
        Self {
            wanted,
            asked: 0,
            pairs: Vec::new(),
            pairs_asked: 0,
            filled: Vec::new(),
            under_way: BTreeMap::new(),
            number: 0,
            has_old,
            read: 0,
            tops: BTreeMap::new(),
        }
    }

    /// The next request, if there is one now: its number, the subject, and what it says.
    pub fn request(&mut self) -> Option<(u32, String, String)> {
        if self.under_way.len() >= DEPTH {
            return None;
        }
        let (request, subject, body) = self.choose()?;
        self.number += 1;
        self.under_way.insert(self.number, request);
        Some((self.number, subject, body.to_string()))
    }

    fn choose(&mut self) -> Option<(Request, String, serde_json::Value)> {
        if let Some(wanted) = self.wanted.get(self.asked) {
            self.asked += 1;
            let body = json!({"subject": wanted.subject});
            return Some((
                Request::Names(self.asked - 1),
                "$JS.API.STREAM.NAMES".to_owned(),
                body,
            ));
        }
        let get = |stream: &str| format!("$JS.API.STREAM.MSG.GET.{stream}");
        if let Some(pair) = self.pairs.get(self.pairs_asked) {
            self.pairs_asked += 1;
            let subject = format!("$JS.API.STREAM.INFO.{}", pair.stream);
            return Some((Request::Info(self.pairs_asked - 1), subject, json!({})));
        }
        if let Some(at) = self.filled.pop()
            && let Some(pair) = self.pairs.get(at)
        {
            let body = json!({"last_by_subj": pair.subject});
            return Some((Request::Last(at), get(&pair.stream), body));
        }
        let (at, pair) = self
            .pairs
            .iter_mut()
            .enumerate()
            .find(|(_, pair)| pair.next <= pair.end)?;
        let body = json!({"seq": pair.next, "next_by_subj": pair.subject});
        pair.next += 1;
        Some((Request::Get(at), get(&pair.stream), body))
    }

    /// Whether everything is read.
    pub fn is_done(&self) -> bool {
        self.under_way.is_empty()
            && self.asked == self.wanted.len()
            && self.pairs_asked == self.pairs.len()
            && self.filled.is_empty()
            && self.pairs.iter().all(|pair| pair.next > pair.end)
    }

    /// Takes an answer. Numbers that were not asked are passed over.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn answer(
        &mut self,
        number: u32,
        headers: Headers<'_>,
        payload: &[u8],
        memory: &mut Memory,
    ) -> Result<(), Trouble> {
        let Some(request) = self.under_way.remove(&number) else {
            return Ok(());
        };
        if headers.status() == Some(503) {
            return Err(Trouble::NoJetStream);
        }
        match request {
            Request::Names(at) => {
                let names = api::names(payload)
                    .ok_or(Trouble::Nonsense)?
                    .map_err(Trouble::Api)?;
                self.named(at, names)
            }
            Request::Info(at) => {
                match api::messages(payload).ok_or(Trouble::Nonsense)? {
                    Ok(0) => self.bound(at, 0, memory),
                    Ok(_) => self.filled.push(at),
                    // It was removed since its name was told.
                    Err(error) if error.is_absent() => self.bound(at, 0, memory),
                    Err(error) => return Err(Trouble::Api(error)),
                }
                Ok(())
            }
            Request::Last(at) => {
                let last = match api::found(payload).ok_or(Trouble::Nonsense)? {
                    Ok(last) => last.seq,
                    Err(error) if error.is_absent() => 0,
                    Err(error) => return Err(Trouble::Api(error)),
                };
                self.bound(at, last, memory);
                Ok(())
            }
            Request::Get(at) => {
                let found = api::found(payload).ok_or(Trouble::Nonsense)?;
                let Some(pair) = self.pairs.get_mut(at) else {
                    return Ok(());
                };
                match found {
                    Ok(message) => {
                        self.read += 1;
                        pair.next = pair.next.max(message.seq + 1);
                        let headers = message.headers();
                        if let Some(id) = Headers(&headers).get(ID)
                            && memory.known.len() < KNOWN
                        {
                            memory.known.insert(id.into());
                        }
                        Ok(())
                    }
                    // Nothing from there on.
                    Err(error) if error.is_absent() => {
                        pair.next = u64::MAX;
                        Ok(())
                    }
                    Err(error) => Err(Trouble::Api(error)),
                }
            }
        }
    }

    fn named(&mut self, at: usize, names: Vec<String>) -> Result<(), Trouble> {
        let Some(wanted) = self.wanted.get(at) else {
            return Ok(());
        };
        if names.is_empty() && wanted.needs_stream {
            return Err(Trouble::NoStream(wanted.subject.clone()));
        }
        // A name with a dot or a wildcard would be another request.
        let is_name = |name: &String| !name.contains(['.', '*', '>', ' ', '\r', '\n', '\t']);
        self.pairs
            .extend(names.into_iter().filter(is_name).map(|stream| Pair {
                stream,
                subject: wanted.subject.clone(),
                next: 1,
                end: 0,
            }));
        Ok(())
    }

    fn bound(&mut self, at: usize, last: u64, memory: &Memory) {
        let Some(pair) = self.pairs.get_mut(at) else {
            return;
        };
        let top = self.tops.entry(pair.stream.clone()).or_default();
        *top = last.max(*top);
        if !self.has_old {
            return;
        }
        let from = match memory.low.get(&pair.stream) {
            Some(low) if *low <= last => (low + 1).max(last.saturating_sub(SCAN)),
            // A start, or a stream that was made anew.
            _ => last.saturating_sub(SCAN_START),
        };
        (pair.next, pair.end) = (from.max(1), last);
    }

    /// The last number of ours in each stream.
    pub fn tops(self) -> BTreeMap<String, u64> {
        self.tops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that answers as JetStream does: numbers and identifiers.
    fn answer(stream: &[(u64, &str)], body: &str) -> String {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let found = match body["seq"].as_u64() {
            Some(seq) => stream.iter().find(|(at, _)| *at >= seq),
            None => stream.last(),
        };
        match found {
            Some((seq, id)) => {
                let head = format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n");
                let hdrs = api::to_base64url(head.as_bytes())
                    .replace('-', "+")
                    .replace('_', "/");
                json!({"message": {"seq": seq, "hdrs": hdrs}}).to_string()
            }
            None => r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#
                .to_owned(),
        }
    }

    fn read(
        stream: &[(u64, &str)],
        has_old: bool,
        memory: &mut Memory,
    ) -> Result<Readback, Trouble> {
        let wanted = Wanted {
            subject: "site.>".into(),
            needs_stream: true,
        };
        let mut readback = Readback::new(vec![wanted], has_old);
        while !readback.is_done() {
            // Several are under way at once.
            let asked: Vec<_> = std::iter::from_fn(|| readback.request()).collect();
            assert!(!asked.is_empty());
            for (number, subject, body) in asked {
                let payload = match subject.as_str() {
                    "$JS.API.STREAM.NAMES" => r#"{"streams":["S"]}"#.to_owned(),
                    "$JS.API.STREAM.INFO.S" => {
                        json!({"state": {"messages": stream.len()}}).to_string()
                    }
                    "$JS.API.STREAM.MSG.GET.S" if stream.is_empty() => panic!("{body}"),
                    "$JS.API.STREAM.MSG.GET.S" => answer(stream, &body),
                    other => panic!("{other}"),
                };
                readback.answer(number, Headers(b""), payload.as_bytes(), memory)?;
            }
        }
        Ok(readback)
    }

    #[test]
    fn what_came_since_the_last_sure_message_is_known_also_behind_a_hole() {
        let stream = [
            (3, "g:1:1"),
            (7, "g:1:2"),
            (8, "g:1:5"),
            (500, "x"),
            (501, "g:1:6"),
        ];
        for (low, has_old, want) in [
            (Some(3), true, &["g:1:2", "g:1:5", "g:1:6", "x"][..]),
            (Some(7), true, &["g:1:5", "g:1:6", "x"]),
            (Some(501), true, &[]),
            (None, true, &["g:1:1", "g:1:2", "g:1:5", "g:1:6", "x"]),
            // The stream was made anew, and its numbers began again.
            (
                Some(9_000),
                true,
                &["g:1:1", "g:1:2", "g:1:5", "g:1:6", "x"],
            ),
            (None, false, &[]),
        ] {
            let mut memory = Memory::default();
            memory.low.extend(low.map(|low| ("S".to_owned(), low)));
            let readback = read(&stream, has_old, &mut memory).unwrap();
            let known: Vec<&str> = memory.known.iter().map(AsRef::as_ref).collect();
            assert_eq!(known, want, "{low:?} {has_old}");
            assert_eq!(readback.tops(), BTreeMap::from([("S".to_owned(), 501)]));
        }
    }

    #[test]
    fn a_start_reads_the_last_messages_only_and_an_empty_stream_is_not_asked_for_any() {
        let stream: Vec<(u64, &str)> = (1..=30_000).map(|seq| (seq, "id")).collect();
        let mut memory = Memory::default();
        assert_eq!(
            read(&stream, true, &mut memory).unwrap().read,
            SCAN_START + 1
        );
        assert_eq!(read(&[], true, &mut memory).unwrap().tops()["S"], 0);
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        for (status, payload, want) in [
            ("NATS/1.0 503\r\n\r\n", "", Trouble::NoJetStream),
            ("", r#"{"streams":[]}"#, Trouble::NoStream("site.>".into())),
            ("", "hello", Trouble::Nonsense),
            (
                "",
                r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#,
                Trouble::Api(ApiError {
                    code: 503,
                    err_code: 10_008,
                    description: "JetStream system temporarily unavailable".into(),
                }),
            ),
        ] {
            let wanted = Wanted {
                subject: "site.>".into(),
                needs_stream: true,
            };
            let mut readback = Readback::new(vec![wanted], true);
            let (number, ..) = readback.request().unwrap();
            let answered = readback.answer(
                number,
                Headers(status.as_bytes()),
                payload.as_bytes(),
                &mut Memory::default(),
            );
            assert_eq!(answered, Err(want), "{payload}");
        }
    }
}
