//! What waits for a bus, and whose turn it is. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::shared::{Place, Priority};

/// One transaction that waits.
#[derive(Debug)]
pub struct Job<U, W, A> {
    /// Who is asked.
    pub unit: U,
    /// What is asked.
    pub work: W,
    /// When it gets its turn.
    pub priority: Priority,
    /// How long its answers may take to begin.
    pub timeout: Duration,
    /// Where the answer goes.
    pub reply: oneshot::Sender<A>,
    /// Its place among those that may wait, which is free when it has been carried out.
    pub(crate) place: Option<Place<U>>,
}

/// The transactions that wait. Its user keeps its bounds.
#[derive(Debug)]
pub(crate) struct Queue<U, W, A> {
    // Boxed, as each passes through the room that a bus takes when it has nothing to do.
    commands: VecDeque<Box<Job<U, W, A>>>,
    polls: Vec<Box<Job<U, W, A>>>,
}

impl<U, W, A> Default for Queue<U, W, A> {
    fn default() -> Self {
        Self {
            commands: VecDeque::new(),
            polls: Vec::new(),
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) enum Turn<J> {
    Now(J),
    /// No job's before that.
    At(Instant),
    Idle,
}

impl<U: Ord + Copy, W, A> Queue<U, W, A> {
    pub(crate) fn push(&mut self, job: Box<Job<U, W, A>>) {
        match job.priority {
            Priority::Command => self.commands.push_back(job),
            Priority::Poll(_) | Priority::Background => self.polls.push(job),
        }
    }

    /// A transaction that was taken out, but could not begin.
    pub(crate) fn put_back(&mut self, job: Box<Job<U, W, A>>) {
        match job.priority {
            Priority::Command => self.commands.push_front(job),
            Priority::Poll(_) | Priority::Background => self.polls.push(job),
        }
    }

    /// Commands that wait.
    pub(crate) fn commands(&self) -> usize {
        self.commands.len()
    }

    /// Polls that wait.
    pub(crate) fn polls(&self) -> usize {
        self.polls.len()
    }

    /// Takes the next transaction out. `ready` says from when on a unit can be asked, and `None`
    /// for one that has to wait for an event. Transactions whose caller no longer waits are
    /// dropped unsent.
    pub(crate) fn take(
        &mut self,
        breaker: &Breaker<U>,
        now: Instant,
        ready: impl Fn(U) -> Option<Instant>,
    ) -> Turn<Box<Job<U, W, A>>> {
        self.commands.retain(|job| !job.reply.is_closed());
        self.polls.retain(|job| !job.reply.is_closed());
        let mut earliest: Option<Instant> = None;
        let mut is_ready = |job: &Job<U, W, A>| match ready(job.unit) {
            Some(at) if at <= now => true,
            Some(at) => {
                earliest = Some(earliest.map_or(at, |other| other.min(at)));
                false
            }
            None => false,
        };
        // Of one unit's commands only the first may go, or two would change places.
        let mut passed = Vec::new();
        for index in 0..self.commands.len() {
            let Some(job) = self.commands.get(index) else {
                break;
            };
            if !passed.contains(&job.unit) && is_ready(job) {
                if let Some(job) = self.commands.remove(index) {
                    return Turn::Now(job);
                }
            } else {
                passed.push(job.unit);
            }
        }
        let turn = |job: &Job<U, W, A>| match job.priority {
            Priority::Command => (0, now),
            Priority::Poll(due) => (0, breaker.turn(job.unit, due)),
            Priority::Background => (1, now),
        };
        let mut best = None;
        for (index, job) in self.polls.iter().enumerate() {
            if is_ready(job) {
                let turn = turn(job);
                if best.is_none_or(|(_, other)| turn < other) {
                    best = Some((index, turn));
                }
            }
        }
        match best {
            // Order is kept by time alone, so the place in the list means nothing.
            Some((index, _)) => Turn::Now(self.polls.remove(index)),
            None => earliest.map_or(Turn::Idle, Turn::At),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::Tolerance;

    type Reply = oneshot::Receiver<()>;
    type Queue = super::Queue<u8, (), ()>;
    type Job = super::Job<u8, (), ()>;

    fn job(unit: u8, priority: Priority) -> (Box<Job>, Reply) {
        let (reply, answer) = oneshot::channel();
        let timeout = Duration::from_secs(1);
        let job = Job {
            unit,
            work: (),
            priority,
            timeout,
            reply,
            place: None,
        };
        (Box::new(job), answer)
    }

    fn breaker() -> Breaker<u8> {
        Breaker::new(Tolerance {
            after: 3,
            share: 2,
            together: false,
            timeout: Duration::from_secs(1),
        })
    }

    fn order(queue: &mut Queue, breaker: &Breaker<u8>, now: Instant) -> Vec<u8> {
        let mut units = Vec::new();
        while let Turn::Now(job) = queue.take(breaker, now, |_| Some(now)) {
            units.push(job.unit);
        }
        units
    }

    #[test]
    fn commands_go_first_then_the_most_overdue_poll_then_failing_units_then_the_rest() {
        let now = Instant::now();
        let ago = |ms| Priority::Poll(now - Duration::from_millis(ms));
        let mut breaker = breaker();
        for unit in [3, 4, 5] {
            breaker.answered(unit, now);
        }
        let mut queue = Queue::default();
        let mut replies = Vec::new();
        for (unit, priority) in [
            (9, Priority::Background),
            (8, ago(9_000)),
            (3, ago(10)),
            (4, ago(30)),
            (5, ago(20)),
            (1, Priority::Command),
            (2, Priority::Command),
        ] {
            let (job, reply) = job(unit, priority);
            queue.push(job);
            replies.push(reply);
        }
        assert_eq!((queue.commands(), queue.polls()), (2, 5));
        assert_eq!(order(&mut queue, &breaker, now), [1, 2, 4, 5, 3, 8, 9]);
    }

    #[test]
    fn a_unit_that_cannot_be_asked_lets_others_pass_and_keeps_its_own_order() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let breaker = breaker();
        let mut queue = Queue::default();
        let mut replies = Vec::new();
        for (unit, priority) in [
            (1, Priority::Command),
            (2, Priority::Command),
            (1, Priority::Command),
            (3, Priority::Poll(now)),
        ] {
            let (job, reply) = job(unit, priority);
            queue.push(job);
            replies.push(reply);
        }
        let ready = |unit| Some(if unit == 1 { later } else { now });
        for want in [2, 3] {
            match queue.take(&breaker, now, ready) {
                Turn::Now(job) => assert_eq!(job.unit, want),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(queue.take(&breaker, now, ready), Turn::At(at) if at == later));
        assert!(matches!(queue.take(&breaker, now, |_| None), Turn::Idle));
        assert_eq!(order(&mut queue, &breaker, later), [1, 1]);
    }

    #[test]
    fn abandoned_requests_are_dropped() {
        let now = Instant::now();
        let breaker = breaker();
        let mut queue = Queue::default();
        for priority in [Priority::Command, Priority::Poll(now)] {
            queue.push(job(1, priority).0);
        }
        assert!(matches!(
            queue.take(&breaker, now, |_| Some(now)),
            Turn::Idle
        ));
        assert_eq!((queue.commands(), queue.polls()), (0, 0));
    }
}
