//! How much may be sent: limits, and what the remote has let us learn. Pure.

use std::time::{Duration, Instant};

/// What of a second's worth may be sent in one go.
const BURST: f64 = 1.0;
/// How long the rate is measured before a complaint halves it.
const MEASURED: Duration = Duration::from_secs(2);

/// So much each second, with a burst of a second's worth.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// Full at `now`.
    pub fn new(rate: f64, now: Instant) -> Self {
        let level = (rate * BURST).max(1.0);
        Self {
            rate,
            level,
            at: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min((self.rate * BURST).max(1.0));
        self.at = now;
    }

    /// `None` if something may be sent now, else when. What is bigger than a burst is sent when
    /// the bucket is full, and waited for afterwards.
    pub fn wait(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        let missing = 1.0 - self.level;
        (missing > 1e-9)
            .then(|| now + Duration::from_secs_f64((missing / self.rate).clamp(0.001, 3_600.0)))
    }

    /// So much was sent.
    pub fn take(&mut self, amount: f64) {
        self.level -= amount;
    }

    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.fill(now);
        self.rate = rate;
        self.level = self.level.min((rate * BURST).max(1.0));
    }
}

/// The rates of a connection: those that are configured, and below them the one that it has learned.
#[derive(Clone, Debug)]
pub struct Rate {
    most: Option<f64>,
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Learned, in messages a second; `None` as long as there was no complaint.
    learned: Option<f64>,
    raised: Instant,
    /// Messages since `since`, for what a complaint halves.
    sent: u64,
    since: Instant,
    before: f64,
}

impl Rate {
    /// With these limits a second, if any.
    pub fn new(messages: Option<u32>, bytes: Option<u64>, now: Instant) -> Self {
        let most = messages.map(f64::from);
        Self {
            most,
            messages: most.map(|rate| Bucket::new(rate, now)),
            bytes: bytes.map(|rate| Bucket::new(rate as f64, now)),
            learned: None,
            raised: now,
            sent: 0,
            since: now,
            before: 0.0,
        }
    }

    /// Messages a second that are allowed now; `None` without a limit.
    pub fn now(&self) -> Option<f64> {
        self.learned.or(self.most)
    }

    /// `None` if a message may be sent now, else when.
    pub fn wait(&mut self, now: Instant) -> Option<Instant> {
        self.raise(now);
        let messages = self.messages.as_mut().and_then(|bucket| bucket.wait(now));
        let bytes = self.bytes.as_mut().and_then(|bucket| bucket.wait(now));
        messages.max(bytes)
    }

    /// A message of so many bytes was sent.
    pub fn take(&mut self, bytes: usize, now: Instant) {
        if let Some(bucket) = &mut self.messages {
            bucket.take(1.0);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes as f64);
        }
        let passed = now.saturating_duration_since(self.since);
        if passed >= MEASURED {
            self.before = self.sent as f64 / passed.as_secs_f64();
            self.sent = 0;
            self.since = now;
        }
        self.sent += 1;
    }

    /// The remote cannot take so much: half from now on.
    pub fn complain(&mut self, now: Instant) {
        let passed = now
            .saturating_duration_since(self.since)
            .as_secs_f64()
            .max(0.1);
        let measured = self.before.max(self.sent as f64 / passed.max(1.0));
        let rate = self
            .now()
            .map_or(measured, |now| now.min(measured.max(2.0)));
        self.set((rate / 2.0).max(1.0), now);
    }

    /// One message a second more each second.
    fn raise(&mut self, now: Instant) {
        let Some(learned) = self.learned else {
            return;
        };
        let passed = now.saturating_duration_since(self.raised).as_secs_f64();
        if passed < 1.0 {
            return;
        }
        let rate = learned + passed;
        match self.most {
            Some(most) if rate >= most => {
                self.set(most, now);
                self.learned = None;
            }
            _ => self.set(rate, now),
        }
    }

    fn set(&mut self, rate: f64, now: Instant) {
        self.learned = Some(rate);
        self.raised = now;
        match &mut self.messages {
            Some(bucket) => bucket.set_rate(rate, now),
            None => self.messages = Some(Bucket::new(rate, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that go out in so many seconds, if there are always more.
    fn sent(rate: &mut Rate, from: Instant, seconds: u64, bytes: usize) -> usize {
        let (mut now, mut count) = (from, 0);
        let end = from + Duration::from_secs(seconds);
        while now < end && count < 100_000 {
            match rate.wait(now) {
                Some(at) => now = at,
                None => {
                    rate.take(bytes, now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn a_limit_holds_after_the_burst() {
        let now = Instant::now();
        for (messages, bytes, size, want) in [
            (Some(100), None, 50, 100..=1_101),
            (None, Some(10_000), 1_000, 100..=112),
            (Some(100), Some(10_000), 1_000, 100..=112),
            (Some(1), None, 1, 10..=11),
            // One message is bigger than a second's worth.
            (None, Some(1_000), 5_000, 2..=3),
        ] {
            let mut rate = Rate::new(messages, bytes, now);
            let count = sent(&mut rate, now, 10, size);
            assert!(want.contains(&count), "{messages:?} {bytes:?}: {count}");
        }
        assert_eq!(sent(&mut Rate::new(None, None, now), now, 1, 10), 100_000);
    }

    #[test]
    fn a_complaint_halves_and_silence_raises_up_to_the_limit() {
        let now = Instant::now();
        let mut rate = Rate::new(Some(100), None, now);
        sent(&mut rate, now, 10, 10);
        let later = now + Duration::from_secs(10);
        rate.complain(later);
        let halved = rate.now().unwrap();
        assert!((45.0..=55.0).contains(&halved), "{halved}");
        let count = sent(&mut rate, later, 10, 10);
        assert!((500..=620).contains(&count), "{count}");
        // One more each second, so the limit is reached after about fifty.
        sent(&mut rate, later + Duration::from_secs(10), 60, 10);
        assert_eq!(rate.now(), Some(100.0));
    }

    #[test]
    fn without_a_limit_a_complaint_halves_what_was_measured_and_never_stops() {
        let now = Instant::now();
        let mut rate = Rate::new(None, None, now);
        let mut at = now;
        for _ in 0..1_000 {
            at += Duration::from_millis(5);
            rate.take(10, at);
        }
        rate.complain(at);
        let learned = rate.now().unwrap();
        assert!((80.0..=110.0).contains(&learned), "{learned}");
        for _ in 0..20 {
            rate.complain(at);
        }
        assert_eq!(rate.now(), Some(1.0));
    }
}
