//! At most one message of a topic in a time, the last one. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that topics and their waiting messages may take. Messages of further topics are not held back.
const BYTES_MAX: usize = 4 << 20;
/// What a topic takes beside its name and its message, in bytes, about.
const TOPIC: usize = 160;

/// The topics that had a message not long ago.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    topics: HashMap<Arc<str>, Held>,
    /// When which topics may have another. A number tells apart those of one moment.
    due: BTreeMap<(Instant, u64), Arc<str>>,
    number: u64,
    bytes: usize,
    /// Messages that a later one took the place of.
    pub(crate) replaced: u64,
    /// Messages that were not held back for want of room.
    pub(crate) passed: u64,
}

#[derive(Debug)]
struct Held {
    interval: Duration,
    waiting: Option<Vec<u8>>,
}

impl Pace {
    /// A message of `topic`: it comes back if it goes on now.
    pub(crate) fn offer(
        &mut self,
        topic: &str,
        message: Vec<u8>,
        interval: Duration,
        now: Instant,
    ) -> Option<Vec<u8>> {
        if let Some(held) = self.topics.get_mut(topic) {
            self.bytes += message.len();
            if let Some(before) = held.waiting.replace(message) {
                self.bytes -= before.len();
                self.replaced += 1;
            }
            return None;
        }
        let weight = TOPIC + topic.len();
        if self.bytes + weight > BYTES_MAX {
            self.passed += 1;
            return Some(message);
        }
        self.bytes += weight;
        let topic: Arc<str> = topic.into();
        let held = Held {
            interval,
            waiting: None,
        };
        self.topics.insert(Arc::clone(&topic), held);
        self.wait(topic, now + interval);
        Some(message)
    }

    fn wait(&mut self, topic: Arc<str>, until: Instant) {
        self.number += 1;
        self.due.insert((until, self.number), topic);
    }

    /// When the next message may go on.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// A message whose time has come. To be called until there is none.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
            let topic = first.remove();
            let Some(held) = self.topics.get_mut(&topic) else {
                continue;
            };
            if let Some(message) = held.waiting.take() {
                self.bytes -= message.len();
                let until = now + held.interval;
                self.wait(topic, until);
                return Some(message);
            }
            self.topics.remove(&topic);
            self.bytes -= TOPIC + topic.len();
        }
        None
    }

    /// All that waits, and nothing is held back from before any more.
    pub(crate) fn drain(&mut self) -> Vec<Vec<u8>> {
        let due = std::mem::take(&mut self.due);
        let mut topics = std::mem::take(&mut self.topics);
        self.bytes = 0;
        let waiting = due.into_values().filter_map(|topic| topics.remove(&topic));
        waiting.filter_map(|held| held.waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn all_due(pace: &mut Pace, now: Instant) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| pace.take_due(now)).collect()
    }

    #[test]
    fn the_first_goes_at_once_and_of_the_others_the_last_when_the_time_is_over() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let offer = |pace: &mut Pace, topic, number: u8, ms| {
            pace.offer(topic, vec![number], SECOND, at(ms)).is_some()
        };
        assert!(offer(&mut pace, "a", 1, 0));
        assert!(offer(&mut pace, "b", 2, 100));
        assert!(!offer(&mut pace, "a", 3, 200));
        assert!(!offer(&mut pace, "a", 4, 900));
        assert_eq!(pace.next(), Some(at(1_000)));
        assert_eq!(all_due(&mut pace, at(999)), Vec::<Vec<u8>>::new());
        assert_eq!(all_due(&mut pace, at(1_000)), [vec![4]]);
        assert_eq!(pace.replaced, 1);
        // What comes soon after that waits as well.
        assert!(!offer(&mut pace, "a", 5, 1_001));
        assert_eq!(all_due(&mut pace, at(2_000)), [vec![5]]);
        assert_eq!(all_due(&mut pace, at(3_000)), Vec::<Vec<u8>>::new());
        assert!(offer(&mut pace, "a", 6, 3_001), "it was silent");
    }

    #[test]
    fn what_waits_at_the_end_comes_out_in_the_order_of_its_times() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for (topic, number) in [("a", 1), ("b", 2), ("a", 3), ("b", 4)] {
            pace.offer(topic, vec![number], SECOND, start);
        }
        assert_eq!(pace.drain(), [vec![3], vec![4]]);
        assert_eq!((pace.next(), pace.bytes), (None, 0));
    }

    #[test]
    fn topics_without_end_take_a_bounded_room_and_are_not_held_back() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for number in 0..100_000 {
            let goes = pace.offer(&format!("topic {number}"), vec![0; 100], SECOND, now);
            assert!(goes.is_some());
        }
        assert!(pace.bytes <= BYTES_MAX && pace.passed > 0);
    }

    proptest! {
        #[test]
        fn each_topic_has_its_last_message_and_none_too_soon(
            steps in prop::collection::vec((0..4_u64, 0..3_usize), 1..200)
        ) {
            const TOPICS: [&str; 3] = ["a", "b", "c"];
            let (mut pace, mut now) = (Pace::default(), Instant::now());
            let mut sent: [Vec<(Instant, u8)>; 3] = Default::default();
            let mut last = [None; 3];
            for (number, (pause, topic)) in (0_u8..).zip(steps) {
                now += Duration::from_millis(pause * 300);
                for message in all_due(&mut pace, now) {
                    sent[usize::from(message[0])].push((now, message[1]));
                }
                last[topic] = Some(number);
                let message = vec![topic as u8, number];
                if pace.offer(TOPICS[topic], message, SECOND, now).is_some() {
                    sent[topic].push((now, number));
                }
            }
            for message in all_due(&mut pace, now + SECOND) {
                sent[usize::from(message[0])].push((now + SECOND, message[1]));
            }
            for (sent, last) in sent.iter().zip(last) {
                prop_assert_eq!(sent.last().map(|(_, number)| *number), last);
                prop_assert!(sent.windows(2).all(|two| two[1].0 - two[0].0 >= SECOND && two[0].1 < two[1].1));
            }
            all_due(&mut pace, now + 3 * SECOND);
            prop_assert_eq!(pace.bytes, 0);
        }
    }
}
