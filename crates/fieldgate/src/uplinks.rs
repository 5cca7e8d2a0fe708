//! The uplinks of a running gateway: started, changed and stopped as the configuration says, and
//! what they say of themselves published.

mod estimate;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fieldgate_broker::{Broker, Forwarder, Link, Outgoing, QoS};
use fieldgate_config::yaml::suggestion;
use fieldgate_history::{Event, Kind, Tap};
use fieldgate_model::Topics;
use fieldgate_uplink::{Config, Handle, INBOX, Status};
use serde_json::{Value, json};
use tokio::runtime::{self, Builder};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub(crate) use estimate::estimate;

/// The folder of the rings, within the state folder.
const FOLDER: &str = "uplink";
/// From one publication of the counters to the next.
const COUNTERS: Duration = Duration::from_secs(10);
/// The longest list of rejected messages that goes over the control socket, in bytes about.
const LIST_MAX: usize = 48 * 1024;

/// Those that run, by name; for tools, too.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<BTreeMap<String, One>>>);

#[derive(Debug)]
struct One {
    config: Config,
    handle: Handle,
    /// What was published last, and when.
    told: Option<(Value, bool, Instant)>,
    /// Whether it was connected when it was looked at last, and since when that was so.
    seen: (bool, u64),
}

impl One {
    /// What has happened to it since it was looked at last. One that has just begun to connect is not told.
    fn happened(&mut self, name: &str, status: &Status) -> Option<Event> {
        let now = (status.connected, status.since);
        let is_told = status.connected || status.error.is_some();
        if !is_told || std::mem::replace(&mut self.seen, now) == now {
            return None;
        }
        // Zero as long as the clock is not set.
        let at = i64::try_from(status.since).ok().filter(|at| *at > 0);
        let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let at = at.unwrap_or_else(jiff::Timestamp::now);
        Some(if status.connected {
            Event::new(Kind::UplinkUp, at)
                .named(name)
                .saying(&status.remote)
        } else {
            let why = status.error.as_deref().unwrap_or_default();
            Event::new(Kind::UplinkDown, at).named(name).saying(why)
        })
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a tool asks of one of them.
    ///
    /// # Errors
    ///
    /// If there is none of this name.
    pub(crate) fn tell(&self, name: &str, rejected: bool) -> Result<Value, String> {
        let uplinks = self.lock();
        let Some(one) = uplinks.get(name) else {
            let names: Vec<&String> = uplinks.keys().collect();
            let hint = suggestion(name, &names);
            return Err(format!(
                "the running gateway has no uplink \"{name}\"{hint}"
            ));
        };
        if !rejected {
            return Ok(described(&one.handle.status()));
        }
        let mut bytes = 0;
        let list = one.handle.rejected().into_iter().rev().map_while(|one| {
            let one = json!({
                "at": timestamp(one.at), "topic": one.topic, "reason": one.reason, "id": one.id,
                "bytes": one.bytes, "payload": one.payload,
            });
            bytes += one.to_string().len();
            (bytes < LIST_MAX).then_some(one)
        });
        Ok(list.collect())
    }
}

/// Starts and stops them.
pub(crate) struct Uplinks {
    /// What they have to do never holds up a bridge. `None` as long as there is no uplink.
    thread: Option<Thread>,
    running: Running,
    folder: PathBuf,
    topics: Topics,
    link: Link,
    history: Option<Tap>,
}

impl Uplinks {
    /// None yet. Without a state folder their rings are in a folder that the next start of the machine may clear.
    pub(crate) fn new(
        state: Option<&Path>,
        topics: Topics,
        link: Link,
        history: Option<Tap>,
    ) -> Self {
        let folder = match state {
            Some(state) => state.join(FOLDER),
            None => std::env::temp_dir().join(format!("fieldgate-uplink-{}", std::process::id())),
        };
        Self {
            thread: None,
            running: Running::default(),
            folder,
            topics,
            link,
            history,
        }
    }

    pub(crate) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Makes what runs equal to `wanted`, and touches nothing that is equal already. Returns how many were started or
    /// stopped.
    pub(crate) async fn change(
        &mut self,
        wanted: &BTreeMap<String, Config>,
        broker: &Broker,
    ) -> usize {
        let is_same = |name: &String, one: &One| wanted.get(name) == Some(&one.config);
        let stopping: Vec<(String, One)> = self
            .running
            .lock()
            .extract_if(.., |name, one| !is_same(name, one))
            .collect();
        let mut count = stopping.len();
        // What comes while one changes waits here.
        let mut kept = BTreeMap::new();
        for (name, one) in stopping {
            let forwarder = one.handle.stop().await;
            match wanted.get(&name) {
                None => self.clear(&name).await,
                Some(config) => {
                    for filter in filters(&one.config) {
                        let is_left = !filters(config).any(|wanted| wanted == filter);
                        if let Some(forwarder) = forwarder.as_ref().filter(|_| is_left) {
                            forwarder.unsubscribe(filter);
                        }
                    }
                    kept.extend(forwarder.map(|forwarder| (name, forwarder)));
                }
            }
        }
        for (name, config) in wanted {
            if self.running.lock().contains_key(name) {
                continue;
            }
            let forwarder = kept.remove(name);
            let forwarder =
                forwarder.unwrap_or_else(|| broker.forwarder(&format!("uplink/{name}"), INBOX));
            match self.start(name, config, forwarder) {
                Ok(one) => {
                    self.running.lock().insert(name.clone(), one);
                    count += 1;
                }
                Err(error) => log::error!("uplink {name}: {error}"),
            }
        }
        count
    }

    fn start(&mut self, name: &str, config: &Config, forwarder: Forwarder) -> io::Result<One> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            none => none.insert(Thread::start()?),
        };
        let _entered = thread.runtime.enter();
        let handle = fieldgate_uplink::start(config.clone(), forwarder, self.folder.join(name));
        Ok(One {
            config: config.clone(),
            handle,
            told: None,
            seen: (false, 0),
        })
    }

    /// Publishes states that have changed, and counters now and then.
    pub(crate) async fn publish(&self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (name, one) in self.running.lock().iter_mut() {
            let status = one.handle.status();
            if let Some(history) = &self.history {
                one.happened(name, &status)
                    .into_iter()
                    .for_each(|event| history.event(event));
            }
            let value = described(&status);
            let is_due = match &one.told {
                None => true,
                Some((told, connected, at)) => {
                    *connected != status.connected || (now - *at >= COUNTERS && *told != value)
                }
            };
            if is_due {
                one.told = Some((value.clone(), status.connected, now));
                due.push((self.topics.uplink(name), value.to_string()));
            }
        }
        for (topic, payload) in due {
            self.say(&topic, payload.as_bytes()).await;
        }
    }

    async fn clear(&self, name: &str) {
        self.say(&self.topics.uplink(name), b"").await;
    }

    async fn say(&self, topic: &str, payload: &[u8]) {
        let message = Outgoing {
            topic,
            payload,
            qos: QoS::AtLeastOnce,
            retain: true,
            correlation_data: None,
        };
        if let Err(error) = self.link.publish(message).await {
            log::error!("{topic}: {error}");
        }
    }

    /// Stops all of them in good order. What clients publish from then on is not acknowledged as long as what this
    /// returns is there: to be dropped when the broker has ended.
    pub(crate) async fn stop(self) -> Vec<Forwarder> {
        let all = std::mem::take(&mut *self.running.lock());
        let mut kept = Vec::new();
        for (name, one) in all {
            let mut last = described(&one.handle.status());
            kept.extend(one.handle.stop().await);
            last["state"] = "offline".into();
            last["error"] = "the gateway was stopped".into();
            self.say(&self.topics.uplink(&name), last.to_string().as_bytes())
                .await;
        }
        kept
    }
}

/// What it subscribes to.
fn filters(config: &Config) -> impl Iterator<Item = &String> {
    config.forward.iter().flat_map(|forward| &forward.topics)
}

/// The thread of all uplinks, until this is dropped.
struct Thread {
    runtime: runtime::Handle,
    stop: CancellationToken,
}

impl Thread {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("uplink".to_owned());
        thread.spawn(move || {
            runtime.block_on(stopped.cancelled());
            // What a disk does not answer must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self {
            runtime: handle,
            stop,
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What goes over MQTT and to tools.
fn described(status: &Status) -> Value {
    let days = |until: Option<i64>| {
        let now = jiff::Timestamp::now().as_second();
        until.map(|until| (until - now).div_euclid(86_400))
    };
    json!({
        "state": if status.connected { "online" } else { "offline" },
        "since": timestamp(status.since),
        "error": status.error,
        "remote": status.remote,
        "protocol": status.protocol,
        "tls": status.tls,
        "sent": status.sent,
        "acknowledged": status.acknowledged,
        "resent": status.resent,
        "already_there": status.already_there,
        "replaced": status.replaced,
        "packed": status.packed,
        "duplicates_possible": status.duplicates_possible,
        "accepted": status.accepted,
        "not_accepted": status.not_accepted,
        "dropped": {
            "full": status.dropped.full,
            "age": status.dropped.age,
            "rejected": status.dropped.rejected,
            "qos0": status.dropped.qos0,
            "looped": status.dropped.looped,
        },
        "backlog": {
            "messages": status.spool_messages,
            "bytes": status.spool_bytes,
            "oldest": status.oldest.map(timestamp),
            "written": status.bytes_written,
            "damaged_blocks": status.damaged,
            "missing": status.lost.map(|(from, to)| [timestamp(from), timestamp(to)]),
            "partition_full": status.cramped,
            "error": status.spool_error,
        },
        "window": status.window_messages,
        "promised": status.promised,
        "not_durable": status.not_durable,
        "lag_ms": status.lag,
        "round_trip_ms": status.round_trip,
        "rate_limit": status.rate_limit.map(|rate| rate.round()),
        "certificate_days": {"remote": days(status.remote_until), "own": days(status.own_until)},
    })
}

fn timestamp(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
