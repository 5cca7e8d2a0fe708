//! The protocol of NATS as bytes, from a server and to it. Pure.
//!
//! Source: docs.nats.io, client protocol. A length on the line is checked before anything is kept for it.

use std::io::Write as _;

/// The longest line of a server, in bytes: INFO names all servers of a cluster.
pub const LINE_MAX: usize = 64 << 10;
/// How the headers of a message begin.
const VERSION: &[u8] = b"NATS/1.0";

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// What it is, as JSON.
    Info(&'a [u8]),
    /// A message.
    Message(Message<'a>),
    /// It wants a PONG.
    Ping,
    /// The answer to our PING.
    Pong,
    /// The answer to something that went well, if asked for.
    Ok,
    /// Something went wrong.
    Err(&'a str),
}

/// A message from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// The number of our subscription.
    pub sid: u64,
    /// Where an answer is expected.
    pub reply: Option<&'a str>,
    /// Its headers.
    pub headers: Headers<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// Why bytes are not the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A line without an end.
    #[error("a line of more than {LINE_MAX} bytes")]
    Line,
    /// A word that is none of the protocol.
    #[error("an unknown word")]
    Unknown,
    /// A line that misses something, or is no text.
    #[error("a malformed line")]
    Malformed,
    /// A message that is longer than allowed.
    #[error("a message of {0} bytes")]
    TooLong(usize),
    /// A message that does not end where it should.
    #[error("a message without its end")]
    End,
}

/// Decodes what is at the beginning of `input`; returns it with its length in bytes. `None`: more bytes are needed.
/// A message has at most `most` bytes.
///
/// # Errors
/// [`WireError`]
pub fn decode(input: &[u8], most: usize) -> Result<Option<(Op<'_>, usize)>, WireError> {
    let looked = input.get(..LINE_MAX).unwrap_or(input);
    let Some(end) = looked.iter().position(|byte| *byte == b'\n') else {
        return match looked.len() >= LINE_MAX {
            true => Err(WireError::Line),
            false => Ok(None),
        };
    };
    let (line, rest) = input.split_at(end + 1);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_gap = |byte: &u8| matches!(byte, b' ' | b'\t');
    let gap = line.iter().position(is_gap).unwrap_or(line.len());
    let (word, argument) = line.split_at(gap);
    let argument = argument.trim_ascii();
    let op = match word.to_ascii_uppercase().as_slice() {
        b"INFO" => Op::Info(argument),
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        b"+OK" => Op::Ok,
        b"-ERR" => Op::Err(str::from_utf8(argument).map_err(|_| WireError::Malformed)?),
        b"MSG" => return message(argument, false, rest, end + 1, most),
        b"HMSG" => return message(argument, true, rest, end + 1, most),
        _ => return Err(WireError::Unknown),
    };
    Ok(Some((op, end + 1)))
}

fn message<'a>(
    argument: &'a [u8],
    has_headers: bool,
    rest: &'a [u8],
    line: usize,
    most: usize,
) -> Result<Option<(Op<'a>, usize)>, WireError> {
    let argument = str::from_utf8(argument).map_err(|_| WireError::Malformed)?;
    let mut words = argument.split_ascii_whitespace();
    let mut word = || words.next().ok_or(WireError::Malformed);
    let (subject, sid) = (word()?, number(word()?)?);
    let sizes = if has_headers { 2 } else { 1 };
    let others: Vec<&str> = words.collect();
    let (reply, sizes) = match others.len().checked_sub(sizes) {
        Some(0) => (None, others.as_slice()),
        Some(1) => (others.first().copied(), others.get(1..).unwrap_or_default()),
        _ => return Err(WireError::Malformed),
    };
    let size = |at: usize| number(sizes.get(at).copied().unwrap_or("0"));
    let (head, all) = match has_headers {
        true => (size(0)?, size(1)?),
        false => (0, size(0)?),
    };
    let all = usize::try_from(all).unwrap_or(usize::MAX);
    if all > most {
        return Err(WireError::TooLong(all));
    }
    let head = usize::try_from(head).unwrap_or(usize::MAX);
    if head > all {
        return Err(WireError::Malformed);
    }
    let Some((body, behind)) = rest.split_at_checked(all) else {
        return Ok(None);
    };
    match behind {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Ok(None),
        _ => return Err(WireError::End),
    }
    let (head, payload) = body.split_at_checked(head).unwrap_or((&[], body));
    let message = Message {
        subject,
        sid,
        reply,
        headers: Headers(head),
        payload,
    };
    Ok(Some((Op::Message(message), line + all + 2)))
}

fn number(text: &str) -> Result<u64, WireError> {
    text.parse().map_err(|_| WireError::Malformed)
}

/// The headers of a message, as they came. Lines that are none are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(pub &'a [u8]);

impl<'a> Headers<'a> {
    /// The number of a status, such as 503: nobody takes messages of this subject.
    pub fn status(self) -> Option<u16> {
        let first = self.0.split(|byte| *byte == b'\n').next()?;
        let rest = first.strip_prefix(VERSION)?.trim_ascii();
        let number = rest.get(..3)?;
        str::from_utf8(number).ok()?.parse().ok()
    }

    /// Names and values in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = self.0.split(|byte| *byte == b'\n').skip(1);
        lines.filter_map(|line| {
            let line = str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
            let (name, value) = line.split_once(':')?;
            Some((name.trim(), value.trim()))
        })
    }

    /// The first value of this name, in whatever case it is written.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut pairs = self.iter();
        pairs
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Headers that are being written.
#[derive(Debug, Default)]
pub struct HeadersBuf(Vec<u8>);

impl HeadersBuf {
    /// Begins anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a pair. False, and nothing is added, if it cannot stand in a header.
    pub fn push(&mut self, name: &str, value: &str) -> bool {
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if name.is_empty() || !name.bytes().all(is_name) || value.contains(char::is_control) {
            return false;
        }
        if self.0.is_empty() {
            self.0.extend_from_slice(VERSION);
            self.0.extend_from_slice(b"\r\n");
        }
        for part in [name, ": ", value, "\r\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
        true
    }

    /// Their length on the wire, in bytes.
    pub fn wire_len(&self) -> usize {
        match self.0.len() {
            0 => 0,
            len => len + 2,
        }
    }
}

/// Appends a message. `subject` and `reply` have no spaces.
pub fn publish(
    subject: &str,
    reply: Option<(&str, u32)>,
    headers: &HeadersBuf,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let head = headers.wire_len();
    let word = if head > 0 { "HPUB" } else { "PUB" };
    // Writing to a Vec does not fail.
    let _ = write!(out, "{word} {subject} ");
    if let Some((inbox, number)) = reply {
        let _ = write!(out, "{inbox}{number} ");
    }
    if head > 0 {
        let _ = write!(out, "{head} ");
    }
    let _ = write!(out, "{}\r\n", head + payload.len());
    if head > 0 {
        out.extend_from_slice(&headers.0);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends a subscription with a number of its own.
pub fn subscribe(subject: &str, sid: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "SUB {subject} {sid}\r\n");
}

#[cfg(test)]
mod tests;
