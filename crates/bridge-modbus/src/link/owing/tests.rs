use super::*;
use crate::config::Table;

const LATE: Duration = Duration::from_secs(10);

fn read(table: Table, address: u16, count: u16) -> Request {
    Request::Read {
        table,
        address,
        count,
    }
}

fn word(address: u16, word: u16) -> Request {
    Request::WriteRegister { address, word }
}

fn registers(address: u16, words: &[u16]) -> Request {
    Request::WriteRegisters {
        address,
        words: words.to_vec(),
    }
}

#[test]
fn answers_are_told_apart_by_function_length_and_what_they_repeat() {
    use Table::{Coil, Holding, Input};
    let coils = |address, count: usize| Request::WriteCoils {
        address,
        bits: vec![true; count],
    };
    for (request, earlier, want) in [
        (read(Holding, 70, 1), read(Holding, 77, 1), true),
        (read(Holding, 70, 1), read(Holding, 70, 2), false),
        (read(Holding, 70, 1), read(Input, 70, 1), false),
        (read(Coil, 0, 1), read(Coil, 0, 8), true),
        (read(Coil, 0, 8), read(Coil, 0, 9), false),
        (
            read(Holding, 70, 1),
            Request::Raw(vec![3, 0, 0, 0, 2]),
            true,
        ),
        (
            read(Holding, 70, 1),
            Request::Raw(vec![4, 0, 0, 0, 2]),
            false,
        ),
        (word(5, 1), word(5, 1), true),
        (word(5, 1), word(5, 2), false),
        (word(5, 1), registers(5, &[1]), false),
        (registers(5, &[1, 2]), registers(5, &[3, 4]), true),
        (registers(5, &[1, 2]), registers(5, &[3]), false),
        (coils(0, 3), coils(0, 3), true),
        (coils(0, 3), coils(1, 3), false),
        (Request::Echo { data: 7 }, Request::Echo { data: 7 }, true),
        (Request::Echo { data: 7 }, Request::Echo { data: 8 }, false),
        (
            Request::Echo { data: 7 },
            Request::Raw(vec![8, 0, 0, 0, 9]),
            true,
        ),
    ] {
        assert_eq!(request.is_like(&earlier), want, "{request:?} {earlier:?}");
    }
}

/// What a unit that answers nothing is sent instead of `request`.
fn barriers(units: &mut Units, request: &Request, count: usize) -> Vec<Request> {
    let mut sent = Vec::new();
    for _ in 0..count {
        let now = Instant::now();
        let Next::Barrier(barrier) = units.next(1, request, now) else {
            break;
        };
        units.sent(1, now);
        units.went(1, &barrier, false);
        units.gave_up(1, barrier.request.clone());
        sent.push(barrier.request);
    }
    sent
}

#[test]
fn barriers_take_turns_none_is_like_what_is_owed_and_then_the_unit_rests() {
    let request = read(Table::Holding, 77, 1);
    let mut units = Units::new("test", LATE);
    assert_eq!(units.next(1, &request, Instant::now()), Next::Ask);
    units.gave_up(1, request.clone());
    units.sent(1, Instant::now());
    let sent = barriers(&mut units, &request, 100);
    assert_eq!(sent.len(), 2 * TRIES_MAX as usize);
    for (place, barrier) in sent.iter().enumerate() {
        assert!(!request.is_like(barrier), "{barrier:?}");
        let mut others = sent.iter().skip(place + 1);
        assert!(others.all(|other| !other.is_like(barrier)), "{sent:?}");
    }
    assert!(matches!(sent[0], Request::Echo { .. }), "{sent:?}");
    assert_eq!(sent[1], read(Table::Holding, 77, 2));
    let rested = Instant::now() + LATE;
    assert!(matches!(
        units.next(1, &request, Instant::now()),
        Next::Rest(_)
    ));
    assert_eq!(units.next(1, &request, rested), Next::Ask);
    assert!(units.is_wary(1, &request));
    assert_eq!(units.next(2, &request, rested), Next::Ask, "another unit");
}

#[test]
fn the_barrier_that_a_unit_answers_is_the_next_one_too() {
    let (request, now) = (read(Table::Holding, 77, 1), Instant::now());
    let mut units = Units::new("test", LATE);
    for round in 0..3 {
        units.gave_up(1, request.clone());
        let sent = match round {
            0 => barriers(&mut units, &request, 1).len(),
            _ => 0,
        };
        assert_eq!(sent, usize::from(round == 0), "function 8 is not answered");
        let Next::Barrier(barrier) = units.next(1, &request, now) else {
            panic!("no barrier");
        };
        assert_eq!(barrier.request, read(Table::Holding, 77, 2));
        units.sent(1, now);
        let verdict = units.judge(1, Some(&barrier.request), &[3, 4, 0, 1, 0, 2], now);
        assert_eq!(verdict, Some(Verdict::Own));
        units.went(1, &barrier, true);
        assert_eq!(units.next(1, &request, now), Next::Ask);
    }
}

#[test]
fn a_unit_that_rested_gets_a_barrier_if_it_has_answered_one_before() {
    let (request, now) = (read(Table::Holding, 77, 1), Instant::now());
    for knows in [false, true] {
        let mut units = Units::new("test", LATE);
        if knows {
            units.gave_up(1, request.clone());
            let Next::Barrier(barrier) = units.next(1, &request, now) else {
                panic!("no barrier");
            };
            units.sent(1, now);
            let mut pdu = Vec::new();
            barrier.request.encode(&mut pdu);
            let verdict = units.judge(1, Some(&barrier.request), &pdu, now);
            assert_eq!(verdict, Some(Verdict::Own));
            units.went(1, &barrier, true);
        }
        units.sent(1, now);
        units.gave_up(1, request.clone());
        let next = units.next(1, &request, now + LATE);
        assert_eq!(matches!(next, Next::Barrier(_)), knows, "{next:?}");
    }
}

#[test]
fn other_counts_stay_within_the_limits() {
    for (request, want) in [
        (read(Table::Holding, 77, 2), vec![1, 3, 4]),
        (read(Table::Holding, 0, 125), vec![124, 123, 122]),
        (read(Table::Input, 65535, 1), vec![]),
        (read(Table::Coil, 0, 4), vec![12, 20, 28]),
        (read(Table::Coil, 0, 2000), vec![1992, 1984, 1976]),
    ] {
        let counts = other_counts(&request).take(3).map(|other| match other {
            Request::Read { count, .. } => count,
            other => panic!("{other:?}"),
        });
        assert_eq!(counts.collect::<Vec<_>>(), want, "{request:?}");
    }
}

#[test]
fn a_barrier_that_was_answered_before_is_tried_on() {
    let request = read(Table::Holding, 77, 1);
    let mut units = Units::new("test", LATE);
    units.sent(1, Instant::now());
    let other = read(Table::Input, 0, 1);
    let verdict = units.judge(1, Some(&other), &[4, 2, 0, 1], Instant::now());
    assert_eq!(verdict, Some(Verdict::Own));
    units.gave_up(1, request.clone());
    let sent = barriers(&mut units, &request, 100);
    assert!(sent.contains(&other), "{sent:?}");
    assert_eq!(sent.len(), 2 * TRIES_MAX as usize + 1);
}
