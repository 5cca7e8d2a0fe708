//! Many readings in one message. Pure.

use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

/// How many go into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// How long the first waits for others.
    pub every: Duration,
    /// Bytes of its payload at most.
    pub max: usize,
    /// Its topic at the remote.
    pub topic: String,
}

/// A message that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    /// The members so far, without brackets.
    members: String,
    count: u64,
    since: Option<Instant>,
}

/// Brackets, and the name of the message, which is at most so long with its key.
const AROUND: usize = 700;

impl Packing {
    /// The payload of a message that can go into one with others: it is JSON, and there is room for it.
    pub(crate) fn takes<'p>(pack: &Pack, topic: &str, payload: &'p [u8]) -> Option<&'p str> {
        let text = str::from_utf8(payload).ok()?;
        let is_small = AROUND + member_len(topic, text) <= pack.max;
        (is_small && serde_json::from_str::<IgnoredAny>(text).is_ok()).then_some(text)
    }

    /// Whether it must be closed before this one goes in.
    pub(crate) fn is_full(&self, pack: &Pack, topic: &str, payload: &str) -> bool {
        AROUND + self.members.len() + member_len(topic, payload) > pack.max
    }

    /// Adds a message that it takes.
    pub(crate) fn push(&mut self, topic: &str, payload: &str, now: Instant) {
        if self.count > 0 {
            self.members.push(',');
        }
        self.members.push_str("{\"topic\":");
        push_text(topic, &mut self.members);
        self.members.push_str(",\"payload\":");
        self.members.push_str(payload.trim());
        self.members.push('}');
        self.count += 1;
        self.since.get_or_insert(now);
    }

    /// When it is to be closed; `None` while it is empty.
    pub(crate) fn due(&self, pack: &Pack) -> Option<Instant> {
        self.since.map(|since| since + pack.every)
    }

    /// The payload with the name of the message, and how many are in it; `None` if it is empty.
    pub(crate) fn close(&mut self, id: &str) -> Option<(String, u64)> {
        self.since.take()?;
        let (members, count) = (std::mem::take(&mut self.members), self.count);
        self.count = 0;
        let mut payload = String::with_capacity(members.len() + AROUND);
        payload.push_str("{\"id\":");
        push_text(id, &mut payload);
        payload.push_str(",\"messages\":[");
        payload.push_str(&members);
        payload.push_str("]}");
        Some((payload, count))
    }
}

/// Bytes of a member at most: each byte of a topic may have to be escaped.
fn member_len(topic: &str, payload: &str) -> usize {
    topic.len() * 6 + payload.len() + 32
}

fn push_text(text: &str, out: &mut String) {
    // A text is always JSON.
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pack(max: usize) -> Pack {
        Pack {
            every: Duration::from_secs(1),
            max,
            topic: "batch".into(),
        }
    }

    #[test]
    fn what_goes_in_comes_out_with_its_topics_in_its_order() {
        let (mut packing, now) = (Packing::default(), Instant::now());
        assert_eq!(packing.due(&pack(9_000)), None);
        packing.push("m/a", "{\"value\":1.50,\"ts\":\"x\"}", now);
        packing.push("m/\"b\\", " 7 ", now + Duration::from_millis(300));
        assert_eq!(
            packing.due(&pack(9_000)),
            Some(now + Duration::from_secs(1))
        );
        let (payload, count) = packing.close("g:1:2").unwrap();
        // Numbers stay as they were written.
        assert!(payload.contains("1.50"), "{payload}");
        let value: Value = serde_json::from_str(&payload).unwrap();
        let want = json!({"id": "g:1:2", "messages": [
            {"topic": "m/a", "payload": {"value": 1.5, "ts": "x"}},
            {"topic": "m/\"b\\", "payload": 7},
        ]});
        assert_eq!((value, count), (want, 2));
        assert_eq!(
            (packing.close("g:1:3"), packing.due(&pack(9_000))),
            (None, None)
        );
    }

    #[test]
    fn only_json_that_fits_is_taken() {
        let pack = pack(1_000);
        let deep = "[".repeat(10_000);
        for (payload, want) in [
            ("1", true),
            ("\"open\"", true),
            ("{\"a\":[null]}", true),
            ("", false),
            ("21.5 C", false),
            ("1 2", false),
            ("{\"a\":1", false),
            (deep.as_str(), false),
        ] {
            let taken = Packing::takes(&pack, "t", payload.as_bytes());
            assert_eq!(taken.is_some(), want, "{payload:.20}");
        }
        assert_eq!(Packing::takes(&pack, "t", b"\"\xff\""), None);
        let long = format!("\"{}\"", "x".repeat(700));
        assert_eq!(Packing::takes(&pack, "t", long.as_bytes()), None);
    }

    #[test]
    fn no_message_is_longer_than_allowed() {
        let (pack, now) = (pack(2_000), Instant::now());
        let (mut packing, mut closed) = (Packing::default(), 0);
        for number in 0..500 {
            let (topic, payload) = ("m/\u{1}".repeat(number % 9), number.to_string());
            assert!(Packing::takes(&pack, &topic, payload.as_bytes()).is_some());
            if packing.is_full(&pack, &topic, &payload) {
                let (payload, _) = packing.close(&"i".repeat(300)).unwrap();
                assert!(payload.len() <= pack.max, "{}", payload.len());
                closed += 1;
            }
            packing.push(&topic, &payload, now);
        }
        assert!(closed > 5);
    }
}
