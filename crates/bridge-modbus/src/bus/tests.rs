mod tolerances;

use super::*;
use crate::config::Table;
use crate::data::Exception;
use fieldgate_test_device::{Act, Fake};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

fn now() -> Priority {
    Priority::Poll(Instant::now())
}

async fn write(bus: &BusHandle, unit: u8, request: &WriteRequest) -> Result<(), BusError> {
    bus.write(unit, request.clone(), true).await.map(|_| ())
}

const TIMEOUT_MS: u64 = 100;

fn bus(fake: &Fake) -> BusHandle {
    bus_at(&fake.address)
}

fn bus_at(address: &str) -> BusHandle {
    let json = format!(
        r#"{{"tcp": "{address}", "timeout": "{TIMEOUT_MS}ms", "offline": {{"backoff": "50ms..1s"}}}}"#
    );
    let config = serde_json::from_str(&json).unwrap();
    BusHandle::spawn("test", config, CancellationToken::new())
}

fn input(address: u16, count: u16) -> ReadRequest {
    ReadRequest {
        table: Table::Input,
        address,
        count,
        points: [].into(),
    }
}

async fn read(bus: &BusHandle, address: u16, count: u16, retries: u8) -> Result<Data, BusError> {
    bus.read(1, &input(address, count), now(), retries).await
}

fn words(words: &[u16]) -> Result<Data, BusError> {
    Ok(Data::Words(words.to_vec()))
}

#[tokio::test]
async fn all_four_tables_are_read() {
    let fake = Fake::start().await;
    let bus = bus(&fake);
    let bits: Vec<bool> = (5..18u16).map(|at| at % 2 == 1).collect();
    for (table, count, want) in [
        (Table::Coil, 13, Data::Bits(bits.clone())),
        (Table::Discrete, 13, Data::Bits(bits)),
        (Table::Input, 3, Data::Words(vec![5, 6, 7])),
        (Table::Holding, 125, Data::Words((5..130).collect())),
    ] {
        let request = ReadRequest {
            table,
            ..input(5, count)
        };
        assert_eq!(bus.read(9, &request, now(), 0).await, Ok(want), "{table:?}");
    }
    let functions: Vec<u8> = fake.requests().iter().map(|request| request.0).collect();
    assert_eq!(functions, [1, 2, 4, 3]);
    assert_eq!(fake.connections(), 1);
}

/// Late bytes that are taken for the next answer: see tokio-modbus issue 324. A number tells
/// them apart, so silence alone does not cost the connection.
#[tokio::test]
async fn no_fault_gives_a_value_and_a_connection_that_makes_no_sense_is_given_up() {
    for (act, connections, want) in [
        (Act::Silence, 1, "no answer within 100 ms"),
        (Act::Late(TIMEOUT_MS + 20), 1, "no answer within 100 ms"),
        (
            Act::WrongId,
            2,
            "wrong answer: of another transaction or unit",
        ),
        (Act::WrongUnit, 2, "wrong answer: of unit 9"),
        (Act::WrongFunction, 2, "wrong answer: of another function"),
        (
            Act::Short,
            2,
            "wrong answer: not as many registers as asked for",
        ),
        (Act::WrongCheck, 2, "wrong answer: not Modbus TCP"),
        (Act::Garbage, 2, "wrong answer: not Modbus TCP"),
        (
            Act::CloseMidFrame,
            2,
            "connection lost: closed by the other end",
        ),
        (Act::Close, 2, "connection lost: closed by the other end"),
    ] {
        let fake = Fake::start().await;
        fake.script(&[Act::Answer, act]);
        let bus = bus(&fake);
        assert_eq!(read(&bus, 10, 2, 0).await, words(&[10, 11]));
        let error = read(&bus, 20, 2, 0).await.unwrap_err().to_string();
        assert!(
            error.starts_with("read input 20..=21 of unit 1: "),
            "{act:?}: {error}"
        );
        assert!(error.contains(want), "{act:?}: {error}");
        for address in [30, 40, 50] {
            assert_eq!(
                read(&bus, address, 2, 0).await,
                words(&[address, address + 1]),
                "{act:?}"
            );
        }
        assert_eq!(fake.connections(), connections, "{act:?}");
        let counters = bus.counters();
        let counts = &counters.units[&1];
        assert_eq!((counts.requests, counts.answers), (5, 4), "{act:?}");
        let faults = [
            counts.timeouts,
            counts.late_answers,
            counts.wrong_answers,
            counters.bus.foreign_frames,
            counters.bus.crc_errors,
            counters.bus.lost,
        ];
        let want = match act {
            Act::Silence => [1, 0, 0, 0, 0, 0],
            Act::Late(_) => [1, 1, 0, 0, 0, 0],
            Act::WrongId | Act::WrongUnit => [0, 0, 0, 1, 0, 1],
            Act::WrongFunction | Act::Short => [0, 0, 1, 0, 0, 1],
            Act::WrongCheck | Act::Garbage => [0, 0, 0, 0, 1, 1],
            _ => [0, 0, 0, 0, 0, 1],
        };
        assert_eq!(faults, want, "{act:?}");
    }
}

#[tokio::test]
async fn after_silence_on_silence_the_connection_is_made_anew() {
    let fake = Fake::start().await;
    fake.script(&[Act::Silence; 2]);
    let bus = bus(&fake);
    for _ in 0..2 {
        read(&bus, 1, 1, 0).await.unwrap_err();
    }
    assert_eq!(read(&bus, 7, 1, 0).await, words(&[7]));
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn as_many_requests_are_under_way_as_allowed_and_answers_may_change_places() {
    for in_flight in [1usize, 3] {
        let fake = Fake::start().await;
        fake.state.lock().unwrap().hold = in_flight;
        let json = format!(r#"{{"tcp": "{}", "in_flight": {in_flight}}}"#, fake.address);
        let config = serde_json::from_str(&json).unwrap();
        let bus = BusHandle::spawn("test", config, CancellationToken::new());
        let mut tasks = tokio::task::JoinSet::new();
        for address in 0..6u16 {
            let bus = bus.clone();
            tasks.spawn(async move { (address, read(&bus, address, 1, 0).await) });
        }
        while let Some(answer) = tasks.join_next().await {
            let (address, got) = answer.unwrap();
            assert_eq!(got, words(&[address]));
        }
        assert_eq!(fake.connections(), 1);
    }
}

#[tokio::test]
async fn the_bus_takes_any_request_to_any_unit() {
    let fake = Fake::start().await;
    let bus = bus(&fake);
    let raw = Request::Raw(vec![3, 0, 5, 0, 1]);
    let answer = bus.transact(77, raw, Priority::Background).await;
    assert_eq!(answer, Ok(Answer::Raw(vec![3, 2, 0, 5])));
    let illegal = Request::Read {
        table: Table::Coil,
        address: 0,
        count: 0,
    };
    let error = bus
        .transact(1, illegal, Priority::Command)
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::Illegal { .. }), "{error}");
    assert_eq!(fake.requests().len(), 1);
    let error = bus.identify(1, 1, Priority::Command).await.unwrap_err();
    assert!(error.to_string().contains("exception 1"), "{error}");
}

#[tokio::test]
async fn an_exception_costs_its_request_only_and_names_everything() {
    let fake = Fake::start().await;
    fake.script(&[Act::Exception(2), Act::Exception(99)]);
    let bus = bus(&fake);
    for (code, want) in [
        (
            2,
            "read input 7..=9 of unit 1: exception 2 (ILLEGAL DATA ADDRESS)",
        ),
        (
            99,
            "read input 7..=9 of unit 1: exception 99 (not in the specification)",
        ),
    ] {
        let error = read(&bus, 7, 3, 5).await.unwrap_err();
        assert_eq!(error.to_string(), want);
        assert!(
            matches!(error, BusError::Exception { exception: Exception(got), .. } if got == code)
        );
    }
    assert_eq!(read(&bus, 1, 1, 0).await, words(&[1]));
    assert_eq!((fake.connections(), fake.requests().len()), (1, 3));
}

#[tokio::test]
async fn reads_are_repeated_as_often_as_allowed_and_a_busy_unit_is_asked_again() {
    for (acts, retries, is_ok, requests) in [
        (vec![Act::Silence], 1, true, 2),
        (vec![Act::WrongId, Act::Close], 2, true, 3),
        (vec![Act::Silence, Act::Silence], 1, false, 2),
        (vec![Act::Exception(6)], 1, true, 2),
        (vec![Act::Exception(11)], 1, true, 2),
        (vec![Act::Exception(4)], 1, false, 1),
    ] {
        let fake = Fake::start().await;
        fake.script(&acts);
        let answer = read(&bus(&fake), 3, 1, retries).await;
        assert_eq!(answer.is_ok(), is_ok, "{acts:?}: {answer:?}");
        assert_eq!(fake.requests().len(), requests, "{acts:?}");
    }
}

#[tokio::test]
async fn writes_use_the_function_that_suits_and_are_never_repeated() {
    let registers = |words: &[u16]| WriteRequest::Registers {
        address: 10,
        words: words.to_vec(),
    };
    let coil = WriteRequest::Coil {
        address: 3,
        on: true,
    };
    for (request, function) in [(coil, 5), (registers(&[7]), 6), (registers(&[7, 8]), 16)] {
        let fake = Fake::start().await;
        let bus = bus(&fake);
        assert_eq!(write(&bus, 1, &request).await, Ok(()));
        fake.script(&[Act::Silence]);
        let error = write(&bus, 1, &request).await.unwrap_err();
        assert!(matches!(error, BusError::Timeout { .. }), "{error}");
        let functions: Vec<u8> = fake.requests().iter().map(|request| request.0).collect();
        assert_eq!(functions, [function, function]);
    }
}

#[tokio::test]
async fn an_acknowledgement_of_another_write_is_none() {
    let fake = Fake::start().await;
    fake.script(&[Act::WrongFunction]);
    let request = WriteRequest::Registers {
        address: 1,
        words: vec![1],
    };
    let error = write(&bus(&fake), 4, &request)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("write holding 1 of unit 4: wrong answer"),
        "{error}"
    );
}

#[tokio::test]
async fn changing_bits_reads_the_register_afresh_and_leaves_the_others() {
    let fake = Fake::start().await;
    let bus = bus(&fake);
    let request = |mask, bits| WriteRequest::Mask {
        address: 50,
        mask,
        bits,
    };
    fake.state.lock().unwrap().registers.insert(50, 0xAAAA);
    assert_eq!(write(&bus, 1, &request(0x0001, 0x0001)).await, Ok(()));
    assert_eq!(fake.state.lock().unwrap().registers[&50], 0xAAAB);
    fake.state.lock().unwrap().registers.insert(50, 0x5555);
    assert_eq!(write(&bus, 1, &request(0xFF00, 0x1200)).await, Ok(()));
    assert_eq!(fake.state.lock().unwrap().registers[&50], 0x1255);
    // Without the old bits nothing is written.
    fake.script(&[Act::Silence]);
    assert!(write(&bus, 1, &request(0x0001, 0)).await.is_err());
    assert_eq!(fake.state.lock().unwrap().registers[&50], 0x1255);
    let functions: Vec<u8> = fake.requests().iter().map(|request| request.0).collect();
    // This server does not know function 22, which is tried once.
    assert_eq!(functions, [22, 3, 6, 3, 6, 3]);
}

#[tokio::test]
async fn unsolicited_bytes_and_an_idle_close_cost_nothing() {
    for act in [Act::Twice, Act::AnswerAndClose] {
        let fake = Fake::start().await;
        fake.script(&[act]);
        let bus = bus(&fake);
        assert_eq!(read(&bus, 10, 1, 0).await, words(&[10]));
        // The rest of what the server sent has arrived when another connection is served.
        assert_eq!(read(&self::bus(&fake), 1, 1, 0).await, words(&[1]));
        let request = WriteRequest::Registers {
            address: 20,
            words: vec![5],
        };
        assert_eq!(write(&bus, 1, &request).await, Ok(()), "{act:?}");
        assert_eq!(read(&bus, 21, 1, 0).await, words(&[21]), "{act:?}");
    }
}

#[tokio::test]
async fn commands_overtake_polls_and_polls_keep_their_order() {
    let fake = Fake::start().await;
    fake.script(&[Act::Late(50)]);
    let bus = bus(&fake);
    let mut tasks = tokio::task::JoinSet::new();
    for (address, priority) in [
        (1, now()),
        (2, now()),
        (3, now()),
        (4, Priority::Command),
        (5, Priority::Command),
    ] {
        let bus = bus.clone();
        tasks.spawn(async move { bus.read(1, &input(address, 1), priority, 0).await });
        // The first one is under way before the others come.
        while fake.requests().is_empty() {
            yield_now().await;
        }
        yield_now().await;
    }
    while let Some(answer) = tasks.join_next().await {
        assert!(answer.unwrap().is_ok());
    }
    let order: Vec<u16> = fake.requests().iter().map(|request| request.1).collect();
    assert_eq!(order, [1, 4, 5, 2, 3]);
}

#[tokio::test]
async fn an_abandoned_transaction_is_not_sent() {
    let fake = Fake::start().await;
    fake.script(&[Act::Late(50)]);
    let bus = bus(&fake);
    let first = tokio::spawn({
        let bus = bus.clone();
        async move { read(&bus, 1, 1, 0).await }
    });
    while fake.requests().is_empty() {
        yield_now().await;
    }
    let request = WriteRequest::Coil {
        address: 1,
        on: false,
    };
    assert!(
        timeout(Duration::from_millis(1), write(&bus, 1, &request))
            .await
            .is_err()
    );
    assert!(first.await.unwrap().is_ok());
    assert_eq!(read(&bus, 2, 1, 0).await, words(&[2]));
    assert_eq!(fake.requests(), [(4, 1, 1), (4, 2, 1)]);
}

#[tokio::test]
async fn without_a_server_requests_fail_at_once_and_the_bus_comes_back_by_itself() {
    let fake = Fake::start().await;
    let (address, state) = fake.stop().await;
    let bus = bus_at(&address);
    let mut recoveries = bus.recoveries();
    for _ in 0..3 {
        let error = read(&bus, 1, 1, 3).await.unwrap_err();
        assert!(matches!(error, BusError::Connect { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("cannot connect to 127."), "{text}");
    }
    // Long enough for several attempts.
    sleep(Duration::from_millis(500)).await;
    let outage = bus.outage().map(|outage| outage.why).unwrap_or_default();
    assert!(outage.contains("cannot connect to 127."), "{outage}");
    let fake = Fake::start_on(&address, state).await;
    let recovered = timeout(Duration::from_secs(5), recoveries.changed()).await;
    assert!(recovered.is_ok());
    assert_eq!(bus.outage(), None);
    assert_eq!(fake.requests(), []);
    assert_eq!(read(&bus, 1, 1, 0).await, words(&[1]));
    assert_eq!(fake.connections(), 1);
}

/// A dead unit whose time limit drops the connection must not be woken by its return.
#[tokio::test]
async fn a_connection_that_was_only_dropped_or_refused_once_is_no_recovery() {
    let fake = Fake::start().await;
    let bus = bus(&fake);
    let recoveries = bus.recoveries();
    fake.script(&[Act::Close]);
    assert!(read(&bus, 1, 1, 0).await.is_err());
    assert!(read(&bus, 1, 1, 0).await.is_ok());
    assert_eq!(fake.connections(), 2);
    let (address, state) = fake.stop().await;
    read(&bus, 1, 1, 0).await.unwrap_err();
    let _fake = Fake::start_on(&address, state).await;
    assert_eq!(bus.outage(), None);
    sleep(Duration::from_millis(150)).await;
    assert!(read(&bus, 1, 1, 1).await.is_ok());
    assert!(!recoveries.has_changed());
}

/// Only the values themselves have no check on Modbus TCP.
#[tokio::test]
async fn no_turned_bit_and_no_cut_in_an_answer_gives_a_value() {
    const BEFORE_VALUES: usize = 9;
    let fake = Fake::start().await;
    let json = format!(
        r#"{{"tcp": "{}", "timeout": "15ms", "reconnect": "1ms"}}"#,
        fake.address
    );
    let config = serde_json::from_str(&json).unwrap();
    let bus = BusHandle::spawn("test", config, CancellationToken::new());
    let flips = (0..BEFORE_VALUES * 8).map(Act::Flip);
    let cuts = (0..BEFORE_VALUES + 4).map(Act::Cut);
    for act in flips.chain(cuts) {
        fake.script(&[act]);
        let answer = read(&bus, 0x0102, 2, 0).await;
        // The length of the frame is known without the header.
        let is_length = matches!(act, Act::Flip(32..48));
        let is_right = is_length && answer == words(&[0x0102, 0x0103]);
        assert!(answer.is_err() || is_right, "{act:?}: {answer:?}");
    }
    assert_eq!(read(&bus, 7, 2, 2).await, words(&[7, 8]));
}

#[tokio::test]
async fn a_cancelled_bus_answers_no_request() {
    let fake = Fake::start().await;
    let json = format!(r#"{{"tcp": "{}"}}"#, fake.address);
    let cancel = CancellationToken::new();
    let bus = BusHandle::spawn("test", serde_json::from_str(&json).unwrap(), cancel.clone());
    assert!(read(&bus, 1, 1, 0).await.is_ok());
    cancel.cancel();
    yield_now().await;
    let error = read(&bus, 1, 1, 9).await.unwrap_err();
    assert!(matches!(error, BusError::Closed { .. }), "{error}");
}
