//! Who may connect, publish and subscribe.
//!
//! Every decision of the broker about rights is made here, so that users, rules and client
//! certificates have one place.

use fieldgate_mqtt::ReasonCode;

use crate::origin::Origin;

/// The rights of one broker's clients.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    allow_anonymous: bool,
}

impl Access {
    pub(crate) fn new(allow_anonymous: bool) -> Self {
        Self { allow_anonymous }
    }

    /// Whether a client may connect. Unless anonymous clients are let in, only those on this
    /// machine are, and those that have shown a certificate with a name.
    pub(crate) fn connect(&self, origin: &Origin) -> Result<(), ReasonCode> {
        let anonymous = origin.allow_anonymous.unwrap_or(self.allow_anonymous);
        if anonymous || origin.is_local() || origin.subject.is_some() {
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
    use std::net::SocketAddr;

    use super::*;
    use crate::origin::Remote;

    fn tcp(ip: &str) -> Remote {
        Remote::Tcp(SocketAddr::new(ip.parse().unwrap(), 4711))
    }

    #[test]
    fn without_anonymous_access_only_this_machine_and_certificates_are_let_in() {
        let refused = Err(ReasonCode::NOT_AUTHORIZED);
        for (broker, listener, remote, subject, want) in [
            (false, None, tcp("127.0.0.1"), None, Ok(())),
            (false, None, tcp("127.1.2.3"), None, Ok(())),
            (false, None, tcp("::1"), None, Ok(())),
            (false, None, tcp("::ffff:127.0.0.1"), None, Ok(())),
            (false, None, Remote::Unix, None, Ok(())),
            (false, None, tcp("192.168.1.7"), None, refused),
            (false, None, tcp("192.168.1.7"), Some("panel"), Ok(())),
            (false, Some(true), tcp("192.168.1.7"), None, Ok(())),
            (true, None, tcp("192.168.1.7"), None, Ok(())),
            (true, Some(false), tcp("192.168.1.7"), None, refused),
        ] {
            let origin = Origin {
                remote,
                subject: subject.map(Into::into),
                allow_anonymous: listener,
            };
            assert_eq!(Access::new(broker).connect(&origin), want, "{origin:?}");
        }
    }
}
