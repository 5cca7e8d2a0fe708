//! What is taken of the broker, until it is in the lanes.

use std::time::{Duration, Instant};

use fieldgate_broker::{Delivery, Vouched};
use fieldgate_mqtt::{QoS, UserProperties};
use fieldgate_spool::ring::Record;

use super::{Uplink, unix_ms};
use crate::config::{Durable, Retain};
use crate::item::{Item, qos_of};
use crate::marks;
use crate::pack::Packing;

/// What is dropped when a message is safe; nothing if no client waits for that.
type Promise = Option<Vouched>;

impl Uplink {
    /// A message of the broker.
    pub(super) fn take(&mut self, delivery: &mut Delivery) {
        let vouched = delivery.take_vouched();
        let message = delivery.message();
        let topic = message.topic();
        if topic.starts_with(&self.config.own) {
            return;
        }
        let Some(forward) = self
            .config
            .forward
            .iter()
            .find(|forward| forward.takes(topic))
        else {
            return;
        };
        let publish = message.publish();
        let user = publish.properties.user_properties;
        if marks::has_looped(user, &self.config.gateway) {
            self.status.dropped.looped += 1;
            return;
        }
        let now = unix_ms();
        let is_kept = forward.retain != Retain::Never && self.config.pack.is_none();
        let retain = message.retain() && is_kept;
        // Without a clock it is not known when a time ends that is counted in another process.
        let expires = message.expires().filter(|_| now > 0).map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            now + u64::try_from(left.as_millis()).unwrap_or(0)
        });
        let refused = match forward.to.apply(topic) {
            Some(to) => match self.config.rules().refuse(&to) {
                None => {
                    let item = Item {
                        topic: &to,
                        payload: publish.payload,
                        qos: forward.qos,
                        retain,
                        expires,
                        utf8: publish.properties.payload_format_utf8,
                        correlation: publish.properties.correlation_data,
                        content_type: publish.properties.content_type,
                        user,
                    };
                    let is_promised = match self.config.spool.durable {
                        Durable::None => false,
                        Durable::Clients => vouched.is_some(),
                        Durable::All => true,
                    };
                    let promise = (is_promised && item.qos > QoS::AtMostOnce).then_some(vouched);
                    return self.pass(topic, &item, forward.min_interval, promise);
                }
                Some(why) => why,
            },
            None => format!("no topic can be made of it with {}", forward.to),
        };
        self.reject_now(topic, refused, publish.payload);
    }

    /// A message that goes up: now, or with others of its topic or of its pack. One that may be replaced by a later one
    /// or waits for others, up to an hour, is not promised.
    fn pass(
        &mut self,
        topic: &str,
        item: &Item<'_>,
        interval: Option<Duration>,
        promise: Option<Promise>,
    ) {
        let now = Instant::now();
        match interval {
            Some(interval) => {
                let bytes = self.pace.offer(topic, item.encode(), interval, now);
                self.status.replaced = self.pace.replaced;
                if let Some(bytes) = bytes {
                    self.go_on(bytes, now);
                }
            }
            None if self.config.pack.is_some() => self.pack(item, promise, now),
            None => self.offer(item.encode(), promise),
        }
    }

    fn go_on(&mut self, bytes: Vec<u8>, now: Instant) {
        match Item::decode(&bytes) {
            Some(item) if self.config.pack.is_some() => self.pack(&item, None, now),
            _ => self.offer(bytes, None),
        }
    }

    fn pack(&mut self, item: &Item<'_>, promise: Option<Promise>, now: Instant) {
        let Some(pack) = &self.config.pack else {
            return;
        };
        let Some(payload) = Packing::takes(pack, item.topic, item.payload) else {
            return self.offer(item.encode(), promise);
        };
        if self.packing.is_full(pack, item.topic, payload) {
            self.close_pack();
        }
        self.packing.push(item.topic, payload, now);
    }

    fn close_pack(&mut self) {
        let id = marks::id(&self.config.gateway, self.epoch, self.seq);
        let (Some(pack), Some((payload, count))) = (&self.config.pack, self.packing.close(&id))
        else {
            return;
        };
        let item = Item {
            topic: &pack.topic,
            payload: payload.as_bytes(),
            qos: QoS::AtLeastOnce,
            retain: false,
            expires: None,
            utf8: Some(true),
            correlation: None,
            content_type: Some("application/json"),
            user: UserProperties::default(),
        };
        self.status.packed += count;
        self.offer(item.encode(), None);
    }

    /// When something goes on that is held back for others.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let pack = self.config.pack.as_ref();
        let pack = pack.and_then(|pack| self.packing.due(pack));
        pack.into_iter().chain(self.pace.next()).min()
    }

    pub(super) fn release(&mut self, now: Instant) {
        while let Some(bytes) = self.pace.take_due(now) {
            self.go_on(bytes, now);
        }
        let pack = self.config.pack.as_ref();
        let due = pack.and_then(|pack| self.packing.due(pack));
        if due.is_some_and(|due| due <= now) {
            self.close_pack();
        }
    }

    /// At the end.
    pub(super) fn release_all(&mut self) {
        let now = Instant::now();
        for bytes in self.pace.drain() {
            self.go_on(bytes, now);
        }
        self.close_pack();
    }

    fn offer(&mut self, bytes: Vec<u8>, promise: Option<Promise>) {
        let (now, qos) = (unix_ms(), qos_of(&bytes));
        if bytes.len() > self.config.limits.packet {
            if let Some(item) = Item::decode(&bytes) {
                let why = format!(
                    "it has more than limits.packet, {} bytes",
                    self.config.limits.packet
                );
                self.reject_now(item.topic, why, item.payload);
            }
            return;
        }
        let record = Record {
            seq: self.seq,
            time: now,
            bytes,
        };
        if let Some(promise) = promise {
            self.promises.push(self.seq, promise, Instant::now());
        }
        self.seq += 1;
        let dropped = self.lanes.offer(record, Instant::now());
        match qos {
            QoS::AtMostOnce => self.status.dropped.qos0 += dropped,
            _ => self.count_full(dropped),
        }
    }
}
