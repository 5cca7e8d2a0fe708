use super::*;
use crate::message::testing::{message, message_with};
use fieldgate_mqtt::{Publish, PublishProperties, QoS};
use std::time::Duration;

fn store(retained: &mut Retained, message: Message) -> Stored {
    retained.store(&Routed::kept(&message), &"client".into())
}

#[test]
fn a_filter_finds_the_retained_messages_that_it_matches() {
    let mut retained = Retained::new(100_000, &Arc::default(), &Arc::default());
    let topics = ["a", "a/b", "a/b/c", "a/c", "/", "$SYS/x", "é"];
    for topic in topics {
        assert_eq!(store(&mut retained, message(topic, b"1")), Stored::New);
    }
    for filter in ["a", "a/#", "#", "+", "+/+", "a/+", "$SYS/#", "a/b/c/#", "x"] {
        let mut want: Vec<_> = topics
            .into_iter()
            .filter(|topic| fieldgate_mqtt::topic::matches(filter, topic))
            .collect();
        let found = retained.matching(filter, Instant::now());
        let mut found: Vec<_> = found.iter().map(|kept| kept.message.topic()).collect();
        want.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, want, "{filter}");
    }
}

#[test]
fn an_empty_payload_removes_and_the_tree_shrinks_back() {
    let mut retained = Retained::new(10_000, &Arc::default(), &Arc::default());
    store(&mut retained, message("a/b/c", b"1"));
    store(&mut retained, message("a/b/c", b"2"));
    assert_eq!(retained.count(), 1);
    assert_eq!(store(&mut retained, message("a/b/c", b"")), Stored::Removed);
    assert_eq!(store(&mut retained, message("never", b"")), Stored::Absent);
    assert_eq!((retained.count(), retained.bytes()), (0, 0));
    assert!(retained.tree.is_bare());
}

#[test]
fn a_full_store_refuses_new_topics_and_still_updates_old_ones() {
    let each = Kept::new(message("a", b"1"), "client".into()).weight();
    let mut retained = Retained::new(2 * each, &Arc::default(), &Arc::default());
    assert_eq!(store(&mut retained, message("a", b"1")), Stored::New);
    assert_eq!(store(&mut retained, message("b", b"1")), Stored::New);
    assert_eq!(store(&mut retained, message("c", b"1")), Stored::Refused);
    assert_eq!(store(&mut retained, message("a", b"2")), Stored::Replaced);
    // Links always have room.
    let own = message("c", b"1");
    let own = retained.store(&Routed::kept(&own), &format!("{LINK}x").into());
    assert_eq!(own, Stored::New);
    assert_eq!(store(&mut retained, message("c", b"")), Stored::Removed);
    let found = retained.matching("a", Instant::now());
    assert_eq!(found[0].message.payload(), b"2");
    // A value that is not the last one would deceive.
    assert_eq!(
        store(&mut retained, message("a", &[0; 2_000])),
        Stored::Full
    );
    assert!(retained.matching("a", Instant::now()).is_empty());
    assert_eq!(retained.count(), 1);
}

#[test]
fn another_value_takes_the_place_of_one_that_nothing_else_holds() {
    let pot = Arc::default();
    let publish = |payload: &'static [u8], retain| Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain,
        topic: "t/d/p",
        packet_id: None,
        properties: PublishProperties::default(),
        payload,
    };
    let client: Arc<str> = "client".into();
    let other: Arc<str> = "other".into();
    for (payload, publisher, is_held, want) in [
        (&b"21.6"[..], &client, false, true),
        (b"100", &client, false, true),
        (b"21.5 and more than the room", &client, false, false),
        (b"21.6", &client, true, false),
        (b"21.6", &other, false, false),
    ] {
        let mut retained = Retained::new(10_000, &Arc::default(), &Arc::default());
        let first = Routed::borrowed(publish(b"21.5", true), None, &pot);
        retained.store(&first, &client);
        drop(first);
        let held = retained.get("t/d/p").cloned().filter(|_| is_held);
        let next = Routed::borrowed(publish(payload, true), None, &pot);
        let is_in_place = retained.replace_in_place(&next, publisher);
        assert_eq!(is_in_place, want, "{payload:?} {publisher} {is_held}");
        let stored = retained.store(&next, publisher);
        assert_eq!(stored, Stored::Replaced);
        let kept = retained.get("t/d/p").unwrap();
        assert_eq!(kept.message.payload(), payload);
        assert_eq!(kept.publisher, *publisher);
        assert_eq!(next.message().payload(), payload);
        // Who has the old one goes on having it.
        assert!(held.is_none_or(|held| held.message.payload() == b"21.5"));
    }
}

#[test]
fn an_expired_message_is_not_found_and_is_purged() {
    let now = Instant::now();
    let at = |s| Some(now + Duration::from_secs(s));
    let mut retained = Retained::new(10_000, &Arc::default(), &Arc::default());
    store(
        &mut retained,
        message_with("a", b"1", QoS::AtMostOnce, true, at(1)),
    );
    store(
        &mut retained,
        message_with("b", b"1", QoS::AtMostOnce, true, at(3)),
    );
    let later = now + Duration::from_secs(2);
    assert_eq!(retained.matching("#", now).len(), 2);
    assert_eq!(retained.matching("#", later).len(), 1);
    assert_eq!(retained.purge(later), ["a"]);
    assert_eq!(retained.count(), 1);
}
