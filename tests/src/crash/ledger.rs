//! What was sent, what came, and what must never be. Pure.

use std::collections::{BTreeMap, HashMap};

/// A message of a publisher. Its number is its place in [`Publisher::sent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// One of the publisher's topics; each has one QoS, as order holds within topic and QoS.
    pub topic: u8,
    pub qos: u8,
    /// The publisher has seen PUBACK or PUBREC.
    pub acknowledged: bool,
    /// The publisher has sent it again, on another connection.
    pub repeated: bool,
}

/// A change of a retained value; `None` removes it. The store writes a topic at once when it has not been written since
/// the broker's start, before the acknowledgement, and from then on once an interval, which is longer than a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub topic: u8,
    pub value: Option<u64>,
    pub acknowledged: bool,
    /// Acknowledged by a broker to which it was the first change of the topic.
    pub written: bool,
}

/// All that one publisher did.
#[derive(Clone, Debug, Default)]
pub struct Publisher {
    pub sent: Vec<Sent>,
    pub kept: Vec<Kept>,
    /// Refused with a reason, which the run gives no cause for.
    pub refused: usize,
    /// Connections on which the broker did not know the session any more.
    pub sessions_lost: usize,
}

/// A message that came and was new to the client: a QoS 2 message that it had not released is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub publisher: usize,
    pub number: u64,
    pub topic: u8,
    pub qos: u8,
}

/// All that one subscriber saw.
#[derive(Clone, Debug, Default)]
pub struct Subscriber {
    pub name: String,
    /// The QoS that was granted.
    pub qos: u8,
    /// The publishers whose messages it subscribes to, and from which message on it must have them.
    pub from: BTreeMap<usize, u64>,
    pub received: Vec<Received>,
    pub sessions_lost: usize,
    /// Messages that were not sent in this form.
    pub strange: Vec<String>,
}

/// What a run has proven or disproven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages sent and acknowledged, changes of retained values included.
    pub published: usize,
    pub acknowledged: usize,
    /// Deliveries, and those of QoS 1 that were not the first, which MQTT allows.
    pub delivered: usize,
    pub repeated_qos_1: usize,
    /// Messages of before a subscription that came behind later ones, as repetitions, which MQTT allows.
    pub late: usize,
    /// Each line is a broken promise.
    pub lost: Vec<String>,
    pub repeated_qos_2: Vec<String>,
    pub reordered: Vec<String>,
    pub retained_wrong: Vec<String>,
    pub others: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.faults().next().is_none()
    }

    /// The broken promises.
    pub fn faults(&self) -> impl Iterator<Item = &String> {
        let all = [
            &self.lost,
            &self.repeated_qos_2,
            &self.reordered,
            &self.retained_wrong,
            &self.others,
        ];
        all.into_iter().flatten()
    }

    /// Adds the figures and faults of another run.
    pub fn add(&mut self, other: Self) {
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.delivered += other.delivered;
        self.repeated_qos_1 += other.repeated_qos_1;
        self.late += other.late;
        self.lost.extend(other.lost);
        self.repeated_qos_2.extend(other.repeated_qos_2);
        self.reordered.extend(other.reordered);
        self.retained_wrong.extend(other.retained_wrong);
        self.others.extend(other.others);
    }
}

/// The value that a new subscriber found for each publisher and topic at the end.
pub type Found = HashMap<(usize, u8), u64>;

/// Judges a run after which all clients have gone on until nothing was underway any more.
pub fn verify(publishers: &[Publisher], subscribers: &[Subscriber], found: &Found) -> Verdict {
    let mut verdict = Verdict::default();
    for (number, publisher) in publishers.iter().enumerate() {
        let acknowledged = publisher.sent.iter().filter(|sent| sent.acknowledged);
        let kept = publisher.kept.iter().filter(|kept| kept.acknowledged);
        verdict.published += publisher.sent.len() + publisher.kept.len();
        verdict.acknowledged += acknowledged.count() + kept.count();
        if publisher.refused + publisher.sessions_lost > 0 {
            verdict.others.push(format!(
                "publisher {number}: {} messages refused, {} sessions lost",
                publisher.refused, publisher.sessions_lost
            ));
        }
        retained(number, publisher, found, &mut verdict);
    }
    for subscriber in subscribers {
        let name = &subscriber.name;
        verdict.delivered += subscriber.received.len();
        if subscriber.sessions_lost > 0 {
            let lost = subscriber.sessions_lost;
            verdict.others.push(format!("{name}: {lost} sessions lost"));
        }
        let strange = subscriber.strange.iter();
        let strange = strange.map(|what| format!("{name}: {what}"));
        verdict.others.extend(strange);
        received(publishers, subscriber, &mut verdict);
    }
    verdict
}

/// The value found is that of the last change that had to be written, or of a later one.
fn retained(number: usize, publisher: &Publisher, found: &Found, verdict: &mut Verdict) {
    let mut topics: BTreeMap<u8, Vec<&Kept>> = BTreeMap::new();
    for kept in &publisher.kept {
        topics.entry(kept.topic).or_default().push(kept);
    }
    for (topic, changes) in topics {
        let value = found.get(&(number, topic)).copied();
        let last = changes.iter().rposition(|kept| kept.written);
        let mut allowed = changes[last.unwrap_or(0)..].iter().map(|kept| kept.value);
        let untouched = last.is_none() && value.is_none();
        if !untouched && !allowed.any(|allowed| allowed == value) {
            let wanted = changes[last.unwrap_or(0)].value;
            verdict.retained_wrong.push(format!(
                "publisher {number}, topic {topic}: found {value:?}, written {wanted:?}"
            ));
        }
    }
}

/// Whether the first that a subscriber gets of a message may be a repetition, behind messages that are later.
///
/// A publisher that did not see an acknowledgement sends the message again (MQTT-4.4.0-1), and the broker delivers it again,
/// as it may with QoS 1. The order that it has to keep is that in which messages come to it (MQTT-4.6.0-5), repetitions
/// included: section 4.6 of MQTT 5.0 has 1, 2, 3, 2, 3, 4 for an example. Who subscribes behind the first 2 of these gets
/// 3, 2, 3, 4. Who was subscribed before has to get the first 2 as well, so for it this is no excuse.
fn was_missed(sent: &Sent, number: u64, from: Option<&u64>) -> bool {
    sent.repeated && from.is_some_and(|from| number < *from)
}

/// Everything at least once, QoS 2 exactly once, the first deliveries in order, as far as the subscriber was there.
fn received(publishers: &[Publisher], subscriber: &Subscriber, verdict: &mut Verdict) {
    let name = &subscriber.name;
    let mut seen: HashMap<(usize, u64), usize> = HashMap::new();
    let mut last: HashMap<(usize, u8), u64> = HashMap::new();
    for got in &subscriber.received {
        let (publisher, number) = (got.publisher, got.number);
        let what = format!(
            "{name}: publisher {publisher}, message {number}, QoS {}",
            got.qos
        );
        let sent = publishers.get(publisher);
        let sent = sent.and_then(|sent| sent.sent.get(number as usize));
        let is_as_sent = sent
            .is_some_and(|sent| sent.topic == got.topic && got.qos == sent.qos.min(subscriber.qos));
        if !is_as_sent || !subscriber.from.contains_key(&publisher) {
            verdict.others.push(format!("{what}: not as it was sent"));
        }
        let times = seen.entry((publisher, number)).or_default();
        *times += 1;
        if *times > 1 {
            match got.qos {
                2 => verdict.repeated_qos_2.push(what),
                _ => verdict.repeated_qos_1 += 1,
            }
            continue;
        }
        let place = (publisher, got.topic);
        let before = last.get(&place).filter(|before| **before > number);
        if let Some(before) = before {
            if sent.is_some_and(|sent| was_missed(sent, number, subscriber.from.get(&publisher))) {
                verdict.late += 1;
                continue;
            }
            verdict.reordered.push(format!("{what}: after {before}"));
        }
        last.insert(place, number);
    }
    for (&publisher, &from) in &subscriber.from {
        let sent = publishers[publisher].sent.iter().enumerate();
        for (number, sent) in sent.skip(from as usize) {
            if sent.acknowledged && !seen.contains_key(&(publisher, number as u64)) {
                verdict.lost.push(format!(
                    "{name}: publisher {publisher}, message {number}, QoS {}",
                    sent.qos
                ));
            }
        }
    }
}
