//! The task of an uplink: messages in, messages out, and nothing lost between.

mod down;
mod gather;
mod promised;
mod taken;
mod told;
mod up;

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fieldgate_broker::{Delivery, Forwarder, Vouched};
use fieldgate_mqtt::QoS;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use gather::Gather;

use crate::config::{Config, Durable};
use crate::disk::{Disk, Outcome};
use crate::lanes::{Lanes, WATCHDOG};
use crate::link::{self, Dialect, Event, Link, Open};
use crate::nats::Memory;
use crate::net::{self, Opened};
use crate::pace::Pace;
use crate::pack::Packing;
use crate::promises::Promises;
use crate::secrets::Secrets;
use crate::status::{Rejected, RejectedList, Status};

/// Bytes of messages that may wait for an uplink in the broker.
pub const INBOX: usize = 8 << 20;
/// Messages that are taken from the inbox in one go.
const AT_ONCE: usize = 256;
/// How often is looked at what is due by time.
const TICK: Duration = Duration::from_millis(200);
/// How long the last words may take.
const GOODBYE: Duration = Duration::from_millis(500);
/// Connections that the remote closes instead of an answer, until an older version is tried.
const CLOSED_MAX: u32 = 3;
/// A connection that held so long was a good one: the next pause is short again.
const GOOD: Duration = Duration::from_secs(30);

/// A running uplink.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Mutex<Shared>>,
    cancel: CancellationToken,
    task: JoinHandle<Forwarder>,
}

#[derive(Debug, Default)]
struct Shared {
    status: Status,
    rejected: RejectedList,
}

impl Handle {
    /// What it says of itself.
    pub fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// The last messages that the remote did not take, oldest first.
    pub fn rejected(&self) -> Vec<Rejected> {
        self.lock().rejected.to_vec()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it in good order: what is in memory goes to the card. What comes from now on waits in the forwarder, for the
    /// next start or until the broker has ended: dropped before, its clients would be told that it is safe.
    pub async fn stop(self) -> Option<Forwarder> {
        self.cancel.cancel();
        let stopped = self.task.await;
        stopped
            .inspect_err(|error| log::error!("uplink: {error}"))
            .ok()
    }
}

/// Starts an uplink, whose ring is in `folder`. To be called on a tokio runtime.
pub fn start(config: Config, forwarder: Forwarder, folder: PathBuf) -> Handle {
    let shared: Arc<Mutex<Shared>> = Arc::default();
    let cancel = CancellationToken::new();
    if config.spool.durable != Durable::None {
        forwarder.vouch();
    }
    // At once, so that nothing is missed that is published from now on.
    for filter in config.forward.iter().flat_map(|forward| &forward.topics) {
        if let Err(error) = forwarder.subscribe(filter, QoS::AtLeastOnce) {
            log::error!("uplink {}: {filter}: {error}", config.name);
        }
    }
    let task = tokio::spawn(run(
        config,
        forwarder,
        folder,
        Arc::clone(&shared),
        cancel.clone(),
    ));
    Handle {
        shared,
        cancel,
        task,
    }
}

struct Uplink {
    config: Config,
    forwarder: Forwarder,
    /// Messages that the forwarder had dropped before.
    dropped_before: u64,
    shared: Arc<Mutex<Shared>>,
    status: Status,
    pace: Pace,
    packing: Packing,
    lanes: Lanes,
    disk: Disk,
    /// Messages that are to be safe soon; of those of clients, what lets them be acknowledged.
    promises: Promises<Option<Vouched>>,
    /// The first and the last number of the messages that are being written.
    writing: Option<(u64, u64)>,
    link: Link,
    epoch: u32,
    /// The number of the next record.
    seq: u64,
    /// Topics whose kept value is still to be sent over this connection, the last first.
    sync: Vec<Box<str>>,
    /// It is a new message's turn.
    is_live_next: bool,
    /// The URL that is tried, by its place.
    url: usize,
    dialect: Dialect,
    /// What a connection to NATS has left for the next one.
    memory: Memory,
    /// Connections in a row that the remote closed instead of an answer to CONNECT.
    closed: u32,
    /// The log has it that messages are dropped as there is no room.
    is_full_told: bool,
    failures: u32,
    up_since: Option<Instant>,
    gather: Gather,
    /// More messages can be sent at this time.
    wake: Option<Instant>,
    chance: RandomState,
}

async fn run(
    config: Config,
    forwarder: Forwarder,
    folder: PathBuf,
    shared: Arc<Mutex<Shared>>,
    cancel: CancellationToken,
) -> Forwarder {
    let (disk, epoch) = Disk::open(&folder, config.spool.bounds()).await;
    let chance = RandomState::new();
    let epoch = epoch.unwrap_or_else(|| chance.hash_one(&folder) as u32 | 1 << 31);
    let now = Instant::now();
    let mut uplink = Uplink {
        pace: Pace::default(),
        packing: Packing::default(),
        lanes: Lanes::new(config.lanes(), epoch, now),
        disk,
        promises: Promises::new(now),
        writing: None,
        link: Link::Pause(now),
        epoch,
        seq: 1,
        sync: Vec::new(),
        is_live_next: false,
        url: 0,
        dialect: Dialect::first(config.preset),
        memory: Memory::default(),
        closed: 0,
        is_full_told: false,
        failures: 0,
        up_since: None,
        gather: Gather::new(now),
        wake: None,
        chance,
        status: Status {
            since: unix_ms(),
            ..Status::default()
        },
        shared,
        config,
        dropped_before: forwarder.dropped(),
        forwarder,
    };
    // What waits from before.
    uplink.count_disk();
    uplink.serve(&cancel).await;
    uplink.finish().await
}

/// The year 2020, in milliseconds since 1970: a clock that says that it is before was never set.
const SET: u64 = 1_577_836_800_000;

/// Milliseconds since 1970; 0 as long as the clock is not set.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX));
    if now < SET { 0 } else { now }
}

impl Uplink {
    async fn serve(&mut self, cancel: &CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut taken: Vec<Delivery> = Vec::new();
        loop {
            let wake = self.wake.map_or(Instant::now() + WATCHDOG, |wake| wake);
            let held = self
                .held_until()
                .into_iter()
                .chain(self.promised_until())
                .min();
            let release = held.unwrap_or(wake);
            let take_at = self.gather.take_at;
            let may_take = take_at <= Instant::now();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.forwarder.recv(AT_ONCE, &mut taken), if may_take => {
                    if taken.len() < AT_ONCE {
                        let publishers = taken.iter().filter(|one| one.is_vouched());
                        let publishers = publishers.filter_map(Delivery::publisher);
                        self.gather.took(publishers, Instant::now());
                    }
                    for mut delivery in taken.drain(..) {
                        self.take(&mut delivery);
                    }
                }
                () = tokio::time::sleep_until(take_at.into()), if !may_take => {}
                () = self.forwarder.filling(), if !may_take => self.gather.take_at = Instant::now(),
                outcome = self.disk.done() => self.on_disk(outcome),
                event = self.link.event() => self.on_link(event).await,
                _ = tick.tick() => self.tick(),
                () = tokio::time::sleep_until(wake.into()), if self.wake.is_some() => self.wake = None,
                () = tokio::time::sleep_until(release.into()), if held.is_some() => self.release(Instant::now()),
            }
            self.settle();
            self.use_disk();
            self.fill();
            if self.lanes.needs_answer()
                && let Some(open) = self.link.open()
            {
                open.read_at(Instant::now());
            }
        }
    }

    fn on_disk(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::NotAppended(records) => {
                self.writing = None;
                let dropped = self.lanes.give_back(records, Instant::now());
                self.count_full(dropped);
            }
            Outcome::Read(Some(block)) => self.lanes.add_block(block),
            // Whatever is counted, there is nothing to read.
            Outcome::Read(None) => return self.lanes.set_on_disk(0),
            Outcome::Appended => self.writing = None,
            Outcome::Opened | Outcome::Saved => {}
        }
        self.count_disk();
    }

    fn count_disk(&mut self) {
        let in_memory = self.lanes.waiting().1 as u64;
        let on_disk = self.disk.figures().records.saturating_sub(in_memory);
        self.lanes.set_on_disk(on_disk);
    }

    /// What the lanes want of the disk.
    fn use_disk(&mut self) {
        while let Some((number, count)) = self.lanes.progress() {
            self.disk.acknowledge(number, count);
        }
        if self.disk.takes() {
            let now = Instant::now();
            let mut records = self.lanes.spill(now, false);
            if records.is_empty() {
                records = self.spill_promised(now);
            }
            if let [first, .., last] | [first @ last] = &records[..] {
                self.writing = Some((first.seq, last.seq));
                self.disk.append(self.epoch, records);
            }
        } else {
            self.give_up_promises(Instant::now());
        }
        if self.lanes.wants_block() && self.disk.can_read() {
            self.disk.read(unix_ms());
        }
    }

    async fn on_link(&mut self, event: Event) {
        match event {
            Event::Due => self.link = self.attempt(),
            Event::Opened(Ok(opened)) => match self.greet(opened).await {
                // Some of it may have come already.
                Ok(()) => self.read(false),
                Err(error) => self.fail(error, false),
            },
            Event::Opened(Err(error)) => self.fail(error.to_string(), false),
            Event::Read(is_all) => self.read(is_all),
            Event::Wrote => {}
            Event::Ended(error) => self.fail(error, true),
        }
    }

    fn attempt(&mut self) -> Link {
        let url = self
            .config
            .urls
            .get(self.url % self.config.urls.len().max(1));
        let Some(url) = url.cloned() else {
            return Link::Pause(Instant::now() + WATCHDOG);
        };
        self.status.remote = url.to_string();
        let files = self.config.files.clone();
        Link::Opening(Box::pin(net::open(url, files, self.config.preset)))
    }

    async fn greet(&mut self, opened: Opened) -> Result<(), String> {
        let secrets = Secrets::read(&self.config).await?;
        self.status.tls.clone_from(&opened.peer.tls);
        self.status.remote_until = opened.peer.remote_until;
        self.status.own_until = opened.peer.own_until;
        let has_old = self.lanes.waiting() != (0, 0) || self.disk.figures().records > 0;
        let memory = std::mem::take(&mut self.memory);
        let open = Open::new(opened, &self.config, secrets, self.dialect, memory, has_old);
        let open = open.map_err(|error| error.to_string())?;
        self.link = Link::Open(Box::new(open));
        Ok(())
    }

    /// The connection or the attempt has ended. `by_remote` if the remote did it.
    fn fail(&mut self, error: String, by_remote: bool) {
        let was_up = self.link.open().is_some_and(|open| open.client.is_up());
        self.promises.is_connected(false, Instant::now());
        let was_greeting = matches!(self.link, Link::Open(_)) && !was_up;
        let mut may_blame = by_remote && was_up;
        if let Some(open) = self.link.open() {
            may_blame &= open.client.closes_at_messages();
            self.memory = open.client.take_memory().unwrap_or_default();
        }
        let (under_way, qos0, poison) = self.lanes.disconnect(may_blame);
        self.status.duplicates_possible += under_way as u64;
        self.status.dropped.qos0 += qos0;
        self.sync.clear();
        if let Some((epoch, record)) = poison {
            self.reject_record(
                epoch,
                &record,
                format!("the remote ends the connection at it: {error}"),
            );
        }
        self.choose_version(by_remote && was_greeting && error == link::CLOSED);
        let name = &self.config.name;
        if self.status.connected || self.status.error.as_ref() != Some(&error) {
            log::warn!("uplink {name}: {}: {error}", self.status.remote);
        }
        if self.status.connected || self.status.error.is_none() {
            self.status.since = unix_ms();
        }
        self.status.connected = false;
        self.status.error = Some(error);
        if self
            .up_since
            .take()
            .is_some_and(|since| since.elapsed() >= GOOD)
        {
            self.failures = 0;
        }
        self.pause();
    }

    /// Some servers of before close without a word when they see a version that they do not know. So do servers that are
    /// about to start or to stop, so that three times in a row are needed.
    fn choose_version(&mut self, closed_at_once: bool) {
        self.closed = match closed_at_once && self.dialect == Dialect::V5 {
            true => self.closed + 1,
            false => 0,
        };
        self.dialect = match self.closed >= CLOSED_MAX {
            true => Dialect::V4,
            false => Dialect::first(self.config.preset),
        };
    }

    /// Tries the next URL, after a pause unless it is the first failure of a round.
    fn pause(&mut self) {
        let chance = self
            .chance
            .hash_one(self.seq ^ u64::from(self.failures) << 32) as u32;
        let chance = f64::from(chance) / f64::from(u32::MAX);
        let rounds = self.failures / self.config.urls.len().max(1) as u32;
        let pause = link::pause(rounds, self.config.reconnect, chance);
        self.failures = self.failures.saturating_add(1);
        self.url += 1;
        self.link = Link::Pause(Instant::now() + pause);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let is_empty = self.lanes.waiting() == (0, 0) && self.disk.figures().records == 0;
        if let Some(open) = self.link.open().filter(|_| is_empty) {
            open.client.forget();
        }
        if is_empty && self.writing.is_none() {
            self.lanes.forget();
        }
        if self.lanes.is_stuck(now) {
            let error = format!("no acknowledgement within {WATCHDOG:?}");
            self.fail(error, false);
        }
        if let Some(open) = self.link.open()
            && let Err(fault) = open.client.tick(now, &mut open.out)
        {
            self.fail(fault.to_string(), false);
        }
        self.publish_status();
    }

    /// Everything that is in memory goes to the card.
    async fn finish(mut self) -> Forwarder {
        for mut delivery in self.forwarder.drain() {
            self.take(&mut delivery);
        }
        self.release_all();
        let (under_way, ..) = self.lanes.disconnect(false);
        self.status.duplicates_possible += under_way as u64;
        while let Some((number, count)) = self.lanes.progress() {
            self.disk.acknowledge(number, count);
        }
        loop {
            let records = self.lanes.spill(Instant::now(), true);
            if records.is_empty() {
                break;
            }
            self.disk.append(self.epoch, records);
        }
        if let Link::Open(open) = self.link {
            open.leave(GOODBYE).await;
        }
        let lost = self.disk.finish().await;
        if !lost.is_empty() {
            log::error!(
                "uplink {}: {} messages could not be kept",
                self.config.name,
                lost.len()
            );
        }
        self.forwarder
    }
}
