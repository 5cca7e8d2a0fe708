//! What systemd is told. Outside of systemd all of this does nothing.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// Messages that wait while systemd does not read. One more is dropped: by then it has not read
/// for a quarter of a minute at least, and gets the next ones.
const WAITING_MAX: usize = 16;
/// How long the end waits for what systemd has not been told yet.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Tells systemd from a thread of its own, as a message waits for as long as systemd does not read those
/// before it.
#[derive(Debug)]
pub(crate) struct Notifier {
    /// `None` without a service manager.
    messages: Option<SyncSender<String>>,
    /// Says by its end that the thread has told all.
    told: Receiver<()>,
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.messages = None;
        // Its sender is gone, or it took too long.
        let _ = self.told.recv_timeout(LAST_WORDS);
    }
}

impl Notifier {
    pub(crate) fn new() -> Self {
        let (telling, told) = sync_channel(0);
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self {
                messages: None,
                told,
            };
        }
        let (messages, taken) = sync_channel::<String>(WAITING_MAX);
        let work = move || {
            let _telling = telling;
            for message in taken {
                if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&message)]) {
                    log::debug!("systemd was not told {message:?}: {error}");
                }
            }
        };
        let started = thread::Builder::new().name("notify".into()).spawn(work);
        if let Err(error) = &started {
            log::error!("systemd will not be told anything: {error}");
        }
        Self {
            messages: started.is_ok().then_some(messages),
            told,
        }
    }

    /// The listeners are bound and the devices are being polled.
    pub(crate) fn ready(&self) {
        self.send(&[NotifyState::Ready]);
    }

    /// One line for `systemctl status`; at most once a second.
    pub(crate) fn status(&self, text: &str) {
        self.send(&[NotifyState::Status(text)]);
    }

    /// The configuration is being read again; [`Self::ready`] ends it.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(_) => self.send(&[NotifyState::Reloading]),
        }
    }

    /// The daemon is going down.
    pub(crate) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// The daemon still does its work.
    pub(crate) fn alive(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(messages) = &self.messages else {
            return;
        };
        let states: Vec<String> = states.iter().map(ToString::to_string).collect();
        if messages.try_send(states.join("\n")).is_err() {
            log::debug!("systemd does not read what it is told: {states:?}");
        }
    }
}

/// How often [`Notifier::alive`] must be called: half of what systemd allows. `None` without a
/// watchdog.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
