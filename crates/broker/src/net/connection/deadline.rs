//! When a connection has to be looked at though nothing comes: timeouts, waits, idle buffers.

use std::future::Future;
use std::task::Context;
use std::time::{Duration, Instant};

use fieldgate_mqtt::ReasonCode;

use super::{Connection, Stage, State};
use crate::counters::add;
use crate::net::Scratch;
use crate::net::end::End;
use crate::net::stream::Stream;

/// After this time without traffic all buffers are given back.
const IDLE: Duration = Duration::from_secs(5);

/// How long a client is still listened to that seems to have been silent for too long. If it is this process that
/// stood still, what the client has sent in time is in its socket, and the event loop has not looked there yet.
const DOUBT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum Deadline {
    Connect,
    KeepAlive,
    Idle,
    Linger,
}

impl<S: Stream> Connection<S> {
    /// When to look at the connection again though nothing happens.
    fn deadline(&self) -> Option<(Instant, Deadline)> {
        if let Stage::Closing { until } = self.stage {
            return Some((until, Deadline::Linger));
        }
        let limits = &self.worker.hub.config.limits;
        let silence = match &self.state {
            State::Waiting { since, login } => {
                let time = limits.connect_timeout + login.patience();
                Some((*since + time, Deadline::Connect))
            }
            State::Client(client) => client
                .silence
                .map(|silence| (self.heard + silence, Deadline::KeepAlive)),
        };
        let believed = |at: Instant| self.doubt.map_or(at, |until| until.max(at));
        let silence = silence.map(|(at, kind)| (believed(at), kind));
        let holds = self.writing.holds_buffer() && self.writing.is_done();
        let idle = holds.then(|| (self.heard + IDLE, Deadline::Idle));
        silence.into_iter().chain(idle).min_by_key(|(at, _)| *at)
    }

    /// Whether the client has been silent for longer than it may, as far as its socket was read.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        match &self.state {
            State::Client(client) => client.silence.is_some_and(|s| self.heard + s <= now),
            State::Waiting { .. } => false,
        }
    }

    /// Does what is due by now, and sees to being woken for what comes next.
    pub(super) fn poll_deadline(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> Result<(), End> {
        while let Some((at, kind)) = self.deadline() {
            if now < at {
                self.wake_at(at, cx, now);
                return Ok(());
            }
            match kind {
                Deadline::Idle => self.give_back_buffers(scratch),
                Deadline::Linger => return Err(End::Lost),
                Deadline::Connect | Deadline::KeepAlive if self.doubt.is_none() => {
                    self.doubt = Some(now + DOUBT);
                }
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
    pub(super) fn wake_at(&mut self, at: Instant, cx: &mut Context<'_>, now: Instant) {
        if self.armed.is_some_and(|armed| now < armed && armed <= at) {
            return;
        }
        self.armed = Some(at);
        self.timer.as_mut().reset(at.into());
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn give_back_buffers(&mut self, scratch: &mut Scratch) {
        let pool = &mut scratch.post.pool;
        self.writing.trim(0, pool);
        if let State::Client(client) = &self.state {
            let mut inner = client.attached.slot.lock();
            if let Some((_, wire)) = inner.wire(client.attached.epoch)
                && wire.out.is_empty()
            {
                wire.out.trim(0, pool);
            }
        }
    }

    /// Whether the publisher still has to wait; its socket is not read until then.
    pub(super) fn waits_for_subscribers(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.pause.is_over() {
            return false;
        }
        let Some(until) = self.pause.check(cx.waker(), now, &self.worker.hub) else {
            return false;
        };
        // What the client sent meanwhile was not read, so it is not silent.
        self.heard = now;
        self.doubt = None;
        self.wake_at(until, cx, now);
        true
    }
}
