//! Who may connect, publish and subscribe.
//!
//! Every decision of the broker about rights is made here, so that users, rules and client
//! certificates have one place.

use std::net::IpAddr;

use fieldgate_mqtt::ReasonCode;

/// The rights of one broker's clients.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    allow_anonymous: bool,
}

impl Access {
    pub(crate) fn new(allow_anonymous: bool) -> Self {
        Self { allow_anonymous }
    }

    /// Whether a client at `peer` may connect. Unless anonymous clients are let in, only those
    /// on this machine are.
    pub(crate) fn connect(&self, peer: IpAddr) -> Result<(), ReasonCode> {
        if self.allow_anonymous || peer.to_canonical().is_loopback() {
            Ok(())
        } else {
            Err(ReasonCode::NOT_AUTHORIZED)
        }
    }

    /// Whether clients may publish to `topic`. `$` topics are the broker's own.
    pub(crate) fn publish(&self, topic: &str) -> bool {
        !topic.starts_with('$')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_anonymous_access_only_this_machine_is_let_in() {
        for (allow_anonymous, peer, want) in [
            (false, "127.0.0.1", Ok(())),
            (false, "127.1.2.3", Ok(())),
            (false, "::1", Ok(())),
            (false, "::ffff:127.0.0.1", Ok(())),
            (false, "192.168.1.7", Err(ReasonCode::NOT_AUTHORIZED)),
            (true, "192.168.1.7", Ok(())),
        ] {
            let access = Access::new(allow_anonymous);
            assert_eq!(access.connect(peer.parse().unwrap()), want, "{peer}");
        }
    }
}
