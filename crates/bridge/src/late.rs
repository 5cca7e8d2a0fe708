//! Which request an answer belongs to, on lines whose answers carry no tag. Pure.
//!
//! A line is first in, first out: a device answers in the order in which it was asked. It may lose
//! any request or answer, and may be late by any time. So an answer is used only if it cannot be
//! the answer to an earlier request, and everything that was asked before the request that an
//! answer belongs to is settled: it has come, or never will.
//!
//! A caller keeps one [`Owed`] for each device, over reconnects too. It
//! 1. gives every frame of the device to [`Owed::judge`], also those that come while it asks
//!    nothing,
//! 2. asks [`Owed::is_confusable`] before it sends a request. If it is, it sends a barrier first: a
//!    request whose answer is like none that is owed. Each frame settles something, so the caller
//!    looks again after each of them,
//! 3. calls [`Owed::sent`] when a request leaves, and [`Owed::gave_up`] when no usable answer came,
//! 4. where no barrier is answered, lets the device rest and calls [`Owed::write_off`]. This is the
//!    one place where time decides.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What was asked.
pub trait Asked {
    /// Whether this frame can be an answer to this request. A refusal is an answer.
    fn accepts(&self, frame: &[u8]) -> bool;

    /// Whether a good answer to this request could also be a good answer to `earlier`.
    fn is_like(&self, earlier: &Self) -> bool;
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer to the request that is under way.
    Own,
    /// It came after its time, or may have done so. It is not to be used.
    Late,
    /// The frame before it again. It settles nothing.
    Repeat,
    /// It answers nothing that was asked.
    Stray,
}

/// What one device still owes, oldest first.
#[derive(Debug)]
pub struct Owed<R> {
    /// An entry without a request stands for a frame that nothing explains: others may follow.
    owed: VecDeque<Option<R>>,
    /// What was written off. It was silent for long, but nothing proves that it is lost.
    written_off: Vec<R>,
    /// The last frame, if nothing was asked since.
    last: Option<Vec<u8>>,
    /// When something was sent or came.
    active: Option<Instant>,
}

/// A device that owes so many answers is gone: it is asked nothing until it has rested.
pub const OWED_MAX: usize = 16;

impl<R> Default for Owed<R> {
    fn default() -> Self {
        Self {
            owed: VecDeque::new(),
            written_off: Vec::new(),
            last: None,
            active: None,
        }
    }
}

impl<R: Asked> Owed<R> {
    /// Says what a frame is, and settles what it settles. `current` is the request that is under
    /// way.
    ///
    /// After [`Verdict::Own`] the request is over. If [`Self::is_wary`] was true of it, the caller
    /// listens for one time limit more: with another frame, it calls [`Self::gave_up`] after all,
    /// and without one [`Self::trust`].
    pub fn judge(&mut self, current: Option<&R>, frame: &[u8], now: Instant) -> Verdict {
        self.active = Some(now);
        if self.last.as_deref() == Some(frame) {
            return Verdict::Repeat;
        }
        self.last = Some(frame.to_vec());
        let accepts = |owed: &Option<R>| owed.as_ref().is_none_or(|owed| owed.accepts(frame));
        if let Some(place) = self.owed.iter().position(accepts) {
            self.owed.drain(..=place);
            return Verdict::Late;
        }
        if let Some(current) = current.filter(|current| current.accepts(frame)) {
            self.owed.clear();
            if !self.is_wary(current) {
                self.written_off.clear();
            }
            return Verdict::Own;
        }
        // Later than anything was thought to be: what was asked after it may still come, too.
        if let Some(place) = self.written_off.iter().position(|off| off.accepts(frame)) {
            let rest = self.written_off.drain(..).skip(place + 1).map(Some);
            let owed: VecDeque<_> = rest.chain(self.owed.drain(..)).collect();
            self.owed = owed;
            return Verdict::Late;
        }
        if current.is_none() && self.owed.is_empty() {
            self.owed.push_back(None);
        }
        Verdict::Stray
    }

    /// A request leaves.
    pub fn sent(&mut self, now: Instant) {
        self.active = Some(now);
        self.last = None;
    }

    /// No usable answer to a request came in its time: none at all, one that was cut off, one
    /// with a wrong check, one that makes no sense. Its answer may still come.
    pub fn gave_up(&mut self, request: R) {
        // The caller has asked more than it may; what cannot be listed is unknown.
        if self.owed.len() >= 2 * OWED_MAX {
            self.owed.clear();
            self.owed.push_back(None);
        }
        self.owed.push_back(Some(request));
    }

    /// Whether nothing is owed.
    pub fn is_clear(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether so much is owed that the device should rest.
    pub fn is_full(&self) -> bool {
        self.owed.len() >= OWED_MAX
    }

    /// Whether the answer to this request could not be told from one that is owed.
    pub fn is_confusable(&self, request: &R) -> bool {
        self.is_like_owed(request) || self.owed.iter().any(Option::is_none)
    }

    /// Whether the answer to this request could be taken for one that is owed. One that is not is
    /// good as a barrier.
    pub fn is_like_owed(&self, request: &R) -> bool {
        let is_like = |owed: &R| request.is_like(owed);
        self.owed.iter().flatten().any(is_like)
    }

    /// What is owed, oldest first.
    pub fn requests(&self) -> impl DoubleEndedIterator<Item = &R> {
        self.owed.iter().flatten()
    }

    /// When a device that is asked nothing will have rested for `late`; `None` if it owes nothing.
    pub fn rested_at(&self, late: Duration) -> Option<Instant> {
        let active = self.active.filter(|_| !self.owed.is_empty());
        active.map(|active| active + late)
    }

    /// Writes off what is owed if the device was asked nothing and said nothing for `late`.
    /// Returns whether it did.
    pub fn write_off(&mut self, now: Instant, late: Duration) -> bool {
        if self.rested_at(late).is_none_or(|rested| rested > now) {
            return false;
        }
        self.written_off.extend(self.owed.drain(..).flatten());
        let surplus = self.written_off.len().saturating_sub(OWED_MAX);
        self.written_off.drain(..surplus);
        true
    }

    /// Whether the answer to this request could be one that was written off.
    pub fn is_wary(&self, request: &R) -> bool {
        self.written_off.iter().any(|off| request.is_like(off))
    }

    /// No second frame came: what was written off is lost.
    pub fn trust(&mut self) {
        self.written_off.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes frames that begin with its letter, and refusals.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Ask(u8);

    impl Asked for Ask {
        fn accepts(&self, frame: &[u8]) -> bool {
            frame.first() == Some(&self.0) || frame == b"ERR"
        }

        fn is_like(&self, earlier: &Self) -> bool {
            self.0 == earlier.0
        }
    }

    const A: Ask = Ask(b'a');
    const B: Ask = Ask(b'b');
    const C: Ask = Ask(b'c');
    const LATE: Duration = Duration::from_secs(10);

    fn owing(requests: &[Ask]) -> Owed<Ask> {
        let mut owed = Owed::default();
        for request in requests {
            owed.sent(Instant::now());
            owed.gave_up(*request);
        }
        owed
    }

    fn left(owed: &Owed<Ask>) -> Vec<Ask> {
        owed.requests().copied().collect()
    }

    #[test]
    fn a_frame_belongs_to_the_oldest_request_that_takes_it_and_settles_those_before() {
        use Verdict::{Late, Own, Stray};
        for (owes, current, frame, want, rest) in [
            (&[][..], Some(A), "a1", Own, &[][..]),
            (&[A], Some(A), "a1", Late, &[]),
            (&[A, A], Some(A), "a1", Late, &[A]),
            (&[A, B, A], Some(C), "b1", Late, &[A]),
            (&[A, B], Some(C), "c1", Own, &[]),
            (&[A, B], None, "b1", Late, &[]),
            (&[A, B], Some(C), "x", Stray, &[A, B]),
            (&[A, B], None, "x", Stray, &[A, B]),
            // A refusal names no request.
            (&[A, B], Some(C), "ERR", Late, &[B]),
            (&[], Some(C), "ERR", Own, &[]),
        ] {
            let mut owed = owing(owes);
            owed.sent(Instant::now());
            let verdict = owed.judge(current.as_ref(), frame.as_bytes(), Instant::now());
            assert_eq!(
                (verdict, left(&owed)),
                (want, rest.to_vec()),
                "{owes:?} {frame}"
            );
        }
    }

    #[test]
    fn a_frame_that_comes_twice_settles_one_request() {
        let (mut owed, now) = (owing(&[A, A]), Instant::now());
        assert_eq!(owed.judge(None, b"a1", now), Verdict::Late);
        assert_eq!(owed.judge(Some(&B), b"a1", now), Verdict::Repeat);
        assert_eq!(left(&owed), [A]);
        // Something was asked since: it is no repetition.
        owed.sent(now);
        assert_eq!(owed.judge(Some(&B), b"a1", now), Verdict::Late);
        assert!(owed.is_clear());
        owed.sent(now);
        assert_eq!(owed.judge(Some(&A), b"a1", now), Verdict::Own);
        assert_eq!(owed.judge(None, b"a1", now), Verdict::Repeat);
        assert!(owed.is_clear());
    }

    #[test]
    fn a_frame_that_nothing_explains_makes_all_others_doubtful() {
        let (mut owed, now) = (Owed::default(), Instant::now());
        assert_eq!(owed.judge(None, b"a1", now), Verdict::Stray);
        assert_eq!((owed.is_clear(), owed.is_confusable(&A)), (false, true));
        assert!(!owed.is_like_owed(&B), "B is good as a barrier");
        owed.sent(now);
        assert_eq!(owed.judge(Some(&B), b"b1", now), Verdict::Late);
        owed.gave_up(B);
        assert!(!owed.is_confusable(&A));
        owed.sent(now);
        assert_eq!(owed.judge(Some(&A), b"a2", now), Verdict::Own);
        assert!(owed.is_clear());
    }

    #[test]
    fn what_is_written_off_after_a_rest_is_not_forgotten() {
        let (mut owed, now) = (owing(&[A, B, C]), Instant::now());
        assert!(!owed.write_off(now, LATE));
        assert_eq!(owed.judge(None, b"x", now), Verdict::Stray);
        let rested = owed.rested_at(LATE).unwrap();
        assert!(!owed.write_off(rested - Duration::from_millis(1), LATE));
        assert!(owed.write_off(rested, LATE));
        assert_eq!((owed.is_clear(), owed.is_wary(&A)), (true, true));
        assert_eq!(owed.rested_at(LATE), None);
        // An answer that is like one of them waits for `trust`.
        owed.sent(rested);
        assert_eq!(owed.judge(Some(&B), b"b1", rested), Verdict::Own);
        assert!(owed.is_wary(&A));
        // Later still: those that were asked after it are owed again.
        assert_eq!(owed.judge(None, b"b2", rested), Verdict::Late);
        assert_eq!(left(&owed), [C]);
        assert!(!owed.is_wary(&A));
    }

    #[test]
    fn an_answer_unlike_all_that_was_written_off_or_no_second_one_ends_the_doubt() {
        for trusts in [false, true] {
            let (mut owed, now) = (owing(&[A]), Instant::now() + LATE + LATE);
            assert!(owed.write_off(now, LATE));
            owed.sent(now);
            if trusts {
                assert_eq!(owed.judge(Some(&A), b"a1", now), Verdict::Own);
                assert!(owed.is_wary(&A));
                owed.trust();
            } else {
                assert_eq!(owed.judge(Some(&B), b"b1", now), Verdict::Own);
            }
            assert!(!owed.is_wary(&A));
        }
    }

    #[test]
    fn what_a_device_can_owe_is_bounded() {
        let mut owed = owing(&[A; OWED_MAX]);
        assert!(owed.is_full());
        for _ in 0..10 * OWED_MAX {
            owed.gave_up(B);
        }
        assert!(owed.owed.len() <= 2 * OWED_MAX + 1);
        assert!(owed.is_confusable(&A), "nothing is forgotten");
        owed.write_off(Instant::now() + LATE, LATE);
        assert!(owed.written_off.len() <= OWED_MAX);
    }
}
