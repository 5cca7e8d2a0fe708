//! Counts whose place cannot be used.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fieldgate_bridge::{Defaults, Session};
use fieldgate_model::{Command, Value};
use tokio::time;

use super::{GpioDriver, GpioSession, open};
use crate::config::{GpioEntry, LineRef};
use crate::count_store::{Counts, Kept, Memory, Store};
use crate::handover::Handover;
use crate::sim::SimChip;

/// A store that can be used only while it is told so.
#[derive(Debug, Default)]
struct Flaky {
    inner: Memory,
    works: AtomicBool,
}

impl Flaky {
    fn refusal(&self) -> io::Result<()> {
        match self.works.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn total(&self) -> u64 {
        self.inner.load("panel").unwrap()["water"].total
    }
}

impl Store for Flaky {
    fn load(&self, device: &str) -> io::Result<Counts> {
        self.refusal()?;
        self.inner.load(device)
    }

    fn save(&self, device: &str, counts: &Counts) -> io::Result<()> {
        self.refusal()?;
        self.inner.save(device, counts)
    }
}

async fn start(chip: &SimChip, store: &Arc<Flaky>) -> GpioSession {
    let json = r#"{"gpio": {"chip": "sim"}, "points": {"water": {"count": 1, "persist": "60s", "write": true}}}"#;
    let entry: GpioEntry = serde_json::from_str(json).unwrap();
    let config = entry.resolve("panel", &Defaults::default()).unwrap();
    let store = Arc::clone(store) as Arc<dyn Store>;
    let backend = Arc::new(chip.clone());
    let mut driver = GpioDriver::new(config, backend, store, Handover::default());
    open::open(&mut driver).await.unwrap()
}

/// Two pulses, and what happens in so many seconds.
async fn run(session: &mut GpioSession, chip: &SimChip, seconds: u64) {
    for _ in 0..2 {
        chip.drive(&LineRef::Offset(1), true);
        chip.drive(&LineRef::Offset(1), false);
    }
    let end = time::Instant::now() + Duration::from_secs(seconds);
    while time::timeout_at(end, session.ready()).await.is_ok() {
        session.poll(&mut Vec::new()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn counting_begins_without_the_kept_counts_and_adds_them_when_they_can_be_read() {
    // What happens before the store works, and what is kept then.
    for (is_preset, ends_early, want) in [
        (false, false, 1_004),
        (true, false, 52),
        (false, true, 1_002),
    ] {
        let (chip, store) = (SimChip::new(), Arc::<Flaky>::default());
        let kept = Kept {
            total: 1_000,
            lost: 0,
        };
        let counts = Counts::from([("water".to_owned(), kept)]);
        store.inner.save("panel", &counts).unwrap();
        let mut session = start(&chip, &store).await;
        run(&mut session, &chip, 130).await;
        assert_eq!(store.total(), 1_000, "nothing is overwritten");
        if is_preset {
            let value = Value::Decimal(50.into());
            let command = Command { point: 0, value };
            session.apply(command, &mut Vec::new()).await;
        }
        store.works.store(true, Ordering::Relaxed);
        if !ends_early {
            run(&mut session, &chip, 130).await;
            assert_eq!(store.total(), want);
        }
        drop(session);
        assert_eq!(store.total(), want);
    }
}
