//! What a device did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Cause;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// Counts since the start. Shared between the device's task and its readers.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub(crate) $name: AtomicU64,)*
        }

        /// The counts at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl Counters {
            /// The counts now. They are read one after the other, not at one instant.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Transactions that polled the device, successful or not.
    polls,
    /// Times the device or its port could not be opened.
    failed_open,
    /// Times the connection was lost.
    failed_lost,
    /// Polls without an answer in time.
    failed_timeout,
    /// Polls with a wrong answer.
    failed_protocol,
    /// Polls that the device refused.
    failed_refused,
    /// Samples handed on.
    samples,
    /// Samples that the change filter held back.
    suppressed,
    /// Samples dropped because the device was removed while they waited.
    dropped,
    /// Commands carried out.
    commands_ok,
    /// Commands refused unseen: offline, or too old.
    commands_refused,
    /// Commands that failed or read back differently.
    commands_failed,
    /// Times the device went offline.
    offline,
}

impl Counters {
    pub(crate) fn failed(&self, cause: Cause) {
        add(
            match cause {
                Cause::Open => &self.failed_open,
                Cause::Lost => &self.failed_lost,
                Cause::Timeout => &self.failed_timeout,
                Cause::Protocol => &self.failed_protocol,
                Cause::Refused => &self.failed_refused,
            },
            1,
        );
    }
}

/// Raises a counter; they guard nothing, so no ordering is needed.
pub(crate) fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
