//! From what devices tell to retained messages: the one place that hands messages to the broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fieldgate_bridge::Event;
use fieldgate_broker::{Link, Outgoing, QoS};
use fieldgate_model::payload::{self, OFFLINE, ONLINE};
use fieldgate_model::{DeviceState, Outcome, PayloadFormat, Point, Sample, Topics, Value};
use jiff::Timestamp;

use super::clock::Clock;
use super::stats::Figures;
use crate::config::Config;

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

    /// The message that tells the gateway's own state.
    pub(crate) fn gateway_state(&self, is_online: bool) -> Outgoing {
        let payload = if is_online { ONLINE } else { OFFLINE };
        retained(self.topics.gateway_state(), payload.to_vec())
    }

    /// Publishes what a device told.
    pub(crate) async fn event(&self, device: &str, points: &[Point], event: Event) {
        match event {
            Event::Samples(samples) => {
                for sample in &samples {
                    self.sample(device, points, sample).await;
                }
            }
            Event::Online => self.state(device, &DeviceState::Online).await,
            Event::Offline { error, since } => {
                let state = DeviceState::Offline { error, since };
                self.state(device, &state).await;
            }
        }
    }

    async fn sample(&self, device: &str, points: &[Point], sample: &Sample) {
        let Some(point) = points.get(sample.point) else {
            log::error!(DEVICE = device; "a sample of point {}, which does not exist", sample.point);
            return;
        };
        let is_set = self.clock.is_synchronised();
        if let Some(payload) = payload::render_sample(self.format, point, sample, is_set) {
            let topic = self.topics.point(device, &point.name);
            self.send(retained(topic, payload)).await;
        }
    }

    /// Publishes bytes that a device sent, as they are, for whoever listens now.
    pub(crate) async fn received(&self, device: &str, sample: &Sample) {
        if let Some(Value::Bytes(bytes)) = &sample.value {
            self.send(Outgoing {
                topic: self.topics.raw_received(device),
                payload: bytes.clone().into(),
                qos: QoS::AtMostOnce,
                retain: false,
                correlation_data: None,
            })
            .await;
        }
    }

    async fn state(&self, device: &str, state: &DeviceState) {
        let payload = payload::render_state(self.format, state);
        self.send(retained(self.topics.device_state(device), payload))
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
            self.send(retained(topic, Vec::new())).await;
        }
    }

    /// Removes the retained state and counters of a device.
    pub(crate) async fn clear_state(&self, device: &str) {
        for topic in [
            self.topics.device_state(device),
            self.topics.device_stats(device),
        ] {
            self.send(retained(topic, Vec::new())).await;
        }
    }

    /// Removes the retained counters of a bus.
    pub(crate) async fn clear_bus(&self, bus: &str) {
        let topic = self.topics.bus_stats(bus);
        self.send(retained(topic, Vec::new())).await;
    }

    /// Removes the retained messages of before a restart that `config` does not account for: those
    /// of devices and points that it has no more.
    pub(crate) async fn clear_others(&self, config: &Config) {
        let mut ours = BTreeSet::from([self.topics.gateway_state()]);
        for name in config.names() {
            ours.insert(self.topics.device_state(name));
            let points = config.points(name).into_iter();
            ours.extend(points.map(|point| self.topics.point(name, point)));
        }
        for topic in self.link.retained_topics() {
            if !ours.contains(&topic) {
                self.send(retained(topic, Vec::new())).await;
            }
        }
    }

    /// Publishes counters of a bus or a device.
    pub(crate) async fn counters(&self, topic: String, figures: &Figures) {
        let by_code = figures.exceptions.as_ref();
        let by_code = by_code.map(|exceptions| ("exceptions", exceptions));
        let payload = payload::render_stats(&figures.counts(), by_code);
        self.send(retained(topic, payload)).await;
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
            topic,
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            correlation_data: correlation.map(Into::into),
        })
        .await;
    }

    pub(crate) async fn send(&self, message: Outgoing) {
        let topic = message.topic.clone();
        if let Err(error) = self.link.publish(message).await {
            // A full store refuses every message from now on: once in the log is enough.
            let level = if self.refused.swap(true, Ordering::Relaxed) {
                log::Level::Debug
            } else {
                log::Level::Warn
            };
            log::log!(level, TOPIC = topic.as_str(); "{topic:?} was not published: {error}");
        }
    }
}

/// Subscribers that want less than QoS 1 get less.
fn retained(topic: String, payload: Vec<u8>) -> Outgoing {
    Outgoing {
        topic,
        payload: payload.into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        correlation_data: None,
    }
}
