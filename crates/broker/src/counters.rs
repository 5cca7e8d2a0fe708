//! What the broker counts. Each worker has counters of its own, so that counting shares no
//! cache line; readers add them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fieldgate_broker_core::session::Tally;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One worker's counters.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
        }

        /// A reading of all counters since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Totals {
            /// Adds up the counters of all workers.
            pub(crate) fn of(all: &[Arc<Counters>]) -> Self {
                let mut totals = Self::default();
                for counters in all {
                    $(totals.$name += counters.$name.load(Ordering::Relaxed);)*
                }
                totals
            }
        }
    };
}

counters! {
    /// Bytes read from clients.
    bytes_received,
    /// Bytes written to clients.
    bytes_sent,
    /// MQTT packets of all types from clients.
    packets_received,
    /// MQTT packets of all types to clients.
    packets_sent,
    /// PUBLISH packets from clients and in-process links.
    publish_received,
    /// Bytes of their payloads.
    publish_bytes_received,
    /// PUBLISH packets to clients and in-process links.
    publish_sent,
    /// Bytes of their payloads.
    publish_bytes_sent,
    /// Messages dropped because a subscriber's queue was full.
    publish_dropped,
    /// Messages that expired in a queue.
    publish_expired,
    /// Messages bigger than a subscriber takes.
    publish_oversize,
    /// Messages refused because of rights, limits, or a disk that takes nothing.
    publish_refused,
    /// Messages that could not be retained because of the limits.
    retained_refused,
    /// Times that sessions and retained messages were written to disk.
    store_commits,
    /// Connections accepted.
    connections,
    /// Connections refused at CONNECT or by the connection limit.
    connections_refused,
    /// Connections refused because of a wrong user name or password.
    logins_failed,
    /// Connections ended because the client broke the protocol.
    protocol_errors,
    /// Connections ended because the client was silent for too long.
    timeouts,
    /// Times that a publisher was made to wait for a slow subscriber.
    pauses,
    /// Times that waiting for a slow subscriber was given up.
    slow_subscribers,
    /// Clients that were moved to the thread of those whose packets take long.
    slow_publishers,
    /// Sessions that expired.
    sessions_expired,
    /// Sessions that ended because of the limits.
    sessions_ended,
}

impl Counters {
    pub(crate) fn add(&self, tally: &Tally) {
        for (counter, count) in [
            (&self.publish_received, tally.received),
            (&self.publish_bytes_received, tally.received_bytes),
            (&self.packets_sent, tally.sent + tally.replies),
            (&self.publish_sent, tally.sent),
            (&self.publish_bytes_sent, tally.sent_bytes),
            (&self.publish_dropped, tally.dropped),
            (&self.publish_expired, tally.expired),
            (&self.publish_oversize, tally.oversize),
        ] {
            if count > 0 {
                add(counter, count);
            }
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// One of what a gauge counts, for as long as it exists.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn one_of(gauge: &Arc<AtomicUsize>) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(gauge))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
