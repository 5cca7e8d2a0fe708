//! Where simulated buses are.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where what is simulated can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind a server on this address; port 0 takes a free one.
    Listen(SocketAddr),
    /// On a line without a cable, in place of the serial port.
    Line,
}

impl Place {
    /// Behind a server that only this machine reaches, on a free port.
    pub const LOCAL: Self = Self::Listen(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)));

    /// Where devices are simulated that are reached at `host:port` otherwise: there, if that is this machine, else
    /// behind the same port on all its addresses.
    pub fn instead_of(address: &str) -> Self {
        Self::Listen(match address.parse::<SocketAddr>() {
            Ok(own) if own.ip().is_loopback() => own,
            _ => {
                let port = address.rsplit(':').next();
                let port = port.and_then(|port| port.parse().ok());
                SocketAddr::from(([0, 0, 0, 0], port.unwrap_or(0)))
            }
        })
    }
}

/// Addresses for simulated buses, one after the other.
#[derive(Debug)]
pub struct Places {
    first: Option<SocketAddr>,
    taken: u16,
}

impl Places {
    /// From this address on, with rising ports; or where the buses themselves say.
    pub fn new(first: Option<SocketAddr>) -> Self {
        Self { first, taken: 0 }
    }

    /// The next address, if there are any but the buses' own.
    ///
    /// # Errors
    ///
    /// If there are no more ports.
    pub fn take(&mut self) -> io::Result<Option<SocketAddr>> {
        let Some(first) = self.first else {
            return Ok(None);
        };
        // With port 0 each takes a free one.
        let step = if first.port() == 0 { 0 } else { self.taken };
        let port = first.port().checked_add(step);
        let error = || io::Error::new(io::ErrorKind::InvalidInput, "too few ports above it");
        self.taken = self.taken.saturating_add(1);
        Ok(Some(SocketAddr::new(first.ip(), port.ok_or_else(error)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_rise_port_by_port_until_there_are_no_more() {
        let take = |first: &str, count: usize| -> Vec<Option<u16>> {
            let mut places = Places::new(first.parse().ok());
            let taken = (0..count).map(|_| places.take());
            let taken = taken.map(|place| place.ok().flatten());
            taken.map(|place| place.map(|place| place.port())).collect()
        };
        for (address, want) in [
            ("127.0.0.1:502", "127.0.0.1:502"),
            ("192.0.2.1:503", "0.0.0.0:503"),
            ("plc.example:504", "0.0.0.0:504"),
        ] {
            let want = Place::Listen(want.parse().unwrap());
            assert_eq!(Place::instead_of(address), want);
        }
        assert_eq!(take("127.0.0.1:502", 3), [502, 503, 504].map(Some));
        assert_eq!(take("127.0.0.1:0", 2), [Some(0), Some(0)]);
        assert_eq!(take("", 2), [None, None]);
        assert_eq!(take("127.0.0.1:65534", 3), [Some(65534), Some(65535), None]);
    }
}
