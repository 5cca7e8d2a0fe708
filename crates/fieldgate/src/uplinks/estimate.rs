//! How long lasts what uplinks keep without their remote, and what that writes to the card, for `check`.

use std::collections::BTreeMap;

use fieldgate_bridge::show::counted;
use fieldgate_broker::QoS;
use fieldgate_config::Config;
use fieldgate_model::PayloadFormat;
use fieldgate_uplink::Config as Uplink;
use fieldgate_uplink::config::Spool;

use crate::rates::{Rates, readings};

const MB: f64 = 1e6;
/// What is shown if the plant's own rate is not known, in messages a second.
const EXAMPLES: [f64; 2] = [10.0, 100.0];

/// One line for each uplink.
pub(crate) fn estimate(config: &Config) -> Vec<String> {
    let uplinks = config.uplinks.values();
    uplinks
        .map(|uplink| line(uplink, rates(config, uplink)))
        .collect()
}

fn line(uplink: &Uplink, rates: Rates) -> String {
    let (name, size) = (&uplink.name, uplink.spool.max >> 20);
    if rates.each_second <= 0.0 {
        let lasts = EXAMPLES.map(|rate| {
            let (lasts, written) = lasts(&uplink.spool, rate);
            format!("{lasts} at {rate:.0} messages/s ({written} written a day)")
        });
        return format!(
            "uplink {name}: how many messages a second go up is not known; without the remote {size} MiB last about {}",
            lasts.join(", ")
        );
    }
    let (lasts, written) = lasts(&uplink.spool, rates.each_second);
    let mut not_counted = "what clients publish".to_owned();
    if rates.unknown > 0 {
        not_counted += &format!(
            ", and {} whose devices decide when they send",
            counted(rates.unknown, "topic")
        );
    }
    format!(
        "uplink {name}: at most {:.1} messages/s of {} if all values change at each poll; without the remote {size} \
         MiB last about {lasts} then ({written} written a day); not counted: {not_counted}",
        rates.each_second,
        counted(rates.count - rates.unknown, "topic"),
    )
}

/// How long, and how much in a day.
fn lasts(spool: &Spool, rate: f64) -> (String, String) {
    let (hours, bytes) = spool.estimate(rate);
    let lasts = match hours >= 48.0 {
        true => format!("{:.0} days", hours / 24.0),
        false => format!("{hours:.0} hours"),
    };
    (lasts, format!("{:.0} MB", bytes / MB))
}

/// What devices publish on topics that go up and wait on the card.
fn rates(config: &Config, uplink: &Uplink) -> Rates {
    let of_topic = |topic: &str, rate: Option<f64>| {
        let forward = uplink.forward.iter().find(|forward| forward.takes(topic));
        let forward = forward.filter(|forward| forward.qos > QoS::AtMostOnce)?;
        let most = forward
            .min_interval
            .map(|interval| 1.0 / interval.as_secs_f64());
        Some(rate.map(|rate| rate.min(most.unwrap_or(rate))))
    };
    let points = readings(config).filter(|_| config.point_topics);
    let points = points
        .filter_map(|(device, point, rate)| of_topic(&config.topics.point(device, point), rate));
    // What is polled at the same time goes into one message of its device.
    let mut devices: BTreeMap<&str, Option<f64>> = BTreeMap::new();
    for (device, _, rate) in readings(config).filter(|_| config.payload == PayloadFormat::Device) {
        let whole = devices.entry(device).or_insert(Some(0.0));
        *whole = whole.zip(rate).map(|(one, other)| one.max(other));
    }
    let devices = devices.into_iter();
    let devices =
        devices.filter_map(|(device, rate)| of_topic(&config.topics.device(device), rate));
    points.chain(devices).collect()
}
