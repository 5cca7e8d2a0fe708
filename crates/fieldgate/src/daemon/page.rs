//! Messages that are published together, in memory that is used again and again.

use fieldgate_broker::{Outgoing, QoS};
use fieldgate_model::payload::DeviceWriter;

/// What a page may keep for the next messages, in bytes. Few have more.
const KEEP: usize = 64 * 1024;

/// Where messages are written before they are published. In one piece, as a thousand small pieces cost more than what
/// they hold, and in the same place each time, which is in the processor's cache.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// Where each begins, where its topic ends, and where its payload does.
    ends: Vec<(usize, usize, usize)>,
    /// The message of a whole device, while it is put together.
    pub(super) whole: DeviceWriter,
}

impl Page {
    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEEP);
        self.ends.clear();
        self.whole.clear(KEEP);
    }

    /// Adds a message with what the two write; none if `payload` says so.
    pub(super) fn add(
        &mut self,
        topic: impl FnOnce(&mut String),
        payload: impl FnOnce(&mut String) -> bool,
    ) {
        let start = self.text.len();
        topic(&mut self.text);
        let end = self.text.len();
        if payload(&mut self.text) {
            self.ends.push((start, end, self.text.len()));
        } else {
            self.text.truncate(start);
        }
    }

    /// Adds the message of a whole device, of whose points all have been added to `whole`.
    pub(super) fn add_whole(&mut self, topic: &str, is_clock_set: bool) {
        let whole = std::mem::take(&mut self.whole);
        self.add(
            |text| text.push_str(topic),
            |text| whole.append(text, is_clock_set),
        );
        self.whole = whole;
    }

    /// All of them, to be retained.
    pub(super) fn messages(&self) -> impl Iterator<Item = Outgoing<'_>> + Clone {
        self.ends.iter().map(|&(start, topic, end)| {
            let payload = &self.text.as_bytes()[topic..end];
            retained(&self.text[start..topic], payload)
        })
    }
}

/// Subscribers that want less than QoS 1 get less.
pub(super) fn retained<'a>(topic: &'a str, payload: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        topic,
        payload,
        qos: QoS::AtLeastOnce,
        retain: true,
        correlation_data: None,
    }
}
