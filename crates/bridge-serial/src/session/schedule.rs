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

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.next).min()
    }

    /// The request to make at `now`. Times that were missed are left out, not made up.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<usize> {
        let due = self.entries.iter().enumerate();
        let due = due.filter_map(|(index, entry)| Some((entry.next?, index)));
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
            parse: ParseConfig::default(),
        }
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
            assert_eq!(schedule.take_due(at(now)), want, "{now} ms");
        }
        schedule.answered(2);
        schedule.hurry(0, at(1750));
        assert_eq!(schedule.take_due(at(1800)), Some(0));
        assert_eq!(schedule.next(), Some(at(2000)));
    }

    #[test]
    fn what_is_asked_once_is_asked_until_it_is_answered() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&[request(None)], start);
        assert_eq!(schedule.take_due(start), Some(0));
        assert_eq!(schedule.next(), Some(start + ONCE_RETRY));
        schedule.answered(0);
        assert_eq!(schedule.next(), None);
    }
}
