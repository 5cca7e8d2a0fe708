//! `$SYS/broker/...`: the broker's own figures, under the names that mosquitto gave them, since
//! monitoring tools read those.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Publish, PublishProperties, QoS};

use crate::counters::Totals;
use crate::hub::Hub;
use crate::hub::owner::Owner;
use crate::hub::session_slot::SessionSlot;
use fieldgate_broker_core::message::Message;
use fieldgate_broker_core::router::LINK;

/// Averages over these times are published, in minutes.
const LOADS: [(u32, &str); 3] = [(1, "1min"), (5, "5min"), (15, "15min")];

/// Publishes the figures, and remembers what it needs for the averages.
#[derive(Debug)]
pub(crate) struct Sys {
    /// Whose messages the figures are.
    publisher: Arc<SessionSlot>,
    started: Instant,
    last: Instant,
    before: Totals,
    loads: Vec<Load>,
    most_clients: usize,
}

/// Reads one counter.
type Read = fn(&Totals) -> u64;

/// An exponentially weighted average of a counter's growth, per minute.
#[derive(Debug)]
struct Load {
    name: &'static str,
    read: Read,
    averages: [f64; LOADS.len()],
}

impl Sys {
    pub(crate) fn new(hub: &Hub, now: Instant) -> Self {
        let counters: [(&str, Read); 8] = [
            ("messages/received", |t| t.packets_received),
            ("messages/sent", |t| t.packets_sent),
            ("publish/received", |t| t.publish_received),
            ("publish/sent", |t| t.publish_sent),
            ("publish/dropped", |t| t.publish_dropped),
            ("bytes/received", |t| t.bytes_received),
            ("bytes/sent", |t| t.bytes_sent),
            ("connections", |t| t.connections),
        ];
        let load = |(name, read)| Load {
            name,
            read,
            averages: [0.0; LOADS.len()],
        };
        Self {
            publisher: hub.new_slot(&format!("{LINK}$SYS"), false, Owner::Unknown),
            started: now,
            last: now,
            before: Totals::default(),
            loads: counters.into_iter().map(load).collect(),
            most_clients: 0,
        }
    }

    fn say(&self, hub: &Hub, name: &str, value: &str, now: Instant) {
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: true,
            topic: &format!("$SYS/broker/{name}"),
            packet_id: None,
            properties: PublishProperties::default(),
            payload: value.as_bytes(),
        };
        let message = Message::copy_of(&publish, None, hub.pot());
        hub.publish_kept(&message, &self.publisher, now);
    }

    /// Publishes everything, retained.
    pub(crate) fn publish(&mut self, hub: &Hub, now: Instant) {
        let totals = hub.totals();
        self.average(&totals, now.saturating_duration_since(self.last));
        self.last = now;
        self.before = totals;
        let figures = self.figures(hub, &totals);
        let say = |name: &str, value: &str| self.say(hub, name, value, now);
        say("version", concat!("fieldgate ", env!("CARGO_PKG_VERSION")));
        let uptime = now.saturating_duration_since(self.started).as_secs();
        say("uptime", &format!("{uptime} seconds"));
        for (name, value) in figures {
            say(name, &value.to_string());
        }
        for load in &self.loads {
            for ((_, span), average) in LOADS.iter().zip(load.averages) {
                say(
                    &format!("load/{}/{span}", load.name),
                    &format!("{average:.2}"),
                );
            }
        }
    }

    fn figures(&mut self, hub: &Hub, totals: &Totals) -> Vec<(&'static str, u64)> {
        let online = hub.online.load(Ordering::Relaxed);
        let sessions = hub.session_count().max(online);
        self.most_clients = self.most_clients.max(online);
        let (plain, shared) = hub.router.counts();
        let (retained, retained_bytes) = {
            let retained = hub.retained();
            (retained.count(), retained.bytes())
        };
        let backlog: usize = hub.slots().iter().map(|c| c.lock().session.backlog()).sum();
        [
            ("heap/current", hub.budget.used()),
            ("clients/connected", online),
            ("clients/active", online),
            ("clients/disconnected", sessions - online),
            ("clients/inactive", sessions - online),
            ("clients/total", sessions),
            ("clients/maximum", self.most_clients),
            ("subscriptions/count", plain + shared),
            ("shared_subscriptions/count", shared),
            ("retained messages/count", retained),
            ("store/messages/count", backlog + retained),
            ("store/messages/bytes", retained_bytes),
            ("messages/stored", backlog + retained),
        ]
        .into_iter()
        .map(|(name, value)| (name, value as u64))
        .chain([
            ("clients/expired", totals.sessions_expired),
            ("messages/received", totals.packets_received),
            ("messages/sent", totals.packets_sent),
            ("publish/messages/received", totals.publish_received),
            ("publish/messages/sent", totals.publish_sent),
            ("publish/messages/dropped", totals.publish_dropped),
            ("publish/messages/expired", totals.publish_expired),
            ("publish/messages/oversize", totals.publish_oversize),
            ("publish/messages/refused", totals.publish_refused),
            ("publish/bytes/received", totals.publish_bytes_received),
            ("publish/bytes/sent", totals.publish_bytes_sent),
            ("bytes/received", totals.bytes_received),
            ("bytes/sent", totals.bytes_sent),
            ("connections/total", totals.connections),
            ("connections/refused", totals.connections_refused),
            ("connections/logins_failed", totals.logins_failed),
            ("connections/timeouts", totals.timeouts),
            ("protocol_errors", totals.protocol_errors),
            ("backpressure/pauses", totals.pauses),
            ("backpressure/slow_subscribers", totals.slow_subscribers),
        ])
        .collect()
    }

    fn average(&mut self, totals: &Totals, elapsed: Duration) {
        let minutes = elapsed.as_secs_f64() / 60.0;
        if minutes <= 0.0 {
            return;
        }
        for load in &mut self.loads {
            let grown = (load.read)(totals).saturating_sub((load.read)(&self.before));
            let rate = grown as f64 / minutes;
            for ((span, _), average) in LOADS.iter().zip(&mut load.averages) {
                let keep = (-minutes / f64::from(*span)).exp();
                *average = rate + keep * (*average - rate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_steady_rate_becomes_its_own_average_sooner_over_a_minute_than_over_fifteen() {
        let now = Instant::now();
        let hub = Hub::new(Config::default(), 1).unwrap();
        let mut sys = Sys::new(&hub, now);
        let mut totals = Totals::default();
        for _ in 0..30 {
            totals.packets_received += 100;
            sys.average(&totals, Duration::from_secs(10));
            sys.before = totals;
        }
        let [one, five, fifteen] = sys.loads[0].averages;
        assert!((590.0..=600.0).contains(&one), "{one}");
        assert!(one > five && five > fifteen, "{one} {five} {fifteen}");
        assert_eq!(sys.loads[2].averages, [0.0; 3]);
    }
}
