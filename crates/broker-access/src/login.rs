//! Checks passwords away from the event loops: a hash takes tens of milliseconds and 19 MiB.
//!
//! A few are checked at a time; the rest wait in a bounded queue in which addresses take turns (`lines`). Those
//! whose clients have given up are not checked.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::lines::Lines;
use super::password::PasswordHash;
use super::rate_limit::RateLimit;
use super::verified::VerifiedCache;

/// Refused clients that are kept waiting at a time; past it they are refused at once.
const DELAYED_MAX: usize = 1024;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password.
    Right,
    /// A wrong password, or there is no such user.
    Wrong,
    /// The client's address has failed too often lately; the password was not looked at.
    TooOften,
    /// Too many wait already, or there is no memory.
    Busy,
}

/// Credentials to check.
pub struct Question {
    /// The user name.
    pub user: Arc<str>,
    /// What the client gave as the password.
    pub password: Box<[u8]>,
    /// The hash that it must have.
    pub hash: PasswordHash,
    /// False if there is no such user: then `hash` is another user's, and only takes the time.
    pub exists: bool,
    /// Where the client is.
    pub peer: IpAddr,
}

struct Job {
    question: Question,
    answer: oneshot::Sender<Verdict>,
}

/// The checks of one broker.
#[derive(Clone)]
pub struct Logins(Arc<Shared>);

struct Shared {
    at_once: usize,
    queue: Mutex<Queue>,
    proven: Mutex<VerifiedCache>,
    rate_limit: Mutex<RateLimit>,
    delayed: AtomicUsize,
}

struct Queue {
    jobs: Lines<Job>,
    running: usize,
    closed: bool,
}

impl Logins {
    /// At most `waiting` wait; an address has `failed` failures in a row.
    pub fn new(waiting: usize, failed: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Shared {
            // Half of the processors stay free for those who are in.
            at_once: (processors / 2).clamp(1, 2),
            queue: Mutex::new(Queue {
                jobs: Lines::new(waiting),
                running: 0,
                closed: false,
            }),
            proven: Mutex::new(VerifiedCache::new()),
            rate_limit: Mutex::new(RateLimit::new(failed)),
            delayed: AtomicUsize::new(0),
        }))
    }

    /// Checks credentials. To be called on a tokio runtime, whose blocking threads do the work.
    pub fn check(&self, question: Question, now: Instant) -> oneshot::Receiver<Verdict> {
        let (answer, receiver) = oneshot::channel();
        let shared = &self.0;
        if shared.is_proven(&question, now) {
            // The receiver is here, so it takes it.
            let _ = answer.send(Verdict::Right);
            return receiver;
        }
        let peer = question.peer;
        let rate_limit = lock(&shared.rate_limit);
        let (is_behind, is_out) = (
            rate_limit.has_failed(peer, now),
            rate_limit.is_out(peer, now),
        );
        drop(rate_limit);
        if is_out {
            let _ = answer.send(Verdict::TooOften);
            return receiver;
        }
        let mut queue = shared.queue();
        let bytes = size_of::<Job>() + question.user.len() + question.password.len();
        let job = Job { question, answer };
        let queued = match queue.closed {
            true => Err(job),
            false => queue.jobs.push(peer, is_behind, (job, bytes)),
        };
        if let Err(job) = queued {
            let _ = job.answer.send(Verdict::Busy);
            return receiver;
        }
        if queue.running < shared.at_once {
            queue.running += 1;
            let shared = Arc::clone(shared);
            tokio::task::spawn_blocking(move || shared.work());
        }
        receiver
    }

    /// Counts a failure of an address. Returns whether it had failed too often before; then it does not count.
    pub fn refuse(&self, peer: IpAddr, now: Instant) -> bool {
        let mut rate_limit = lock(&self.0.rate_limit);
        let is_out = rate_limit.is_out(peer, now);
        if !is_out {
            rate_limit.failed(peer, now);
        }
        is_out
    }

    /// Forgets who was right: users have changed.
    pub fn forget(&self) {
        lock(&self.0.proven).clear();
    }

    /// Checks nothing any more, so that the threads that do can end.
    pub fn close(&self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        queue.jobs.clear();
    }

    /// A place among the refused that are kept waiting, if there is one.
    pub fn delay_refusal(&self) -> Option<DelayedRefusal> {
        let delayed = &self.0.delayed;
        let taken = delayed.fetch_add(1, Ordering::Relaxed);
        let place = DelayedRefusal(Arc::clone(&self.0));
        (taken < DELAYED_MAX).then_some(place)
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logins")
    }
}

/// One refused client that is kept waiting.
pub struct DelayedRefusal(Arc<Shared>);

impl Drop for DelayedRefusal {
    fn drop(&mut self) {
        self.0.delayed.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    fn is_proven(&self, question: &Question, now: Instant) -> bool {
        let mut proven = lock(&self.proven);
        let seal = proven.seal(&question.user, &question.hash, &question.password);
        question.exists && seal.is_some_and(|seal| proven.contains(&seal, now))
    }

    /// Works until nothing is left to do.
    fn work(&self) {
        loop {
            let mut queue = self.queue();
            let Some(job) = queue.jobs.pop() else {
                queue.running -= 1;
                return;
            };
            drop(queue);
            if job.answer.is_closed() {
                continue; // The client has gone.
            }
            let verdict = self.decide(&job.question);
            // The client may have gone.
            let _ = job.answer.send(verdict);
        }
    }

    fn decide(&self, question: &Question) -> Verdict {
        let now = Instant::now();
        // Several connections may have brought the same credentials at the same time.
        if self.is_proven(question, now) {
            return Verdict::Right;
        }
        if lock(&self.rate_limit).is_out(question.peer, now) {
            return Verdict::TooOften;
        }
        match question.hash.verify(&question.password) {
            None => Verdict::Busy,
            Some(true) if question.exists => {
                let mut proven = lock(&self.proven);
                let seal = proven.seal(&question.user, &question.hash, &question.password);
                if let Some(seal) = seal {
                    proven.insert(seal, now);
                }
                Verdict::Right
            }
            Some(_) => {
                lock(&self.rate_limit).failed(question.peer, Instant::now());
                Verdict::Wrong
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(user: &str, password: &str, exists: bool) -> Question {
        Question {
            user: user.into(),
            password: password.as_bytes().into(),
            hash: hash(),
            exists,
            peer: [10, 0, 0, 1].into(),
        }
    }

    fn hash() -> PasswordHash {
        static HASH: std::sync::OnceLock<PasswordHash> = std::sync::OnceLock::new();
        HASH.get_or_init(|| PasswordHash::of(b"right").unwrap())
            .clone()
    }

    #[tokio::test]
    async fn a_password_is_right_wrong_or_not_looked_at_after_too_many_failures() {
        let logins = Logins::new(100, 2);
        for (password, exists, want) in [
            ("right", true, Verdict::Right),
            ("right", false, Verdict::Wrong),
            ("wrong", true, Verdict::Wrong),
            ("wrong", true, Verdict::TooOften),
            // Proven before, so it costs nothing and is not held up.
            ("right", true, Verdict::Right),
        ] {
            let verdict = logins.check(question("ann", password, exists), Instant::now());
            let verdict = verdict.await;
            assert_eq!(verdict, Ok(want), "{password} {exists}");
        }
        logins.forget();
        let verdict = logins.check(question("ann", "right", true), Instant::now());
        assert_eq!(verdict.await, Ok(Verdict::TooOften));
    }

    #[tokio::test]
    async fn failures_at_another_door_count_together_with_passwords() {
        let logins = Logins::new(100, 2);
        let (peer, now) = ([10, 0, 0, 1].into(), Instant::now());
        let told = [(); 3].map(|()| logins.refuse(peer, now));
        assert_eq!(told, [false, false, true]);
        let verdict = logins.check(question("ann", "right", true), now).await;
        assert_eq!(verdict, Ok(Verdict::TooOften));
        assert!(!logins.refuse([10, 0, 0, 2].into(), now));
    }

    #[tokio::test]
    async fn a_full_queue_is_busy_and_of_what_is_in_it_only_that_is_checked_whose_client_waits() {
        let logins = Logins::new(32, 30);
        logins.0.queue().running = logins.0.at_once; // As if all threads were busy.
        let now = Instant::now();
        // A sixteenth of the room, and one more.
        let gone = logins.check(question("ann", "wrong", true), now);
        let answers = [(); 2].map(|()| logins.check(question("ann", "right", true), now));
        let mut busy = logins.check(question("ann", "right", true), now);
        assert_eq!(busy.try_recv(), Ok(Verdict::Busy));
        drop(gone);
        logins.0.work();
        for answer in answers {
            assert_eq!(answer.await, Ok(Verdict::Right));
        }
        assert!(!lock(&logins.0.rate_limit).has_failed([10, 0, 0, 1].into(), now));
    }

    #[test]
    fn places_for_the_refused_are_bounded_and_come_free() {
        let logins = Logins::new(100, 30);
        let mut taken: Vec<_> = (0..DELAYED_MAX).map(|_| logins.delay_refusal()).collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(logins.delay_refusal().is_none());
        taken.pop();
        assert!(logins.delay_refusal().is_some());
    }
}
