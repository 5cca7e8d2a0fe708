//! Messages that are to be safe soon, at the remote or on the card, as clients wait for that. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the first of them waits for others, so that one write to the card takes them all.
const GROUP: Duration = Duration::from_millis(50);
/// The same at most: as long as the remote usually takes to answer, and while it has been away for `AWAY`. The card is
/// spared what the remote soon has, and most of the writes of a long outage.
const GROUP_MAX: Duration = Duration::from_millis(500);
const AWAY: Duration = Duration::from_secs(60);
/// How long the answer of the remote is waited for. Then the message goes to the card, and may arrive twice.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// Where a message is that was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory.
    Idle,
    /// In memory, and on its way to the remote.
    UnderWay,
    /// Being written.
    Written,
    /// Elsewhere: it is safe, or was given up.
    Gone,
}

/// What is to be done about the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before this time, if nothing else happens.
    At(Instant),
    /// What is idle goes to the card now.
    Idle,
    /// And what is under way, too.
    All,
}

/// Messages that were promised, in the order of their numbers, with what is dropped when they are safe.
#[derive(Debug)]
pub(crate) struct Promises<V> {
    waiting: VecDeque<(u64, Instant, V)>,
    /// How long the remote takes to answer, on average; not known before its first answer.
    usual: Option<Duration>,
    /// Since when there is no remote.
    away_since: Option<Instant>,
}

impl<V> Promises<V> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            usual: None,
            away_since: Some(now),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Message `seq` is promised. Numbers rise.
    pub(crate) fn push(&mut self, seq: u64, promise: V, now: Instant) {
        self.waiting.push_back((seq, now, promise));
    }

    /// Lets go of the first ones whose messages are in safe hands. Of those the last first: a client looks for its
    /// oldest, and finds that all are safe.
    pub(crate) fn settle(&mut self, place: impl Fn(u64) -> Place) {
        let is_safe = |(seq, ..): &&(u64, Instant, V)| place(*seq) == Place::Gone;
        let safe = self.waiting.iter().take_while(is_safe).count();
        self.waiting.drain(..safe).rev().for_each(drop);
    }

    /// Lets go of all, as nothing can be made safe now. Returns how many there were.
    pub(crate) fn give_up(&mut self) -> usize {
        self.waiting.drain(..).count()
    }

    /// The remote has answered after so long.
    pub(crate) fn answered(&mut self, took: Duration) {
        self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
    }

    /// Whether there is a remote from now on.
    pub(crate) fn is_connected(&mut self, is_connected: bool, now: Instant) {
        self.away_since = match is_connected {
            true => None,
            false => self.away_since.or(Some(now)),
        };
    }

    /// What the oldest one needs.
    pub(crate) fn due(&self, place: impl Fn(u64) -> Place, now: Instant) -> Option<Due> {
        let (seq, since, _) = self.waiting.front()?;
        let patience = match self.away_since {
            None => self
                .usual
                .map_or(GROUP_MAX, |usual| (usual * 2).clamp(GROUP, GROUP_MAX)),
            Some(since) if now.saturating_duration_since(since) >= AWAY => GROUP_MAX,
            Some(_) => GROUP,
        };
        let (at, due) = match place(*seq) {
            Place::Idle => (*since + patience, Due::Idle),
            Place::UnderWay => (*since + UNDER_WAY, Due::All),
            Place::Written | Place::Gone => return None,
        };
        Some(if at <= now { due } else { Due::At(at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_oldest_goes_to_the_card_after_a_time_that_depends_on_the_remote() {
        let start = Instant::now();
        let usual = |took: u64| {
            let mut promises = Promises::new(start);
            promises.is_connected(true, start);
            (0..100).for_each(|_| promises.answered(ms(took)));
            promises
        };
        let away = |since: u64| {
            let mut promises = Promises::new(start);
            promises.is_connected(true, start);
            promises.is_connected(false, start - ms(since));
            promises
        };
        for (mut promises, place, waits, then) in [
            (usual(1), Place::Idle, 50, Due::Idle),
            (usual(100), Place::Idle, 200, Due::Idle),
            (usual(5_000), Place::Idle, 500, Due::Idle),
            (away(0), Place::Idle, 50, Due::Idle),
            (away(60_000), Place::Idle, 500, Due::Idle),
            (usual(1), Place::UnderWay, 2_000, Due::All),
        ] {
            promises.push(7, (), start);
            let due = |at: u64| promises.due(|_| place, start + ms(at));
            assert!(matches!(due(waits - 2), Some(Due::At(_))), "{waits}");
            assert_eq!(due(waits + 1), Some(then), "{waits}");
        }
        for place in [Place::Written, Place::Gone] {
            let mut promises = Promises::new(start);
            promises.push(7, (), start);
            assert_eq!(promises.due(|_| place, start + ms(10_000)), None);
        }
    }

    #[test]
    fn promises_are_kept_in_the_order_of_their_messages() {
        use std::rc::Rc;
        let start = Instant::now();
        let mut promises = Promises::new(start);
        let held: Vec<Rc<()>> = (0..4).map(|_| Rc::default()).collect();
        for (seq, one) in [1, 2, 3, 3].into_iter().zip(&held) {
            promises.push(seq, Rc::clone(one), start);
        }
        let kept = || {
            held.iter()
                .map(|one| Rc::strong_count(one) - 1)
                .sum::<usize>()
        };
        let safe = |safe: &'static [u64]| {
            move |seq: u64| match safe.contains(&seq) {
                true => Place::Gone,
                false => Place::Idle,
            }
        };
        promises.settle(safe(&[2]));
        assert_eq!(kept(), 4);
        promises.settle(safe(&[1, 2]));
        assert_eq!((kept(), promises.len()), (2, 2));
        promises.settle(safe(&[1, 2, 3]));
        assert_eq!((kept(), promises.len()), (0, 0));
    }
}
