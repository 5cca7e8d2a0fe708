//! One connection: reads, lets `intake` handle what came, writes what is due, keeps deadlines.

use std::future::Future;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use fieldgate_mqtt::{Disconnect, DisconnectProperties, Packet, ReasonCode, Version, frame_len};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{Desk, READ_SIZE, Worker};
use crate::cell::wake;
use crate::counters::add;
use crate::hub::{Attached, Departure};
use crate::outbox::Writing;
use crate::pause::Pause;
use crate::session::AliasesIn;

/// Reads handled before other connections of the worker get their turn.
const READS_AT_ONCE: usize = 8;

/// How long a client that is being disconnected may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// A buffer bigger than this is given back once it is empty.
const KEEP_BUFFER: usize = 64 * 1024;

/// Bytes waiting for a socket that takes none, from which on the client is not read either.
const BLOCKED_MAX: usize = 128 * 1024;

/// After this time without traffic all buffers are given back.
const IDLE: Duration = Duration::from_secs(5);

/// A client's connection, from the accepted socket to its end.
pub(super) struct Connection<S> {
    stream: S,
    pub(super) peer: SocketAddr,
    pub(super) worker: Arc<Worker>,
    pub(super) state: State,
    /// The beginning of a packet whose rest has not come.
    partial: Vec<u8>,
    writing: Writing,
    timer: Pin<Box<Sleep>>,
    /// When the timer rings, if it has been polled since it was set.
    armed: Option<Instant>,
    /// When the client last sent something.
    heard: Instant,
    pause: Pause,
    stage: Stage,
}

/// Before and after CONNECT.
pub(super) enum State {
    Waiting { since: Instant },
    Client(Client),
}

/// What a connection knows of its client after CONNECT.
pub(super) struct Client {
    pub(super) attached: Attached,
    pub(super) version: Version,
    /// 1.5 times the keep-alive; `None` if the client may be silent for ever.
    pub(super) silence: Option<Duration>,
    pub(super) aliases: AliasesIn,
    /// Reason strings are only for clients that want them (MQTT-3.1.2-29).
    pub(super) explain: bool,
}

enum Stage {
    Open,
    /// The last bytes are going out; the connection ends by this time at the latest.
    Closing {
        until: Instant,
    },
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// DISCONNECT came.
    Orderly(Departure),
    /// The client closed its side, or the socket failed.
    Lost,
    /// Another connection has the session.
    TakenOver,
    /// We end it, and tell an MQTT 5 client why.
    Fault {
        reason: ReasonCode,
        what: &'static str,
    },
    /// CONNECT was refused; the CONNACK is written.
    Refused,
}

impl End {
    fn kicked(reason: ReasonCode) -> Self {
        let what = "ended by the broker";
        Self::Fault { reason, what }
    }

    pub(super) fn protocol(what: &'static str) -> Self {
        Self::Fault {
            reason: ReasonCode::PROTOCOL_ERROR,
            what,
        }
    }
}

impl From<fieldgate_mqtt::DecodeError> for End {
    fn from(error: fieldgate_mqtt::DecodeError) -> Self {
        Self::Fault {
            reason: error.reason,
            what: error.what,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, peer: SocketAddr, worker: Arc<Worker>) -> Self {
        let now = tokio::time::Instant::now();
        let timeout = worker.hub.config.limits.connect_timeout;
        Self {
            stream,
            peer,
            worker,
            state: State::Waiting {
                since: now.into_std(),
            },
            partial: Vec::new(),
            writing: Writing::default(),
            timer: Box::pin(tokio::time::sleep_until(now + timeout)),
            armed: None,
            heard: now.into_std(),
            pause: Pause::default(),
            stage: Stage::Open,
        }
    }

    /// Writes until nothing is left (`Ready`) or the socket takes no more (`Pending`).
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        now: Instant,
    ) -> Poll<Result<(), End>> {
        loop {
            while !self.writing.is_done() {
                let mut slices = [IoSlice::new(&[]); 16];
                let used = self.writing.slices(&mut slices);
                let stream = Pin::new(&mut self.stream);
                let written = ready!(stream.poll_write_vectored(cx, &slices[..used]));
                let count = match written {
                    Ok(0) | Err(_) => return Poll::Ready(Err(End::Lost)),
                    Ok(count) => count,
                };
                add(&self.worker.counters.bytes_sent, count as u64);
                self.writing.advance(count);
            }
            self.writing.trim(KEEP_BUFFER, &mut desk.post.pool);
            if !self.refill(cx, desk, now)? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes what is ready to be written. If there is nothing, leaves the waker for whoever has
    /// something, and returns false.
    fn refill(&mut self, cx: &Context<'_>, desk: &mut Desk, now: Instant) -> Result<bool, End> {
        let State::Client(client) = &self.state else {
            return Ok(false);
        };
        if !matches!(self.stage, Stage::Open) {
            return Ok(false);
        }
        let cell = &client.attached.cell;
        let mut inner = cell.lock();
        let Some((session, wire)) = inner.wire(client.attached.epoch) else {
            return Err(End::TakenOver);
        };
        if let Some(reason) = wire.kick {
            return Err(End::kicked(reason));
        }
        let out = &mut wire.out;
        let tally = &mut desk.post.tally;
        session.pump(&mut crate::session::Turn { now, out, tally });
        let some = !wire.out.is_empty();
        if some {
            self.writing.refill(&mut wire.out);
        } else if !wire.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            wire.waker = Some(cx.waker().clone());
        }
        let waiting = inner.relieve();
        drop(inner);
        for waker in waiting {
            wake(Some(waker));
        }
        Ok(some)
    }

    /// Reads and handles what came.
    fn poll_intake(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        now: Instant,
    ) -> Poll<Result<(), End>> {
        let Desk { read, cache, post } = desk;
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
        self.heard = now;
        add(&self.worker.counters.bytes_received, count as u64);
        Ok(())
    }

    /// Handles `data` as far as it is whole packets; returns how much that was.
    fn take_in(
        &mut self,
        data: &[u8],
        cache: &mut crate::router::MatchCache,
        post: &mut crate::deliver::Post,
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
        let taken = client.intake(&data[used..], &self.worker, cache, post, now);
        if !post.congested.is_empty() {
            add(&self.worker.counters.pauses, 1);
            self.pause = Pause::new(std::mem::take(&mut post.congested));
        }
        Ok(used + taken?)
    }

    /// When to look at the connection again though nothing happens.
    fn deadline(&self) -> Option<(Instant, Deadline)> {
        if let Stage::Closing { until } = self.stage {
            return Some((until, Deadline::Linger));
        }
        let limits = &self.worker.hub.config.limits;
        let silence = match &self.state {
            State::Waiting { since } => Some((*since + limits.connect_timeout, Deadline::Connect)),
            State::Client(client) => client
                .silence
                .map(|silence| (self.heard + silence, Deadline::KeepAlive)),
        };
        let holds = self.writing.holds_buffer() && self.writing.is_done();
        let idle = holds.then(|| (self.heard + IDLE, Deadline::Idle));
        silence.into_iter().chain(idle).min_by_key(|(at, _)| *at)
    }

    /// Does what is due by now, and sees to being woken for what comes next.
    fn poll_deadline(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<(), End> {
        while let Some((at, kind)) = self.deadline() {
            if now < at {
                self.wake_at(at, cx, now);
                return Ok(());
            }
            match kind {
                Deadline::Idle => self.give_back_buffers(desk),
                Deadline::Linger => return Err(End::Lost),
                Deadline::Connect => {
                    add(&self.worker.counters.timeouts, 1);
                    return Err(End::Lost);
                }
                Deadline::KeepAlive => {
                    add(&self.worker.counters.timeouts, 1);
                    return Err(End::Fault {
                        reason: ReasonCode::KEEP_ALIVE_TIMEOUT,
                        what: "nothing was heard for 1.5 times the keep alive",
                    });
                }
            }
        }
        Ok(())
    }

    /// Sees to being polled at `at`, or sooner. The timer is moved only when it would ring too
    /// late or has rung: traffic must not cost a timer operation a packet.
    fn wake_at(&mut self, at: Instant, cx: &mut Context<'_>, now: Instant) {
        if self.armed.is_some_and(|armed| now < armed && armed <= at) {
            return;
        }
        self.armed = Some(at);
        self.timer.as_mut().reset(at.into());
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn give_back_buffers(&mut self, desk: &mut Desk) {
        let pool = &mut desk.post.pool;
        self.writing.trim(0, pool);
        if let State::Client(client) = &self.state {
            let mut inner = client.attached.cell.lock();
            if let Some((_, wire)) = inner.wire(client.attached.epoch)
                && wire.out.is_empty()
            {
                wire.out.trim(0, pool);
            }
        }
    }

    /// One turn of the connection: everything that can be done without waiting.
    fn poll_turn(&mut self, cx: &mut Context<'_>, desk: &mut Desk, now: Instant) -> Poll<End> {
        if let Err(end) = self.poll_deadline(cx, desk, now) {
            return Poll::Ready(end);
        }
        if let Stage::Closing { .. } = self.stage {
            return self.poll_linger(cx, desk, now);
        }
        for _ in 0..READS_AT_ONCE {
            match self.poll_flush(cx, desk, now) {
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => match self.check_blocked(cx) {
                    Err(end) => return Poll::Ready(end),
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                },
            }
            if self.waits_for_subscribers(cx, now) {
                return Poll::Pending;
            }
            match ready!(self.poll_intake(cx, desk, now)) {
                Ok(()) => {}
                Err(end) => return Poll::Ready(end),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The socket takes no more. Returns whether to read all the same: a client that sends and
    /// never reads must not make us hoard acknowledgements.
    fn check_blocked(&mut self, cx: &Context<'_>) -> Result<bool, End> {
        let State::Client(client) = &self.state else {
            return Ok(false);
        };
        let mut inner = client.attached.cell.lock();
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

    /// Whether the publisher still has to wait; its socket is not read until then.
    fn waits_for_subscribers(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.pause.is_over() {
            return false;
        }
        let Some(until) = self.pause.check(cx.waker(), now, &self.worker.hub) else {
            return false;
        };
        // What the client sent meanwhile was not read, so it is not silent.
        self.heard = now;
        self.wake_at(until, cx, now);
        true
    }

    /// The session is done with: sends what is left, then waits for the client to close, so that
    /// what it has not read yet is not lost with a reset.
    fn poll_linger(&mut self, cx: &mut Context<'_>, desk: &mut Desk, now: Instant) -> Poll<End> {
        if ready!(self.poll_flush(cx, desk, now)).is_err() {
            return Poll::Ready(End::Lost);
        }
        if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(End::Lost);
        }
        for _ in 0..READS_AT_ONCE {
            let mut buffer = ReadBuf::new(&mut desk.read);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(End::Lost);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn note_fault(&self, client: &Client, reason: ReasonCode, what: &str) {
        let peer = self.peer;
        let id = client.attached.cell.client_id();
        if reason != ReasonCode::KEEP_ALIVE_TIMEOUT && reason != ReasonCode::SERVER_SHUTTING_DOWN {
            add(&self.worker.counters.protocol_errors, 1);
        }
        log::info!(CLIENT = id; "{peer}: client {id:?} disconnected: {reason}: {what}");
    }

    /// Writes `bytes` behind everything else.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.writing.append(bytes);
    }

    /// Ends the session's part, and begins to say goodbye if there is something to say.
    fn close(&mut self, end: End, now: Instant) {
        self.stage = Stage::Closing {
            until: now + LINGER,
        };
        let State::Client(client) = &self.state else {
            return;
        };
        let reason = match end {
            End::Fault { reason, what } => {
                self.note_fault(client, reason, what);
                Some((reason, what))
            }
            End::TakenOver => Some((
                ReasonCode::SESSION_TAKEN_OVER,
                "another connection has the session",
            )),
            End::Orderly(_) | End::Lost | End::Refused => None,
        };
        if let Some((_, wire)) = client.attached.cell.lock().wire(client.attached.epoch)
            && self.writing.is_done()
        {
            self.writing.refill(&mut wire.out); // Acknowledgements of what came before.
        }
        if let Some((reason, what)) = reason.filter(|_| client.version == Version::V5) {
            let mut bytes = Vec::new();
            let disconnect = Packet::Disconnect(Disconnect {
                reason,
                properties: DisconnectProperties {
                    reason_string: client.explain.then_some(what),
                    ..DisconnectProperties::default()
                },
            });
            if disconnect.encode(Version::V5, &mut bytes).is_ok() {
                self.writing.append(&bytes);
            }
        }
        let departure = match end {
            End::Orderly(departure) => departure,
            _ => Departure {
                orderly: false,
                expiry: None,
            },
        };
        self.worker.hub.detach(&client.attached, departure, now);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let worker = Arc::clone(&this.worker);
        let mut desk = worker.desk();
        let now = tokio::time::Instant::now().into_std();
        let done = loop {
            let Poll::Ready(end) = this.poll_turn(cx, &mut desk, now) else {
                break Poll::Pending;
            };
            let gone = matches!(end, End::Lost | End::Orderly(_));
            if let Stage::Open = this.stage {
                this.close(end, now);
            }
            if gone {
                break Poll::Ready(());
            }
        };
        worker.counters.add(&std::mem::take(&mut desk.post.tally));
        done
    }
}

#[derive(Clone, Copy)]
enum Deadline {
    Connect,
    KeepAlive,
    Idle,
    Linger,
}
