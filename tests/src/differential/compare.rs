//! Where two records differ in more than the specification leaves open. Pure.

use std::collections::BTreeMap;

use fieldgate_mqtt::AckKind;

use super::play::{Record, Seen};
use super::script::{LONG, Op, Script, Step};
use fieldgate_test_client::Message;

/// The first difference of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub step: usize,
    pub client: usize,
    pub ours: Vec<String>,
    pub theirs: Vec<String>,
}

/// The first step in which a client saw something else. What follows it may be its consequence.
pub fn compare(script: &Script, ours: &Record, theirs: &Record) -> Option<Difference> {
    for (step, Step { client: actor, op }) in script.steps.iter().enumerate() {
        for client in 0..ours[step].len() {
            let one = View::of(&ours[step][client]);
            let other = View::of(&theirs[step][client]);
            let resumed = *actor == client && matches!(op, Op::Connect(_) | Op::Insist { .. });
            if !same(&one, &other, resumed) {
                return Some(Difference {
                    step,
                    client,
                    ours: one.lines(),
                    theirs: other.lines(),
                });
            }
        }
    }
    None
}

/// What a client saw in a step, in a form in which only differences show that matter.
struct View<'a> {
    answers: Vec<Seen>,
    /// Order is promised within a topic (section 4.6), and answers do not wait for messages.
    topics: BTreeMap<&'a str, Vec<Merged>>,
}

impl<'a> View<'a> {
    fn of(seen: &'a [Seen]) -> Self {
        let mut view = Self {
            answers: Vec::new(),
            topics: BTreeMap::new(),
        };
        for one in seen {
            match one {
                // The gateway's own word.
                Seen::Message(message) if message.topic == "plant7/$state" => {}
                Seen::Message(message) => {
                    merge(view.topics.entry(&message.topic).or_default(), message);
                }
                // Session taken over: to be said (MQTT-3.1.4-3), which mosquitto 2.0.11 often does not.
                Seen::Disconnect(0x8E) => {}
                // As many as there were copies, see `merge`; none has a reason here.
                Seen::Ack(AckKind::PubRel, 0) => {}
                // That there are no subscribers need not be said (tables 3-4 and 3-5).
                Seen::Ack(kind, 0x10) => view.answers.push(Seen::Ack(*kind, 0)),
                other => view.answers.push(other.clone()),
            }
        }
        view
    }

    fn lines(&self) -> Vec<String> {
        let answers = self.answers.iter().map(|answer| format!("{answer:?}"));
        let line = |(topic, list): (&&str, &Vec<Merged>)| format!("{topic}: {list:?}");
        answers.chain(self.topics.iter().map(line)).collect()
    }
}

fn same(ours: &View<'_>, theirs: &View<'_>, resumed: bool) -> bool {
    if ours.answers != theirs.answers || !ours.topics.keys().eq(theirs.topics.keys()) {
        return false;
    }
    let mut topics = ours.topics.values().zip(theirs.topics.values());
    topics.all(|(ours, theirs)| {
        let mut pairs = ours.iter().zip(theirs);
        ours.len() == theirs.len() && pairs.all(|(ours, theirs)| ours.is_as(theirs, resumed))
    })
}

/// One message, however many copies of it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Merged {
    payload: String,
    qos: u8,
    retain: bool,
    dup: bool,
    ids: Vec<u32>,
    expires: bool,
    utf8: Option<bool>,
    content_type: Option<String>,
    response_topic: Option<String>,
    correlation: Option<Vec<u8>>,
    user: Vec<(String, String)>,
}

impl Merged {
    fn is_as(&self, theirs: &Self, resumed: bool) -> bool {
        // A copy each means that a client that is away does not get the one of QoS 0, and so not its identifier.
        let ids_suffice = resumed && theirs.ids.iter().all(|id| self.ids.contains(id));
        let theirs = Self {
            ids: match ids_suffice {
                true => self.ids.clone(),
                false => theirs.ids.clone(),
            },
            ..theirs.clone()
        };
        *self == theirs
    }
}

/// Overlapping subscriptions bring one copy with the highest QoS and all identifiers, or a copy each with their own
/// (section 3.3.4). Here they become the former. Payloads tell messages apart.
fn merge(list: &mut Vec<Merged>, message: &Message) {
    let mut merged = Merged {
        payload: String::from_utf8_lossy(&message.payload).into_owned(),
        qos: message.qos,
        retain: message.retain,
        dup: message.dup,
        ids: message.subscription_ids.clone(),
        // Seconds may pass.
        expires: message
            .expiry
            .is_some_and(|left| left <= LONG && left > LONG - 60),
        utf8: message.utf8,
        content_type: message.content_type.clone(),
        response_topic: message.response_topic.clone(),
        correlation: message.correlation.clone(),
        user: message.user.clone(),
    };
    // Subscriptions with the same identifier bring it more than once (section 3.3.4).
    merged.ids.sort_unstable();
    merged.ids.dedup();
    match list
        .iter_mut()
        .find(|known| known.payload == merged.payload)
    {
        None => list.push(merged),
        Some(known) => {
            known.qos = known.qos.max(merged.qos);
            known.retain |= merged.retain;
            known.ids.extend(merged.ids);
            known.ids.sort_unstable();
            known.ids.dedup();
        }
    }
}
