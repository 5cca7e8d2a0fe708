//! Bytes on their way to one client: small packets copied, big payloads shared.
//!
//! Knows nothing of MQTT beyond "a packet's head, then its payload".

use std::io::IoSlice;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::Message;

/// From this payload size on, sharing costs less than copying into every subscriber's buffer.
pub const SHARE_FROM: usize = 8 * 1024;

/// A buffer this small is kept between bursts; a bigger one goes back to the worker's pool.
const KEEP: usize = 512;

/// An append-only list of bytes, of which some stretches are payloads that others hold too.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Everything that was copied.
    pub bytes: Vec<u8>,
    shared: Vec<Shared>,
    shared_len: usize,
}

#[derive(Debug)]
struct Shared {
    /// Where in `bytes` this payload belongs.
    at: usize,
    message: Message,
}

impl Outbox {
    /// Bytes not yet handed to the transport.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_len
    }

    /// What it takes in memory, in bytes; the payloads that others hold too count themselves.
    pub fn held(&self) -> usize {
        self.bytes.capacity() + self.shared.capacity() * size_of::<Shared>()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.shared.is_empty()
    }

    /// Appends the payload of `message` by reference.
    pub fn share_payload(&mut self, message: Message) {
        self.shared_len += message.payload().len();
        self.shared.push(Shared {
            at: self.bytes.len(),
            message,
        });
    }

    /// Gives the buffer to `pool` if it is bigger than `keep`. What it holds is forgotten.
    pub fn trim(&mut self, keep: usize, pool: &mut Pool) {
        self.bytes.clear();
        self.shared.clear();
        self.shared_len = 0;
        if self.bytes.capacity() > keep.max(KEEP) {
            pool.give(std::mem::take(&mut self.bytes));
        }
    }
}

/// The part of an outbox that a connection is writing, and how far it got.
#[derive(Debug, Default)]
pub struct Writing {
    outbox: Outbox,
    /// The next byte of `outbox.bytes`.
    copied: usize,
    /// The next shared payload, and how much of it is written.
    next_shared: usize,
    shared_done: usize,
}

impl Writing {
    /// Whether all of it has been written.
    pub fn is_done(&self) -> bool {
        self.copied == self.outbox.bytes.len() && self.next_shared == self.outbox.shared.len()
    }

    /// Takes over what `outbox` holds. Call it only when everything before is written.
    pub fn refill(&mut self, outbox: &mut Outbox) {
        debug_assert!(self.is_done());
        std::mem::swap(&mut self.outbox, outbox);
        self.copied = 0;
        self.next_shared = 0;
        self.shared_done = 0;
        outbox.bytes.clear();
        outbox.shared.clear();
        outbox.shared_len = 0;
    }

    /// Fills `slices` with what comes next and says how many it set; none when all is written.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut from = self.copied;
        for (index, shared) in self.outbox.shared[self.next_shared..].iter().enumerate() {
            if slices.len() - used < 2 {
                return used;
            }
            push(slices, &mut used, &self.outbox.bytes[from..shared.at]);
            let skip = if index == 0 { self.shared_done } else { 0 };
            push(slices, &mut used, &shared.message.payload()[skip..]);
            from = shared.at;
        }
        if used < slices.len() {
            push(slices, &mut used, &self.outbox.bytes[from..]);
        }
        used
    }

    /// Notes that the transport took `count` bytes of what `slices` gave.
    pub fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let run = self.run();
            let step = run.len().min(count);
            self.copied += step;
            count -= step;
            if self.copied < run.end {
                return;
            }
            let Some(shared) = self.outbox.shared.get(self.next_shared) else {
                return;
            };
            let left = shared.message.payload().len() - self.shared_done;
            let step = left.min(count);
            count -= step;
            if step == left {
                self.next_shared += 1;
                self.shared_done = 0;
            } else {
                self.shared_done += step;
            }
        }
    }

    /// The copied bytes that go out before the next shared payload.
    fn run(&self) -> Range<usize> {
        let end = self
            .outbox
            .shared
            .get(self.next_shared)
            .map_or(self.outbox.bytes.len(), |shared| shared.at);
        self.copied..end
    }

    /// Puts `bytes` behind everything else.
    pub fn append(&mut self, bytes: &[u8]) {
        self.outbox.bytes.extend_from_slice(bytes);
    }

    /// What it takes in memory, in bytes.
    pub fn held(&self) -> usize {
        self.outbox.held()
    }

    /// Whether an idle connection should give something back.
    pub fn holds_buffer(&self) -> bool {
        self.outbox.bytes.capacity() > KEEP
    }

    /// Gives the buffer to `pool` if it is empty and bigger than `keep`.
    pub fn trim(&mut self, keep: usize, pool: &mut Pool) {
        if self.is_done() {
            self.outbox.trim(keep, pool);
            self.copied = 0;
            self.next_shared = 0;
        }
    }
}

fn push<'a>(slices: &mut [IoSlice<'a>], used: &mut usize, bytes: &'a [u8]) {
    if !bytes.is_empty() {
        slices[*used] = IoSlice::new(bytes);
        *used += 1;
    }
}

/// Empty buffers.
#[derive(Debug, Default)]
struct Buffers {
    free: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.free.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer if all together are not more than `max` bytes; else gives it back.
    fn give(&mut self, buffer: Vec<u8>, max: usize) -> Option<Vec<u8>> {
        if self.bytes + buffer.capacity() > max {
            return Some(buffer);
        }
        self.bytes += buffer.capacity();
        self.free.push(buffer);
        None
    }
}

/// Empty buffers of all threads: those that one thread fills and another empties would else be made anew each time.
#[derive(Debug, Default)]
pub struct CommonPool(Mutex<Buffers>);

impl CommonPool {
    /// What it holds at most, in bytes. One burst must not keep its memory for ever.
    const MAX: usize = 1 << 20;

    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empty buffers that the connections of one worker borrow while they have bytes.
#[derive(Debug, Default)]
pub struct Pool {
    own: Buffers,
    common: Option<Arc<CommonPool>>,
}

impl Pool {
    /// What a pool holds beside what is in common, in bytes.
    const MAX: usize = 256 << 10;

    /// One that shares buffers with others.
    pub fn sharing(common: &Arc<CommonPool>) -> Self {
        Self {
            own: Buffers::default(),
            common: Some(Arc::clone(common)),
        }
    }

    /// A buffer, empty, with room in it if there was one.
    pub fn take(&mut self) -> Vec<u8> {
        let of_all = || self.common.as_ref()?.buffers().take();
        self.own.take().or_else(of_all).unwrap_or_default()
    }

    /// Takes back a buffer.
    pub fn give(&mut self, buffer: Vec<u8>) {
        let left = self.own.give(buffer, Self::MAX);
        if let (Some(buffer), Some(common)) = (left, &self.common) {
            // Without room there either it is freed.
            let _ = common.buffers().give(buffer, CommonPool::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::testing::message;

    fn drain(writing: &mut Writing, at_once: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !writing.is_done() {
            let mut slices = [IoSlice::new(&[]); 4];
            let used = writing.slices(&mut slices);
            let mut took = 0;
            for slice in &slices[..used] {
                let take = slice.len().min(at_once - took);
                all.extend_from_slice(&slice[..take]);
                took += take;
            }
            assert!(took > 0, "no progress");
            writing.advance(took);
        }
        all
    }

    #[test]
    fn shared_payloads_come_out_in_their_places_however_short_the_writes() {
        for at_once in [1, 2, 3, 7, 1000] {
            let mut outbox = Outbox::default();
            outbox.share_payload(message("t", b"first"));
            outbox.bytes.extend_from_slice(b"-ab-");
            outbox.share_payload(message("t", b"second"));
            outbox.share_payload(message("t", b"third"));
            outbox.bytes.extend_from_slice(b"-end");
            assert_eq!(outbox.len(), 24);
            let mut writing = Writing::default();
            writing.refill(&mut outbox);
            assert!(outbox.is_empty());
            assert_eq!(
                drain(&mut writing, at_once),
                b"first-ab-secondthird-end",
                "{at_once}"
            );
        }
    }

    #[test]
    fn a_big_buffer_goes_back_to_the_pool_and_a_small_one_stays() {
        let mut pool = Pool::default();
        for (size, pooled) in [(100, 0), (100_000, 1)] {
            let mut outbox = Outbox::default();
            outbox.bytes.resize(size, 0);
            let mut writing = Writing::default();
            writing.refill(&mut outbox);
            writing.advance(size);
            writing.trim(0, &mut pool);
            assert_eq!(pool.own.free.len(), pooled, "{size}");
        }
    }

    #[test]
    fn what_one_thread_empties_another_fills_again_within_bounds() {
        let common = Arc::default();
        let (mut reader, mut writer) = (Pool::sharing(&common), Pool::sharing(&common));
        let size = 100 << 10;
        for _ in 0..20 {
            reader.give(Vec::with_capacity(size));
        }
        assert_eq!(reader.own.free.len(), Pool::MAX / size);
        let shared = CommonPool::MAX / size;
        let got: Vec<_> = (0..shared + 1).map(|_| writer.take().capacity()).collect();
        assert!(got[..shared].iter().all(|capacity| *capacity >= size));
        assert_eq!(got[shared], 0);
        let held = |pool: &Pool| pool.own.bytes;
        assert_eq!((held(&writer), common.buffers().bytes), (0, 0));
        // Its own come first.
        assert!(reader.take().capacity() >= size);
        assert_eq!(reader.own.free.len(), Pool::MAX / size - 1);
    }
}
