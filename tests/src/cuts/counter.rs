//! A subscriber that counts messages by their number, on a thread of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fieldgate_mqtt::{Connect, QoS, SubscriptionOptions, Version};
use fieldgate_test_client::{Event, Message, Raw, lasting};

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Counter {
    address: SocketAddr,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

/// The `fg-id` of each message, by its number, once for each time that it came; empty without one.
pub(super) type Seen = BTreeMap<u64, Vec<String>>;

#[derive(Default)]
struct Counted {
    messages: Seen,
    /// How many came.
    count: u64,
}

#[derive(Default)]
struct Shared {
    counted: Mutex<Counted>,
    changed: Condvar,
}

impl Counter {
    /// Connects to a remote that serves, and subscribes to everything.
    pub(super) fn connect(address: SocketAddr) -> Self {
        let mut counter = Self {
            address,
            shared: Arc::default(),
            reader: None,
        };
        counter.again();
        counter
    }

    /// The same once more, when all is read that the last connection had.
    pub(super) fn again(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the counter reads to the end");
        }
        let connect = Connect {
            clean_start: true,
            // It says nothing.
            keep_alive: 0,
            ..lasting(Version::V5, "counter")
        };
        let (mut client, _) = Raw::connect(self.address, &connect, PATIENCE).expect("a remote");
        let options = SubscriptionOptions::new(QoS::AtMostOnce);
        client.put_subscribe(1, &[("#", options)]);
        client.flush().expect("a SUBSCRIBE");
        let answer = client.next(PATIENCE).expect("an answer");
        assert_eq!(answer, Some(Event::SubAck(1, vec![0])));
        let shared = Arc::clone(&self.shared);
        self.reader = Some(thread::spawn(move || {
            while let Ok(event) = client.next(PATIENCE) {
                if let Some(Event::Publish(message)) = event {
                    shared.count(&message);
                }
            }
        }));
    }

    /// Waits until `are_there` is true of what has come, but no longer than nothing comes for `silence`.
    pub(super) fn wait(&self, silence: Duration, are_there: impl Fn(&Seen) -> bool) {
        let mut seen = self.lock();
        while !are_there(&seen.messages) {
            let before = seen.count;
            let is_quiet = |seen: &mut Counted| seen.count == before;
            let changed = &self.shared.changed;
            let waited = changed.wait_timeout_while(seen, silence, is_quiet);
            seen = waited.expect("no thread panics").0;
            if seen.count == before {
                return;
            }
        }
    }

    pub(super) fn seen(&self) -> Seen {
        self.lock().messages.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.shared.counted.lock().expect("no thread panics")
    }
}

impl Shared {
    fn count(&self, message: &Message) {
        let Ok(number) = message.text().parse() else {
            return;
        };
        let id = message.user.iter().find(|(name, _)| name == "fg-id");
        let id = id.map(|(_, value)| value.clone()).unwrap_or_default();
        let mut counted = self.counted.lock().expect("no thread panics");
        counted.messages.entry(number).or_default().push(id);
        counted.count += 1;
        self.changed.notify_all();
    }
}
