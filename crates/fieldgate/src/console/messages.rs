//! The broker, for the console.

use fieldgate_broker::{Door, Link, LinkError, Outgoing, QoS};
use fieldgate_console::{Client, Kept, Later, Level, Sent};

use super::accounts::Known;

/// The broker.
pub(super) struct Messages {
    pub(super) door: Door,
    /// What is sent by hand goes over it.
    pub(super) link: Link,
    pub(super) known: Known,
}

impl Messages {
    async fn sent(&self, user: &str, message: Sent) -> Result<(), String> {
        let topic = message.topic.as_str();
        if !self.door.is_open(topic) {
            return Err(
                "only the gateway publishes there; to write to a point, publish to its .../set"
                    .to_owned(),
            );
        }
        if self.known.denies(user, topic) {
            return Err("a rule of the users file denies this user to publish there".to_owned());
        }
        let qos = match message.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let outgoing = Outgoing {
            topic,
            payload: message.payload.as_bytes(),
            qos,
            retain: message.retain,
            correlation_data: None,
        };
        let done = self.link.publish(outgoing).await;
        done.map_err(|error: LinkError| error.to_string())
    }
}

impl fieldgate_console::Messages for Messages {
    fn clients(&self, wanted: &str, after: &str, limit: usize) -> (Vec<Client>, usize) {
        let (found, count) = self.door.clients(wanted, after, limit);
        let told = found.into_iter().map(|client| Client {
            client: client.client_id,
            user: client.user,
            remote: client.remote,
            subscriptions: client.subscriptions,
            subscription_count: client.subscription_count,
            waiting: client.waiting,
            bytes: client.bytes,
        });
        (told.collect(), count)
    }

    fn levels(&self, prefix: Option<&str>, after: Option<&str>, limit: usize) -> Vec<Level> {
        let found = self.door.retained_levels(prefix, after, limit);
        let told = found.into_iter().map(|level| Level {
            level: level.level,
            more: level.has_more,
            message: level.message.map(|kept| Kept {
                // A cut in the middle of a character takes the rest of it away.
                text: match std::str::from_utf8(&kept.payload) {
                    Ok(text) => Some(text.to_owned()),
                    Err(error)
                        if error.error_len().is_none() && kept.bytes > kept.payload.len() =>
                    {
                        let good = kept.payload.get(..error.valid_up_to()).unwrap_or_default();
                        Some(String::from_utf8_lossy(good).into_owned())
                    }
                    Err(_) => None,
                },
                bytes: kept.bytes,
                qos: kept.qos,
                publisher: kept.publisher,
            }),
        });
        told.collect()
    }

    fn send<'a>(&'a self, user: &'a str, message: Sent) -> Later<'a, Result<(), String>> {
        Box::pin(self.sent(user, message))
    }
}
