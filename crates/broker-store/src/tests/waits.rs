//! What an answer waits for, and what it does not.

use super::*;

/// A message to a client that is there and acknowledges soon.
fn patient(session: u64, number: u64, patience: u64) -> Change {
    let message = message_with("a/b", b"payload", QoS::AtLeastOnce, false, None);
    Change::Queued {
        session,
        number,
        entry: Entry {
            message,
            qos: QoS::AtLeastOnce,
            retain: false,
            ids: Ids::None,
        },
        patience: Some(Duration::from_millis(patience)),
    }
}

#[test]
fn a_publisher_waits_for_its_own_subscribers_alone() {
    let folder = Folder::new("own");
    let (store, _) = open(&folder.store());
    assert_eq!(write(&store, vec![session(1)]), Outcome::Kept);
    let before = store.commits();
    let hand = |changes| {
        let mut journal = Journal {
            changes,
            is_awaited: true,
            ..Journal::default()
        };
        store.submit(&mut journal)
    };
    let slow = hand(vec![patient(1, 0, 60_000)]);
    for number in 1..100 {
        let ticket = hand(vec![patient(1, number, 60_000)]);
        assert_eq!(store.outcome(&ticket), Outcome::Undecided);
        hand(vec![Change::Gone { session: 1, number }]);
        assert_eq!(decided(&store, &ticket), Outcome::Kept, "{number}");
    }
    assert_eq!(store.outcome(&slow), Outcome::Undecided);
    assert_eq!(store.commits(), before);
    // One without an acknowledgement is written when its time is over, and so is what is with it.
    let other = hand(vec![patient(1, 200, 1)]);
    assert_eq!(decided(&store, &other), Outcome::Kept);
    assert_eq!(decided(&store, &slow), Outcome::Kept);
    assert_eq!(store.commits(), before + 1);
}

#[test]
fn a_message_that_was_written_while_its_turn_went_on_holds_up_no_answer() {
    let folder = Folder::new("turn");
    let (store, _) = open(&folder.store());
    assert_eq!(write(&store, vec![session(1)]), Outcome::Kept);
    // Its patience is over before the turn of its publisher is.
    let mut journal = Journal {
        changes: vec![patient(1, 0, 0)],
        ..Journal::default()
    };
    store.submit_sent(0, &mut journal);
    let before = store.commits();
    let end = Instant::now() + Duration::from_secs(10);
    while store.commits() == before {
        assert!(Instant::now() < end, "it is not written");
        std::thread::yield_now();
    }
    journal.changes.push(patient(1, 1, 60_000));
    store.submit_sent(0, &mut journal);
    journal.is_awaited = true;
    let ticket = store.submit(&mut journal);
    assert_eq!(store.outcome(&ticket), Outcome::Undecided);
    let gone = |number| Change::Gone { session: 1, number };
    journal.changes.extend([gone(0), gone(1)]);
    store.submit(&mut journal);
    // At once, not when the acknowledgements are written.
    assert_eq!(store.outcome(&ticket), Outcome::Kept);
}

#[test]
fn a_message_of_qos_2_waits_for_its_own_write_not_for_one_of_those_that_were_sent_with_it() {
    let folder = Folder::new("awaited");
    let (store, _) = open(&folder.store());
    let mut journal = Journal {
        changes: vec![queued(1, 0)],
        ..Journal::default()
    };
    journal.await_those_after(0, &Arc::new(Waiting(1)));
    journal.changes.push(patient(2, 0, 60_000));
    store.submit_sent(1, &mut journal);
    assert!(store.shared.inbox().batch.awaited.is_empty());
    assert_eq!((journal.changes.len(), journal.awaited.len()), (1, 1));
    journal.is_awaited = true;
    let ticket = store.submit(&mut journal);
    assert_eq!(decided(&store, &ticket), Outcome::Kept);
    assert!(journal.awaited.is_empty());
}

#[test]
fn readings_that_are_acknowledged_within_a_second_are_never_written() {
    let folder = Folder::new("readings");
    let (store, _) = open(&folder.store());
    assert_eq!(write(&store, vec![session(1)]), Outcome::Kept);
    let before = store.commits();
    for number in 0..100 {
        let mut journal = Journal {
            changes: vec![patient(1, number, 0)],
            is_late: true,
            ..Journal::default()
        };
        store.submit(&mut journal);
        let gone = Change::Gone { session: 1, number };
        journal.changes.push(gone);
        store.submit(&mut journal);
    }
    // Nor is there anything left that would be written later.
    assert_eq!(
        store
            .shared
            .inbox()
            .batch
            .due(&Pace::new(Duration::ZERO, Instant::now())),
        None
    );
    assert_eq!(store.commits(), before);
}

#[test]
fn a_commit_leaves_readings_behind_that_will_be_acknowledged_and_takes_them_once_they_are_due() {
    let now = Instant::now();
    let soon = now + Duration::from_millis(10);
    for (patience, qos, acknowledged, at, want) in [
        // The client is there and takes its second; it is over; it has acknowledged; it is away; QoS 2.
        (Some(1), QoS::AtLeastOnce, false, soon, &[2][..]),
        (
            Some(1),
            QoS::AtLeastOnce,
            false,
            now + Duration::from_secs(1),
            &[1, 2],
        ),
        (
            Some(1),
            QoS::AtLeastOnce,
            true,
            now + Duration::from_secs(1),
            &[2],
        ),
        (None, QoS::AtLeastOnce, false, soon, &[1, 2]),
        (Some(1), QoS::ExactlyOnce, false, soon, &[1, 2]),
    ] {
        let reading = |number| {
            let mut change = patient(1, number, 0);
            if let Change::Queued {
                entry, patience: p, ..
            } = &mut change
            {
                entry.qos = qos;
                *p = patience.map(Duration::from_millis);
            }
            change
        };
        let mut batch = Batch::default();
        let mut late = Journal {
            is_late: true,
            ..Journal::default()
        };
        batch.add(vec![reading(1)], &mut late, now);
        if acknowledged {
            let gone = Change::Gone {
                session: 1,
                number: 1,
            };
            batch.add(vec![gone], &mut late, now);
        }
        let other = vec![queued(1, 2)];
        batch.add(other, &mut Journal::default(), now);
        let taken = batch.take(at);
        let numbers: Vec<_> = taken.queue.keys().map(|(_, number)| *number).collect();
        assert_eq!(numbers, want, "{patience:?} {qos:?} {acknowledged}");
        // What stays behind is due when it would have been.
        let pace = Pace::new(Duration::ZERO, now);
        let left = (want == [2] && !acknowledged).then(|| now + Duration::from_secs(1));
        assert_eq!(batch.due(&pace), left);
    }
}

#[test]
fn a_commit_takes_all_messages_of_clients_so_that_none_is_on_disk_before_an_earlier_one() {
    let now = Instant::now();
    let mut batch = Batch::default();
    let changes = vec![patient(1, 1, 60_000), queued(1, 2), patient(1, 3, 60_000)];
    batch.add(changes, &mut Journal::default(), now);
    let taken = batch.take(now);
    let numbers: Vec<_> = taken.queue.keys().map(|(_, number)| *number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(batch.is_empty());
}
