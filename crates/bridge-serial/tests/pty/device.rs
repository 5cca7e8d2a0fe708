//! The far side of a port, and a device that runs on the near side.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fieldgate_bridge::{Counters, Defaults, Event, Ports, Receiver, Request, Sender, channel, run};
use fieldgate_bridge_serial::{SerialCounts, SerialDriver, SerialEntry, SerialSnapshot};
use fieldgate_model::{Command, Outcome, Quality, Sample, Value};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio_util::sync::CancellationToken;

/// How long an event may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pseudo terminal with a name that lasts; dropping it unplugs it.
pub(crate) struct Pty {
    pub(crate) far: File,
    link: PathBuf,
}

impl Pty {
    /// A new one under a name of its own.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldgate-pty-{}-{number}", std::process::id());
        Self::at(std::env::temp_dir().join(name))
    }

    fn at(link: PathBuf) -> Self {
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let near = ptsname(&far, Vec::new()).unwrap().into_string().unwrap();
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(near, &link).unwrap();
        Self {
            far: far.into(),
            link,
        }
    }

    /// Unplugs it: the name is gone until [`Unplugged::plug`].
    pub(crate) fn unplug(self) -> Unplugged {
        std::fs::remove_file(&self.link).unwrap();
        Unplugged(self.link.clone())
    }

    pub(crate) fn path(&self) -> &str {
        self.link.to_str().unwrap()
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        (&self.far).write_all(bytes).unwrap();
    }

    /// Waits until these bytes have come, and fails if others do.
    pub(crate) fn expect(&self, want: &[u8]) {
        let mut got = vec![0; want.len()];
        (&self.far).read_exact(&mut got).unwrap();
        assert_eq!(got, want, "{}", String::from_utf8_lossy(&got));
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.link);
    }
}

pub(crate) struct Unplugged(PathBuf);

impl Unplugged {
    pub(crate) fn plug(self) -> Pty {
        Pty::at(self.0)
    }
}

/// A device that runs.
pub(crate) struct Device {
    pub(crate) requests: Sender<Box<Request>>,
    events: Receiver<Box<Event>>,
    counts: Arc<SerialCounts>,
    waiting: Vec<Sample>,
    cancel: CancellationToken,
}

impl Device {
    /// `rest` are its keys besides `serial`.
    pub(crate) fn start(pty: &Pty, rest: &str) -> Self {
        let json = format!(r#"{{"serial": {{"port": "{}"}}, {rest}}}"#, pty.path());
        let entry: SerialEntry =
            serde_json::from_str(&json).unwrap_or_else(|e| panic!("{json}: {e}"));
        let config = entry.resolve("d", &Defaults::default()).unwrap();
        let settings = config.settings(1);
        let driver = SerialDriver::new(config);
        let counts = driver.counts();
        let (requests, taken) = channel(4);
        let (told, events) = channel(16);
        let cancel = CancellationToken::new();
        let ports = Ports {
            requests: taken,
            events: told,
            cancel: cancel.clone(),
        };
        tokio::spawn(run(driver, settings, Arc::new(Counters::default()), ports));
        Self {
            requests,
            events,
            counts,
            waiting: Vec::new(),
            cancel,
        }
    }

    pub(crate) fn counts(&self) -> SerialSnapshot {
        self.counts.snapshot()
    }

    /// The counts once they are as `wanted` says.
    pub(crate) async fn counted(&self, wanted: impl Fn(&SerialSnapshot) -> bool) -> SerialSnapshot {
        let counted = async {
            while !wanted(&self.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.counts()
        };
        let counted = tokio::time::timeout(PATIENCE, counted).await;
        counted.expect("the counts in time")
    }

    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        *event.expect("an event in time").expect("the device runs")
    }

    pub(crate) async fn online(&mut self) {
        while self.event().await != Event::Online {}
    }

    /// Waits until it is offline, and returns why.
    pub(crate) async fn offline(&mut self) -> String {
        loop {
            if let Event::Offline { error, .. } = self.event().await {
                return error;
            }
        }
    }

    /// The next sample that is not stale.
    pub(crate) async fn sample(&mut self) -> Sample {
        loop {
            while self.waiting.is_empty() {
                if let Event::Samples(samples) = self.event().await {
                    self.waiting = samples;
                }
            }
            let sample = self.waiting.remove(0);
            if sample.quality != Quality::Stale {
                return sample;
            }
        }
    }

    /// The next value of any point as text; `bad` if it has none.
    pub(crate) async fn value(&mut self) -> String {
        match self.sample().await.value {
            Some(value) => value.to_string(),
            None => "bad".to_owned(),
        }
    }

    /// Sends a command; its outcome is awaited by the caller.
    pub(crate) async fn command(
        &self,
        point: usize,
        value: &str,
    ) -> tokio::sync::oneshot::Receiver<Outcome> {
        let value = Value::Text(value.to_owned());
        let (request, outcome) = Request::new(Command { point, value });
        self.requests.send(request).await.unwrap();
        outcome
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Runs the far side beside the runtime: it blocks.
pub(crate) async fn far<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
