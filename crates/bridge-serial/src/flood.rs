//! Notices a port that brings more than any instrument says.
//!
//! A USB device is bound by no baud rate: it can bring bytes faster than they are looked at, and
//! all devices share one thread.

use std::time::Duration;

use tokio::time::Instant;

/// The time over which bytes are counted.
const SPAN: Duration = Duration::from_secs(1);
/// Bytes that a port may bring in it: more than the fastest serial line carries.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// A read of so many bytes is followed by a turn of the others.
const CROWD: usize = 1024;

/// What a port has brought lately.
#[derive(Debug)]
pub(crate) struct Flow {
    since: Instant,
    bytes: usize,
    is_crowded: bool,
}

impl Flow {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            is_crowded: false,
        }
    }

    /// Notes a read. False if that was too much.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= SPAN {
            (self.since, self.bytes) = (now, 0);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.is_crowded = bytes >= CROWD;
        self.bytes <= BYTES_MAX
    }

    /// Lets others have their turn after a big read. Cancel-safe.
    pub(crate) async fn give_way(&mut self) {
        if std::mem::take(&mut self.is_crowded) {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_line_is_no_flood_and_what_is_faster_is_one_within_a_second() {
        for (bytes_per_second, want) in [(1_200_000, None), (40_000_000, Some(52))] {
            let start = Instant::now();
            let mut flow = Flow::new(start);
            let flooded = (0..5_000).find(|millis| {
                let now = start + Duration::from_millis(*millis);
                !flow.take(bytes_per_second / 1_000, now)
            });
            assert_eq!(flooded, want, "{bytes_per_second} bytes a second");
        }
    }
}
