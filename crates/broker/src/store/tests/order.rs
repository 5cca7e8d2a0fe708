//! Changes of a session come to the store in the order in which they happened.

use fieldgate_mqtt::Version;

use super::*;
use crate::hub::Router;
use crate::hub::deliver::{Batch as Deliveries, DeliveryScratch, deliver};
use crate::hub::session_slot::{SessionSlot, Sink, Wire};
use crate::testing::message;
use fieldgate_broker_core::message::Routed;
use fieldgate_broker_core::session::{Peer, Tally, Turn};

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
        let folder = Folder::new(&format!("order-{name}"));
        let (store, _) = open(&folder.store());
        assert_eq!(write(&store, vec![session(1)]), Outcome::Kept);
        let slot = SessionSlot::new(
            1,
            "client 1",
            crate::Limits::default().session(),
            true,
            (crate::hub::owner::Owner::Unknown, &Arc::default()),
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
        let mut deliveries = Deliveries::default();
        deliveries.push(Routed::kept(&message), &Arc::new(router.matches("a/b").0));
        let mut post = DeliveryScratch::default();
        let sender = crate::hub::deliver::Sender {
            session: 2,
            now: Instant::now(),
            store: Some(&store),
            budget: &fieldgate_broker_core::budget::Budget::new(1 << 20, 1),
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
        let (_, recovered) = open(&folder.store());
        assert_eq!(recovered.sessions[0].queue.len(), 0, "{name}");
    }
}
