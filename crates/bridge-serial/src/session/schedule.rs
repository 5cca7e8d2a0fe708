//! When which request is due. Pure.

use std::time::Duration;

use fieldgate_bridge::Poll;
use tokio::time::Instant;

use crate::config::RequestConfig;

/// The requests of a device by their next time. The one that is most overdue goes first, so that
/// a slow one is not kept waiting by a fast one.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    period: Duration,
    is_once: bool,
    /// `None` once all is done.
    next: Option<Instant>,
}

/// How soon what is asked once is asked again if there was no answer.
const ONCE_RETRY: Duration = Duration::from_secs(10);

impl Schedule {
    /// Everything is due at `start`.
    pub(super) fn new(requests: &[RequestConfig], start: Instant) -> Self {
        let entries = requests.iter().map(|request| Entry {
            period: match request.every {
                Poll::Every(period) => period.get(),
                Poll::Once => ONCE_RETRY,
            },
            is_once: request.every == Poll::Once,
            next: Some(start),
        });
        Self {
            entries: entries.collect(),
        }
    }

    /// When which request is due next.
    pub(super) fn dues(&self) -> impl Iterator<Item = (usize, Instant)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(index, entry)| Some((index, entry.next?)))
    }

    /// The request to make at `now`, of those that can be made. Times that were missed are left
    /// out, not made up.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        can_ask: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let due = self.dues().filter(|(index, _)| can_ask(*index));
        let due = due.map(|(index, at)| (at, index));
        let (at, index) = due.filter(|(at, _)| *at <= now).min()?;
        let entry = self.entries.get_mut(index)?;
        let next = at + entry.period;
        entry.next = Some(if next > now { next } else { now + entry.period });
        Some(index)
    }

    /// What is asked once is done.
    pub(super) fn answered(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.is_once) {
            entry.next = None;
        }
    }

    /// Makes a request due: what it reads has just been changed.
    pub(super) fn hurry(&mut self, index: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.next = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ParseConfig;
    use fieldgate_bridge::Period;

    fn request(every: Option<u64>) -> RequestConfig {
        let period = |ms| Period::new(Duration::from_millis(ms)).unwrap();
        RequestConfig {
            name: String::new(),
            send: b"?".to_vec(),
            every: every.map_or(Poll::Once, |ms| Poll::Every(period(ms))),
            timeout: Duration::from_secs(1),
            retries: 0,
            line_break: None,
            frames: 1,
            refused: None,
            parse: ParseConfig::default(),
        }
    }

    fn next(schedule: &Schedule) -> Option<Instant> {
        schedule.dues().map(|(_, at)| at).min()
    }

    #[test]
    fn the_most_overdue_request_goes_first_and_missed_times_are_left_out() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let requests = [request(Some(1000)), request(Some(300)), request(None)];
        let mut schedule = Schedule::new(&requests, start);
        for (now, want) in [
            (0, Some(0)),
            (10, Some(1)),
            (20, Some(2)),
            (30, None),
            (300, Some(1)),
            // 600, 900 and 1200 are missed.
            (1400, Some(1)),
            (1400, Some(0)),
            (1699, None),
            (1700, Some(1)),
        ] {
            assert_eq!(schedule.take_due(at(now), |_| true), want, "{now} ms");
        }
        schedule.answered(2);
        schedule.hurry(0, at(1750));
        assert_eq!(schedule.take_due(at(1800), |_| true), Some(0));
        assert_eq!(next(&schedule), Some(at(2000)));
    }

    #[test]
    fn what_is_asked_once_is_asked_until_it_is_answered() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&[request(None)], start);
        assert_eq!(schedule.take_due(start, |_| true), Some(0));
        assert_eq!(next(&schedule), Some(start + ONCE_RETRY));
        schedule.answered(0);
        assert_eq!(next(&schedule), None);
    }
}
