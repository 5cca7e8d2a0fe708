//! How old a message of the remote is. Pure.

use std::time::Duration;

use fieldgate_mqtt::Publish;
use serde::Deserialize;

/// Where a message says when it was made: in a property or a header, or in the header of a message that JetStream
/// publishes once more.
const NAMES: [&str; 2] = ["ts", "Nats-Time-Stamp"];

#[derive(Deserialize)]
struct Stamped {
    ts: String,
}

/// Why a message may not be taken at `now`, in milliseconds since 1970, which is 0 as long as the clock is not set.
pub(crate) fn refuse(publish: &Publish<'_>, most: Duration, now: u64) -> Option<&'static str> {
    let Some(made) = made(publish) else {
        return Some("it does not say when it was made");
    };
    if now == 0 {
        return Some("the clock is not set, so that its age is not known");
    }
    let now = i128::from(now);
    let age = now - i128::from(made);
    let most = i128::try_from(most.as_millis()).unwrap_or(i128::MAX);
    (age > most).then_some("it is too old")
}

/// When it was made, in milliseconds since 1970.
fn made(publish: &Publish<'_>) -> Option<i64> {
    let is_one = |name: &str| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut pairs = publish.properties.user_properties.iter();
    let text = match pairs.find(|(name, _)| is_one(name)) {
        Some((_, value)) => value.to_owned(),
        None => serde_json::from_slice::<Stamped>(publish.payload).ok()?.ts,
    };
    let made: jiff::Timestamp = text.parse().ok()?;
    Some(made.as_millisecond())
}

#[cfg(test)]
mod tests {
    use fieldgate_mqtt::{PublishProperties, QoS, UserPropertiesBuf};

    use super::*;

    #[test]
    fn a_message_is_taken_while_it_is_young_by_its_own_time() {
        // 2026-11-29T10:00:00Z
        let now = 1_795_946_400_000;
        let (old, unknown) = (
            Some("it is too old"),
            Some("it does not say when it was made"),
        );
        for (property, payload, at, want) in [
            (
                None,
                r#"{"ts":"2026-11-29T09:59:31Z","value":1}"#,
                now,
                None,
            ),
            (None, r#"{"ts":"2026-11-29T09:59:29.9Z"}"#, now, old),
            // A clock that is ahead there.
            (None, r#"{"ts":"2026-11-29T11:00:00Z"}"#, now, None),
            (
                Some(("ts", "2026-11-29T09:00:00Z")),
                r#"{"ts":"2026-11-29T10:00:00Z"}"#,
                now,
                old,
            ),
            (
                Some(("Nats-Time-Stamp", "2026-11-29T10:59:59+01:00")),
                "on",
                now,
                None,
            ),
            (Some(("x", "2026-11-29T10:00:00Z")), "on", now, unknown),
            (None, r#"{"ts":1}"#, now, unknown),
            (
                None,
                r#"{"ts":"2026-11-29T10:00:00Z"}"#,
                0,
                Some("the clock is not set, so that its age is not known"),
            ),
        ] {
            let mut user = UserPropertiesBuf::new();
            if let Some((name, value)) = property {
                user.push(name, value).unwrap();
            }
            let publish = Publish {
                dup: false,
                qos: QoS::AtMostOnce,
                retain: false,
                topic: "a",
                packet_id: None,
                properties: PublishProperties {
                    user_properties: user.as_properties(),
                    ..PublishProperties::default()
                },
                payload: payload.as_bytes(),
            };
            assert_eq!(
                refuse(&publish, Duration::from_secs(30), at),
                want,
                "{property:?} {payload}"
            );
        }
    }
}
