//! How many events are kept of one kind of one device: a line that flaps must not wear the card, and must not push out
//! everything else. Pure: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Event, Kind};

/// Events of one kind of one device that are kept however fast they come, and how long it takes until one more may.
const EACH: Rate = Rate {
    burst: 20,
    every: Duration::from_secs(60),
};
/// The same of all together: at the longest, a thousand devices that flap write 3 MB a day.
const ALL: Rate = Rate {
    burst: 4_000,
    every: Duration::from_secs(2),
};
/// Kinds of devices that are told apart; those that were quiet for long are not counted.
const ACCOUNTS_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    every: Duration,
}

impl Rate {
    fn full(self) -> Duration {
        self.every * self.burst
    }
}

/// What may still be spent, as time.
#[derive(Clone, Copy, Debug)]
struct Credit {
    left: Duration,
    since: Instant,
}

impl Credit {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: rate.full(),
            since: now,
        }
    }

    fn gain(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        self.left = rate.full().min(self.left.saturating_add(passed));
        self.since = now;
    }
}

#[derive(Debug)]
struct Account {
    credit: Credit,
    /// The newest event that was left out, and with it how many before it.
    owed: Option<Event>,
}

/// Decides which events are kept.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    all: Option<Credit>,
    accounts: HashMap<(String, Kind), Account>,
    /// Events that were left out for good.
    pub(crate) left_out: u64,
}

impl Budget {
    /// Takes an event. What is to be kept now goes to `out`: the newest that was left out before, too, when there is
    /// room for it.
    pub(crate) fn take(&mut self, event: Event, now: Instant, out: &mut impl Extend<Event>) {
        let mut key = (event.device.clone(), event.kind);
        if self.accounts.len() >= ACCOUNTS_MAX && !self.accounts.contains_key(&key) {
            self.forget(now);
            if self.accounts.len() >= ACCOUNTS_MAX {
                // All that are too many share the gateway's own.
                key.0.clear();
            }
        }
        let account = self.accounts.entry(key).or_insert_with(|| Account {
            credit: Credit::full(EACH, now),
            owed: None,
        });
        let all = self.all.get_or_insert_with(|| Credit::full(ALL, now));
        account.settle(all, now, out);
        account.owed = match account.owed.take() {
            None => Some(event),
            Some(owed) => {
                self.left_out += 1;
                Some(Event {
                    left_out: owed.left_out + 1,
                    ..event
                })
            }
        };
        account.settle(all, now, out);
    }

    /// What was left out, as far as there is room for it by now.
    pub(crate) fn due(&mut self, now: Instant, out: &mut impl Extend<Event>) {
        let all = self.all.get_or_insert_with(|| Credit::full(ALL, now));
        for account in self.accounts.values_mut() {
            account.settle(all, now, out);
        }
    }

    /// All that was left out last, at the end.
    pub(crate) fn end(&mut self, out: &mut impl Extend<Event>) {
        let owed = self.accounts.values_mut();
        out.extend(owed.filter_map(|account| account.owed.take()));
    }

    /// Forgets those that were quiet for so long that nothing is known of them any more.
    fn forget(&mut self, now: Instant) {
        self.accounts.retain(|_, account| {
            account.credit.gain(EACH, now);
            account.owed.is_some() || account.credit.left < EACH.full()
        });
    }
}

impl Account {
    fn settle(&mut self, all: &mut Credit, now: Instant, out: &mut impl Extend<Event>) {
        self.credit.gain(EACH, now);
        all.gain(ALL, now);
        if self.credit.left >= EACH.every && all.left >= ALL.every && self.owed.is_some() {
            self.credit.left -= EACH.every;
            all.left -= ALL.every;
            out.extend(self.owed.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(device: &str, kind: Kind, number: i64) -> Event {
        Event {
            at: number,
            ..Event::new(kind, jiff::Timestamp::UNIX_EPOCH).of(device)
        }
    }

    /// Numbers of the events, and how many were left out before each.
    fn seen(events: &[Event]) -> Vec<(i64, u64)> {
        let events = events.iter();
        events.map(|event| (event.at, event.left_out)).collect()
    }

    #[test]
    fn of_a_device_that_flaps_the_first_are_kept_and_then_the_newest_of_each_minute() {
        let start = Instant::now();
        let (mut budget, mut out) = (Budget::default(), Vec::new());
        for number in 0..600 {
            let now = start + Duration::from_millis(number * 100);
            budget.take(event("d", Kind::Offline, number as i64), now, &mut out);
        }
        let first: Vec<_> = (0..20).map(|number| (number, 0)).collect();
        assert_eq!(seen(&out), first);
        budget.due(start + Duration::from_secs(60), &mut out);
        assert_eq!(seen(&out)[20..], [(599, 579)]);
        assert_eq!(budget.left_out, 579);
        budget.due(start + Duration::from_secs(600), &mut out);
        assert_eq!(out.len(), 21, "each is told once");
    }

    #[test]
    fn kinds_and_devices_have_budgets_of_their_own() {
        let now = Instant::now();
        let (mut budget, mut out) = (Budget::default(), Vec::new());
        for number in 0..100 {
            budget.take(event("d", Kind::Offline, number), now, &mut out);
        }
        out.clear();
        budget.take(event("d", Kind::Command, 7), now, &mut out);
        budget.take(event("e", Kind::Offline, 8), now, &mut out);
        budget.take(event("", Kind::Reloaded, 9), now, &mut out);
        assert_eq!(seen(&out), [(7, 0), (8, 0), (9, 0)]);
        out.clear();
        budget.end(&mut out);
        assert_eq!(seen(&out), [(99, 79)], "the last state is told at the end");
    }

    #[test]
    fn all_devices_together_have_a_budget_and_no_more_of_them_are_counted_than_fit() {
        let start = Instant::now();
        let (mut budget, mut out) = (Budget::default(), Vec::new());
        for number in 0..10_000 {
            let device = format!("d{number}");
            budget.take(event(&device, Kind::Offline, number), start, &mut out);
        }
        assert_eq!(out.len(), 4_000);
        assert!(budget.accounts.len() <= ACCOUNTS_MAX + 1);
        let later = start + Duration::from_secs(2 * 3_600);
        for number in 0..10_000 {
            let device = format!("e{number}");
            budget.take(event(&device, Kind::Online, number), later, &mut out);
        }
        assert!(out.len() <= 8_000, "{}", out.len());
        assert!(budget.accounts.len() <= ACCOUNTS_MAX + 1);
    }
}
