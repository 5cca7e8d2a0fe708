use super::*;
use crate::message::testing::{message, message_with};
use fieldgate_mqtt::{Publish, PublishProperties, QoS};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn store(retained: &mut Retained, message: Message) -> Stored {
    retained.store(&Routed::kept(&message), &Arc::new("client".into()), true)
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
fn a_level_is_looked_at_by_itself_and_page_by_page() {
    let mut retained = Retained::new(100_000, &Arc::default(), &Arc::default());
    for topic in ["a", "a/b", "a/b/c", "a/c/d", "b", "/x", "$SYS/x", "é"] {
        store(&mut retained, message(topic, &[b'1'; 5_000]));
    }
    let told = |prefix, after, limit| {
        let found = retained.levels_below(prefix, after, limit).into_iter();
        let told = found.map(|level| {
            let marks = [(level.has_more, "/"), (level.message.is_some(), "!")];
            let marks = marks.into_iter().filter(|(is, _)| *is);
            level.level + &marks.map(|(_, mark)| mark).collect::<String>()
        });
        told.collect::<Vec<_>>().join(" ")
    };
    for (prefix, after, limit, want) in [
        (None, None, 9, "/ $SYS/ a/! b! é!"),
        (None, None, 2, "/ $SYS/"),
        (None, Some("$SYS"), 2, "a/! b!"),
        (Some("a"), None, 9, "b/! c/"),
        (Some("a/c"), None, 9, "d!"),
        (Some(""), None, 9, "x!"),
        (Some("b"), None, 9, ""),
        (Some("none"), None, 9, ""),
    ] {
        assert_eq!(
            told(prefix, after, limit),
            want,
            "{prefix:?} {after:?} {limit}"
        );
    }
    let [kept] = &retained.levels_below(Some("a/b"), None, 1)[..] else {
        panic!("one");
    };
    let kept = kept.message.as_ref().unwrap();
    assert_eq!((kept.payload.len(), kept.bytes), (PAYLOAD_MAX, 5_000));
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
    let each = Kept::new(message("a", b"1"), Arc::new("client".into())).weight();
    let mut retained = Retained::new(2 * each, &Arc::default(), &Arc::default());
    assert_eq!(store(&mut retained, message("a", b"1")), Stored::New);
    assert_eq!(store(&mut retained, message("b", b"1")), Stored::New);
    assert_eq!(store(&mut retained, message("c", b"1")), Stored::Refused);
    assert_eq!(store(&mut retained, message("a", b"2")), Stored::Replaced);
    // Links always have room.
    let own = message("c", b"1");
    let own = retained.store(
        &Routed::kept(&own),
        &Arc::new(format!("{LINK}x").into()),
        true,
    );
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
    let client: Name = Arc::new("client".into());
    let other: Name = Arc::new("other".into());
    for (payload, publisher, is_held, want) in [
        (&b"21.6"[..], &client, false, true),
        (b"100", &client, false, true),
        (b"21.5 and more than the room", &client, false, false),
        (b"21.6", &client, true, false),
        (b"21.6", &other, false, false),
    ] {
        let mut retained = Retained::new(10_000, &Arc::default(), &Arc::default());
        let first = Routed::borrowed(publish(b"21.5", true), None, &pot);
        retained.store(&first, &client, true);
        drop(first);
        let held = retained.get("t/d/p").map(KeptRef::cloned);
        let held = held.filter(|_| is_held);
        let next = Routed::borrowed(publish(payload, true), None, &pot);
        let spot = retained.spot("t/d/p", &mut None).unwrap();
        let is_in_place = retained.replace_at(spot, &next, publisher, true);
        assert_eq!(is_in_place, want, "{payload:?} {publisher} {is_held}");
        let stored = retained.store(&next, publisher, true);
        assert_eq!(stored, Stored::Replaced);
        let kept = retained.get("t/d/p").unwrap();
        assert_eq!(kept.message.payload(), payload);
        assert_eq!(kept.publisher, publisher);
        assert_eq!(next.message().payload(), payload);
        // Who has the old one goes on having it.
        assert!(held.is_none_or(|held| held.message.payload() == b"21.5"));
    }
}

#[test]
fn each_message_has_its_publisher_wherever_others_of_other_clients_are() {
    let mut retained = Retained::new(100_000, &Arc::default(), &Arc::default());
    let clients = ["a", "b"].map(|name| Name::new(name.into()));
    let mut want = BTreeMap::new();
    for (topics, by) in [(10, 0), (20, 0), (30, 1), (5, 0), (3, 1), (25, 1)] {
        for number in 0..topics {
            let topic = format!("t/{number}");
            let (message, client) = (message(&topic, b"1"), &clients[by]);
            retained.store(&Routed::kept(&message), client, true);
            want.insert(topic, client.to_string());
        }
        let found = retained.matching("t/+", Instant::now()).into_iter();
        let found = found.map(|kept| (kept.message.topic().to_owned(), kept.publisher.to_string()));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), want, "{topics} {by}");
        for client in &clients {
            let of = want.values().filter(|by| **by == ***client).count();
            assert_eq!(retained.topics_of(client).len(), of, "{topics} {by}");
        }
    }
    for topic in want.keys() {
        assert_eq!(store(&mut retained, message(topic, b"")), Stored::Removed);
    }
    assert_eq!((retained.count(), retained.bytes()), (0, 0));
}

#[test]
fn an_expired_message_is_not_found_and_is_purged() {
    let now = Instant::now();
    let at = |s| Some(now + Duration::from_secs(s));
    let mut retained = Retained::new(10_000, &Arc::default(), &Arc::default());
    let expiring = |topic, seconds| message_with(topic, b"1", QoS::AtMostOnce, true, at(seconds));
    let later = |s| now + Duration::from_secs(s);
    assert!(retained.purge(later(9)).is_empty());
    store(&mut retained, expiring("a", 1));
    store(&mut retained, expiring("b", 4));
    assert_eq!(retained.matching("#", now).len(), 2);
    assert_eq!(retained.matching("#", later(2)).len(), 1);
    assert_eq!(retained.purge(later(2)), ["a"]);
    assert_eq!(retained.count(), 1);
    // One that comes later may expire before those that were there, also in the place of one that never does.
    store(&mut retained, message("c", b"1"));
    store(&mut retained, expiring("c", 3));
    for (seconds, purged) in [(2, &[][..]), (3, &["c"]), (4, &["b"]), (9, &[])] {
        assert_eq!(retained.purge(later(seconds)), purged, "{seconds} s");
    }
}

#[test]
fn what_replaces_another_message_is_late_until_it_is_taken() {
    let mut retained = Retained::new(100_000, &Arc::default(), &Arc::default());
    let client: Name = Arc::new("client".into());
    // One in place of another, one that is longer, and one that somebody else holds.
    for (topic, payload, is_held) in [
        ("a/place", &b"2"[..], false),
        ("a/longer", &[b'2'; 90], false),
        ("a/held", b"2", true),
    ] {
        for (may_be_late, want) in [(true, vec![topic]), (false, vec![])] {
            store(&mut retained, message(topic, b"1"));
            let _ = retained.take_late();
            assert_eq!(store(&mut retained, message(topic, b"1")), Stored::Replaced);
            let held = retained.get(topic).map(|kept| kept.message.clone());
            let held = held.filter(|_| is_held);
            let next = message(topic, payload);
            let next = Routed::borrowed(next.publish(), None, next.pot());
            let stored = retained.store(&next, &client, may_be_late);
            assert_eq!(stored, Stored::Replaced);
            drop(held);
            let late: Vec<_> = retained.take_late();
            let late: Vec<&str> = late.iter().map(|topic| &**topic).collect();
            assert_eq!(late, want, "{topic} {may_be_late}");
            assert!(retained.take_late().is_empty());
        }
    }
    // The first and the last are written at once, and what the broker says of itself is not.
    store(&mut retained, message("new", b"1"));
    store(&mut retained, message("new", b""));
    store(&mut retained, message("$SYS/x", b"1"));
    store(&mut retained, message("$SYS/x", b"2"));
    assert!(retained.take_late().is_empty());
}

/// A topic, its next payload's length, and the client that publishes it.
fn change() -> impl Strategy<Value = (String, usize, usize)> {
    let topic = prop_oneof![
        6 => (0..2, 0..6).prop_map(|(device, point)| format!("g/d{device}/p{point}")),
        1 => Just("g/d0".to_owned()),
        1 => Just("alone".to_owned()),
        1 => Just("g/d0/".to_owned()),
    ];
    (topic, prop_oneof![1 => Just(0), 9 => 1..40usize], 0..2usize)
}

proptest! {
    #[test]
    fn many_are_kept_as_one_after_the_other_would_be(
        batches in proptest::collection::vec(proptest::collection::vec(change(), 1..12), 1..12),
    ) {
        let pot = Arc::default();
        let clients = ["a", "b"].map(|name| Name::new(name.into()));
        let new = || Retained::new(600, &Arc::default(), &Arc::default());
        let (mut all, mut single) = (new(), new());
        for (round, batch) in batches.iter().enumerate() {
            // Those of a batch have one publisher.
            let client = &clients[batch[0].2];
            let payloads = batch.iter().map(|(_, len, _)| vec![round as u8; *len]);
            let payloads: Vec<_> = payloads.collect();
            let routed = || {
                let each = batch.iter().zip(&payloads).map(|((topic, ..), payload)| {
                    let publish = Publish {
                        dup: false,
                        qos: QoS::AtMostOnce,
                        retain: true,
                        topic,
                        packet_id: None,
                        properties: PublishProperties::default(),
                        payload,
                    };
                    Routed::borrowed(publish, None, &pot)
                });
                each.collect::<Vec<_>>()
            };
            let got = all.store_all(routed().iter(), client, true);
            let want: Vec<_> = routed()
                .iter()
                .map(|message| single.store(message, client, true))
                .collect();
            prop_assert_eq!(got, want);
            let what = |retained: &Retained| {
                let found = retained.matching("#", Instant::now()).into_iter();
                let found = found.map(|kept| {
                    let Kept { message, publisher } = kept;
                    (message.topic().to_owned(), (message.payload().to_vec(), publisher))
                });
                (found.collect::<BTreeMap<_, _>>(), retained.bytes(), retained.count())
            };
            prop_assert_eq!(what(&all), what(&single));
        }
    }
}
