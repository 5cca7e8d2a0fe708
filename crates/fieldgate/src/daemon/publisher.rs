//! From what devices tell to retained messages: the one place that hands messages to the broker.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fieldgate_bridge::Figures;
use fieldgate_broker::{Gathering, Link, LinkError, Outgoing, QoS};
use fieldgate_model::payload::{self, OFFLINE, ONLINE, SampleWriter};
use fieldgate_model::{
    Aged, DeviceState, Outcome, PayloadFormat, Point, Sample, Topics, Value, aged, aged_device,
};
use fieldgate_plant::Device;
use jiff::Timestamp;

use super::page::{Page, retained};
use crate::clock::Clock;
use fieldgate_config::Config;

/// Samples that are published before others have their turn.
const SAMPLES_AT_ONCE: usize = 128;
/// Samples that are rendered together: so few that they stay in the processor's nearest cache.
const SAMPLES_OF_A_PAGE: usize = 64;

/// Publishes under the topics of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    link: Link,
    topics: Topics,
    format: Format,
    clock: Clock,
    /// A message was refused before.
    refused: Arc<AtomicBool>,
    page: Arc<Mutex<Page>>,
}

/// In which messages readings go out.
#[derive(Clone, Copy, Debug)]
struct Format {
    payload: PayloadFormat,
    /// Each point has a topic of its own.
    points: bool,
}

impl Format {
    /// Each device has one.
    fn devices(self) -> bool {
        self.payload == PayloadFormat::Device
    }
}

/// Where an answer to a command goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReplyTo {
    pub(crate) topic: String,
    pub(crate) correlation: Option<Vec<u8>>,
}

impl Publisher {
    pub(crate) fn new(link: Link, config: &Config) -> Self {
        let format = Format {
            payload: config.payload,
            points: config.point_topics,
        };
        Self {
            link,
            topics: config.topics.clone(),
            format,
            clock: Clock::default(),
            refused: Arc::default(),
            page: Arc::default(),
        }
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Whether the time of a reading can be relied on.
    pub(crate) fn is_clock_set(&self) -> bool {
        self.clock.is_synchronised()
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

    /// Publishes readings of a device, which has them already.
    pub(crate) async fn samples(&self, device: &Device, samples: Vec<Sample>) {
        let gathering = self.link.gather();
        for start in (0..samples.len()).step_by(SAMPLES_AT_ONCE) {
            let end = samples.len().min(start + SAMPLES_AT_ONCE);
            self.publish_some(&gathering, device, &samples[start..end]);
            if end < samples.len() {
                tokio::task::yield_now().await;
            }
        }
        if self.format.devices() {
            self.publish_device(&gathering, device);
        }
        // A thousand devices can be here at the same time: what was published is not kept meanwhile.
        drop(samples);
        gathering.done().await;
    }

    /// Topics and payloads of what is to be published of single points.
    fn publish_some(&self, gathering: &Gathering<'_>, device: &Device, samples: &[Sample]) {
        if !self.format.points {
            return;
        }
        let mut writer = SampleWriter::new(self.format.payload, self.clock.is_synchronised());
        let (name, points) = (device.about().name.as_str(), device.points());
        let topics = self.topics.points(name);
        let mut page = self.page();
        for samples in samples.chunks(SAMPLES_OF_A_PAGE) {
            page.clear();
            for sample in samples {
                let Some(point) = points.get(sample.point) else {
                    log::error!(DEVICE = name; "a sample of point {}, which does not exist", sample.point);
                    continue;
                };
                page.add(
                    |text| topics.append(text, &point.name),
                    |text| writer.append(text, point, sample),
                );
            }
            self.publish_page(gathering, &page);
        }
    }

    /// The message of a whole device.
    fn publish_device(&self, gathering: &Gathering<'_>, device: &Device) {
        let topic = self.topics.device(&device.about().name);
        let mut page = self.page();
        page.clear();
        device.each_sample(|point, sample| page.whole.add(point, &sample));
        page.add_whole(&topic, self.clock.is_synchronised());
        self.publish_page(gathering, &page);
    }

    fn publish_page(&self, gathering: &Gathering<'_>, page: &Page) {
        if let Err(error) = gathering.publish(page.messages()) {
            let first = page.messages().next();
            self.tell_refused(first.map_or("", |message| message.topic), error);
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes bytes that a device sent, as they are, for clients that listen now.
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
        let payload = payload::render_state(self.format.payload, state);
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
        for point in points.iter().filter(|_| self.format.points) {
            let topic = self.topics.point(device, &point.name);
            self.send(retained(&topic, b"")).await;
        }
    }

    /// Removes what is retained of a device beside its points: state, counters, and its own message.
    pub(crate) async fn clear_state(&self, device: &str) {
        let whole = self.format.devices().then(|| self.topics.device(device));
        let topics = [
            self.topics.device_state(device),
            self.topics.device_stats(device),
        ];
        for topic in topics.into_iter().chain(whole) {
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
        let mut stale = Vec::new();
        if self.format.points {
            let topics = points.iter().map(|point| self.topics.point(device, point));
            stale.extend(topics.filter_map(|topic| self.stale(topic, aged)));
        }
        if self.format.devices() {
            let topic = self.topics.device(device);
            stale.extend(self.stale(topic, |payload| aged_device(payload, points)));
        }
        let messages = stale.iter();
        let messages = messages.map(|(topic, stale)| retained(topic, stale.as_bytes()));
        self.send_all(&messages.collect::<Vec<_>>()).await;
    }

    /// What a topic with a retained message is to hold, if it is not right as it is. `judge` tells what it holds now.
    fn stale(&self, topic: String, judge: impl Fn(&[u8]) -> Aged) -> Option<(String, String)> {
        let (message, is_own) = self.link.retained(&topic)?;
        let is_raw = self.format.payload == PayloadFormat::Raw;
        let stale = match judge(message.payload()) {
            Aged::Good(stale) if is_own && !is_raw => stale,
            Aged::Doubtful if is_own && !is_raw => return None,
            // The device's state says it.
            Aged::Other if is_own && is_raw => return None,
            // Of another format, or of another client.
            _ => String::new(),
        };
        Some((topic, stale))
    }

    /// Removes the retained messages of before a restart that `config` does not account for: those
    /// of devices and points that it has no more.
    async fn clear_others(&self, config: &Config) {
        let mut ours = BTreeSet::from([self.topics.gateway_state()]);
        for name in config.devices.keys() {
            ours.insert(self.topics.device_state(name));
            if self.format.points {
                let points = config.points(name).into_iter();
                ours.extend(points.map(|point| self.topics.point(name, point)));
            }
            if self.format.devices() {
                ours.insert(self.topics.device(name));
            }
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
            let topic = messages.first().map_or("", |message| message.topic);
            self.tell_refused(topic, error);
        }
    }

    fn tell_refused(&self, topic: &str, error: LinkError) {
        // What is wrong with one topic is wrong with all: once in the log is enough.
        let level = if self.refused.swap(true, Ordering::Relaxed) {
            log::Level::Debug
        } else {
            log::Level::Warn
        };
        log::log!(level, TOPIC = topic; "{topic:?} was not published: {error}");
    }
}
