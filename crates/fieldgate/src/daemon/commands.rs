//! Commands from clients: to the device that they name, and the answer back.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use fieldgate_bridge::Request;
use fieldgate_broker::{Delivery, Link};
use fieldgate_model::{Command, Outcome, Point, Topics, Value, parse_command_value};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

use super::publisher::{Publisher, ReplyTo};

/// A value for a point is short; the longest is a text of 250 bytes in JSON.
const PAYLOAD_MAX: usize = 4096;

/// The devices that take commands now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    devices: Arc<RwLock<HashMap<String, Entry>>>,
}

#[derive(Clone, Debug)]
struct Entry {
    points: Arc<[Point]>,
    requests: mpsc::Sender<Request>,
    raw: Option<usize>,
}

impl Directory {
    /// `raw` is the index that stands for raw bytes, if the device takes them.
    pub(crate) fn insert(
        &self,
        device: &str,
        points: Arc<[Point]>,
        requests: mpsc::Sender<Request>,
        raw: Option<usize>,
    ) {
        let entry = Entry {
            points,
            requests,
            raw,
        };
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.insert(device.to_owned(), entry);
    }

    pub(crate) fn remove(&self, device: &str) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.remove(device);
    }

    fn get(&self, device: &str) -> Option<Entry> {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices.get(device).cloned()
    }
}

/// Takes commands until `cancel` fires. `link` is subscribed to them.
pub(crate) async fn serve(
    link: Link,
    publisher: Publisher,
    directory: Directory,
    cancel: CancellationToken,
) {
    while let Some(delivery) = cancel.run_until_cancelled(link.recv()).await {
        let message = delivery.message();
        let is_retained = delivery.is_retained() || message.retain();
        // An empty retained message only clears what somebody retained by mistake.
        if is_retained && message.payload().is_empty() {
            continue;
        }
        let topics = publisher.topics();
        let Some((device, point)) = target(topics, message.topic()) else {
            continue;
        };
        let to = reply_to(topics, &delivery, device, point);
        let sent = if is_retained {
            Err("a retained command is refused: it would act again after each restart".to_owned())
        } else {
            send(&directory, device, point, message.payload())
        };
        match sent {
            Ok(outcome) => {
                // At most as many of these as commands wait for devices.
                tokio::spawn(answer_later(publisher.clone(), to, outcome));
            }
            Err(error) => {
                let topic = message.topic();
                // A client chooses these texts: nothing in them may act on a terminal.
                let name = device.escape_debug().to_string();
                log::info!(DEVICE = name.as_str(), TOPIC = topic; "command on {topic:?}: {error}");
                publisher.answer(to, &Outcome::Failed(error)).await;
            }
        }
    }
}

/// The device and the point that a topic names; no point for raw bytes.
fn target<'t>(topics: &Topics, topic: &'t str) -> Option<(&'t str, Option<&'t str>)> {
    let raw = topics.parse_raw(topic).map(|device| (device, None));
    let command = topics.parse_command(topic);
    raw.or_else(|| command.map(|(device, point)| (device, Some(point))))
}

type Answer = tokio::sync::oneshot::Receiver<Outcome>;

async fn answer_later(publisher: Publisher, to: ReplyTo, outcome: Answer) {
    let outcome = outcome
        .await
        .unwrap_or_else(|_| Outcome::Failed("the device was stopped".to_owned()));
    publisher.answer(to, &outcome).await;
}

/// Hands a command to its device, or says why not.
fn send(
    directory: &Directory,
    device: &str,
    point: Option<&str>,
    payload: &[u8],
) -> Result<Answer, String> {
    let Some(entry) = directory.get(device) else {
        return Err(format!("there is no device \"{device}\""));
    };
    if payload.len() > PAYLOAD_MAX {
        return Err(format!("the payload is longer than {PAYLOAD_MAX} bytes"));
    }
    let Some(point) = point else {
        let index = entry.raw.ok_or("the device has no `raw: true`")?;
        let value = Value::Bytes(payload.to_vec());
        return hand_over(
            &entry,
            Command {
                point: index,
                value,
            },
        );
    };
    let mut points = entry.points.iter().enumerate();
    let Some((index, found)) = points.find(|(_, known)| known.name == point) else {
        return Err(format!("the device \"{device}\" has no point \"{point}\""));
    };
    if !found.writable {
        return Err(format!(
            "the point \"{point}\" is read-only: it has no `write`"
        ));
    }
    let value = parse_command_value(payload)?;
    hand_over(
        &entry,
        Command {
            point: index,
            value,
        },
    )
}

fn hand_over(entry: &Entry, command: Command) -> Result<Answer, String> {
    let (request, outcome) = Request::new(command);
    match entry.requests.try_send(request) {
        Ok(()) => Ok(outcome),
        Err(TrySendError::Full(_)) => Err("busy: too many commands are waiting".to_owned()),
        Err(TrySendError::Closed(_)) => Err("the device was stopped".to_owned()),
    }
}

fn reply_to(topics: &Topics, delivery: &Delivery, device: &str, point: Option<&str>) -> ReplyTo {
    let message = delivery.message();
    // An answer must not be a command, nor pass for the broker's own topics.
    let wanted = message.response_topic().filter(|topic| {
        !topic.starts_with('$') && !topic.is_empty() && target(topics, topic).is_none()
    });
    let usual = || match point {
        Some(point) => topics.result(device, point),
        None => topics.raw_result(device),
    };
    ReplyTo {
        topic: wanted.map_or_else(usual, str::to_owned),
        correlation: message.correlation_data().map(<[u8]>::to_vec),
    }
}
