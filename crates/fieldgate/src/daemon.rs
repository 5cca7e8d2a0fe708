//! The gateway as a daemon: start, signals, reload, orderly end.
//!
//! `supervisor` polls, `publisher` publishes, `commands` takes commands. The broker itself has threads
//! of its own and goes on serving whatever happens here.

mod access_reload;
mod commands;
mod device;
mod listen;
mod machine;
mod page;
mod publisher;
mod stats;
mod supervisor;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::show::counted;
use fieldgate_broker::{Broker, Link, LinkError, QoS};
use fieldgate_console::{Console, Logs};
use fieldgate_history::{Event, History, Kind, Tap};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::args;
use crate::backup;
use crate::certificates::Keeper;
use crate::console::{self, Asked, Desk, Notice, Reloaded};
use crate::control::{
    self,
    server::{Buses, Control},
};
use crate::history;
use crate::kinds::KINDS;
use crate::notify::{self, Notifier};
use crate::stop::Stop;
use crate::uplinks::Uplinks;
use access_reload::Access;
use commands::Commands;
use fieldgate_config as config;
use fieldgate_journal::ANSWER;
use fieldgate_plant::Plant;
use publisher::Publisher;
use supervisor::Supervisor;

/// How long the broker may take to disconnect its clients; its own grace is shorter.
const BROKER_END: Duration = Duration::from_secs(5);

/// How often the users file is looked at. Polling needs no descriptor, survives every way of
/// replacing a file, and costs one system call.
const USERS_LOOK: Duration = Duration::from_secs(2);
/// How often it is looked whether the certificate has to be renewed: a new address of this machine gets into it.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(60);
/// From one line about the devices to the next.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// The configuration that is to run.
#[derive(Clone)]
struct Wanted {
    path: PathBuf,
    /// Whether all of it is simulated.
    simulate: bool,
}

impl Wanted {
    fn of(args: &args::Run) -> Self {
        Self {
            path: args.config.path().to_owned(),
            simulate: args.simulate,
        }
    }

    /// The folder for what has to survive. What is simulated leaves nothing in the place of what is real.
    fn state(&self, given: Option<PathBuf>) -> Option<PathBuf> {
        given.or_else(|| args::state_directory().filter(|_| !self.simulate))
    }

    fn load(&self) -> Result<config::Config, config::Report> {
        let mut config = config::load_with_files(&self.path, KINDS)?.config;
        if self.simulate {
            if !config.uplinks.is_empty() {
                log::info!("uplinks are off, as what is simulated is for this machine");
            }
            for (name, why) in config.play(KINDS) {
                log::warn!(DEVICE = name.as_str(); "left out, as it cannot be simulated: {why}");
            }
        }
        Ok(config)
    }
}

/// Runs the gateway until a signal ends it.
///
/// # Errors
///
/// What keeps it from starting.
pub(crate) async fn run(args: &args::Run, logs: Logs) -> Result<(), Stop> {
    let wanted = Wanted::of(args);
    let (path, state) = (wanted.path.as_path(), wanted.state(args.state.clone()));
    let state = state.as_deref();
    let (config, desk, mut signals, board) = begin(&wanted, state)?;
    let mut doors = Access::new(&config, path);
    let (mut broker, listeners) = listen::open(&config, state)?;
    let console = console::open(&config, &desk)?;
    let link = broker.link(&config.gateway);
    let publisher = Publisher::new(link.clone(), &config);
    introduce(&publisher, &link, &config)?;
    // Before a client can read it.
    publisher.take_over(&config).await;
    let plant = Plant::default();
    let history = history::start(&config, state);
    let changed = Arc::new(Notify::new());
    let tap = history.as_ref().map(History::tap);
    let mut supervisor = Supervisor::new(
        &config,
        state,
        publisher.clone(),
        plant.clone(),
        Arc::clone(&changed),
        tap.clone(),
    );
    let configured = config.uplinks.clone();
    let mut uplinks = Uplinks::new(state, config.topics.clone(), link.clone(), tap.clone());
    // Before devices publish, so that nothing of theirs is missed.
    uplinks.change(&configured, &broker).await;
    // Nor of a client: it would be told that its message is safe.
    broker.serve();
    supervisor.change(config).await.map_err(Stop::Listen)?;
    let buses = Buses::with(uplinks.running());
    buses.set(supervisor.handles());
    let _control = open_control(path, args.control.as_deref(), &buses);
    // Commands that came in before there were devices wait in the link until now.
    let commands = Commands::start(&link, &publisher, &plant, tap.clone());
    publisher.gateway_state(true).await;
    listen::announce(&broker, &listeners);
    doors.explain();
    let around = (&desk, &buses, history.as_ref());
    let console = console::start(console, &plant, &broker, doors.known(), around, logs)?;
    signals.notifier.ready();

    let mut parts = Parts {
        plant: &plant,
        supervisor: &mut supervisor,
        doors: &mut doors,
        uplinks: &mut uplinks,
        desk: &desk,
        board,
        console: console.as_ref(),
        history: tap.as_ref(),
    };
    serve(&mut signals, &broker, &mut parts, &changed, &buses, &wanted).await;

    signals.notifier.stopping();
    log::info!("stopping");
    drop(console);
    commands.stop().await;
    supervisor.drain().await;
    publisher.gateway_state(false).await;
    let kept = uplinks.stop().await;
    link.close();
    // History writes what came in last.
    drop((link, publisher, tap, history));
    end(broker).await;
    drop(kept);
    Ok(())
}

/// Reads the configuration, after a restore that may have to be ended.
fn begin(
    wanted: &Wanted,
    state: Option<&Path>,
) -> Result<(config::Config, Desk, Signals, Board), Stop> {
    let path = wanted.path.as_path();
    take_over_restored(path, state);
    let text = console::read(path);
    let config = wanted.load().map_err(Stop::Config)?;
    let (desk, asked) = Desk::new(path, state);
    text.into_iter().for_each(|text| desk.runs(text));
    let signals = Signals::new(asked).map_err(Stop::Other)?;
    let mut board = Board {
        keeper: Keeper::new(path, &config),
        notice: Notice::new(&config),
    };
    // Before somebody listens with the certificate.
    board.keeper.look();
    Ok((config, desk, signals, board))
}

/// Ends what a restore began. What cannot be ended is no reason not to serve.
fn take_over_restored(path: &Path, state: Option<&Path>) {
    if let Err(error) = backup::finish(path) {
        log::error!("a backup was not restored to its end: {error}");
    }
    if let Err(error) = state.map_or(Ok(()), backup::take_counts) {
        log::error!("the counts of a backup were not taken over: {error}");
    }
}

/// Leaves the gateway's will, and asks for commands.
fn introduce(publisher: &Publisher, link: &Link, config: &config::Config) -> Result<(), Stop> {
    let refused = |error: LinkError| Stop::Other(io::Error::other(error));
    publisher.leave_will().map_err(refused)?;
    for filter in config.topics.commands() {
        let subscribed = link.subscribe(&filter, QoS::AtLeastOnce);
        subscribed.map_err(refused)?;
    }
    Ok(())
}

async fn end(broker: Broker) {
    // In a task of its own: ending the threads of a broker that hangs would block for ever.
    let end = tokio::spawn(broker.shutdown());
    if tokio::time::timeout(BROKER_END, end).await.is_err() {
        log::warn!("the broker did not stop within {BROKER_END:?}");
    }
    log::info!("stopped");
}

/// Signals to the process, and what the service manager is told.
struct Signals {
    notifier: Notifier,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// The same, from the console.
    asked: mpsc::Receiver<Asked>,
}

impl Signals {
    fn new(asked: mpsc::Receiver<Asked>) -> io::Result<Self> {
        Ok(Self {
            notifier: Notifier::new(),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            asked,
        })
    }
}

/// What runs, and what a reload changes of it.
struct Parts<'a> {
    plant: &'a Plant,
    supervisor: &'a mut Supervisor,
    doors: &'a mut Access,
    uplinks: &'a mut Uplinks,
    desk: &'a Desk,
    board: Board,
    console: Option<&'a Console>,
    history: Option<&'a Tap>,
}

/// What is done for the board itself: its certificate, and what a person there is told.
struct Board {
    keeper: Keeper,
    notice: Notice,
}

impl Parts<'_> {
    /// Makes or renews the certificate when it is time.
    async fn keep_certificate(&mut self) {
        let mut keeper = self.board.keeper.clone();
        let work = move || (keeper.look(), keeper);
        if let Ok((is_new, keeper)) = tokio::task::spawn_blocking(work).await {
            self.board.keeper = keeper;
            if is_new {
                self.desk.renewed().notify_one();
            }
        }
    }
}

/// Returns when the daemon shall end.
async fn serve(
    signals: &mut Signals,
    broker: &Broker,
    parts: &mut Parts<'_>,
    changed: &Notify,
    buses: &Buses,
    wanted: &Wanted,
) {
    let watchdog = notify::watchdog_interval();
    // Longer than any uptime when there is no watchdog.
    let interval = watchdog.unwrap_or(Duration::from_secs(u32::MAX.into()));
    let mut tick = tokio::time::interval(interval);
    let mut look = tokio::time::interval(USERS_LOOK);
    let mut count = tokio::time::interval(stats::LOOK);
    let mut renew = tokio::time::interval(CERTIFICATE_LOOK);
    let renewed = parts.desk.renewed();
    let (mut has_changed, mut next_status) = (false, Instant::now());
    let mut is_keeping = true;
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => {
                reload_all(&mut signals.notifier, broker, parts, buses, wanted).await;
                // A new device has all its topics as soon as one that was there from the start.
                count.reset_immediately();
            }
            Some(asked) = signals.asked.recv() => {
                let told = reload_all(&mut signals.notifier, broker, parts, buses, wanted).await;
                count.reset_immediately();
                // Who has gone needs no answer.
                let _ = asked.send(told);
            }
            _ = look.tick() => {
                parts.doors.look(broker).await;
                parts.uplinks.publish().await;
                parts.supervisor.look_at_lines();
                parts.board.notice.tell(parts.console);
            }
            _ = renew.tick() => parts.keep_certificate().await,
            () = renewed.notified() => broker.reload_certificates(),
            _ = count.tick() => {
                parts.supervisor.publish_counters();
                has_changed |= broker.is_keeping() != is_keeping;
            }
            () = changed.notified() => has_changed = true,
            () = sleep_until(next_status), if has_changed => {
                has_changed = false;
                next_status = Instant::now() + STATUS_PAUSE;
                is_keeping = broker.is_keeping();
                signals.notifier.status(&status(parts.plant.count(), is_keeping));
            }
            _ = tick.tick(), if watchdog.is_some() => {
                if broker.is_alive(interval / 2).await {
                    signals.notifier.alive();
                } else {
                    log::error!("the broker does not answer");
                }
            }
        }
    }
}

async fn reload_all(
    notifier: &mut Notifier,
    broker: &Broker,
    parts: &mut Parts<'_>,
    buses: &Buses,
    wanted: &Wanted,
) -> Reloaded {
    notifier.reloading();
    // Even if the configuration has mistakes: what is wrong in it may be another thing.
    broker.reload_certificates();
    let told = reload(wanted, broker, parts).await;
    buses.set(parts.supervisor.handles());
    notifier.ready();
    told
}

/// What `systemctl status` shows: how many devices are online, and what a person must know besides.
fn status((online, all): (usize, usize), is_keeping: bool) -> String {
    let kept = match is_keeping {
        true => "",
        false => "; NOTHING IS KEPT: the state folder cannot be used, the log says why",
    };
    format!("{online} of {all} devices online{kept}")
}

/// Lets tools use the buses. The gateway does its work without that, too.
fn open_control(config: &Path, given: Option<&Path>, buses: &Buses) -> Option<Control> {
    let path = control::server_path(config, given);
    match Control::start(&path, config, buses.clone()) {
        Ok(control) => Some(control),
        Err(error) => {
            log::warn!(
                "{}: tools cannot use the gateway's buses: {error}",
                path.display()
            );
            None
        }
    }
}

/// Reads the configuration again and takes over what changed.
async fn reload(wanted: &Wanted, broker: &Broker, parts: &mut Parts<'_>) -> Reloaded {
    let wanted = wanted.clone();
    let read = move || (console::read(&wanted.path), wanted.load());
    let loaded = tokio::task::spawn_blocking(read).await;
    let (text, config) = match loaded {
        Ok((text, Ok(config))) => (text, config),
        Ok((_, Err(report))) => {
            log::error!("the configuration has mistakes and changes nothing");
            for diagnostic in report.iter() {
                log::error!(target: ANSWER, "{diagnostic}");
            }
            return Reloaded::Mistakes(report);
        }
        Err(error) => {
            let text = format!("the configuration could not be read: {error}");
            log::error!("{text}");
            return Reloaded::Failed(text);
        }
    };
    text.into_iter().for_each(|text| parts.desk.runs(text));
    let is_new = parts.doors.change(&config, broker);
    broker.set_own(listen::own_topics(parts.supervisor.topics(), &config));
    let uplinks = parts.uplinks.change(&config.uplinks, broker).await;
    let is_new = is_new || uplinks > 0;
    if uplinks > 0 {
        let uplinks = counted(uplinks, "uplink");
        log::info!("reloaded: {uplinks} started or stopped");
    }
    match parts.supervisor.change(config).await {
        Ok(changes) => {
            say(&changes, is_new, parts.history);
            Reloaded::Done(changes, None)
        }
        Err(error) => {
            log::error!("reloaded, but not all: {error}");
            Reloaded::Done(config::Changes::default(), Some(error.to_string()))
        }
    }
}

/// What a reload has changed, for the log.
fn say(changes: &config::Changes, is_new: bool, history: Option<&Tap>) {
    if changes.is_empty() {
        if !is_new {
            log::info!("reloaded: nothing changed");
        }
        return;
    }
    for key in &changes.need_restart {
        log::warn!(target: ANSWER, "{key} has changed and needs a restart");
    }
    let text = format!(
        "{} added, {} removed, {} restarted",
        counted(changes.added.len(), "device"),
        changes.removed.len(),
        changes.changed.len(),
    );
    log::info!("reloaded: {text}");
    if let Some(history) = history {
        history.event(Event::new(Kind::Reloaded, Timestamp::now()).saying(&text));
    }
}
