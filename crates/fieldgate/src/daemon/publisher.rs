//! From what devices tell to retained messages: the one place that hands messages to the broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fieldgate_bridge::Figures;
use fieldgate_broker::{Link, LinkError, Outgoing, QoS};
use fieldgate_model::payload::{self, OFFLINE, ONLINE, SampleWriter};
use fieldgate_model::{
    Aged, DeviceState, Outcome, PayloadFormat, Point, Sample, Topics, Value, aged,
};
use jiff::Timestamp;

use super::clock::Clock;
use fieldgate_config::Config;

/// Samples that are rendered together.
const SAMPLES_AT_ONCE: usize = 128;

/// Publishes under the topics of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    link: Link,
    topics: Topics,
    format: PayloadFormat,
    clock: Clock,
    /// A message was refused before.
    refused: Arc<AtomicBool>,
}

/// Where an answer to a command goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReplyTo {
    pub(crate) topic: String,
    pub(crate) correlation: Option<Vec<u8>>,
}

impl Publisher {
    pub(crate) fn new(link: Link, topics: Topics, format: PayloadFormat) -> Self {
        Self {
            link,
            topics,
            format,
            clock: Clock::default(),
            refused: Arc::default(),
        }
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Publishes the gateway's own state.
    pub(crate) async fn gateway_state(&self, is_online: bool) {
        let payload = if is_online { ONLINE } else { OFFLINE };
        self.send(retained(&self.topics.gateway_state(), payload))
            .await;
    }

    /// Has the broker say that the gateway is offline if this process cannot.
    pub(crate) fn leave_will(&self) -> Result<(), LinkError> {
        self.link
            .set_will(retained(&self.topics.gateway_state(), OFFLINE))
    }

    /// Publishes readings of a device.
    pub(crate) async fn samples(&self, device: &str, points: &[Point], samples: &[Sample]) {
        for samples in samples.chunks(SAMPLES_AT_ONCE) {
            let page = self.page(device, points, samples);
            let messages = page.ends.iter().map(|&(start, topic, end)| {
                let payload = &page.text.as_bytes()[topic..end];
                retained(&page.text[start..topic], payload)
            });
            let messages: Vec<_> = messages.collect();
            self.send_all(&messages).await;
        }
    }

    /// Topics and payloads of what is to be published.
    fn page(&self, device: &str, points: &[Point], samples: &[Sample]) -> Page {
        let mut writer = SampleWriter::new(self.format, self.clock.is_synchronised());
        let mut page = Page::default();
        let text = &mut page.text;
        for sample in samples {
            let Some(point) = points.get(sample.point) else {
                log::error!(DEVICE = device; "a sample of point {}, which does not exist", sample.point);
                continue;
            };
            let start = text.len();
            self.topics.append_point(text, device, &point.name);
            let topic = text.len();
            if writer.append(text, point, sample) {
                page.ends.push((start, topic, text.len()));
            } else {
                text.truncate(start);
            }
        }
        page
    }

    /// Publishes bytes that a device sent, as they are, for whoever listens now.
    pub(crate) async fn received(&self, device: &str, sample: &Sample) {
        if let Some(Value::Bytes(bytes)) = &sample.value {
            self.send(Outgoing {
                topic: &self.topics.raw_received(device),
                payload: bytes,
                qos: QoS::AtMostOnce,
                retain: false,
                correlation_data: None,
            })
            .await;
        }
    }

    /// Publishes how a device is.
    pub(crate) async fn state(&self, device: &str, state: &DeviceState) {
        let payload = payload::render_state(self.format, state);
        self.send(retained(&self.topics.device_state(device), &payload))
            .await;
    }

    /// Says that a device is not served any longer.
    pub(crate) async fn offline(&self, device: &str, error: &str) {
        let state = DeviceState::Offline {
            error: error.to_owned(),
            since: Timestamp::now(),
        };
        self.state(device, &state).await;
    }

    /// Removes the retained values of points.
    pub(crate) async fn clear_points(&self, device: &str, points: &[Point]) {
        for point in points {
            let topic = self.topics.point(device, &point.name);
            self.send(retained(&topic, b"")).await;
        }
    }

    /// Removes the retained state and counters of a device.
    pub(crate) async fn clear_state(&self, device: &str) {
        for topic in [
            self.topics.device_state(device),
            self.topics.device_stats(device),
        ] {
            self.send(retained(&topic, b"")).await;
        }
    }

    /// Removes the retained counters of a bus.
    pub(crate) async fn clear_bus(&self, bus: &str) {
        let topic = self.topics.bus_stats(bus);
        self.send(retained(&topic, b"")).await;
    }

    /// Puts right what is retained from before this process: what nothing vouches for is removed
    /// or not called good any more, until the devices of `config` answer.
    pub(crate) async fn take_over(&self, config: &Config) {
        self.clear_others(config).await;
        for device in config.devices.keys() {
            let state = self.topics.device_state(device);
            let is_known = self.link.retained(&state).is_none_or(|(message, is_own)| {
                // An offline one says since when.
                is_own && message.payload() != ONLINE
            });
            if !is_known {
                self.offline(device, "the gateway has just started").await;
            }
            self.stale_points(device, &config.points(device)).await;
        }
        let gateway = self.topics.gateway_state();
        if self
            .link
            .retained(&gateway)
            .is_some_and(|(message, _)| message.payload() != OFFLINE)
        {
            self.gateway_state(false).await;
        }
    }

    /// Has the retained readings of a device, which is not watched now, say so: good ones become
    /// stale, with their value and time. What is no reading of this gateway is removed.
    pub(crate) async fn stale_points(&self, device: &str, points: &[&str]) {
        let topics = points.iter().map(|point| self.topics.point(device, point));
        let stale = topics.filter_map(|topic| {
            let (message, is_own) = self.link.retained(&topic)?;
            let stale = match (aged(message.payload()), self.format) {
                (Aged::Good(stale), PayloadFormat::Json) if is_own => stale,
                (Aged::Doubtful, PayloadFormat::Json) if is_own => return None,
                // The device's state says it.
                (Aged::Other, PayloadFormat::Raw) if is_own => return None,
                // Of another format, or of another client.
                _ => String::new(),
            };
            Some((topic, stale))
        });
        let stale: Vec<_> = stale.collect();
        let messages = stale.iter();
        let messages = messages.map(|(topic, stale)| retained(topic, stale.as_bytes()));
        self.send_all(&messages.collect::<Vec<_>>()).await;
    }

    /// Removes the retained messages of before a restart that `config` does not account for: those
    /// of devices and points that it has no more.
    async fn clear_others(&self, config: &Config) {
        let mut ours = BTreeSet::from([self.topics.gateway_state()]);
        for name in config.devices.keys() {
            ours.insert(self.topics.device_state(name));
            let points = config.points(name).into_iter();
            ours.extend(points.map(|point| self.topics.point(name, point)));
        }
        for topic in self.link.retained_topics() {
            if !ours.contains(&topic) {
                self.send(retained(&topic, b"")).await;
            }
        }
    }

    /// Publishes counters of a bus or a device.
    pub(crate) async fn counters(&self, topic: String, figures: &Figures) {
        let by_code = figures.exceptions.as_ref();
        let by_code = by_code.map(|exceptions| ("exceptions", exceptions));
        let payload = payload::render_stats(&figures.counts(), by_code);
        self.send(retained(&topic, &payload)).await;
    }

    /// Answers a command.
    pub(crate) async fn answer(&self, to: ReplyTo, outcome: &Outcome) {
        self.reply(to, payload::render_outcome(outcome)).await;
    }

    /// Answers a command for several points.
    pub(crate) async fn answer_several(&self, to: ReplyTo, outcomes: &[(&str, &Outcome)]) {
        self.reply(to, payload::render_outcomes(outcomes)).await;
    }

    async fn reply(&self, to: ReplyTo, payload: Vec<u8>) {
        let ReplyTo { topic, correlation } = to;
        self.send(Outgoing {
            topic: &topic,
            payload: &payload,
            qos: QoS::AtLeastOnce,
            retain: false,
            correlation_data: correlation.as_deref(),
        })
        .await;
    }

    pub(crate) async fn send(&self, message: Outgoing<'_>) {
        self.send_all(&[message]).await;
    }

    async fn send_all(&self, messages: &[Outgoing<'_>]) {
        if let Err(error) = self.link.publish_all(messages).await {
            // What is wrong with one topic is wrong with all: once in the log is enough.
            let level = if self.refused.swap(true, Ordering::Relaxed) {
                log::Level::Debug
            } else {
                log::Level::Warn
            };
            let topic = messages.first().map_or("", |message| message.topic);
            log::log!(level, TOPIC = topic; "{topic:?} was not published: {error}");
        }
    }
}

/// Messages in one piece of text, as a thousand small pieces cost more than what they hold.
#[derive(Debug, Default)]
struct Page {
    text: String,
    /// Where each begins, where its topic ends, and where its payload does.
    ends: Vec<(usize, usize, usize)>,
}

/// Subscribers that want less than QoS 1 get less.
fn retained<'a>(topic: &'a str, payload: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        topic,
        payload,
        qos: QoS::AtLeastOnce,
        retain: true,
        correlation_data: None,
    }
}
