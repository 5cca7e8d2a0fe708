//! One connection: reads, lets `intake` handle what came, writes what is due, keeps deadlines.

mod deadline;
mod farewell;
mod greeting;
mod login;
mod upkeep;

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use fieldgate_mqtt::frame_len;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use self::login::Login;
pub(super) use self::upkeep::BARE;
use super::client::Client;
use super::effort::{Effort, yield_turn};
use super::end::End;
use super::stream::Stream;
use super::{READ_SIZE, Scratch, Worker};
use crate::counters::add;
use crate::hub::backpressure::Pause;
use crate::hub::deliver::DeliveryScratch;
use crate::origin::Origin;
use fieldgate_broker_core::budget::Share;
use fieldgate_broker_core::outbox::Writing;
use fieldgate_broker_core::session::Turn;
use fieldgate_broker_core::ticket::{Commits, Outcome};

/// Reads handled before other connections of the worker get their turn.
pub(super) const READS_AT_ONCE: usize = 8;

/// A buffer bigger than this is given back once it is empty.
const KEEP_BUFFER: usize = 64 * 1024;

/// Bytes of a packet that is not whole yet which count as a sign of life: a big packet may take its
/// time on a slow link, one that trickles in does not keep a client alive (MQTT-3.1.2-22).
const PROGRESS: usize = 1024;

/// Bytes waiting for a socket that takes none, from which on the client is not read either.
const BLOCKED_MAX: usize = 128 * 1024;

/// A client's connection, from the accepted socket to its end.
pub(super) struct Connection<S> {
    pub(super) stream: S,
    pub(super) origin: Origin,
    pub(super) worker: Arc<Worker>,
    pub(super) state: State,
    /// The beginning of a packet whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// `partial` may hold whole packets: taking in stopped to wait for subscribers, or for the next turn.
    leftover: bool,
    pub(super) writing: Writing,
    pub(super) timer: Pin<Box<Sleep>>,
    /// When the timer rings, if it has been polled since it was set.
    pub(super) armed: Option<Instant>,
    /// When the client last sent a whole packet, or a good part of one.
    pub(super) heard: Instant,
    /// It seems to have been silent for too long; not believed before this.
    pub(super) doubt: Option<Instant>,
    /// Bytes that came since, of a packet that is not whole.
    unheard: usize,
    pub(super) pause: Pause,
    pub(super) stage: Stage,
    /// What it takes of the budget.
    pub(super) share: Share,
    /// What it takes of the room for those who have not logged in.
    pub(super) lobby: Option<Share>,
    /// What its session was told of that, in bytes.
    pub(super) told: usize,
    effort: Effort,
    /// It should go to the slow ones.
    is_slow: bool,
}

/// What becomes of a connection that leaves its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Over,
    /// It goes on at the worker for slow clients.
    Moves,
}

/// Before and after CONNECT.
pub(super) enum State {
    Waiting { since: Instant, login: Login },
    Client(Client),
}

pub(super) enum Stage {
    Open,
    /// The last bytes are going out; the connection ends by this time at the latest.
    Closing {
        until: Instant,
    },
}

impl<S: Stream> Connection<S> {
    /// `since` is when the socket was accepted.
    pub(super) fn new(stream: S, origin: Origin, since: Instant, worker: Arc<Worker>) -> Self {
        let timeout = worker.hub.config.limits.connect_timeout;
        Self {
            share: Share::new(&worker.pot, BARE + stream.base()),
            lobby: None,
            told: 0,
            effort: Effort::new(since),
            is_slow: false,
            stream,
            origin,
            worker,
            state: State::Waiting {
                since,
                login: Login::None,
            },
            partial: Vec::new(),
            leftover: false,
            writing: Writing::default(),
            timer: Box::pin(tokio::time::sleep_until((since + timeout).into())),
            armed: None,
            heard: since,
            doubt: None,
            unheard: 0,
            pause: Pause::default(),
            stage: Stage::Open,
        }
    }

    /// Writes until nothing is left (`Ready`) or the socket takes no more (`Pending`).
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Poll<Result<(), End>> {
        loop {
            while !self.writing.is_done() {
                let mut slices = [IoSlice::new(&[]); 16];
                let used = self.writing.slices(&mut slices);
                let stream = Pin::new(&mut self.stream);
                let written = match &slices[..used] {
                    [only] => stream.poll_write(cx, only), // The cheaper system call.
                    several => stream.poll_write_vectored(cx, several),
                };
                let written = ready!(written);
                let count = match written {
                    Ok(0) | Err(_) => return Poll::Ready(Err(End::Lost)),
                    Ok(count) => count,
                };
                add(&self.worker.counters.bytes_sent, count as u64);
                if let State::Client(client) = &self.state {
                    client.attached.slot.note_taken(count as u64);
                }
                self.writing.advance(count);
            }
            self.writing.trim(KEEP_BUFFER, &mut scratch.post.pool);
            // TLS and WebSocket have buffers of their own; of TCP nothing is left here.
            let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
            flushed.map_err(|_| End::Lost)?;
            if !self.refill(cx, scratch, now)? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes what is ready to be written. If there is nothing, leaves the waker for the one that has
    /// something, and returns false.
    fn refill(
        &mut self,
        cx: &Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Result<bool, End> {
        let State::Client(client) = &mut self.state else {
            return Ok(false);
        };
        if !matches!(self.stage, Stage::Open) {
            return Ok(false);
        }
        let slot = &client.attached.slot;
        let mut inner = slot.lock();
        let Some((session, wire)) = inner.wire(client.attached.epoch) else {
            return Err(End::TakenOver);
        };
        wire.underway = 0;
        if let Some(reason) = wire.kick {
            return Err(End::kicked(reason));
        }
        let hub = &self.worker.hub;
        if let (Some(store), Some(gate)) = (&hub.store, &wire.gate) {
            store.wake_at(gate, cx.waker());
            if store.outcome(gate) == Outcome::Undecided {
                return Ok(false);
            }
            wire.gate = None;
        }
        let DeliveryScratch { journal, tally, .. } = &mut scratch.post;
        session.pump(&mut Turn {
            now,
            out: &mut wire.out,
            pending: &mut wire.pending,
            journal,
            tally,
        });
        hub.keep_all(journal, &mut wire.pending);
        if !wire.pending.is_empty() {
            let (version, waker) = (client.version, cx.waker());
            let store = hub.store.as_ref();
            let refused = wire.pending.release(store, version, &mut wire.out, waker);
            let forget = |id| session.forget(id);
            refused.received.into_iter().for_each(forget);
            if refused.untold {
                return Err(End::NOT_KEPT);
            }
        }
        let some = !wire.out.is_empty();
        if some {
            client.greeted = true;
            self.writing.refill(&mut wire.out);
            wire.underway = self.writing.held();
        } else if !wire.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            wire.waker = Some(cx.waker().clone());
        }
        inner.recount();
        let waiting = inner.relieve();
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
        Ok(some)
    }

    /// Reads and handles what came.
    fn poll_intake(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Poll<Result<(), End>> {
        let Scratch { read, cache, post } = scratch;
        if std::mem::take(&mut self.leftover) {
            let data = std::mem::take(&mut self.partial);
            let used = self.take_in(&data, cache, post, now)?;
            self.partial = if used == 0 { data } else { data[used..].into() };
            return Poll::Ready(Ok(()));
        }
        let had = self.partial.len();
        let whole = frame_len(&self.partial).ok().flatten().unwrap_or(0);
        if had.max(whole) < READ_SIZE {
            // The usual case: what is left of the last read and the next fit the worker's buffer.
            let mut buffer = ReadBuf::new(read);
            buffer.put_slice(&self.partial);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_err(|_| End::Lost)?;
            let data = buffer.filled();
            self.note_read(data.len() - had, now)?;
            let used = self.take_in(data, cache, post, now)?;
            self.partial = data[used..].into();
            return Poll::Ready(Ok(()));
        }
        let mut data = std::mem::take(&mut self.partial);
        let polled = self.poll_append(cx, &mut data, now);
        if !matches!(polled, Poll::Ready(Ok(()))) {
            self.partial = data;
            return polled;
        }
        let used = self.take_in(&data, cache, post, now)?;
        self.partial = if used == 0 { data } else { data[used..].into() };
        Poll::Ready(Ok(()))
    }

    /// Reads behind what `data` holds already, as much as its packet still lacks.
    fn poll_append(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Vec<u8>,
        now: Instant,
    ) -> Poll<Result<(), End>> {
        let had = data.len();
        let lacks = match frame_len(data) {
            Ok(Some(len)) => len.saturating_sub(had),
            _ => 0,
        };
        // Grows with what has come, not with what a length field promises.
        data.resize(had + lacks.clamp(READ_SIZE, had.max(READ_SIZE)), 0);
        let mut buffer = ReadBuf::new(&mut data[had..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
        let got = buffer.filled().len();
        data.truncate(had + got);
        ready!(polled).map_err(|_| End::Lost)?;
        self.note_read(got, now)?;
        Poll::Ready(Ok(()))
    }

    fn note_read(&mut self, count: usize, now: Instant) -> Result<(), End> {
        if count == 0 {
            return Err(End::Lost);
        }
        self.unheard += count;
        if self.unheard >= PROGRESS {
            self.hear(now);
        }
        add(&self.worker.counters.bytes_received, count as u64);
        Ok(())
    }

    fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.unheard = 0;
        // Part of a CONNECT buys no time.
        if let State::Client(_) = self.state {
            self.doubt = None;
        }
    }

    /// Handles `data` as far as it is whole packets; returns how much that was.
    fn take_in(
        &mut self,
        data: &[u8],
        cache: &mut crate::hub::MatchCache,
        post: &mut crate::hub::deliver::DeliveryScratch,
        now: Instant,
    ) -> Result<usize, End> {
        let mut used = 0;
        if let State::Waiting { .. } = self.state {
            used = self.greet(data, now)?;
            if used == 0 {
                return Ok(0);
            }
        }
        let State::Client(client) = &mut self.state else {
            return Ok(used);
        };
        let begun = self.effort.begin();
        let taken = client.intake(&data[used..], &self.worker, cache, post, (now, &begun));
        self.is_slow |= self.effort.end(&begun);
        self.leftover |= std::mem::take(&mut post.is_late);
        if !post.congested.is_empty() {
            add(&self.worker.counters.pauses, 1);
            self.pause = Pause::new(std::mem::take(&mut post.congested));
            self.leftover = true;
        }
        let used = used + taken?;
        if used > 0 {
            self.hear(now);
        }
        Ok(used)
    }

    /// One turn of the connection: everything that can be done without waiting.
    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Poll<End> {
        if let Poll::Ready(end) = self.poll_work(cx, scratch, now) {
            return Poll::Ready(end);
        }
        if let Err(end) = self.recount() {
            return Poll::Ready(end);
        }
        // Last, since what was done moves the deadline: a CONNECT brings a nearer one.
        match self.poll_deadline(cx, scratch, now) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    fn poll_work(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Poll<End> {
        if let Stage::Closing { .. } = self.stage {
            return self.poll_linger(cx, scratch, now);
        }
        let begun = self.effort.begin();
        for _ in 0..READS_AT_ONCE {
            match self.poll_flush(cx, scratch, now) {
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => match self.check_blocked(cx) {
                    Err(end) => return Poll::Ready(end),
                    Ok(true) => {}
                    // What it sent meanwhile may still be unread.
                    Ok(false) if self.is_overdue(now) => {}
                    Ok(false) => return Poll::Pending,
                },
            }
            if self.waits_for_subscribers(cx, now) || self.waits_for_store(cx) {
                return Poll::Pending;
            }
            if ready!(self.poll_login(cx, now)) {
                self.leftover = true; // Its CONNECT.
            }
            match ready!(self.poll_intake(cx, scratch, now)) {
                Ok(()) => {}
                Err(end) => return Poll::Ready(end),
            }
            if self.is_slow || begun.is_over() {
                break;
            }
        }
        yield_turn(cx);
        Poll::Pending
    }

    /// So many answers wait for the disk that the client is not read until some have left. The same if the disk is
    /// behind and the client has a part in that, or is about to.
    fn waits_for_store(&self, cx: &Context<'_>) -> bool {
        let store = self.worker.hub.store.as_ref();
        let is_behind = || store.is_some_and(|store| store.is_behind(cx.waker()));
        let State::Client(client) = &self.state else {
            return self.lobby.is_some() && is_behind();
        };
        let mut inner = client.attached.slot.lock();
        let Some((_, wire)) = inner.wire(client.attached.epoch) else {
            return false;
        };
        let (is_full, has_part) = (wire.pending.is_full(), wire.pending.take_part());
        drop(inner);
        is_full || (has_part && is_behind())
    }

    /// The socket takes no more. Returns whether to read all the same: a client that sends and
    /// never reads must not make us hoard acknowledgements.
    fn check_blocked(&mut self, cx: &Context<'_>) -> Result<bool, End> {
        let State::Client(client) = &self.state else {
            return Ok(false);
        };
        let mut inner = client.attached.slot.lock();
        let Some((_, wire)) = inner.wire(client.attached.epoch) else {
            return Err(End::TakenOver);
        };
        if let Some(reason) = wire.kick {
            return Err(End::kicked(reason));
        }
        if wire.waker.is_none() {
            wire.waker = Some(cx.waker().clone()); // For a kick.
        }
        Ok(wire.out.len() < BLOCKED_MAX)
    }
}

impl<S: Stream> Future for Connection<S> {
    type Output = Fate;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        let this = self.get_mut();
        let worker = Arc::clone(&this.worker);
        let mut scratch = worker.scratch();
        let now = tokio::time::Instant::now().into_std();
        let done = loop {
            let Poll::Ready(end) = this.poll_turn(cx, &mut scratch, now) else {
                break match std::mem::take(&mut this.is_slow) && !worker.is_slow {
                    true => Poll::Ready(Fate::Moves),
                    false => Poll::Pending,
                };
            };
            let gone = end == End::Lost;
            if let Stage::Open = this.stage {
                this.close(end, now);
            }
            if gone {
                break Poll::Ready(Fate::Over);
            }
        };
        worker
            .counters
            .add(&std::mem::take(&mut scratch.post.tally));
        done
    }
}
