//! How long a client usually takes to acknowledge a message. Pure.
//!
//! What a client acknowledges soon need not be written to the disk, so its publisher may wait that long
//! for its own acknowledgement.

use std::time::{Duration, Instant};

/// Waited for a client that has not acknowledged anything yet.
const FIRST: Duration = Duration::from_millis(100);
/// Waited at least.
const LEAST: Duration = Duration::from_millis(2);
/// For a client that takes longer than this nothing is waited.
const MOST: Duration = Duration::from_millis(500);

/// Times one message after the other.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// The message that is timed, and when it was sent.
    probe: Option<(u64, Instant)>,
    /// The usual time, and how far it usually is off.
    usual: Option<(Duration, Duration)>,
    /// The message that is timed has taken too long already.
    is_over: bool,
}

impl Patience {
    /// Message `number` was sent.
    pub(super) fn sent(&mut self, number: u64, now: Instant) {
        match self.probe {
            None => self.probe = Some((number, now)),
            Some((_, at)) => self.is_over = now.saturating_duration_since(at) > MOST,
        }
    }

    /// Message `number` was acknowledged.
    pub(super) fn acknowledged(&mut self, number: u64, now: Instant) {
        let Some((_, at)) = self.probe.take_if(|(timed, _)| *timed == number) else {
            return;
        };
        let took = now.saturating_duration_since(at);
        self.is_over = took > MOST;
        // As TCP estimates its round trips (RFC 6298 section 2).
        self.usual = Some(match self.usual {
            None => (took, took / 2),
            Some((usual, off)) => (
                usual * 7 / 8 + took / 8,
                off * 3 / 4 + usual.abs_diff(took) / 4,
            ),
        });
    }

    /// The client has gone.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// How long to wait for the acknowledgement of what is sent now; `None` if it is not worth it.
    pub(super) fn limit(&self) -> Option<Duration> {
        let wanted = match self.usual {
            None => FIRST,
            Some((usual, off)) => (usual + 4 * off).max(2 * usual).max(LEAST),
        };
        (!self.is_over && wanted <= MOST).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: &[u64]) -> Option<u128> {
        let mut patience = Patience::default();
        let mut now = Instant::now();
        for (number, &millis) in (0..).zip(times) {
            patience.sent(number, now);
            now += Duration::from_millis(millis);
            patience.acknowledged(number, now);
        }
        patience.limit().map(|limit| limit.as_millis())
    }

    #[test]
    fn a_client_is_waited_for_as_long_as_it_usually_takes_within_bounds() {
        for (times, want) in [
            (&[][..], 100..=100),
            (&[0; 20][..], 2..=2),
            (&[30; 20][..], 60..=62),
            (&[30, 34, 28, 90, 31, 30, 33][..], 60..=200),
        ] {
            let limit = after(times).unwrap();
            assert!(want.contains(&limit), "{times:?}: {limit}");
        }
        assert_eq!(after(&[400; 20]), None);
        assert_eq!(after(&[30, 30, 9_000]), None);
    }

    #[test]
    fn a_client_that_hangs_is_not_waited_for_until_it_acknowledges() {
        let mut patience = Patience::default();
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        patience.sent(0, at(0));
        patience.sent(1, at(400));
        assert!(patience.limit().is_some());
        patience.sent(2, at(600));
        assert_eq!(patience.limit(), None);
        patience.reset();
        assert_eq!(patience.limit(), Some(FIRST));
    }
}
