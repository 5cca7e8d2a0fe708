//! Opens the line or the connection of a bus, and says when it may be opened again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fieldgate_bridge::{Backoff, Period};
use fieldgate_field_line::{Port, tcp};
use tokio::time::Instant;

use super::{Arbiter, Link};
use crate::config::{BusConfig, Transport};
use crate::link::Fault;
use crate::link::rtu::{RtuLink, Timing};
use crate::link::tcp::TcpLink;

/// Failed attempts to connect that make an outage, the end of which is news to devices that are
/// offline. A server that takes one connection only can refuse the one after a time limit; were
/// that news, a dead unit would be tried again, and its time limit would drop the connection.
const RECOVERY: u32 = 2;
/// Someone who plugs a cable back in watches. An attempt costs next to nothing.
const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// A frame on a serial line may pause for so long: USB adapters deliver every 16 ms at worst,
/// and a busy machine comes late.
pub(super) const SERIAL_GAP: Duration = Duration::from_millis(60);
/// The same for a serial device server, with a network in between.
const TCP_GAP: Duration = Duration::from_millis(250);
/// A flood goes on for as long as the other end is not repaired: it is told no more often than so.
const FLOOD_TOLD: Duration = Duration::from_secs(3600);

/// The bus cannot be reached since the last attempt.
pub(super) struct Outage {
    pub(super) detail: String,
    /// Failed in a row.
    pub(super) attempts: u32,
    /// When the next attempt may be made.
    pub(super) retry_at: Instant,
}

impl Arbiter {
    /// Takes the link, or opens one; `None` if it is too early for that. The caller puts it back if it can be used again, so that
    /// every way out that forgets to do so drops it.
    pub(super) async fn usable(&mut self) -> Option<Result<Link, String>> {
        match self.link.take() {
            Some(Link::Tcp(mut link)) if self.flights.is_empty() => {
                // Lets bytes that the system has already come in.
                tokio::task::yield_now().await;
                if !link.is_stale() {
                    match link.sort_out(&self.ledger) {
                        Ok(()) => return Some(Ok(Link::Tcp(link))),
                        Err(Fault::Flood) => self.flooded(),
                        Err(_) => {}
                    }
                }
                self.hold_off();
            }
            Some(link) => return Some(Ok(link)),
            None => {}
        }
        if let Some(outage) = &self.outage
            && Instant::now() < outage.retry_at
        {
            return Some(Err(outage.detail.clone()));
        }
        if self.silent_until > Instant::now() {
            return None;
        }
        Some(self.open().await)
    }

    pub(super) async fn open(&mut self) -> Result<Link, String> {
        match self.open_transport().await {
            Ok(link) => {
                let now = Instant::now();
                let settle = Duration::from_micros(self.settle.load(Ordering::Relaxed));
                (self.connected, self.has_answered) = (Some(now), false);
                (self.last_used, self.silent_until) = (now, now + settle);
                self.delays.reset();
                if let Some(outage) = self.outage.take() {
                    log::info!(BUS = self.name.as_str(); "connected to {}", self.config.transport);
                    if outage.attempts >= RECOVERY {
                        self.breaker.lock().reset();
                        self.recovered
                            .send_modify(|count| *count = count.wrapping_add(1));
                    }
                }
                Ok(link)
            }
            Err(detail) => {
                self.ledger.bus(|counts| counts.failed_opens += 1);
                if self.outage.is_none() {
                    log::warn!(BUS = self.name.as_str(); "{detail}");
                }
                let before = self.outage.take().map_or(0, |outage| outage.attempts);
                self.outage = Some(Outage {
                    detail: detail.clone(),
                    attempts: before.saturating_add(1),
                    retry_at: Instant::now() + self.delays.next_delay(),
                });
                Err(detail)
            }
        }
    }

    async fn open_transport(&self) -> Result<Link, String> {
        let config = &self.config;
        let timing = |character, gap| Timing {
            character,
            silence: config.silence(),
            gap,
            turnaround: config.turnaround,
        };
        Ok(match &config.transport {
            Transport::Tcp(address) => {
                Link::Tcp(TcpLink::new(tcp::connect(address).await?, config.accept))
            }
            Transport::RtuOverTcp(address) => {
                let stream = Box::new(tcp::connect(address).await?);
                Link::Rtu(RtuLink::new(stream, timing(Duration::ZERO, TCP_GAP), false))
            }
            Transport::Serial(serial) => {
                let stream = Box::new(Port::open(&serial.port).await?);
                let character = serial.port.character();
                let gap = SERIAL_GAP + character * 4;
                Link::Rtu(RtuLink::new(stream, timing(character, gap), serial.echo))
            }
        })
    }

    /// The other end sends without end. That is counted, and told now and then.
    pub(super) fn flooded(&mut self) {
        self.ledger.bus(|counts| counts.floods += 1);
        let now = Instant::now();
        let is_told = |told: Instant| now.saturating_duration_since(told) < FLOOD_TOLD;
        if !self.flood_told.is_some_and(is_told) {
            self.flood_told = Some(now);
            log::warn!(
                BUS = self.name.as_str();
                "{} sends what it was not asked for, without end; the connection is closed, and \
                 made anew for the next request. `floods` counts how often",
                self.config.transport
            );
        }
    }

    /// The link is of no use any more. If no usable answer ever came on it, the next one has to wait.
    pub(super) fn hold_off(&mut self) {
        let is_serial = matches!(self.config.transport, Transport::Serial(_));
        if let Some(connected) = self.connected.take()
            && !self.has_answered
            && !is_serial
        {
            self.silent_until = self.silent_until.max(connected + self.config.reconnect);
        }
    }

    /// When the connection is closed if nothing is asked until then.
    pub(super) fn closes_at(&self) -> Option<Instant> {
        let close_after = self.config.close_after?;
        let is_idle = self.flights.is_empty() && self.queue.polls() + self.queue.commands() == 0;
        (is_idle && self.link.is_some()).then(|| self.last_used + close_after)
    }
}

/// From the shortest pause of a unit to 5 s, or to the longest pause of a unit if that is less.
pub(super) fn reconnect_pauses(config: &BusConfig) -> Backoff {
    let backoff = config.offline.backoff;
    let max = backoff.max().min(RECONNECT_MAX).max(backoff.min());
    Period::new(backoff.min())
        .zip(Period::new(max))
        .and_then(|(min, max)| Backoff::new(min, max))
        .unwrap_or(backoff)
}
