//! Failed logins by address: after so many in a row an address must wait before the next try.
//!
//! Only failures count. A plant with 10,000 clients behind one address is not slowed down by its
//! successes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::origin::network;

/// An address may fail once in this time in the long run.
const REFILL: Duration = Duration::from_secs(1);

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 4096;

/// When each address will have been forgiven everything.
#[derive(Debug)]
pub(super) struct RateLimit {
    allowance: Duration,
    forgiven: HashMap<IpAddr, Instant>,
}

impl RateLimit {
    /// Lets an address fail `in_a_row` times at once.
    pub(super) fn new(in_a_row: u32) -> Self {
        Self {
            allowance: REFILL * in_a_row.max(1),
            forgiven: HashMap::new(),
        }
    }

    /// Whether the address has failed too often lately.
    pub(super) fn is_out(&self, peer: IpAddr, now: Instant) -> bool {
        let forgiven = self.forgiven.get(&network(peer));
        forgiven.is_some_and(|at| at.saturating_duration_since(now) + REFILL > self.allowance)
    }

    /// Whether the address has failed lately, be it only once.
    pub(super) fn has_failed(&self, peer: IpAddr, now: Instant) -> bool {
        let forgiven = self.forgiven.get(&network(peer));
        forgiven.is_some_and(|at| *at > now)
    }

    pub(super) fn failed(&mut self, peer: IpAddr, now: Instant) {
        let peer = network(peer);
        if !self.forgiven.contains_key(&peer) {
            self.make_room(now);
        }
        let at = self.forgiven.entry(peer).or_insert(now);
        *at = (*at).max(now) + REFILL;
    }

    fn make_room(&mut self, now: Instant) {
        if self.forgiven.len() < ADDRESSES_MAX {
            return;
        }
        self.forgiven.retain(|_, at| *at > now);
        if self.forgiven.len() >= ADDRESSES_MAX {
            let least = self.forgiven.iter().min_by_key(|(_, at)| **at);
            if let Some(peer) = least.map(|(peer, _)| *peer) {
                self.forgiven.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_out_after_so_many_failures_and_comes_back_one_at_a_time() {
        let mut limit = RateLimit::new(3);
        let (peer, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(!limit.is_out(peer, start));
            limit.failed(peer, start);
        }
        assert!(limit.is_out(peer, start) && !limit.is_out(other, start));
        assert!(limit.is_out(address("::ffff:10.0.0.1"), start));
        let later = start + REFILL;
        assert!(!limit.is_out(peer, later));
        limit.failed(peer, later);
        assert!(limit.is_out(peer, later));
        assert!(!limit.is_out(peer, start + REFILL * 4));
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let mut limit = RateLimit::new(1);
        let now = Instant::now();
        limit.failed(address("2001:db8::1"), now);
        for (peer, want) in [
            ("2001:db8::2", true),
            ("2001:db8:0:1::2", false),
            ("::1", false),
        ] {
            assert_eq!(limit.is_out(address(peer), now), want, "{peer}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut limit = RateLimit::new(1);
        let now = Instant::now();
        for number in 0..=ADDRESSES_MAX as u32 {
            limit.failed(std::net::Ipv4Addr::from(number).into(), now);
        }
        assert_eq!(limit.forgiven.len(), ADDRESSES_MAX);
    }
}
