//! What acknowledgements have promised, and what a broker that was killed has kept of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Broken promises, and how much was promised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// Acknowledged, and not there any more.
    pub lost: Vec<String>,
    /// Replaced, deleted or ended with an acknowledgement, and there again.
    pub undone: Vec<String>,
    /// What never was, or what may not come twice.
    pub wrong: Vec<String>,
    pub rounds: usize,
    pub changes: usize,
    pub deletions: usize,
    pub wills: usize,
    pub messages: usize,
    pub sessions: usize,
    pub steps: usize,
}

impl Broken {
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.undone.is_empty() && self.wrong.is_empty()
    }

    /// The broken promises, each with its kind.
    pub fn faults(&self) -> impl Iterator<Item = String> {
        let kinds = [
            ("lost", &self.lost),
            ("undone", &self.undone),
            ("wrong", &self.wrong),
        ];
        kinds
            .into_iter()
            .flat_map(|(kind, list)| list.iter().map(move |what| format!("{kind}: {what}")))
    }

    pub(super) fn push(&mut self, fault: Fault, what: String) {
        match fault {
            Fault::Lost => self.lost.push(what),
            Fault::Undone => self.undone.push(what),
            Fault::Wrong => self.wrong.push(what),
        }
    }
}

/// How a promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Lost,
    Undone,
    Wrong,
}

/// One retained topic: its changes in the order in which they were sent. Every value is set once only.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// `None` deletes it.
    changes: Vec<(Option<u64>, bool)>,
}

impl Topic {
    pub fn send(&mut self, value: Option<u64>) {
        self.changes.push((value, false));
    }

    /// The change was acknowledged: those before it are over.
    pub fn acknowledge(&mut self, value: Option<u64>) {
        let place = self.changes.iter().rposition(|(sent, _)| *sent == value);
        if let Some(place) = place {
            self.changes[place].1 = true;
        }
    }

    /// Whether it is there for certain.
    pub fn is_set(&self) -> bool {
        let last = self.last_acknowledged();
        last.is_some_and(|at| self.changes[at..].iter().all(|(value, _)| value.is_some()))
    }

    fn last_acknowledged(&self) -> Option<usize> {
        self.changes.iter().rposition(|(_, known)| *known)
    }

    /// Judges what is found after a crash.
    pub fn judge(&self, found: Option<u64>) -> Option<Fault> {
        let last = self.last_acknowledged();
        let allowed = self.changes[last.unwrap_or(0)..].iter();
        let is_allowed = allowed.clone().any(|(value, _)| *value == found);
        if is_allowed || (last.is_none() && found.is_none()) {
            return None;
        }
        let was_sent = self.changes.iter().any(|(value, _)| *value == found);
        Some(match found {
            None => Fault::Lost,
            Some(_) if was_sent => Fault::Undone,
            Some(_) => Fault::Wrong,
        })
    }

    /// From now on what was found is what holds.
    pub fn settle(&mut self, found: Option<u64>) {
        self.changes.retain(|(value, _)| *value != found);
        for (_, known) in &mut self.changes {
            *known = true;
        }
        self.changes.push((found, true));
    }
}

/// A message for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Queued {
    qos: u8,
    acknowledged: bool,
    /// The session's client has had all of its exchange.
    done: bool,
}

/// What waits for one session, by number of message.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    messages: BTreeMap<u64, Queued>,
    /// Of a session before, which was ended.
    over: BTreeSet<u64>,
}

impl Queue {
    pub fn send(&mut self, number: u64, qos: u8) {
        let acknowledged = false;
        let done = false;
        let queued = Queued {
            qos,
            acknowledged,
            done,
        };
        self.messages.insert(number, queued);
    }

    pub fn acknowledge(&mut self, number: u64) {
        if let Some(queued) = self.messages.get_mut(&number) {
            queued.acknowledged = true;
        }
    }

    /// What has to come when the session's client does.
    pub fn due(&self) -> BTreeSet<u64> {
        let due = self.messages.iter();
        due.filter(|(_, queued)| queued.acknowledged && !queued.done)
            .map(|(number, _)| *number)
            .collect()
    }

    /// A message has come to the session's client, and its exchange is over.
    pub fn receive(&mut self, number: u64) -> Option<Fault> {
        match self.messages.get_mut(&number) {
            None if self.over.contains(&number) => Some(Fault::Undone),
            None => Some(Fault::Wrong),
            Some(queued) => {
                let again = std::mem::replace(&mut queued.done, true);
                (again && queued.qos == 2).then_some(Fault::Wrong)
            }
        }
    }

    /// Everything that was to come has come, or has been found missing.
    pub fn close(&mut self) {
        for queued in self.messages.values_mut() {
            // What was not acknowledged need not come, and does not later.
            queued.done = true;
        }
    }

    /// The session was ended.
    pub fn end(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        self.over.extend(messages.into_keys());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_topic_only_the_last_acknowledged_change_or_a_later_one_may_be_found() {
        let (lost, undone, wrong) = (Some(Fault::Lost), Some(Fault::Undone), Some(Fault::Wrong));
        // Changes and whether they were acknowledged, what is found, and what that is.
        for (changes, found, want) in [
            (&[][..], None, None),
            (&[], Some(1), wrong),
            (&[(Some(1), false)], None, None),
            (&[(Some(1), false)], Some(1), None),
            (&[(Some(1), true)], Some(1), None),
            (&[(Some(1), true)], None, lost),
            (&[(Some(1), true)], Some(2), wrong),
            (&[(Some(1), true), (Some(2), false)], Some(1), None),
            (&[(Some(1), true), (Some(2), false)], Some(2), None),
            (&[(Some(1), true), (Some(2), true)], Some(1), undone),
            (&[(Some(1), true), (None, false)], Some(1), None),
            (&[(Some(1), true), (None, false)], None, None),
            (&[(Some(1), true), (None, true)], Some(1), undone),
            (&[(Some(1), true), (None, true)], None, None),
            (&[(None, true), (Some(2), true)], None, lost),
        ] {
            let mut topic = Topic::default();
            for (value, known) in changes {
                topic.send(*value);
                if *known {
                    topic.acknowledge(*value);
                }
            }
            assert_eq!(topic.judge(found), want, "{changes:?} {found:?}");
            topic.settle(found);
            assert_eq!(topic.judge(found), None, "{changes:?} {found:?}");
            assert_eq!(topic.is_set(), found.is_some(), "{changes:?} {found:?}");
            if found == Some(2) && changes.contains(&(Some(1), true)) {
                assert_eq!(topic.judge(Some(1)), undone, "{changes:?}");
            }
        }
    }

    #[test]
    fn a_session_gets_what_was_acknowledged_once_with_qos_2_and_nothing_of_a_session_before() {
        let mut queue = Queue::default();
        for (number, qos, acknowledged) in [(1, 1, true), (2, 2, true), (3, 2, false)] {
            queue.send(number, qos);
            if acknowledged {
                queue.acknowledge(number);
            }
        }
        assert_eq!(queue.due(), [1, 2].into());
        assert_eq!(queue.receive(1), None);
        assert_eq!(queue.due(), [2].into());
        assert_eq!([2, 3].map(|number| queue.receive(number)), [None; 2]);
        assert_eq!(queue.receive(1), None, "QoS 1 may come again");
        assert_eq!(queue.receive(2), Some(Fault::Wrong));
        assert_eq!(queue.receive(9), Some(Fault::Wrong));
        queue.send(4, 1);
        queue.end();
        assert_eq!(queue.receive(4), Some(Fault::Undone));
        assert_eq!(queue.due(), [].into());
        queue.send(5, 2);
        queue.acknowledge(5);
        queue.close();
        assert_eq!(queue.due(), [].into());
    }
}
