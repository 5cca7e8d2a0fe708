//! Where two records differ in more than the specification leaves open. Pure.

use std::collections::BTreeMap;

use fieldgate_mqtt::AckKind;

use super::play::{Record, Seen};
use super::script::{LONG, Script};
use crate::raw::Message;

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
    for step in 0..script.steps.len() {
        for client in 0..ours[step].len() {
            let (one, other) = (&ours[step][client], &theirs[step][client]);
            let (one, other) = (normalise(one), normalise(other));
            if one != other {
                return Some(Difference {
                    step,
                    client,
                    ours: one,
                    theirs: other,
                });
            }
        }
    }
    None
}

/// What a client saw, in a form in which only differences show that matter.
fn normalise(seen: &[Seen]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut topics: BTreeMap<&str, Vec<Merged>> = BTreeMap::new();
    for one in seen {
        match one {
            // Order is promised within a topic (section 4.6), and answers do not wait for messages.
            Seen::Message(message) => merge(topics.entry(&message.topic).or_default(), message),
            // As many as there were copies, see `merge`; none has a reason here.
            Seen::Ack(AckKind::PubRel, 0) => {}
            // That nobody subscribes may be said (section 3.4.2.1, table 3-4: a server may use success).
            Seen::Ack(kind, 0x10) => lines.push(format!("{:?}", Seen::Ack(*kind, 0))),
            other => lines.push(format!("{other:?}")),
        }
    }
    for (topic, messages) in topics {
        lines.extend(
            messages
                .iter()
                .map(|message| format!("{topic}: {message:?}")),
        );
    }
    lines
}

/// One message, however many copies of it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "compared as text")]
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

/// Overlapping subscriptions bring one copy with the highest QoS and all identifiers, or a copy each with their own
/// (section 3.3.4). Here they become the former. Payloads tell messages apart.
fn merge(list: &mut Vec<Merged>, message: &Message) {
    let merged = Merged {
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
