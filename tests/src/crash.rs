//! The crash harness: correct clients with sessions, a broker that is killed again and again, and what must hold then.
//!
//! A run is one broker with one state folder. Publishers and subscribers live through all its kills as clients do
//! that keep their session in a safe place: they resume, repeat what was not acknowledged, and know which QoS 2 messages
//! they have. [`ledger`] is pure and says what was lost, repeated or out of order; [`publisher`] and
//! [`subscriber`] are the clients; [`run`] has the plot. [`rounds`] is the other plot: few clients, whose every step is known,
//! see what is left of retained values, deletions, wills and sessions after each kill, and the clock jumps. Who starts and kills the process is the caller's affair.

pub mod ledger;
pub mod promise;
mod publisher;
mod rounds;
mod run;
mod subscriber;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fieldgate_mqtt::{Connect, Version};

use fieldgate_test_client::Raw;

pub use rounds::{SetClock, rounds};
pub use run::{Daemon, Outcome, Plan, run};

/// Without any progress for so long the run has failed. Longer than a recovery on a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where all messages go that are counted, and the one that comes last.
const TOPICS: &str = "crash/m";
const END: &str = "crash/end";

/// Where retained values go.
const KEPT: &str = "crash/kept";

/// What all clients of a run see of it.
struct Field {
    address: SocketAddr,
    /// Per publisher: messages that have been sent, if only in part. Those that follow go to the subscribers of that time.
    sent: Vec<AtomicU64>,
    /// Per publisher: messages that may have been sent by now.
    budget: AtomicU64,
    /// Acknowledgements seen by publishers, which is how far the load is.
    acknowledged: AtomicU64,
    received: AtomicU64,
    subscribed: AtomicU64,
    /// How often the broker has been killed, so that a client can stay away until it was.
    kills: AtomicU64,
    /// No more messages: publishers end what they have begun, subscribers stay until they have the last message.
    draining: AtomicBool,
    /// One has failed: all stop.
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Field {
    fn fail(&self, why: String) {
        let mut failure = self.failure.lock().expect("no thread panics with it");
        failure.get_or_insert(why);
        self.failed.store(true, Ordering::SeqCst);
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Connects as soon as there is a broker. `None` when the run has failed.
    fn connect(&self, connect: &Connect<'_>) -> Option<(Raw, bool)> {
        self.connect_in_life(connect)
            .map(|(client, present, _)| (client, present))
    }

    /// As [`Self::connect`], and which life of the broker it is, if that is beyond doubt.
    fn connect_in_life(&self, connect: &Connect<'_>) -> Option<(Raw, bool, Option<u64>)> {
        let end = std::time::Instant::now() + PATIENCE;
        while !self.failed() {
            let life = self.kills.load(Ordering::SeqCst);
            match Raw::connect(self.address, connect, Duration::from_secs(10)) {
                Ok((client, present)) => {
                    let still = self.kills.load(Ordering::SeqCst) == life;
                    return Some((client, present, still.then_some(life)));
                }
                Err(error) if std::time::Instant::now() > end => {
                    self.fail(format!("{} cannot connect: {error}", connect.client_id));
                }
                // No broker is there, which is how it should be for a moment; a client tries again.
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        None
    }
}

/// MQTT 3.1.1 or 5.0, by turns.
fn version(number: usize) -> Version {
    match number % 2 {
        0 => Version::V5,
        _ => Version::V4,
    }
}
