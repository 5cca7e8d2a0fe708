//! Commands from clients: to the device that they name, and the answer back.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use fieldgate_bridge::Request;
use fieldgate_broker::{Delivery, Link};
use fieldgate_model::{
    Command, Outcome, Point, Topics, Value, parse_command_value, parse_command_values,
};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot::Receiver;
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
    requests: mpsc::Sender<Box<Request>>,
    raw: Option<usize>,
}

impl Directory {
    /// `raw` is the index that stands for raw bytes, if the device takes them.
    pub(crate) fn insert(
        &self,
        device: &str,
        points: Arc<[Point]>,
        requests: mpsc::Sender<Box<Request>>,
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
        let Some(target) = Target::parse(publisher.topics(), message.topic()) else {
            continue;
        };
        let to = reply_to(publisher.topics(), &delivery, target);
        let sent = if is_retained {
            Err("a retained command is refused: it would act again after each restart".to_owned())
        } else {
            send(&directory, target, message.payload())
        };
        match sent {
            Ok(answer) => {
                // At most as many of these as commands wait for devices.
                tokio::spawn(answer_later(publisher.clone(), to, answer));
            }
            Err(error) => {
                let topic = message.topic();
                // A client chooses these texts: nothing in them may act on a terminal.
                let name = target.device.escape_debug().to_string();
                log::info!(DEVICE = name.as_str(), TOPIC = topic; "command on {topic:?}: {error}");
                publisher.answer(to, &Outcome::Failed(error)).await;
            }
        }
    }
}

/// What a command is for.
#[derive(Clone, Copy, Debug)]
struct Target<'t> {
    device: &'t str,
    part: Part<'t>,
}

#[derive(Clone, Copy, Debug)]
enum Part<'t> {
    Point(&'t str),
    /// Points that are named in the payload.
    Several,
    /// The payload's bytes, as they are.
    Raw,
}

impl<'t> Target<'t> {
    fn parse(topics: &Topics, topic: &'t str) -> Option<Self> {
        if let Some((device, point)) = topics.parse_command(topic) {
            let part = Part::Point(point);
            return Some(Self { device, part });
        }
        let raw = topics.parse_raw(topic).map(|device| (device, Part::Raw));
        let several = || topics.parse_device_command(topic);
        let several = || several().map(|device| (device, Part::Several));
        let (device, part) = raw.or_else(several)?;
        Some(Self { device, part })
    }
}

/// An outcome, or several and the names of their points.
enum Answer {
    One(Receiver<Outcome>),
    Several(Vec<String>, Receiver<Vec<Outcome>>),
}

async fn answer_later(publisher: Publisher, to: ReplyTo, answer: Answer) {
    let stopped = || Outcome::Failed("the device was stopped".to_owned());
    match answer {
        Answer::One(outcome) => {
            let outcome = outcome.await.unwrap_or_else(|_| stopped());
            publisher.answer(to, &outcome).await;
        }
        Answer::Several(names, outcomes) => match outcomes.await {
            Ok(outcomes) => {
                let named: Vec<_> = names.iter().map(String::as_str).zip(&outcomes).collect();
                publisher.answer_several(to, &named).await;
            }
            Err(_) => publisher.answer(to, &stopped()).await,
        },
    }
}

/// Hands a command to its device, or says why not.
fn send(directory: &Directory, target: Target<'_>, payload: &[u8]) -> Result<Answer, String> {
    let device = target.device;
    let Some(entry) = directory.get(device) else {
        return Err(format!("there is no device \"{device}\""));
    };
    let find = |point: &str| {
        let mut points = entry.points.iter().enumerate();
        let Some((index, found)) = points.find(|(_, known)| known.name == point) else {
            return Err(format!("the device \"{device}\" has no point \"{point}\""));
        };
        if !found.writable {
            return Err(format!(
                "the point \"{point}\" is read-only: it has no `write`"
            ));
        }
        Ok(index)
    };
    let index = match target.part {
        Part::Point(point) => Some(find(point)?),
        Part::Several | Part::Raw => None,
    };
    if payload.len() > PAYLOAD_MAX {
        return Err(format!("the payload is longer than {PAYLOAD_MAX} bytes"));
    }
    let one = |point, value| {
        let (request, outcome) = Request::new(Command { point, value });
        (request, Answer::One(outcome))
    };
    let (request, answer) = match (target.part, index) {
        (Part::Raw, _) => {
            let point = entry.raw.ok_or("the device has no `raw: true`")?;
            one(point, Value::Bytes(payload.to_vec()))
        }
        (_, Some(point)) => one(point, parse_command_value(payload)?),
        (_, None) => {
            let (mut names, mut commands) = (Vec::new(), Vec::new());
            for (name, value) in parse_command_values(payload)? {
                let point = find(&name)?;
                commands.push(Command { point, value });
                names.push(name);
            }
            let (request, outcomes) = Request::several(commands);
            (request, Answer::Several(names, outcomes))
        }
    };
    match entry.requests.try_send(request) {
        Ok(()) => Ok(answer),
        Err(TrySendError::Full(_)) => Err("busy: too many commands are waiting".to_owned()),
        Err(TrySendError::Closed(_)) => Err("the device was stopped".to_owned()),
    }
}

fn reply_to(topics: &Topics, delivery: &Delivery, target: Target<'_>) -> ReplyTo {
    let message = delivery.message();
    // An answer must not be a command.
    let wanted = delivery
        .answer_to()
        .filter(|topic| Target::parse(topics, topic).is_none());
    let usual = || match target.part {
        Part::Point(point) => topics.result(target.device, point),
        Part::Several => topics.device_result(target.device),
        Part::Raw => topics.raw_result(target.device),
    };
    ReplyTo {
        topic: wanted.map_or_else(usual, str::to_owned),
        correlation: message.correlation_data().map(<[u8]>::to_vec),
    }
}
