//! What a bridge implements, and what it is run with.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::{Command, Outcome, Sample};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Backoff, DriverError, Receiver, Rule, Sender};

/// Opens sessions with one device.
pub trait Driver: Send + 'static {
    /// What `open` makes.
    type Session: Session;

    /// Opens the device. Dropped half-way when the device is removed; must then leave nothing
    /// behind.
    ///
    /// # Errors
    ///
    /// If the device cannot be reached. It is tried again after a pause.
    fn open(&mut self) -> impl Future<Output = Result<Self::Session, DriverError>> + Send;

    /// Waits until there is a reason to try again before the pause is over, for example because
    /// the port is back. Cancel-safe. By default there never is.
    fn recovered(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }
}

/// An open device.
pub trait Session: Send {
    /// Waits until `poll` has something to do: a period is over, or bytes have arrived.
    /// Cancel-safe: it is dropped whenever a command comes first.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// One transaction, or a part of the work that needs no answer. Never dropped half-way, so it
    /// must end by its own time limit. Appends what it read to `out`.
    ///
    /// # Errors
    ///
    /// If nothing usable came back. An answer that refuses single points is no error; those
    /// points get a bad sample.
    fn poll(
        &mut self,
        out: &mut Vec<Sample>,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Applies one command. Never dropped half-way. Appends what it read back to `out`.
    fn apply(
        &mut self,
        command: Command,
        out: &mut Vec<Sample>,
    ) -> impl Future<Output = Outcome> + Send;

    /// Applies the commands of one request, in their order. Never dropped half-way. A session
    /// that has to wait before it can say what became of them returns [`Begun::Later`], goes on
    /// polling, and gives the outcomes to [`Session::take_finished`]. By default the commands are
    /// applied one after the other.
    fn begin(
        &mut self,
        commands: Vec<Command>,
        out: &mut Vec<Sample>,
    ) -> impl Future<Output = Begun> + Send {
        async move {
            let mut outcomes = Vec::with_capacity(commands.len());
            for command in commands {
                outcomes.push(self.apply(command, out).await);
            }
            Begun::Done(outcomes)
        }
    }

    /// Takes the outcomes that have become known since the last call, with what [`Begun::Later`]
    /// called them.
    fn take_finished(&mut self) -> Vec<(u64, Vec<Outcome>)> {
        Vec::new()
    }
}

/// What became of the commands of one request so far.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// They are over; one outcome for each.
    Done(Vec<Outcome>),
    /// Their outcomes will be known later, under this number.
    Later(u64),
}

/// Commands of one client on their way to a device.
#[derive(Debug)]
pub struct Request {
    /// What to do, in this order; never empty.
    pub commands: Vec<Command>,
    /// When it came in; one that waited longer than [`Settings::command_expiry`] is refused.
    pub received: Instant,
    /// Where the outcome goes. Dropped without an answer only if the device was removed.
    pub reply: Reply,
}

/// Where outcomes go.
#[derive(Debug)]
pub enum Reply {
    /// The outcome of the only command.
    One(oneshot::Sender<Outcome>),
    /// One outcome for each command.
    Several(oneshot::Sender<Vec<Outcome>>),
}

impl Reply {
    /// Answers. The caller may have gone.
    pub fn send(self, outcomes: Vec<Outcome>) {
        match self {
            Self::One(reply) => {
                if let Some(outcome) = outcomes.into_iter().next() {
                    let _ = reply.send(outcome);
                }
            }
            Self::Several(reply) => {
                let _ = reply.send(outcomes);
            }
        }
    }
}

impl Request {
    /// A command that came in now, and where its outcome will arrive.
    pub fn new(command: Command) -> (Box<Self>, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let request = Self {
            commands: vec![command],
            received: Instant::now(),
            reply: Reply::One(reply),
        };
        (Box::new(request), outcome)
    }

    /// Several commands that came in together now, and where their outcomes will arrive.
    pub fn several(commands: Vec<Command>) -> (Box<Self>, oneshot::Receiver<Vec<Outcome>>) {
        let (reply, outcomes) = oneshot::channel();
        let request = Self {
            commands,
            received: Instant::now(),
            reply: Reply::Several(reply),
        };
        (Box::new(request), outcomes)
    }
}

/// What a device has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Readings that passed the change filter; stale ones follow an [`Event::Offline`].
    Samples(Vec<Sample>),
    /// The device answers: once after the start, and after each [`Event::Offline`].
    Online,
    /// The device has stopped answering, or has not answered since the start.
    Offline {
        /// Why, for people.
        error: String,
        /// When it was given up.
        since: Timestamp,
    },
}

/// The channels of one running device. Both are bounded by their maker. What they hold is
/// boxed, as it passes through the room that a device takes when it has nothing to do.
#[derive(Debug)]
pub struct Ports {
    /// Commands. When full, the sender has to refuse or wait.
    pub requests: Receiver<Box<Request>>,
    /// Events. When full, the device waits with its next transaction: nothing is dropped, and
    /// the device is polled more slowly.
    pub events: Sender<Box<Event>>,
    /// Ends the run between two transactions.
    pub cancel: CancellationToken,
}

/// How one device is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Names the device in the log.
    pub device: String,
    /// One rule for each point, in the order of the device's points; devices may share them.
    pub rules: Arc<[Rule]>,
    /// The pauses between attempts to reach a device that is offline.
    pub backoff: Backoff,
    /// How many failures in a row make the device offline; at least 1.
    pub offline_after: u32,
    /// How long a command may wait before it is too old to be carried out.
    pub command_expiry: Duration,
    /// Makes the jitter of the pauses repeatable. Different for each device.
    pub seed: u64,
}

/// A person who pressed a button has given up waiting by then.
pub const COMMAND_EXPIRY: Duration = Duration::from_secs(5);
