//! `uplinks:`, as it is written, and what does not fit together.

mod entry;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldgate_bridge::Period;
use fieldgate_model::Topics;
use fieldgate_spool::ring::WhenFull;
use fieldgate_uplink::Config;
use fieldgate_uplink::config::{Accept, Files, Forward, Limits, Pack, Preset, Replay, Spool};
use fieldgate_uplink::map::{Template, overlap};

pub(crate) use entry::Uplink;

use super::document::Name;
use super::report::Report;
use super::source::File;
use entry::{ForwardEntry, PackEntry, ReplayEntry, SpoolEntry};

/// A client identifier that every MQTT server takes has 23 bytes; those that matter take 65,535.
const CLIENT_ID_MAX: usize = 256;

/// Bytes of a pack: AWS IoT Core takes 128 KiB with all that is around it.
const PACK_MAX: u64 = 100 << 10;

/// Around the uplinks.
pub(crate) struct Around<'a> {
    file: &'a File,
    gateway: &'a str,
    topics: &'a Topics,
}

/// Makes uplinks of what is written. Mistakes go into `report`.
pub(crate) fn resolve(
    entries: BTreeMap<Name, Uplink>,
    around: &Around<'_>,
    report: &mut Report,
) -> BTreeMap<String, Config> {
    let mut uplinks = BTreeMap::new();
    for (Name(name), entry) in entries {
        let uplink = around.uplink(&name, entry);
        for (path, message) in around.misfits(&uplink) {
            let path: Vec<&str> = ["uplinks", &name].into_iter().chain(path).collect();
            let (mark, path, message) = around.file.root.place(&path, &message);
            report.add(&around.file.name, Some(mark), path, message);
        }
        uplinks.insert(name, uplink);
    }
    uplinks
}

/// The files that uplinks name and that are not there: a running gateway waits for them, as they may come later.
pub(crate) fn missing(uplinks: &BTreeMap<String, Config>, file: &File, report: &mut Report) {
    for (name, uplink) in uplinks {
        let own = uplink.files.own.as_ref();
        let named = [
            ("ca", uplink.files.ca.as_ref()),
            ("certificate", own.map(|(certificate, _)| certificate)),
            ("key", own.map(|(_, key)| key)),
            ("password_file", uplink.password_file.as_ref()),
            ("token_file", uplink.token_file.as_ref()),
            ("credentials", uplink.credentials.as_ref()),
        ];
        for (key, path) in named {
            let is_missing = |path: &&PathBuf| path.try_exists().is_ok_and(|there| !there);
            let Some(path) = path.filter(is_missing) else {
                continue;
            };
            let message = format!("{}: there is no such file", path.display());
            let (mark, key, message) = file.root.place(&["uplinks", name, key], &message);
            report.add(&file.name, Some(mark), key, message);
        }
    }
}

impl<'a> Around<'a> {
    pub(crate) fn new(file: &'a File, gateway: &'a Name, topics: &'a Topics) -> Self {
        Self {
            file,
            gateway: &gateway.0,
            topics,
        }
    }

    fn uplink(&self, name: &str, entry: Uplink) -> Config {
        let folder = Path::new(&self.file.name).parent().unwrap_or(Path::new(""));
        let beside = |file: std::path::PathBuf| folder.join(file);
        let preset = entry.preset.map_or(Preset::None, Into::into);
        let template = |text: text::TemplateText| text.of(self.gateway);
        let usual = preset.limits();
        let limits = entry.limits;
        let own = entry.certificate.zip(entry.key);
        Config {
            name: name.to_owned(),
            gateway: self.gateway.to_owned(),
            own: self.topics.uplink(""),
            urls: entry.url.0,
            preset,
            client_id: match entry.client_id {
                Some(text) => text.replace("{gateway}", self.gateway),
                None => self.gateway.to_owned(),
            },
            username: entry.username,
            password_file: entry.password_file.map(beside),
            token_file: entry.token_file.map(beside),
            credentials: entry.credentials.map(beside),
            files: Files {
                ca: entry.ca.map(beside),
                own: own.map(|(certificate, key)| (beside(certificate), beside(key))),
            },
            forward: entry
                .forward
                .into_iter()
                .map(|forward| self.forward(forward))
                .collect(),
            pack: entry.pack.map(|entry| pack(entry, self.gateway)),
            accept: entry
                .accept
                .into_iter()
                .map(|accept| Accept {
                    topics: accept.topics.into_iter().map(|filter| filter.0).collect(),
                    to: accept.to.map_or_else(Template::same, template),
                    max_age: accept.max_age.map(|time| time.0),
                })
                .collect(),
            spool: spool(entry.spool),
            replay: replay(entry.replay, self.gateway),
            limits: Limits {
                messages: limits.messages.map(|rate| rate.0).or(usual.messages),
                bytes: limits.bytes.map(|rate| rate.0).or(usual.bytes),
                in_flight: limits.in_flight.map_or(usual.in_flight, |count| count.0),
                packet: limits.packet.map_or(usual.packet, |size| size.0 as usize),
            },
            keep_alive: entry
                .keep_alive
                .map_or(Duration::from_secs(30), |time| time.0),
            reconnect: entry
                .reconnect
                .map_or((preset.pause(), Duration::from_secs(60)), |backoff| {
                    (backoff.min(), backoff.max())
                }),
        }
    }

    fn forward(&self, entry: ForwardEntry) -> Forward {
        Forward {
            topics: entry.topics.into_iter().map(|filter| filter.0).collect(),
            except: entry.except.into_iter().map(|filter| filter.0).collect(),
            to: entry
                .to
                .map_or_else(Template::same, |text| text.of(self.gateway)),
            qos: entry
                .qos
                .map_or(fieldgate_broker::QoS::AtLeastOnce, |qos| qos.0),
            retain: entry.retain.map(Into::into).unwrap_or_default(),
            min_interval: entry.min_interval.map(|time| time.0),
        }
    }

    /// Keys with what is wrong with them.
    fn misfits<'k>(&self, uplink: &Config) -> Vec<(Vec<&'k str>, String)> {
        let mut found = Vec::new();
        let written = self.file.root.get(&["uplinks", &uplink.name]);
        let has = |key: &str| written.is_some_and(|node| node.entry(key).is_some());
        if uplink.forward.is_empty() && uplink.accept.is_empty() {
            found.push((
                vec![],
                "nothing goes up or down: expected forward or accept".to_owned(),
            ));
        }
        if has("certificate") != has("key") {
            let (there, missing) = if has("key") {
                ("key", "certificate")
            } else {
                ("certificate", "key")
            };
            found.push((vec![there], format!("needs {missing}, too")));
        }
        found.extend(misfits_of_protocol(uplink, has));
        if uplink.urls.iter().all(|url| !url.scheme.is_encrypted()) {
            for key in ["ca", "certificate", "key"] {
                if has(key) {
                    found.push((
                        vec![key],
                        "is for encrypted connections: no url begins with mqtts://, wss:// or tls://"
                            .to_owned(),
                    ));
                }
            }
        }
        if has("password_file") && !has("username") {
            found.push((vec!["password_file"], "needs username, too".to_owned()));
        }
        let id = &uplink.client_id;
        let most = uplink.preset.client_id().unwrap_or(CLIENT_ID_MAX);
        if id.is_empty() || id.len() > most || id.chars().any(char::is_control) {
            let message = format!("expected 1 to {most} bytes without control characters");
            found.push((vec!["client_id"], message));
        }
        let rules = uplink.rules();
        if let Some(pack) = &uplink.pack {
            found.extend(misfits_of_pack(pack, uplink));
        }
        found.extend(misfit_of_spool(&uplink.spool));
        let late = uplink.replay.topic.as_ref().map(ToString::to_string);
        let late = late.and_then(|topic| rules.refuse(&topic));
        found.extend(late.map(|why| (vec!["replay", "topic"], why)));
        for forward in &uplink.forward {
            for filter in &forward.topics {
                let there = forward.to.apply_to_filter(filter);
                if let Some(why) = rules.refuse(&there) {
                    found.push((vec!["forward"], format!("{filter} becomes {there}: {why}")));
                }
                for back in uplink.accept.iter().flat_map(|accept| &accept.topics) {
                    // With MQTT 5.0 and at mosquitto what we send does not come back to us; nats-server has neither.
                    if uplink.preset.is_v4() && overlap(&there, back) {
                        let message = format!(
                            "{back} also matches {there}, where {filter} of forward goes: messages would come back"
                        );
                        found.push((vec!["accept"], message));
                    }
                }
            }
        }
        found
    }
}

/// Keys that are for another protocol than the one that is spoken.
fn misfits_of_protocol<'k>(
    uplink: &Config,
    has: impl Fn(&str) -> bool,
) -> Vec<(Vec<&'k str>, String)> {
    let is_nats = uplink.is_nats();
    let mut found = Vec::new();
    if uplink
        .urls
        .iter()
        .any(|url| url.scheme.is_nats() != is_nats)
    {
        let text = "of one uplink all speak NATS (nats://, tls://), or all MQTT";
        found.push((vec!["url"], text.to_owned()));
    }
    let foreign: &[(&str, &str)] = match is_nats {
        true => &[(
            "preset",
            "is for MQTT: leave it out beside nats:// and tls://",
        )],
        false => &[
            (
                "token_file",
                "is for NATS: no url begins with nats:// or tls://",
            ),
            (
                "credentials",
                "is for NATS: no url begins with nats:// or tls://",
            ),
        ],
    };
    let written = foreign.iter().filter(|(key, _)| has(key));
    found.extend(written.map(|(key, text)| (vec![*key], (*text).to_owned())));
    let filters = uplink.accept.iter().flat_map(|accept| &accept.topics);
    for filter in filters.filter(|_| is_nats) {
        if let Some(why) = uplink.rules().refuse(filter) {
            found.push((vec!["accept"], format!("{filter}: {why}")));
        }
    }
    let ways = ["username", "token_file", "credentials"].into_iter();
    if is_nats && ways.filter(|key| has(key)).count() > 1 {
        let text = "expected only one of username, token_file and credentials";
        found.push((vec![], text.to_owned()));
    }
    found
}

fn pack(entry: PackEntry, gateway: &str) -> Pack {
    Pack {
        every: entry.every.map_or(Duration::from_secs(1), |time| time.0),
        max: entry.max.map_or(PACK_MAX, |size| size.0) as usize,
        topic: entry.topic.of(gateway).to_string(),
    }
}

fn misfit_of_spool<'k>(spool: &Spool) -> Option<(Vec<&'k str>, String)> {
    let least = Spool::THIN_MIN;
    let is_small = spool.when_full == WhenFull::Thin && spool.max < least;
    is_small.then(|| {
        let (least, most) = (least >> 20, spool.max >> 20);
        let text = format!("thin needs a spool.max of {least}M or more, found {most}M");
        (vec!["spool", "when_full"], text)
    })
}

fn misfits_of_pack<'k>(pack: &Pack, uplink: &Config) -> Vec<(Vec<&'k str>, String)> {
    let mut found = Vec::new();
    let most = uplink.limits.packet;
    if pack.max > most {
        let message = format!("{} bytes are more than limits.packet, {most}", pack.max);
        found.push((vec!["pack", "max"], message));
    }
    let refused = match pack.topic.contains('{') {
        true => Some("many messages have one topic: expected a text without {topic}".to_owned()),
        false => uplink.rules().refuse(&pack.topic),
    };
    found.extend(refused.map(|why| (vec!["pack", "topic"], why)));
    found
}

fn spool(entry: SpoolEntry) -> Spool {
    let usual = Spool::default();
    Spool {
        max: entry.max.map_or(usual.max, |size| size.0),
        age: entry.age.map(Period::get).or(usual.age),
        when_full: entry.when_full.map_or(usual.when_full, Into::into),
        window: entry.window.map_or(usual.window, |time| time.0),
        durable: entry.durable.map_or(usual.durable, Into::into),
    }
}

fn replay(entry: ReplayEntry, gateway: &str) -> Replay {
    let usual = Replay::default();
    Replay {
        order: entry.order.map_or(usual.order, Into::into),
        share: entry.share.map_or(usual.share, |share| share.0),
        topic: entry.topic.map(|text| text.of(gateway)),
    }
}
