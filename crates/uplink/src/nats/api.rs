//! What JetStream answers. Pure.
//!
//! Source: docs.nats.io, JetStream wire API; the numbers are in server/errors.json of nats-server.

use serde::Deserialize;

/// A message is larger than the stream takes: "message size exceeds maximum allowed".
const MESSAGE_TOO_LARGE: u64 = 10_054;
/// "header size exceeds maximum allowed of 64k".
const HEADER_TOO_LARGE: u64 = 10_097;
/// "no message found".
const NO_MESSAGE: u64 = 10_037;

/// Why a request failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApiError {
    /// As of HTTP.
    pub code: u64,
    /// Which one it is.
    pub err_code: u64,
    /// In words.
    pub description: String,
}

impl ApiError {
    /// Whether it is this message's own fault, and the next one may be taken.
    pub fn is_of_message(&self) -> bool {
        matches!(self.err_code, MESSAGE_TOO_LARGE | HEADER_TOO_LARGE)
    }

    /// Whether there simply is no such message.
    pub fn is_absent(&self) -> bool {
        self.err_code == NO_MESSAGE || self.code == 404
    }
}

/// The answer to a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Ack {
    /// A stream has it.
    Stored {
        /// The stream's name.
        stream: String,
        /// The message's number there.
        seq: u64,
        /// It had it already.
        duplicate: bool,
    },
    /// It has not.
    Refused(ApiError),
}

#[derive(Deserialize)]
struct PubAck {
    stream: Option<String>,
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

/// Reads the answer to a message; `None` if it is no stream's: another program answers on this subject, too.
pub fn ack(payload: &[u8]) -> Option<Ack> {
    let ack: PubAck = serde_json::from_slice(payload).ok()?;
    match (ack.error, ack.stream, ack.seq) {
        (Some(error), ..) => Some(Ack::Refused(error)),
        (None, Some(stream), Some(seq)) if seq > 0 => Some(Ack::Stored {
            stream,
            seq,
            duplicate: ack.duplicate,
        }),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Names {
    streams: Option<Vec<String>>,
    error: Option<ApiError>,
}

/// The names of streams. `None` if it is no answer.
pub fn names(payload: &[u8]) -> Option<Result<Vec<String>, ApiError>> {
    let names: Names = serde_json::from_slice(payload).ok()?;
    Some(match names.error {
        Some(error) => Err(error),
        None => Ok(names.streams.unwrap_or_default()),
    })
}

#[derive(Deserialize)]
struct Told {
    state: Option<State>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
}

/// How many messages a stream holds. `None` if it is no answer.
pub fn messages(payload: &[u8]) -> Option<Result<u64, ApiError>> {
    let told: Told = serde_json::from_slice(payload).ok()?;
    match (told.error, told.state) {
        (Some(error), _) => Some(Err(error)),
        (None, Some(state)) => Some(Ok(state.messages)),
        (None, None) => None,
    }
}

#[derive(Deserialize)]
struct Found {
    message: Option<Stored>,
    error: Option<ApiError>,
}

/// A message in a stream.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Stored {
    /// Its number there.
    pub seq: u64,
    /// Its headers, in base64.
    #[serde(default)]
    hdrs: String,
}

impl Stored {
    /// Its headers; none if they cannot be read.
    pub fn headers(&self) -> Vec<u8> {
        from_base64(&self.hdrs).unwrap_or_default()
    }
}

/// A message of a stream. `None` if it is no answer.
pub fn found(payload: &[u8]) -> Option<Result<Stored, ApiError>> {
    let found: Found = serde_json::from_slice(payload).ok()?;
    match (found.error, found.message) {
        (Some(error), _) => Some(Err(error)),
        (None, Some(message)) => Some(Ok(message)),
        (None, None) => None,
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let value = BASE64.iter().position(|known| *known == byte)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// RFC 4648, section 5, without padding.
pub fn to_base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 2);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * at)) & 63;
            text.push(match BASE64.get(index as usize) {
                Some(b'+') | None => '-',
                Some(b'/') => '_',
                Some(letter) => char::from(*letter),
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_stream_acknowledges() {
        let stored = |duplicate| {
            Some(Ack::Stored {
                stream: "S".into(),
                seq: 7,
                duplicate,
            })
        };
        for (payload, want) in [
            (r#"{"stream":"S","seq":7}"#, stored(false)),
            (
                r#"{"stream":"S", "seq":7,"duplicate": true,"domain":"x"}"#,
                stored(true),
            ),
            (r#"{"stream":"S","seq":0}"#, None),
            (r#"{"stream":"S"}"#, None),
            (r#"{"answer":42}"#, None),
            ("+OK", None),
            ("", None),
            (
                r#"{"error":{"code":400,"err_code":10054,"description":"x"},"stream":"S","seq":0}"#,
                Some(Ack::Refused(ApiError {
                    code: 400,
                    err_code: 10_054,
                    description: "x".into(),
                })),
            ),
        ] {
            assert_eq!(ack(payload.as_bytes()), want, "{payload}");
        }
    }

    #[test]
    fn names_and_messages_are_read() {
        assert_eq!(names(br#"{"total":0,"streams":null}"#), Some(Ok(vec![])));
        let list = names(br#"{"total":2,"offset":0,"limit":1024,"streams":["A","B"]}"#);
        assert_eq!(list, Some(Ok(vec!["A".to_owned(), "B".to_owned()])));
        let info = br#"{"config":{"name":"A"},"state":{"messages":3,"last_seq":9}}"#;
        assert_eq!(messages(info), Some(Ok(3)));
        let gone = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert!(messages(gone).unwrap().unwrap_err().is_absent());
        assert_eq!(messages(b"{}"), None);
        let message = found(
            br#"{"message":{"subject":"a","seq":9,"hdrs":"TkFUUy8xLjANCg==","data":"eA=="}}"#,
        );
        let message = message.unwrap().unwrap();
        assert_eq!(
            (message.seq, message.headers()),
            (9, b"NATS/1.0\r\n".to_vec())
        );
        let none =
            found(br#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#);
        assert!(none.unwrap().unwrap_err().is_absent());
        assert_eq!(found(b"{}"), None);
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = to_base64url(&bytes).replace('-', "+").replace('_', "/");
            prop_assert_eq!(from_base64(&text), Some(bytes));
        }

        #[test]
        fn no_answer_makes_reading_panic(text in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = from_base64(&text);
            let _ = (ack(&bytes), names(&bytes), messages(&bytes), found(&bytes));
        }
    }
}
