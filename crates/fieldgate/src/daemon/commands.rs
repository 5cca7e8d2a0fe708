//! Commands from clients: to the device that they name, and the answer back.

use fieldgate_broker::{Author, Delivery, Link};
use fieldgate_history::{Event, Tap};
use fieldgate_model::{Outcome, Topics, Value, parse_command_value, parse_command_values};
use fieldgate_plant::{self as plant, Plant, Unsent};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::publisher::{Publisher, ReplyTo};

/// A value for a point is short; the longest is a text of 250 bytes in JSON.
const PAYLOAD_MAX: usize = 4096;
/// Bytes of the payload of a refused command that history is told.
const PAYLOAD_TOLD: usize = 256;

/// The task that takes commands.
pub(crate) struct Commands {
    task: JoinHandle<()>,
    cancel: CancellationToken,
}

impl Commands {
    /// Takes commands from now on. `link` is subscribed to them.
    pub(crate) fn start(
        link: &Link,
        publisher: &Publisher,
        plant: &Plant,
        history: Option<Tap>,
    ) -> Self {
        if history.is_some() {
            link.ask_for_authors();
        }
        let cancel = CancellationToken::new();
        let (link, publisher, plant) = (link.clone(), publisher.clone(), plant.clone());
        let task = tokio::spawn(serve(link, publisher, plant, history, cancel.clone()));
        Self { task, cancel }
    }

    /// Takes no more, and answers what it has taken.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        if let Err(error) = self.task.await {
            log::error!("commands: {error}");
        }
    }
}

/// Takes commands until `cancel` fires. `link` is subscribed to them.
pub(crate) async fn serve(
    link: Link,
    publisher: Publisher,
    plant: Plant,
    history: Option<Tap>,
    cancel: CancellationToken,
) {
    while let Some(delivery) = cancel.run_until_cancelled(link.recv()).await {
        let message = delivery.message();
        let is_retained = delivery.is_retained() || message.retain();
        // An empty retained message only clears what was retained by mistake.
        if is_retained && message.payload().is_empty() {
            continue;
        }
        let Some(target) = Target::parse(publisher.topics(), message.topic()) else {
            continue;
        };
        let to = reply_to(publisher.topics(), &delivery, target);
        let by = delivery.author().map(by).unwrap_or_default();
        let sent = if is_retained {
            Err("a retained command is refused: it would act again after each restart".to_owned())
        } else {
            send(&plant, target, message.payload(), &by)
        };
        match sent {
            Ok((answer, told)) => {
                let history = history.clone();
                // At most as many of these as commands wait for devices.
                tokio::spawn(answer_later(publisher.clone(), to, answer, (history, told)));
            }
            Err(error) => {
                let topic = message.topic();
                // A client chooses these texts: nothing in them may act on a terminal.
                let name = target.device.escape_debug().to_string();
                log::info!(DEVICE = name.as_str(), TOPIC = topic; "command on {topic:?}: {error}");
                if let Some(history) = &history {
                    let event = refused(&plant, target, message.payload(), &error);
                    history.event(event.by(&by));
                }
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

/// Whom a command comes from, for people.
fn by(Author { client, user }: &Author) -> String {
    // Such as an uplink, which takes commands of another broker.
    if let Some(own) = client.strip_prefix("$link/") {
        return own.to_owned();
    }
    match user {
        Some(user) => format!("{user}, MQTT client {client}"),
        None => format!("MQTT client {client}"),
    }
}

/// A command that did not get to its device, which may be none: clients choose its name.
fn refused(plant: &Plant, target: Target<'_>, payload: &[u8], why: &str) -> Event {
    let point = match target.part {
        Part::Point(point) => point,
        Part::Several | Part::Raw => "",
    };
    let value = String::from_utf8_lossy(payload.get(..PAYLOAD_TOLD).unwrap_or(payload));
    let of = |device, point| {
        Event::command(
            Timestamp::now(),
            (device, point),
            &Value::Text(value.into_owned()),
        )
    };
    let event = match plant.device(target.device) {
        Some(_) => of(target.device, point),
        None => of(
            "",
            format!("{}/{point}", target.device).trim_end_matches('/'),
        ),
    };
    event.failed(why)
}

/// An outcome, or several and the names of their points.
enum Answer {
    One(plant::Answer),
    Several(Vec<String>, plant::Answers),
}

async fn answer_later(
    publisher: Publisher,
    to: ReplyTo,
    answer: Answer,
    (history, told): (Option<Tap>, Vec<Event>),
) {
    let tell = |outcomes: &[Outcome]| {
        if let Some(history) = &history {
            for (event, outcome) in told.into_iter().zip(outcomes) {
                history.event(event.ended(outcome));
            }
        }
    };
    let stopped = || Outcome::Failed("the device was stopped".to_owned());
    match answer {
        Answer::One(outcome) => {
            let outcome = outcome.await.unwrap_or_else(|_| stopped());
            tell(std::slice::from_ref(&outcome));
            publisher.answer(to, &outcome).await;
        }
        Answer::Several(names, outcomes) => match outcomes.await {
            Ok(outcomes) => {
                tell(&outcomes);
                let named: Vec<_> = names.iter().map(String::as_str).zip(&outcomes).collect();
                publisher.answer_several(to, &named).await;
            }
            Err(_) => {
                let outcome = stopped();
                tell(&vec![outcome.clone(); names.len()]);
                publisher.answer(to, &outcome).await;
            }
        },
    }
}

/// Hands a command to its device, or says why not. With the answer come the events that tell of it.
fn send(
    plant: &Plant,
    target: Target<'_>,
    payload: &[u8],
    by: &str,
) -> Result<(Answer, Vec<Event>), String> {
    let name = target.device;
    let device = plant
        .device(name)
        .ok_or_else(|| format!("there is no device \"{name}\""))?;
    if payload.len() > PAYLOAD_MAX {
        return Err(format!("the payload is longer than {PAYLOAD_MAX} bytes"));
    }
    let event =
        |point: &str, value: &Value| Event::command(Timestamp::now(), (name, point), value).by(by);
    let unsent = |Unsent(why)| why;
    match target.part {
        Part::Raw => {
            let told = event("", &Value::Bytes(payload.to_vec()));
            let answer = device.write_raw(payload.to_vec()).map_err(unsent)?;
            Ok((Answer::One(answer), vec![told]))
        }
        Part::Point(point) => {
            let value = parse_command_value(payload)?;
            let told = event(point, &value);
            let answer = device.write(point, value).map_err(unsent)?;
            Ok((Answer::One(answer), vec![told]))
        }
        Part::Several => {
            let values = parse_command_values(payload)?;
            let told = values.iter().map(|(point, value)| event(point, value));
            let told = told.collect();
            let names = values.iter().map(|(name, _)| name.clone()).collect();
            let answers = device.write_all(values).map_err(unsent)?;
            Ok((Answer::Several(names, answers), told))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_whom_a_command_comes_from() {
        for (client, user, want) in [
            ("panel", Some("ann"), "ann, MQTT client panel"),
            ("panel", None, "MQTT client panel"),
            ("$link/uplink/cloud", None, "uplink/cloud"),
        ] {
            let author = Author {
                client: client.to_owned(),
                user: user.map(str::to_owned),
            };
            assert_eq!(by(&author), want);
        }
    }
}
