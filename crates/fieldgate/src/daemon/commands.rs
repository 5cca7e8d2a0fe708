//! Commands from clients: to the device that they name, and the answer back.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use fieldgate_bridge::Request;
use fieldgate_broker::{Delivery, Link};
use fieldgate_model::{Command, Outcome, Point, Topics, parse_command_value};
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
}

impl Directory {
    pub(crate) fn insert(
        &self,
        device: &str,
        points: Arc<[Point]>,
        requests: mpsc::Sender<Request>,
    ) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.insert(device.to_owned(), Entry { points, requests });
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
        let Some((device, point)) = publisher.topics().parse_command(message.topic()) else {
            continue;
        };
        let to = reply_to(publisher.topics(), &delivery, device, point);
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
    point: &str,
    payload: &[u8],
) -> Result<Answer, String> {
    let Some(entry) = directory.get(device) else {
        return Err(format!("there is no device \"{device}\""));
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
    if payload.len() > PAYLOAD_MAX {
        return Err(format!("the payload is longer than {PAYLOAD_MAX} bytes"));
    }
    let value = parse_command_value(payload)?;
    let (request, outcome) = Request::new(Command {
        point: index,
        value,
    });
    match entry.requests.try_send(request) {
        Ok(()) => Ok(outcome),
        Err(TrySendError::Full(_)) => Err("busy: too many commands are waiting".to_owned()),
        Err(TrySendError::Closed(_)) => Err("the device was stopped".to_owned()),
    }
}

fn reply_to(topics: &Topics, delivery: &Delivery, device: &str, point: &str) -> ReplyTo {
    let message = delivery.message();
    // An answer must not be a command, nor pass for the broker's own topics.
    let wanted = message.response_topic().filter(|topic| {
        !topic.starts_with('$') && !topic.is_empty() && topics.parse_command(topic).is_none()
    });
    ReplyTo {
        topic: wanted.map_or_else(|| topics.result(device, point), str::to_owned),
        correlation: message.correlation_data().map(<[u8]>::to_vec),
    }
}
