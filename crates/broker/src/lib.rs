//! An MQTT broker to embed: MQTT 3.1, 3.1.1 and 5.0 on the same port, and links in process.
//!
//! `session` is a pure state machine, `router` says who gets what, `deliver` takes it there, and
//! `net` is the only module that touches a socket. Nothing here knows a device.

mod addresses;
mod config;
mod counters;
mod door;
mod endpoint;
mod hub;
mod link;
mod net;
mod network;
mod origin;
mod shown;
mod sys;
#[cfg(test)]
mod testing;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use fieldgate_mqtt::ReasonCode;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::time::Instant;

pub use config::{Config, Limits};
pub use counters::Totals;
pub use door::ClientView;
pub use door::Door;
pub use endpoint::{ClientCa, Endpoint, Listener, Origins, TlsSettings};
pub use fieldgate_broker_access::{
    AccessToken, FilterError, NotLetIn, OwnTopics, PasswordError, PasswordHash, Permission, Role,
    Rule, Takeover, User, Users,
};
pub use fieldgate_broker_core::message::Message;
pub use fieldgate_broker_core::router::{LevelView, RetainedView};
pub use fieldgate_broker_store::{StoreConfig, StoreError};
pub use fieldgate_mqtt::QoS;
pub use fieldgate_mqtt::topic::filter_is_valid;
pub use link::{
    Author, Delivery, Forwarder, Gathering, Link, LinkError, NotTaken, Outgoing, Vouched,
};
pub use net::{Bound, Encryption, SocketFile, TlsError, TlsFile, bind};
pub use network::{Network, NoNetwork};

use fieldgate_broker_access::Policy;
use fieldgate_broker_store::Store;
use hub::Hub;
use net::{Certificates, Gate, Worker};

/// How often expired retained messages are looked for, and certificates that have changed.
const PURGE: Duration = Duration::from_secs(30);

/// How often the store is asked whether it needs everything again.
const LOOK: Duration = Duration::from_secs(1);

/// Retained messages are not written more often than this.
const SHORTEST: Duration = Duration::from_millis(100);

/// A running broker. It has threads of its own; dropping it stops them at once.
#[derive(Debug)]
pub struct Broker {
    hub: Arc<Hub>,
    addresses: Vec<SocketAddr>,
    /// Bound, and not served yet.
    waiting: Vec<(Bound, Gate)>,
    certificates: Arc<[Arc<Certificates>]>,
    workers: Vec<(Handle, Arc<Worker>)>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// A place to listen that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {error}")]
pub struct BindError {
    /// The place that was asked for.
    pub endpoint: Endpoint,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A place to listen cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A certificate or a key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Another process has the store open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no thread or no event queue.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
}

impl Broker {
    /// Opens all listeners and serves them. When it returns, clients can connect.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let mut broker = Self::open(config)?;
        broker.serve();
        Ok(broker)
    }

    /// Opens all listeners and takes up what was kept. Clients wait for an answer until
    /// [`Self::serve`], and links can be used: so a program puts its own topics right first.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn open(config: Config) -> Result<Self, StartError> {
        let mut certificates: Vec<Arc<Certificates>> = Vec::new();
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for listener in &config.listeners {
            let gate = gate(listener, &mut certificates)?;
            let bound = net::bind(&listener.endpoint).and_then(|bound| {
                addresses.extend(bound.local_addr()?);
                listeners.push((bound, gate));
                Ok(())
            });
            bound.map_err(|error| BindError {
                endpoint: listener.endpoint.clone(),
                error,
            })?;
        }
        let count = config.worker_count();
        let hub = Arc::new(Hub::new(config, count)?);
        let (stop, stopped) = watch::channel(false);
        let mut broker = Self {
            hub,
            addresses,
            waiting: listeners,
            certificates: certificates.into(),
            workers: Vec::new(),
            threads: Vec::new(),
            stop,
        };
        // The last is for clients whose packets take long.
        for index in 0..=count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let is_slow = index == count;
            let worker = Worker::new(&broker.hub, index, is_slow);
            if is_slow {
                broker.hub.set_slow(runtime.handle());
            }
            broker.workers.push((runtime.handle().clone(), worker));
            let mut stopped = stopped.clone();
            let name = match is_slow {
                true => "broker-slow".to_owned(),
                false => format!("broker-{index}"),
            };
            let thread = std::thread::Builder::new().name(name);
            broker.threads.push(thread.spawn(move || {
                // An error means that the broker itself is gone, which is a reason to stop too.
                let _ = runtime.block_on(stopped.wait_for(|stop| *stop));
            })?);
        }
        if let Some((handle, slow)) = broker.workers.last() {
            let all = broker.workers.iter();
            all.for_each(|(_, worker)| worker.set_slow(handle, slow));
        }
        let (first, _) = &broker.workers[0];
        let certificates = Arc::clone(&broker.certificates);
        first.spawn(housekeeping(Arc::clone(&broker.hub), certificates));
        first.spawn(keep_room(Arc::clone(&broker.hub)));
        Ok(broker)
    }

    /// Takes connections from now on.
    pub fn serve(&mut self) {
        let (first, _) = &self.workers[0];
        for (listener, gate) in self.waiting.drain(..) {
            let quick = self.workers.iter().filter(|(_, worker)| !worker.is_slow);
            let quick = quick.cloned().collect();
            first.spawn(net::accept(listener, gate, quick));
        }
    }

    /// The addresses that are listened on, in the order of the configuration, in which Unix
    /// sockets have none.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A client inside this process. `name` is for logs; several may have the same.
    pub fn link(&self, name: &str) -> Link {
        Link::new(&self.hub, name)
    }

    /// A client inside this process that hands messages on to another broker. No more than `room` bytes of messages
    /// wait for it.
    pub fn forwarder(&self, name: &str, room: usize) -> Forwarder {
        Forwarder::new(&self.hub, name, room)
    }

    /// Reads all certificates and keys again; connections go on. What cannot be used is logged,
    /// and the old certificate stays. Changed files are noticed within half a minute without it.
    pub fn reload_certificates(&self) {
        self.certificates.iter().for_each(|one| one.reload());
    }

    /// Lets in others from now on, and permits other things, without disturbing those whom it does
    /// not concern. Clients that are connected lose what they may not do any more: messages stop
    /// coming and publications are refused. Those who may not be here at all, because their user has
    /// gone or its password has changed, are disconnected with Not authorized.
    pub fn set_access(&self, allow_anonymous: bool, users: Users) {
        self.hub.set_access(Policy::new(allow_anonymous, users));
    }

    /// Whether a user has this password, for another door of the same house, such as a web page. The attempts of an
    /// address count with its logins over MQTT. To be called on a tokio runtime, whose blocking threads do the work.
    ///
    /// # Errors
    ///
    /// Why the user is not let in.
    pub async fn authenticate(
        &self,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> Result<(), NotLetIn> {
        self.hub.access.authenticate(user, password, peer).await
    }

    /// What another door of the same house may ask.
    pub fn door(&self) -> Door {
        Door::new(&self.hub)
    }

    /// From now on these topics are the program's own. See [`OwnTopics`].
    pub fn set_own(&self, own: OwnTopics) {
        self.hub.set_own(own);
    }

    /// Whether what has to outlive the process does. False while the store's folder cannot be
    /// used, or its disk takes nothing; true without a store, as none was asked for.
    pub fn is_keeping(&self) -> bool {
        self.hub.store.as_ref().is_none_or(Store::is_keeping)
    }

    /// Counts since the start.
    pub fn totals(&self) -> Totals {
        self.hub.totals()
    }

    /// Clients connected now, links not counted.
    pub fn connected(&self) -> usize {
        self.hub.online.load(Ordering::Relaxed)
    }

    /// Whether every worker still answers, asked by giving each something to do. For a watchdog.
    pub async fn is_alive(&self, within: Duration) -> bool {
        let answers = self
            .workers
            .iter()
            .map(|(handle, _)| handle.spawn(async {}));
        let all = async {
            for answer in answers {
                if answer.await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(within, all).await.unwrap_or(false)
    }

    /// Takes no more connections, tells the clients why it goes, sends what is underway, and
    /// stops. Takes no longer than the configured grace.
    pub async fn shutdown(self) {
        self.hub.stopping.store(true, Ordering::Relaxed);
        let until = Instant::now() + self.hub.config.shutdown_grace;
        for slot in self.hub.slots() {
            slot.kick(ReasonCode::SERVER_SHUTTING_DOWN);
        }
        while self.hub.serving.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Some(store) = &self.hub.store {
            store.close();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.hub.access.logins.close();
        // No receiver is left only if all threads have ended already.
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What clients of a listener pass. Listeners with the same files share them.
fn gate(listener: &Listener, known: &mut Vec<Arc<Certificates>>) -> Result<Gate, TlsError> {
    let tls = match &listener.tls {
        None => None,
        Some(settings) => match known.iter().find(|one| one.settings() == settings) {
            Some(one) => Some(Arc::clone(one)),
            None => {
                let one = Arc::new(Certificates::load(settings.clone())?);
                known.push(Arc::clone(&one));
                Some(one)
            }
        },
    };
    Ok(Gate {
        tls,
        websocket: listener
            .websocket
            .then(|| Arc::new(listener.origins.clone())),
        allow_anonymous: listener.allow_anonymous,
    })
}

/// Makes room whenever clients hold too much.
async fn keep_room(hub: Arc<Hub>) {
    loop {
        // Not everything that grows is noticed at once.
        let _ = tokio::time::timeout(LOOK, poll_fn(|cx| hub.budget.poll_short(cx))).await;
        let hub = Arc::clone(&hub);
        let relieved = move || hub.relieve(Instant::now().into_std());
        // It ends with the runtime.
        let _ = tokio::task::spawn_blocking(relieved).await;
    }
}

/// Wills, expiring sessions, retained messages that expire, changed certificates, and `$SYS`.
async fn housekeeping(hub: Arc<Hub>, certificates: Arc<[Arc<Certificates>]>) {
    let now = || Instant::now().into_std();
    let mut sys = sys::Sys::new(&hub, now());
    let interval = hub.config.sys_interval;
    // Longer than any uptime if it is switched off.
    let never = Duration::from_secs(u32::MAX.into());
    let mut figures = tokio::time::interval(if interval.is_zero() { never } else { interval });
    let mut purge = tokio::time::interval(PURGE);
    let retained = hub.store.as_ref().map(Store::retained_interval);
    let mut retained = tokio::time::interval(retained.unwrap_or(never).max(SHORTEST));
    let mut look = tokio::time::interval(if hub.store.is_some() { LOOK } else { never });
    loop {
        tokio::select! {
            () = hub.timers.due() => {
                while let Some(due) = hub.timers.take(now()) {
                    hub.on_due(&due, now());
                }
            }
            _ = figures.tick(), if !interval.is_zero() => sys.publish(&hub, now()),
            _ = retained.tick() => {
                if let Some(store) = &hub.store {
                    store.write_retained();
                }
            }
            _ = look.tick() => {
                if hub.store.as_ref().is_some_and(Store::wants_all) {
                    hub.keep_everything();
                }
            }
            _ = purge.tick() => {
                let gone = hub.retained().purge(now());
                if let Some(store) = &hub.store {
                    gone.iter().for_each(|topic| store.retained_expired(topic));
                    store.check_time();
                }
                certificates.iter().for_each(|one| one.refresh());
            }
        }
    }
}
