//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

/// Counts by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize, RandomState>>>);

/// One connection of an address, as long as it exists.
#[derive(Debug)]
pub(crate) struct Ticket {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// One more of `address`, unless it has `max`.
    pub(crate) fn enter(&self, address: IpAddr, max: usize) -> Option<Ticket> {
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Ticket {
            addresses: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize, RandomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn an_address_has_no_more_than_its_share_and_gets_it_back() {
        let addresses = Addresses::default();
        let [one, two] = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        let first = addresses.enter(one, 2);
        let second = addresses.enter(one, 2);
        assert!(first.is_some() && second.is_some());
        assert!(addresses.enter(one, 2).is_none());
        assert!(addresses.enter(two, 2).is_some());
        drop(first);
        assert!(addresses.enter(one, 2).is_some());
        drop(second);
        assert!(addresses.lock().is_empty());
    }
}
