//! The wait between a CONNECT with a password and its answer. The connection is not read meanwhile;
//! its CONNECT stays where it is and is handled once the password has been checked.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use fieldgate_mqtt::ReasonCode;
use tokio::sync::oneshot;

use super::{Connection, State};
use crate::access::{DelayedRefusal, Denial, Principal, Verdict, WRONG_LOGIN};
use crate::counters::add;
use crate::net::stream::Stream;
use crate::shown::shown;

/// How long a client may wait for its password to be checked, on top of the time to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a login has come.
pub(in crate::net) enum Login {
    /// No password has come.
    None,
    Asked {
        principal: Principal,
        verdict: oneshot::Receiver<Verdict>,
    },
    /// It has failed, and the client waits for the news.
    DelayedRefusal {
        until: Instant,
        denial: Denial,
        _place: DelayedRefusal,
    },
    Settled(Result<Principal, Denial>),
}

impl Login {
    /// Time for it, on top of the time to connect.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::None | Self::Settled(_) => Duration::ZERO,
            Self::Asked { .. } | Self::DelayedRefusal { .. } => PATIENCE,
        }
    }
}

impl<S: Stream> Connection<S> {
    /// Waits for a login that is underway. `true` if one has been settled, so that the CONNECT that
    /// waits for it can be handled.
    pub(super) fn poll_login(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<bool> {
        loop {
            let State::Waiting { login, .. } = &mut self.state else {
                return Poll::Ready(false);
            };
            let next = match login {
                Login::None => return Poll::Ready(false),
                Login::Settled(_) => return Poll::Ready(true),
                Login::DelayedRefusal { until, denial, .. } if now >= *until => {
                    Login::Settled(Err(*denial))
                }
                Login::DelayedRefusal { until, .. } => {
                    let until = *until;
                    self.wake_at(until, cx, now);
                    return Poll::Pending;
                }
                Login::Asked { principal, verdict } => {
                    let answer = ready!(Pin::new(verdict).poll(cx));
                    let principal = principal.clone();
                    // Without an answer the broker is stopping.
                    self.heed(principal, answer.unwrap_or(Verdict::Busy), now)
                }
            };
            if let State::Waiting { login, .. } = &mut self.state {
                *login = next;
            }
        }
    }

    /// What follows from a verdict.
    fn heed(&self, principal: Principal, verdict: Verdict, now: Instant) -> Login {
        let denial = match verdict {
            Verdict::Right => return Login::Settled(Ok(principal)),
            Verdict::Busy => return Login::Settled(Err(BUSY)),
            Verdict::Wrong => WRONG_LOGIN,
            Verdict::TooOften => TOO_OFTEN,
        };
        add(&self.worker.counters.logins_failed, 1);
        let peer = &self.origin;
        let name = principal.user().unwrap_or_default();
        let name = shown(name);
        log::warn!(USER = name.as_str(); "{peer}: login of {name} failed: {}", denial.what);
        let hub = &self.worker.hub;
        match hub.access.logins.delay_refusal() {
            None => Login::Settled(Err(denial)),
            Some(place) => Login::DelayedRefusal {
                until: now + hub.config.limits.failed_login_delay,
                denial,
                _place: place,
            },
        }
    }
}

const BUSY: Denial = Denial {
    reason: ReasonCode::SERVER_BUSY,
    what: "too many logins are waiting to be checked",
};
const TOO_OFTEN: Denial = Denial {
    reason: ReasonCode::CONNECTION_RATE_EXCEEDED,
    what: "too many failed logins from this address",
};
