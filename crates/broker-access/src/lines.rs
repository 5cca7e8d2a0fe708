//! Who is next to have its password checked.
//!
//! Blocks of addresses take turns, and so do the addresses of a block. Those that have not failed lately come first. So
//! a flood from one network delays that network.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What waits, by where it comes from.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    /// In the order of their turns.
    blocks: VecDeque<Block<T>>,
    len: usize,
    bytes: usize,
    max: usize,
}

#[derive(Debug)]
struct Block<T> {
    network: IpAddr,
    /// In the order of their turns.
    addresses: VecDeque<Address<T>>,
    len: usize,
}

#[derive(Debug)]
struct Address<T> {
    address: IpAddr,
    /// It has failed lately.
    is_behind: bool,
    jobs: VecDeque<(T, usize)>,
}

/// Bytes that may wait altogether.
const BYTES_MAX: usize = 2 << 20;

impl<T> Lines<T> {
    /// Room for `max` jobs. A block may have a quarter of it, an address a sixteenth.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            blocks: VecDeque::new(),
            len: 0,
            bytes: 0,
            max,
        }
    }

    /// Puts `job`, of so many `bytes`, at the end of its line. Gives it back if there is no room.
    pub(crate) fn push(
        &mut self,
        address: IpAddr,
        is_behind: bool,
        (job, bytes): (T, usize),
    ) -> Result<(), T> {
        if self.len >= self.max || self.bytes + bytes > BYTES_MAX {
            return Err(job);
        }
        let network = block_of(address);
        let known = self
            .blocks
            .iter()
            .position(|block| block.network == network);
        let at = known.unwrap_or_else(|| {
            self.blocks.push_back(Block {
                network,
                addresses: VecDeque::new(),
                len: 0,
            });
            self.blocks.len() - 1
        });
        let block = &mut self.blocks[at];
        let line = block.line(address, is_behind);
        let is_full = line.jobs.len() > self.max / 16 || block.len > self.max / 4;
        if is_full {
            return Err(job);
        }
        block.len += 1;
        block.line(address, is_behind).jobs.push_back((job, bytes));
        self.len += 1;
        self.bytes += bytes;
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let mut block = self.blocks.pop_front()?;
        let first = block.addresses.iter().position(|line| !line.is_behind);
        let mut line = block.addresses.remove(first.unwrap_or(0))?;
        let (job, bytes) = line.jobs.pop_front()?;
        if !line.jobs.is_empty() {
            block.addresses.push_back(line);
        }
        block.len -= 1;
        if block.len > 0 {
            self.blocks.push_back(block);
        }
        self.len -= 1;
        self.bytes -= bytes;
        Some(job)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.max);
    }
}

impl<T> Block<T> {
    fn line(&mut self, address: IpAddr, is_behind: bool) -> &mut Address<T> {
        let known = self
            .addresses
            .iter()
            .position(|line| line.address == address);
        let at = known.unwrap_or_else(|| {
            self.addresses.push_back(Address {
                address,
                is_behind,
                jobs: VecDeque::new(),
            });
            self.addresses.len() - 1
        });
        let line = &mut self.addresses[at];
        line.is_behind = is_behind;
        line
    }
}

/// The block that an address belongs to: the usual size of a local network, or what one customer of IPv6 has.
fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & 0xFFFF_FF00).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_take_turns_then_addresses_and_those_without_failures_come_first() {
        let mut lines = Lines::new(1_000);
        for (from, is_behind, job) in [
            ("10.0.0.1", true, "a1"),
            ("10.0.0.1", true, "a2"),
            ("10.0.0.2", true, "b1"),
            ("10.0.0.1", true, "a3"),
            ("10.0.0.3", false, "good"),
            ("10.0.1.1", false, "other"),
            ("2001:db8:0:1::1", false, "six"),
            ("2001:db8:0:2::1", false, "seven"),
        ] {
            lines.push(address(from), is_behind, (job, 10)).unwrap();
        }
        let order: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        let want = ["good", "other", "six", "a1", "seven", "b1", "a2", "a3"];
        assert_eq!(order, want);
        assert_eq!((lines.len, lines.bytes), (0, 0));
    }

    #[test]
    fn a_flood_of_one_address_or_block_leaves_room_for_others() {
        let mut lines = Lines::new(160);
        let mut push = |from: &str| lines.push(address(from), true, ((), 1)).is_ok();
        let taken = (0..100).filter(|_| push("10.0.0.1")).count();
        assert_eq!(taken, 11);
        let taken = (2..100).filter(|n| push(&format!("10.0.0.{n}"))).count();
        assert_eq!(taken, 30);
        assert!(push("10.0.1.1"));
    }

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let mut lines = Lines::new(4_000);
        let mut push = |n: u8, bytes| lines.push([10, n, 0, 1].into(), false, ((), bytes)).is_ok();
        let taken = (0..255).filter(|&n| push(n, 60_000)).count();
        assert_eq!(taken, BYTES_MAX / 60_000);
        assert!(push(255, 100));
    }
}
