//! What is written: messages whose every byte follows from their number, so that a reader can tell whether a store
//! holds exactly what it held after some batch.

use crate::store::{Failure, Op, Space, Store};

const SESSION: u64 = 7;
const PAYLOAD_BYTES: usize = 64;
const QOS1: u8 = 1;

fn payload(of: u64) -> impl Iterator<Item = u8> {
    (0..PAYLOAD_BYTES as u64)
        .map(move |at| (of.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
}

fn queue_key(number: u64) -> Vec<u8> {
    [SESSION.to_be_bytes(), number.to_be_bytes()].concat()
}

fn queue_value(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.push(QOS1);
    value
}

fn body(number: u64) -> Vec<u8> {
    let mut value = format!("plant7/line{}/temperature", number % 100).into_bytes();
    value.extend(payload(number));
    value
}

/// A message to one persistent session, put when it is published or deleted when it is acknowledged.
fn message(number: u64, put: bool, batch: &mut Vec<Op>) {
    for (space, key, value) in [
        (
            Space::Queue,
            queue_key(number),
            queue_value as fn(u64) -> Vec<u8>,
        ),
        (Space::Bodies, number.to_be_bytes().to_vec(), body),
    ] {
        let value = put.then(|| value(number));
        batch.push(Op { space, key, value });
    }
}

pub fn retained(topic: u64, version: u64) -> Op {
    Op {
        space: Space::Retained,
        key: format!("plant7/device{:02}/point{topic:04}", topic % 40).into_bytes(),
        value: Some(payload(version).collect()),
    }
}

/// Batch after batch, each of `size` new messages, while those of the batch `depth` batches earlier are deleted.
#[derive(Clone, Copy)]
pub struct Window {
    pub size: u64,
    pub depth: u64,
    /// Each batch also sets and releases QoS 2 identifiers and changes a retained value
    pub all_spaces: bool,
}

const RETAINED_TOPICS: u64 = 50;

impl Window {
    pub fn batch(self, number: u64) -> Vec<Op> {
        let mut batch = vec![];
        let of = |number: u64| number * self.size..(number + 1) * self.size;
        of(number).for_each(|message_number| message(message_number, true, &mut batch));
        let old = number.checked_sub(self.depth);
        if let Some(old) = old {
            of(old).for_each(|message_number| message(message_number, false, &mut batch));
        }
        if self.all_spaces {
            batch.push(Op {
                space: Space::Qos2,
                key: queue_key(number),
                value: Some(vec![]),
            });
            batch.extend(old.map(|old| Op {
                space: Space::Qos2,
                key: queue_key(old),
                value: None,
            }));
            batch.push(retained(number % RETAINED_TOPICS, number));
        }
        batch
    }

    /// The last batch of which the store holds all, provided that it holds precisely what it held right after that
    /// batch: nothing half, nothing missing, nothing that had been deleted. `None` of an empty store.
    pub fn verify(self, store: &dyn Store) -> Result<Option<u64>, Failure> {
        let mut last = None;
        store.scan(Space::Queue, &[], &mut |key, _| {
            last = Some(u64::from_be_bytes(
                key.get(8..).unwrap_or_default().try_into()?,
            ));
            Ok(())
        })?;
        let last = last.map(|last| last / self.size);
        let from = last.map_or(0, |last| (last + 1).saturating_sub(self.depth));
        let to = last.map_or(0, |last| last + 1);
        let messages = from * self.size..to * self.size;
        exactly(
            store,
            Space::Queue,
            messages.clone().map(|n| (queue_key(n), queue_value(n))),
        )?;
        exactly(
            store,
            Space::Bodies,
            messages.map(|n| (n.to_be_bytes().to_vec(), body(n))),
        )?;
        if self.all_spaces {
            exactly(
                store,
                Space::Qos2,
                (from..to).map(|n| (queue_key(n), vec![])),
            )?;
            let mut values: Vec<_> = (to.saturating_sub(RETAINED_TOPICS)..to)
                .map(|n| retained(n % RETAINED_TOPICS, n))
                .map(|op| (op.key, op.value.unwrap_or_default()))
                .collect();
            values.sort();
            exactly(store, Space::Retained, values.into_iter())?;
        }
        Ok(last)
    }
}

fn exactly(
    store: &dyn Store,
    space: Space,
    mut want: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
) -> Result<(), Failure> {
    let wrong = |how: &str| Err(format!("{WRONG}: {}: {how}", space.name()).into());
    store.scan(space, &[], &mut |key, value| match want.next() {
        Some((want, _)) if want.as_slice() < key => wrong("entries are missing"),
        Some((want, _)) if want != key => wrong("a key is altered, or was deleted"),
        Some((_, want)) if want != value => wrong("a value is altered"),
        Some(_) => Ok(()),
        None => wrong("there is more than was put"),
    })?;
    want.next()
        .map_or(Ok(()), |_| wrong("the last entries are missing"))
}

/// How a failed [`Window::verify`] tells a store that read well and held something else from one that could not be read.
pub const WRONG: &str = "the store holds something that was never its content";
