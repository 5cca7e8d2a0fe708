//! What comes down.

use std::ops::Range;
use std::time::Instant;

use fieldgate_mqtt::{Packet, decode, topic};

use super::{Uplink, unix_ms};
use crate::age;
use crate::link::Link;
use crate::marks;
use crate::nats;
use crate::remote::Remote;

impl Uplink {
    /// A message of the remote: the packet at `packet` of the input.
    pub(super) fn come_down(&mut self, packet: Range<usize>, now: Instant) {
        let Link::Open(open) = &mut self.link else {
            return;
        };
        let bytes = open.input.get(packet).unwrap_or_default();
        let incoming;
        let publish = match &open.client {
            Remote::Mqtt(client) => match decode(bytes, client.version(), bytes.len()) {
                Ok(Some((Packet::Publish(publish), _))) => publish,
                _ => return,
            },
            Remote::Nats(_) => {
                incoming = nats::incoming(bytes);
                let Some(incoming) = &incoming else {
                    self.status.not_accepted += 1;
                    return;
                };
                incoming.publish()
            }
        };
        let matches = |filter: &String| topic::matches(filter, publish.topic);
        let accept = self
            .config
            .accept
            .iter()
            .find(|accept| accept.topics.iter().any(matches));
        let to = accept.and_then(|accept| accept.to.apply(publish.topic));
        let age = accept.and_then(|accept| accept.max_age);
        let too_old = age.and_then(|age| age::refuse(&publish, age, unix_ms()));
        let has_looped =
            marks::has_looped(publish.properties.user_properties, &self.config.gateway);
        // What the remote has kept is of yesterday: a command that starts a pump at every connect.
        let taken = match to {
            Some(to) if !publish.retain && !has_looped && too_old.is_none() => {
                let mut publish = publish;
                publish.topic = &to;
                self.forwarder
                    .bring_in(&publish)
                    .map_err(|error| error.to_string())
            }
            Some(_) if has_looped => {
                self.status.dropped.looped += 1;
                Err("it has been here before".to_owned())
            }
            Some(_) if publish.retain => Err("it was kept by the remote".to_owned()),
            Some(_) => Err(too_old.unwrap_or_default().to_owned()),
            None => Err("no topic here can be made of it".to_owned()),
        };
        // Whatever became of it, it does not come again.
        open.client.acknowledge(&publish, now, &mut open.out);
        match taken {
            Ok(()) => self.status.accepted += 1,
            Err(why) => {
                self.status.not_accepted += 1;
                if self.status.not_accepted.is_power_of_two() {
                    let (name, count) = (&self.config.name, self.status.not_accepted);
                    log::warn!(
                        "uplink {name}: a message of the remote is not taken: {:?}: {why}; {count} so far",
                        publish.topic
                    );
                }
            }
        }
    }
}
