//! The one loop that keeps a device running.

use std::pin::pin;
use std::sync::Arc;

use fieldgate_model::{Outcome, Quality, Sample, Value};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::backoff::Delays;
use crate::counters::add;
use crate::{
    Begun, Counters, Driver, DriverError, Event, Filter, Ports, Reply, Request, Session, Settings,
    Unsent,
};

/// Keeps one device running until `ports.cancel` fires. It has no error: it retries for ever.
///
/// A device goes offline after `settings.offline_after` failures in a row, or when its port
/// cannot be opened so often. Then its session is ended, its last values are published as stale,
/// commands are refused at once, and it is tried once after each pause: a dead unit costs its
/// bus one timeout per pause and no more.
pub fn run(
    mut driver: impl Driver,
    settings: Settings,
    counters: Arc<Counters>,
    ports: Ports,
) -> impl Future<Output = ()> + Send {
    let mut device = Device {
        delays: Delays::new(settings.backoff, settings.seed),
        filter: Filter::new(Arc::clone(&settings.rules)),
        settings,
        counters,
        ports,
        link: Link::Unknown,
        failures: 0,
    };
    // Not an async function: what is moved into one stands in its future twice.
    async move { while device.attempt(&mut driver).await.is_some() {} }
}

/// Requests whose outcome a session may owe. Others wait in their queue meanwhile.
const BEGUN_MAX: usize = 16;

/// Whether the device answers, as it was last told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    Unknown,
    Online,
    Offline { error: String, since: Timestamp },
}

struct Device {
    settings: Settings,
    counters: Arc<Counters>,
    ports: Ports,
    filter: Filter,
    delays: Delays,
    link: Link,
    /// In a row.
    failures: u32,
}

/// What a session does next.
enum Next {
    Command(Box<Request>),
    Poll,
}

/// An answer that a session will have later.
struct Owed {
    number: u64,
    /// How many commands it is for.
    count: usize,
    reply: Reply,
}

/// The run goes on; `None` in its place means that it was cancelled.
type Continue = Option<()>;

impl Device {
    /// Opens the device, serves it until it fails, and pauses.
    async fn attempt(&mut self, driver: &mut impl Driver) -> Continue {
        let mut opened = {
            let mut open = pin!(driver.open());
            loop {
                tokio::select! {
                    biased;
                    () = self.ports.cancel.cancelled() => return None,
                    opened = &mut open => break opened,
                    // A closed channel only means that no other command will come.
                    Some(request) = self.ports.requests.recv() => self.refuse(*request),
                }
            }
        };
        match &mut opened {
            Ok(session) => self.serve(session).await?,
            Err(error) => {
                Box::pin(self.fail(error)).await?;
            }
        }
        drop(opened);
        self.pause(driver).await
    }

    /// Returns when the session has failed.
    ///
    /// `poll` and `apply` run outside of any `select!`, which could drop them half-way: the tail
    /// of a cut frame would spoil the next request on the bus.
    async fn serve(&mut self, session: &mut impl Session) -> Continue {
        let mut samples = Vec::new();
        let mut begun = Vec::new();
        let mut is_polls_turn = false;
        loop {
            let takes_commands = begun.len() < BEGUN_MAX;
            let next = self.next(session, takes_commands, is_polls_turn).await?;
            is_polls_turn = matches!(next, Next::Command(_));
            let result = match next {
                Next::Command(request) => {
                    // Boxed, as commands are rare and their room is not small.
                    let later = Box::pin(self.command(session, request, &mut samples)).await;
                    begun.extend(later);
                    Ok(())
                }
                Next::Poll => {
                    add(&self.counters.polls, 1);
                    let result = session.poll(&mut samples).await;
                    if result.is_ok() {
                        self.succeed().await?;
                    }
                    result
                }
            };
            for (number, outcomes) in session.take_finished() {
                if let Some(place) = begun.iter().position(|owed: &Owed| owed.number == number) {
                    self.finish(begun.swap_remove(place).reply, outcomes);
                }
            }
            self.publish(&mut samples).await?;
            if let Err(error) = result {
                // Boxed for the same reason.
                let is_offline = Box::pin(self.fail(&error)).await?;
                if is_offline || error.ends_session() {
                    for owed in begun {
                        let outcome = Outcome::Failed(format!("written, but then {error}"));
                        self.finish(owed.reply, vec![outcome; owed.count]);
                    }
                    return Some(());
                }
            }
        }
    }

    /// Waits for a command or for a poll to be due. A command goes first, but after one a poll
    /// does, so that a client that floods a device with commands cannot stop its polls.
    async fn next(
        &mut self,
        session: &mut impl Session,
        takes_commands: bool,
        is_polls_turn: bool,
    ) -> Option<Next> {
        let Ports {
            requests, cancel, ..
        } = &mut self.ports;
        if is_polls_turn {
            tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                () = session.ready() => Some(Next::Poll),
                Some(request) = requests.recv(), if takes_commands => Some(Next::Command(request)),
            }
        } else {
            tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                Some(request) = requests.recv(), if takes_commands => Some(Next::Command(request)),
                () = session.ready() => Some(Next::Poll),
            }
        }
    }

    /// Returns what will be answered later.
    async fn command(
        &mut self,
        session: &mut impl Session,
        request: Box<Request>,
        samples: &mut Vec<Sample>,
    ) -> Option<Owed> {
        if !matches!(self.link, Link::Online) {
            self.refuse(*request);
            return None;
        }
        let waited = request.received.elapsed();
        if waited > self.settings.command_expiry {
            let text = format!("too old: it waited {} ms", waited.as_millis());
            self.answer_refused(*request, &text);
            return None;
        }
        let count = request.commands.len();
        match session.begin(request.commands, samples).await {
            Begun::Done(outcomes) => {
                self.finish(request.reply, outcomes);
                None
            }
            Begun::Later(number) => Some(Owed {
                number,
                count,
                reply: request.reply,
            }),
        }
    }

    fn finish(&self, reply: Reply, outcomes: Vec<Outcome>) {
        for outcome in &outcomes {
            let counter = match outcome {
                Outcome::Done { .. } => &self.counters.commands_ok,
                Outcome::Mismatch { .. } | Outcome::Failed(_) => &self.counters.commands_failed,
            };
            add(counter, 1);
        }
        reply.send(outcomes);
    }

    fn refuse(&self, request: Request) {
        let text = match &self.link {
            Link::Unknown | Link::Online => "the device is not connected".to_owned(),
            Link::Offline { error, .. } => format!("the device is offline: {error}"),
        };
        self.answer_refused(request, &text);
    }

    fn answer_refused(&self, request: Request, text: &str) {
        let count = request.commands.len();
        add(&self.counters.commands_refused, count);
        let outcome = Outcome::Failed(text.to_owned());
        request.reply.send(vec![outcome; count]);
    }

    async fn succeed(&mut self) -> Continue {
        self.failures = 0;
        self.delays.reset();
        if self.link == Link::Online {
            return Some(());
        }
        log::info!(DEVICE = self.settings.device.as_str(); "online");
        self.link = Link::Online;
        self.send(Event::Online).await
    }

    /// Counts a failure. True if the device is now offline.
    async fn fail(&mut self, error: &DriverError) -> Option<bool> {
        self.counters.failed(error.cause);
        self.failures = self.failures.saturating_add(1);
        let device = self.settings.device.as_str();
        if let Link::Offline { error: told, since } = &self.link {
            log::debug!(DEVICE = device; "{error}");
            // The state tells what is wrong now, not what was at first: another adapter may be in.
            if *told != error.detail {
                let since = *since;
                self.tell_offline(error, since).await?;
            }
            return Some(true);
        }
        if self.failures < self.settings.offline_after {
            log::debug!(DEVICE = device; "{error}");
            return Some(false);
        }
        let failures = crate::show::counted(self.failures as usize, "failure");
        log::warn!(DEVICE = device; "offline after {failures}: {error}");
        add(&self.counters.offline, 1);
        self.tell_offline(error, Timestamp::now()).await?;
        let stale = self.filter.stale();
        if !stale.is_empty() {
            add(&self.counters.samples, stale.len());
            self.send(Event::Samples(stale)).await?;
        }
        Some(true)
    }

    async fn tell_offline(&mut self, error: &DriverError, since: Timestamp) -> Continue {
        let error = error.detail.clone();
        self.link = Link::Offline {
            error: error.clone(),
            since,
        };
        self.send(Event::Offline { error, since }).await
    }

    /// Waits until it is time to try again, and refuses commands meanwhile.
    async fn pause(&mut self, driver: &mut impl Driver) -> Continue {
        let delay = self.delays.next_delay();
        let mut over = pin!(sleep(delay));
        let mut recovered = pin!(driver.recovered());
        log::debug!(DEVICE = self.settings.device.as_str(); "trying again in {delay:?}");
        loop {
            tokio::select! {
                biased;
                () = self.ports.cancel.cancelled() => return None,
                Some(request) = self.ports.requests.recv() => self.refuse(*request),
                () = &mut over => return Some(()),
                () = &mut recovered => return Some(()),
            }
        }
    }

    /// Hands on those samples that pass the filter, and empties `samples`, whose room is given
    /// back: of many devices few have something to tell at the same moment.
    async fn publish(&mut self, samples: &mut Vec<Sample>) -> Continue {
        if samples.is_empty() {
            return Some(());
        }
        let now = Instant::now().into_std();
        let read = samples.len();
        let filter = &mut self.filter;
        let mut passed = std::mem::take(samples);
        passed.iter_mut().for_each(without_infinities);
        passed.retain(|sample| filter.pass(sample, now));
        passed.shrink_to(passed.len() * 2);
        add(&self.counters.suppressed, read - passed.len());
        if passed.is_empty() {
            return Some(());
        }
        add(&self.counters.samples, passed.len());
        self.send(Event::Samples(passed)).await
    }

    /// Waits for room in the queue. A queue without a reader is a reason to end.
    async fn send(&mut self, event: Event) -> Continue {
        let samples = match &event {
            Event::Samples(samples) => samples.len(),
            Event::Online | Event::Offline { .. } => 0,
        };
        let sent = match self.ports.events.offer(Box::new(event)) {
            Ok(()) => Some(()),
            Err((Unsent::Closed, _)) => None,
            // Boxed, as that is rare, and a thousand devices have room for it otherwise.
            Err((Unsent::Full, event)) => {
                let sent = Box::pin(self.ports.events.send(event));
                let sent = self.ports.cancel.run_until_cancelled(sent);
                sent.await.and_then(Result::ok)
            }
        };
        if sent.is_none() {
            add(&self.counters.dropped, samples);
        }
        sent
    }
}

/// A driver should not call NaN a good value; if it does, it is a bad one.
fn without_infinities(sample: &mut Sample) {
    let is_finite = sample.value.as_ref().is_none_or(Value::is_finite);
    if sample.quality == Quality::Good && !is_finite {
        *sample = Sample::bad(sample.point, sample.at).because(&"no finite number".into());
    }
}

#[cfg(test)]
mod tests;
