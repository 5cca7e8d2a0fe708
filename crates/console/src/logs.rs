//! What the program has logged lately, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use log::Level;

/// Bytes that lines take at most, about.
const BYTES_MAX: usize = 512 * 1024;
/// What a line takes beside its texts, in bytes, about.
const LINE: usize = 128;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts up from 1.
    pub number: u64,
    /// When it was logged.
    pub at: Timestamp,
    /// How bad it is.
    pub level: Level,
    /// The device or the bus that it is about.
    pub subject: Option<String>,
    /// The message, with nothing in it that acts on what shows it.
    pub text: String,
}

/// The last lines; the oldest make room for new ones. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Arc<Entry>>,
    bytes: usize,
    last: u64,
}

/// Which lines are wanted.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// This bad or worse.
    pub(crate) level: Level,
    /// With this text in message or subject, whatever the case; empty for all. In lower case.
    pub(crate) text: &'a str,
    /// About this device or bus; empty for all.
    pub(crate) subject: &'a str,
    /// With a higher number.
    pub(crate) after: u64,
    /// The newest so many.
    pub(crate) limit: usize,
}

impl Logs {
    /// Takes up a line.
    pub fn push(&self, at: Timestamp, level: Level, subject: Option<&str>, text: &str) {
        let mut lines = self.lock();
        lines.last += 1;
        let entry = Entry {
            number: lines.last,
            at,
            level,
            subject: subject.map(str::to_owned),
            text: text.to_owned(),
        };
        lines.bytes += size(&entry);
        lines.lines.push_back(Arc::new(entry));
        while lines.bytes > BYTES_MAX
            && let Some(oldest) = lines.lines.pop_front()
        {
            lines.bytes -= size(&oldest);
        }
    }

    /// The newest lines that are wanted, the oldest of them first, and the number of the last line of all.
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> (Vec<Arc<Entry>>, u64) {
        let (all, last) = {
            let lines = self.lock();
            let new = lines.lines.iter().rev();
            let new = new.take_while(|entry| entry.number > wanted.after);
            (new.cloned().collect::<Vec<_>>(), lines.last)
        };
        // Without the lock: logging does not wait for a search.
        let found = all.into_iter().filter(|entry| wanted.fits(entry));
        let mut found: Vec<_> = found.take(wanted.limit).collect();
        found.reverse();
        (found, last)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted<'_> {
    fn fits(&self, entry: &Entry) -> bool {
        let subject = entry.subject.as_deref().unwrap_or_default();
        let has = |text: &str| text.to_lowercase().contains(self.text);
        entry.level <= self.level
            && (self.subject.is_empty() || self.subject == subject)
            && (self.text.is_empty() || has(&entry.text) || has(subject))
    }
}

fn size(entry: &Entry) -> usize {
    LINE + entry.text.len() + entry.subject.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(level: Level, text: &'static str) -> Wanted<'static> {
        Wanted {
            level,
            text,
            subject: "",
            after: 0,
            limit: 100,
        }
    }

    fn numbers(logs: &Logs, wanted: &Wanted<'_>) -> Vec<u64> {
        let (found, _) = logs.find(wanted);
        found.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn lines_are_found_by_level_text_subject_and_number() {
        let logs = Logs::default();
        for (level, subject, text) in [
            (Level::Info, None, "MQTT on port"),
            (Level::Warn, Some("plc"), "no answer within 300 ms"),
            (Level::Error, Some("meters"), "the Line is gone *"),
            (Level::Debug, Some("plc"), "asked again"),
        ] {
            logs.push(Timestamp::UNIX_EPOCH, level, subject, text);
        }
        for (wanted, want) in [
            (wanted(Level::Trace, ""), vec![1, 2, 3, 4]),
            (wanted(Level::Warn, ""), vec![2, 3]),
            (wanted(Level::Trace, "plc"), vec![2, 4]),
            (wanted(Level::Trace, "line"), vec![3]),
            (wanted(Level::Trace, "*"), vec![3]),
            (
                Wanted {
                    subject: "plc",
                    ..wanted(Level::Info, "")
                },
                vec![2],
            ),
            (
                Wanted {
                    after: 2,
                    ..wanted(Level::Trace, "")
                },
                vec![3, 4],
            ),
            (
                Wanted {
                    limit: 2,
                    ..wanted(Level::Info, "")
                },
                vec![2, 3],
            ),
        ] {
            assert_eq!(numbers(&logs, &wanted), want, "{wanted:?}");
        }
        assert_eq!(logs.find(&wanted(Level::Error, "nothing")).1, 4);
    }

    #[test]
    fn the_oldest_lines_make_room() {
        let logs = Logs::default();
        let text = "x".repeat(1_000);
        for _ in 0..2_000 {
            logs.push(Timestamp::UNIX_EPOCH, Level::Info, None, &text);
        }
        let all = Wanted {
            limit: usize::MAX,
            ..wanted(Level::Info, "")
        };
        let (found, last) = logs.find(&all);
        assert_eq!(last, 2_000);
        let kept = BYTES_MAX / (LINE + 1_000);
        assert_eq!(found.len(), kept);
        assert_eq!(found.last().map(|entry| entry.number), Some(2_000));
    }
}
