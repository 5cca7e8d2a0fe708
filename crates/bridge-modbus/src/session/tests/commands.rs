//! Commands: written, read back, answered.

use super::*;

const WRITABLE: &str = r#""pump": {"coil": 4, "write": true},
    "setpoint": {"holding": 10, "as": "f32", "order": "CDAB", "write": {"min": 0, "max": 80}},
    "alarm": {"holding": 20, "as": "bit(3)", "write": true},
    "mode": {"holding": 30, "as": "u16", "enum": {"1": "day", "2": "night"}, "write": true},
    "slow": {"holding": 40, "as": "u16", "write": true, "readback": "50ms"}"#;

#[tokio::test]
async fn commands_are_written_read_back_and_published() {
    let fake = Fake::start().await;
    let mut device = Device::start(&bus(&fake), 1, WRITABLE);
    device.wait_online().await;
    for (point, payload, want) in [
        (0, "on", Value::Bool(true)),
        (0, "0", Value::Bool(false)),
        (1, "21.3", Value::F32(21.3)),
        (2, "1", Value::Bool(true)),
        (2, "false", Value::Bool(false)),
        (3, "night", Value::Text("night".into())),
        (3, "1", Value::Text("day".into())),
        (4, "{\"value\": 65535}", Value::Decimal(65535.into())),
    ] {
        let outcome = device.command(point, payload).await;
        let want = Outcome::Done {
            readback: Some(want.clone()),
            value: want,
        };
        assert_eq!(outcome, want, "{payload}");
    }
    let state = fake.state.lock().unwrap();
    assert_eq!(state.registers[&20], 20 & !8, "other bits stay");
    assert_eq!(
        (state.registers[&10], state.registers[&11]),
        (0x6666, 0x41AA)
    );
}

#[tokio::test]
async fn what_is_read_back_after_a_write_is_published_at_once() {
    let fake = Fake::start().await;
    let config = config(
        1,
        r#""a": {"holding": 5, "as": "u16", "write": true, "poll": "1h"}"#,
    );
    let mut session = ModbusDriver::new(config, bus(&fake)).open().await.unwrap();
    let mut out = Vec::new();
    let value = Value::Decimal(77.into());
    let command = Command {
        point: 0,
        value: value.clone(),
    };
    let outcome = session.apply(command, &mut out).await;
    assert_eq!(
        outcome,
        Outcome::Done {
            value: value.clone(),
            readback: Some(value)
        }
    );
    assert_eq!(out.iter().map(text).collect::<Vec<_>>(), ["77"]);
}

#[tokio::test]
async fn a_write_that_fails_is_told_apart_from_one_that_did_not_stick() {
    let fake = Fake::start().await;
    let mut device = Device::start(&bus(&fake), 1, WRITABLE);
    device.wait_online().await;
    fake.state.lock().unwrap().stuck.extend([4, 40]);
    let outcome = device.command(0, "1").await;
    let want = Outcome::Mismatch {
        value: Value::Bool(true),
        readback: Some(Value::Bool(false)),
    };
    assert_eq!(outcome, want);
    let outcome = device.command(4, "7").await;
    let want = Outcome::Mismatch {
        value: Value::Decimal(7.into()),
        readback: Some(Value::Decimal(40.into())),
    };
    assert_eq!(outcome, want);
    fake.state.lock().unwrap().holes.insert(30);
    for (point, payload, want) in [
        (1, "99", "99 is outside the limits 0..=80"),
        (3, "noon", "expected one of `day`, `night`, got `noon`"),
        (
            3,
            "day",
            "write holding 30 of unit 1: exception 2 (ILLEGAL DATA ADDRESS)",
        ),
        (9, "1", "no such point"),
    ] {
        let outcome = device.command(point, payload).await;
        assert_eq!(outcome, Outcome::Failed(want.into()));
    }
}

#[tokio::test]
async fn a_write_without_an_answer_is_sent_once_and_said_to_be_in_doubt() {
    let fake = Fake::start().await;
    let config = config(1, r#""a": {"holding": 5, "as": "u16", "write": true}"#);
    let mut session = ModbusDriver::new(config, bus(&fake)).open().await.unwrap();
    for act in [Act::Silence, Act::WrongId, Act::Close] {
        fake.script(&[act]);
        let sent = fake.requests_to(1);
        let command = Command {
            point: 0,
            value: Value::Decimal(1.into()),
        };
        match session.apply(command, &mut Vec::new()).await {
            Outcome::Failed(text) => {
                assert!(text.ends_with("; it may have taken effect"), "{text}")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fake.requests_to(1), sent + 1, "{act:?}");
    }
}

#[tokio::test]
async fn several_points_are_set_at_once_and_answered_in_one() {
    let fake = Fake::start().await;
    let points = r#""a": {"holding": 0, "as": "u16", "write": true},
        "b": {"holding": 1, "as": "u16", "write": true, "readback": "30ms"},
        "c": {"coil": 4, "write": true}"#;
    let mut device = Device::start(&bus(&fake), 1, points);
    device.wait_online().await;
    let commands = [(0, 70u16), (1, 71), (2, 1)].map(|(point, value)| Command {
        point,
        value: Value::Decimal(value.into()),
    });
    let (request, outcomes) = Request::several(commands.to_vec());
    device.requests.send(request).await.unwrap();
    let done = |value: Value| Outcome::Done {
        readback: Some(value.clone()),
        value,
    };
    let want = [
        done(Value::Decimal(70.into())),
        done(Value::Decimal(71.into())),
        done(Value::Bool(true)),
    ];
    assert_eq!(outcomes.await.unwrap(), want);
    let requests = fake.requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.0 > 4).collect();
    assert_eq!(writes, [&(16, 0, 2), &(5, 4, 0xFF00)]);
}

#[tokio::test]
async fn a_read_back_that_waits_holds_up_neither_polls_nor_the_next_command() {
    let fake = Fake::start().await;
    let points = r#""slow": {"holding": 40, "as": "u16", "write": true, "readback": "60s"},
        "quick": {"holding": 50, "as": "u16", "write": true}, "level": {"input": 7, "as": "u16"}"#;
    let mut device = Device::start(&bus(&fake), 1, points);
    device.wait_online().await;
    let one = |value: u16| Value::Decimal(value.into());
    let (request, mut first) = Request::new(Command {
        point: 0,
        value: one(1),
    });
    device.requests.send(request).await.unwrap();
    for _ in 0..3 {
        device.round().await;
    }
    let outcome = device.command(1, "5").await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    assert!(first.try_recv().is_err(), "it is not read back yet");
    // The next write to the same point ends the wait.
    let (request, _second) = Request::new(Command {
        point: 0,
        value: one(2),
    });
    device.requests.send(request).await.unwrap();
    let want = Outcome::Done {
        value: one(1),
        readback: None,
    };
    assert_eq!(first.await.unwrap(), want);
    let writes = fake.requests();
    let writes = writes
        .iter()
        .filter(|request| request.0 == 6 && request.1 == 40);
    let values: Vec<u16> = writes.map(|request| request.2).collect();
    assert_eq!(values, [1, 2]);
}

/// A momentary coil is off again when it is read back, and some registers cannot be read.
#[tokio::test]
async fn what_cannot_be_read_back_is_written_and_never_read() {
    let points = r#""seen": {"input": 0, "as": "u16"},
        "start": {"coil": 4, "write": true, "readback": "never"},
        "secret": {"holding": 30, "as": "u16", "write": true, "poll": "never", "readback": "never"},
        "shown": {"holding": 40, "as": "u16", "write": true, "poll": "never"}"#;
    let fake = Fake::start().await;
    fake.state.lock().unwrap().stuck.insert(4);
    let mut device = Device::start(&bus(&fake), 1, points);
    device.wait_online().await;
    for (point, payload, value, readback) in [
        (1, "on", Value::Bool(true), false),
        (2, "7", Value::Decimal(7.into()), false),
        (3, "8", Value::Decimal(8.into()), true),
    ] {
        let outcome = device.command(point, payload).await;
        let readback = readback.then(|| value.clone());
        assert_eq!(outcome, Outcome::Done { value, readback }, "{payload}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let holding = |request: &&(u8, u16, u16)| request.0 == 3;
    let reads: Vec<_> = fake.requests();
    let reads: Vec<_> = reads.iter().filter(holding).collect();
    assert_eq!(reads, [&(3, 40, 1)], "only the read-back");
}
