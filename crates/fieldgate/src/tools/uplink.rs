//! `uplink status`, `uplink rejected` and `test uplink`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use fieldgate_config::Config;
use fieldgate_config::yaml::suggestion;
use fieldgate_uplink::probe::{Found, probe};
use serde_json::Value;

use crate::args;
use crate::control::UplinkQuestion;
use crate::control::client::Client;
use crate::kinds::KINDS;
use crate::output::print;
use crate::stop::Stop;

/// Asks the running gateway.
///
/// # Errors
///
/// If none runs, or it has no such uplink.
pub(crate) async fn act(command: &args::Uplink) -> Result<(), Stop> {
    let (of, rejected) = match command {
        args::Uplink::Status(of) => (of, false),
        args::Uplink::Rejected(of) => (of, true),
    };
    let client = Client::find(&of.config, of.control.as_deref())
        .await
        .map_err(Stop::Other)?;
    let Some(mut client) = client else {
        let text = format!("no gateway runs with {}", of.config.display());
        return Err(Stop::Device(text));
    };
    let question = UplinkQuestion {
        uplink: of.name.clone(),
        rejected,
    };
    let answer = client.ask_uplink(&question).await.map_err(Stop::Other)?;
    let answer = answer.map_err(Stop::Usage)?;
    let text = match &answer {
        Value::Array(list) if list.is_empty() => "no message was rejected\n".to_owned(),
        // One a line, the newest first, for people and for scripts.
        Value::Array(list) => list.iter().map(|one| format!("{one}\n")).collect(),
        one => {
            serde_json::to_string_pretty(one).map_or_else(|_| one.to_string(), |text| text + "\n")
        }
    };
    print(&text);
    Ok(())
}

/// Connects to each URL of an uplink and publishes one message there.
///
/// # Errors
///
/// If there is no such uplink, or none of its remotes takes the message.
pub(crate) async fn test(name: &str, file: &Path) -> Result<(), Stop> {
    let config = fieldgate_config::load(file, KINDS)
        .map_err(Stop::Config)?
        .config;
    let uplink = named(&config, name)?;
    let topic = uplink
        .forward
        .iter()
        .find_map(|forward| forward.to.apply(&config.topics.uplink("test")));
    let topic = topic.unwrap_or_else(|| config.topics.uplink("test"));
    let mut is_good = false;
    for url in &uplink.urls {
        print(&format!("{url} as {}\n", uplink.client_id));
        match probe(uplink, url, &topic).await {
            Ok(found) => {
                is_good |= !found.published.0.is_error();
                print(&shown(&found, &topic));
            }
            Err(error) => print(&format!("    {error}\n")),
        }
    }
    match is_good {
        true => Ok(()),
        false => Err(Stop::Device(format!(
            "uplink {name}: no remote takes messages"
        ))),
    }
}

fn named<'c>(config: &'c Config, name: &str) -> Result<&'c fieldgate_uplink::Config, Stop> {
    config.uplinks.get(name).ok_or_else(|| {
        let names: Vec<&String> = config.uplinks.keys().collect();
        Stop::Usage(format!(
            "there is no uplink \"{name}\"{}",
            suggestion(name, &names)
        ))
    })
}

fn shown(found: &Found, topic: &str) -> String {
    let mut text = format!("    connected to {}\n", found.peer.address);
    let mut line = |line: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "    {line}");
    };
    if let Some(tls) = &found.peer.tls {
        line(format!("encrypted: {tls}"));
    }
    let now = jiff::Timestamp::now().as_second();
    for (whose, until) in [
        ("the remote's", found.peer.remote_until),
        ("our", found.peer.own_until),
    ] {
        if let Some(until) = until {
            line(format!(
                "{whose} certificate counts for {} days more",
                (until - now).div_euclid(86_400)
            ));
        }
    }
    let allowed = found.allowed;
    let packet = match allowed.packet {
        usize::MAX => "of any size".to_owned(),
        bytes => format!("of {bytes} bytes"),
    };
    if found.protocol.starts_with("NATS") {
        line(format!(
            "{} with JetStream: messages {packet}",
            found.protocol
        ));
    } else {
        let kept = if allowed.retain { "kept" } else { "not kept" };
        line(format!(
            "{}: {} messages unacknowledged, packets {packet}, retained messages are {kept}, keep-alive {:?}",
            found.protocol,
            allowed.in_flight,
            Duration::from_secs(allowed.keep_alive.into()),
        ));
    }
    let (reason, took) = found.published;
    line(format!(
        "a message to {topic}: {reason}, after {} ms",
        took.as_millis()
    ));
    text
}
