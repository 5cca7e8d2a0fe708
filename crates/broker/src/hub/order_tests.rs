//! Changes of a session come to the store in the order in which they happened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use fieldgate_broker_core::budget::Budget;
use fieldgate_broker_core::journal::{Change, Journal};
use fieldgate_broker_core::message::Routed;
use fieldgate_broker_core::record::{Identity, SessionRecord};
use fieldgate_broker_core::router::{Grant, Retained};
use fieldgate_broker_core::session::{Peer, Tally, Turn};
use fieldgate_broker_core::ticket::{Commits, Outcome, Ticket};
use fieldgate_broker_store::{Recovered, Store, StoreConfig};
use fieldgate_mqtt::{QoS, Version};

use super::Router;
use super::deliver::{Batch, DeliveryScratch, Sender, deliver};
use super::owner::Owner;
use super::session_slot::{SessionSlot, Sink, Wire};
use crate::testing::message;

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("fieldgate-order-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(folder: &Path) -> (Store, Recovered) {
    let pot = Arc::default();
    let retained = Retained::new(1_000_000, &pot, &pot);
    let config = StoreConfig::new(folder.join("broker"));
    Store::open(config, Arc::new(Mutex::new(retained))).unwrap()
}

/// Hands changes over, and waits until they are decided.
fn write(store: &Store, changes: Vec<Change>) -> Outcome {
    let mut journal = Journal {
        changes,
        is_awaited: true,
        ..Journal::default()
    };
    decided(store, &store.submit(&mut journal))
}

fn decided(store: &Store, ticket: &Ticket) -> Outcome {
    loop {
        match store.outcome(ticket) {
            Outcome::Undecided => std::thread::yield_now(),
            outcome => return outcome,
        }
    }
}

fn session(number: u64) -> Change {
    Change::Session {
        session: number,
        record: Box::new(SessionRecord {
            client_id: "client 1".into(),
            identity: Identity::Anonymous {
                local: true,
                allowed: None,
            },
            expiry: None,
            away_since: Some(7),
            unsent_from: Some(0),
            will: None,
        }),
    }
}

fn connect(slot: &SessionSlot) {
    let mut wire = Wire::new(crate::origin::Remote::Unix);
    let peer = Peer {
        version: Version::V5,
        receive_maximum: 10,
        max_packet: 1_000_000,
        alias_maximum: 0,
        keep: true,
    };
    let mut inner = slot.lock();
    let mut turn = Turn {
        now: Instant::now(),
        out: &mut wire.out,
        pending: &mut wire.pending,
        journal: &mut Journal::default(),
        tally: &mut Tally::default(),
    };
    inner.session.attach(peer, &mut turn);
    inner.sink = Sink::Wire(wire);
}

#[test]
fn a_message_is_with_the_store_before_its_client_can_acknowledge_it_connected_or_not() {
    for (name, is_connected, filter) in [
        ("away", false, "a/b"),
        ("connected", true, "a/b"),
        ("shared-away", false, "$share/s/a/b"),
        ("shared-connected", true, "$share/s/a/b"),
    ] {
        let folder = Folder::new(name);
        let (store, _) = open(&folder.0);
        assert_eq!(write(&store, vec![session(1)]), Outcome::Kept);
        let slot = SessionSlot::new(
            1,
            "client 1",
            crate::Limits::default().session(),
            true,
            (Owner::Unknown, &Arc::default()),
        );
        if is_connected {
            connect(&slot);
        }
        let router = Router::new(&Arc::default());
        let grant = Grant {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            id: 0,
        };
        router.subscribe(&slot, filter, grant);
        let message = message("a/b", b"payload");
        let mut deliveries = Batch::default();
        deliveries.push(Routed::kept(&message), &Arc::new(router.matches("a/b").0));
        let mut post = DeliveryScratch::default();
        let sender = Sender {
            session: 2,
            publisher: None,
            now: Instant::now(),
            store: Some(&store),
            budget: &Budget::new(1 << 20, 1),
            waits: false,
        };
        deliver(&deliveries, &sender, &mut post);
        // Before the turn of its publisher ends the client is back, if it was away, and acknowledges.
        if !is_connected {
            connect(&slot);
        }
        let inner = slot.lock();
        assert_eq!(inner.session.backlog(), 1, "{name}");
        let Sink::Wire(wire) = &inner.sink else {
            panic!("{name}")
        };
        assert!(!wire.out.is_empty(), "{name}");
        drop(inner);
        let gone = Change::Gone {
            session: 1,
            number: 0,
        };
        assert_eq!(write(&store, vec![gone]), Outcome::Kept, "{name}");
        post.journal.is_awaited = true;
        let ticket = store.submit(&mut post.journal);
        assert_eq!(decided(&store, &ticket), Outcome::Kept, "{name}");
        drop(store);
        let (_, recovered) = open(&folder.0);
        assert_eq!(recovered.sessions[0].queue.len(), 0, "{name}");
    }
}
