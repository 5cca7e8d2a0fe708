//! What servers are forgiven, and how connections are spared.

use super::*;

/// A bus with more keys.
fn bus_with(fake: &Fake, keys: &str) -> BusHandle {
    let address = &fake.address;
    let json = format!(r#"{{"tcp": "{address}", "timeout": "100ms", {keys}}}"#);
    let config = serde_json::from_str(&json).unwrap();
    BusHandle::spawn("test", config, CancellationToken::new())
}

#[tokio::test]
async fn an_answer_is_known_by_its_own_length_if_its_header_names_another() {
    for act in [
        Act::Longer(1),
        Act::Longer(7),
        Act::Length(6),
        Act::Length(3),
        Act::Length(0),
        Act::Length(60_000),
    ] {
        let fake = Fake::start().await;
        fake.script(&[act; 4]);
        let bus = bus(&fake);
        assert_eq!(
            read(&bus, 10, 4, 0).await,
            words(&[10, 11, 12, 13]),
            "{act:?}"
        );
        assert_eq!(read(&bus, 20, 1, 0).await, words(&[20]), "{act:?}");
        let write = WriteRequest::Registers {
            address: 30,
            words: vec![1, 2],
        };
        assert_eq!(self::write(&bus, 1, &write).await, Ok(()), "{act:?}");
        assert_eq!(fake.connections(), 1, "{act:?}");
        // Six is right for a write.
        let wrong = if act == Act::Length(6) || act == Act::Length(3) {
            2..=3
        } else {
            3..=3
        };
        let counted = bus.counters().units[&1].wrong_lengths;
        assert!(wrong.contains(&counted), "{act:?}: {counted}");
    }
}

#[tokio::test]
async fn where_the_length_is_in_doubt_it_is_named() {
    let fake = Fake::start().await;
    fake.script(&[Act::Longer(1)]);
    let bus = bus(&fake);
    // Of what a raw request is answered nothing is known.
    let request = Request::Raw(vec![3, 0, 10, 0, 1]);
    let error = bus.transact(1, request, now()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("wrong length: its header names 6 bytes, and 5 came"),
        "{text}"
    );
    assert_eq!(bus.counters().units[&1].wrong_lengths, 1);
}

#[tokio::test]
async fn answers_of_other_units_and_numbers_are_taken_if_that_is_said() {
    let any = r#""accept": {"unit": "any", "transaction": "any"}"#;
    for (keys, act, is_ok) in [
        (any, Act::WrongUnit, true),
        (any, Act::NoId, true),
        (r#""accept": {"unit": "any"}"#, Act::WrongUnit, true),
        (r#""accept": {"unit": "any"}"#, Act::NoId, false),
        (r#""accept": {"transaction": "any"}"#, Act::WrongUnit, false),
        (r#""retries": 0"#, Act::NoId, false),
    ] {
        let fake = Fake::start().await;
        fake.script(&[act; 2]);
        let bus = bus_with(&fake, keys);
        for address in [10, 20] {
            let answer = read(&bus, address, 1, 0).await;
            assert_eq!(answer.is_ok(), is_ok, "{keys} {act:?}: {answer:?}");
            assert!(answer.is_err() || answer == words(&[address]));
        }
    }
}

/// Without numbers a late answer would be the next one's, so its connection is given up.
#[tokio::test]
async fn without_numbers_a_late_answer_is_never_taken_for_another_ones() {
    let fake = Fake::start().await;
    fake.script(&[Act::NoId, Act::Late(150)]);
    let bus = bus_with(&fake, r#""accept": {"transaction": "any"}"#);
    assert_eq!(read(&bus, 10, 1, 0).await, words(&[10]));
    assert!(read(&bus, 20, 1, 0).await.is_err());
    for address in [30, 40, 50] {
        assert_eq!(read(&bus, address, 1, 0).await, words(&[address]));
    }
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_server_is_asked_when_it_had_the_time_to_settle() {
    let settle = Duration::from_millis(300);
    for (keys, device, is_ok) in [
        (r#""settle": "320ms""#, Duration::ZERO, true),
        (r#""retries": 0"#, Duration::from_millis(320), true),
        (r#""retries": 0"#, Duration::ZERO, false),
    ] {
        let fake = Fake::start().await;
        fake.state.lock().unwrap().starts_in = settle;
        let bus = bus_with(&fake, keys);
        bus.settle_for(device);
        let answer = read(&bus, 10, 1, 0).await;
        assert_eq!(answer.is_ok(), is_ok, "{keys} {device:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_is_closed_when_nothing_was_asked_for_long_enough() {
    let fake = Fake::start().await;
    let bus = bus_with(&fake, r#""close_after": "100ms""#);
    for connections in [1, 1, 2] {
        if connections == 2 {
            sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(read(&bus, 10, 1, 0).await, words(&[10]));
        assert_eq!(fake.connections(), connections);
    }
    assert_eq!(bus.counters().bus.lost, 0, "that is no fault");
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_connected_to_again_and_again() {
    let fake = Fake::start().await;
    fake.script(&[Act::Close; 100]);
    let bus = bus_with(&fake, r#""reconnect": "400ms""#);
    let begun = Instant::now();
    for _ in 0..3 {
        assert!(read(&bus, 10, 1, 0).await.is_err());
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(800),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(fake.connections(), 3);
    // One that has answered is connected to at once.
    fake.state.lock().unwrap().script.clear();
    assert!(read(&bus, 10, 1, 0).await.is_ok());
    fake.script(&[Act::Close]);
    assert!(read(&bus, 10, 1, 0).await.is_err());
    let begun = Instant::now();
    assert!(read(&bus, 10, 1, 0).await.is_ok());
    assert!(
        begun.elapsed() < Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn several_registers_are_written_one_by_one_where_function_16_is_refused() {
    let fake = Fake::start().await;
    fake.state.lock().unwrap().lacks.insert(16);
    let bus = bus(&fake);
    let request = |words: &[u16]| WriteRequest::Registers {
        address: 10,
        words: words.to_vec(),
    };
    assert_eq!(write(&bus, 1, &request(&[7, 8])).await, Ok(()));
    assert_eq!(write(&bus, 1, &request(&[9, 10, 11])).await, Ok(()));
    assert_eq!(read(&bus, 10, 3, 0).await, words(&[9, 10, 11]));
    let functions: Vec<u8> = fake.requests().iter().map(|request| request.0).collect();
    assert_eq!(functions, [16, 6, 6, 6, 6, 6, 4]);
    // What fails on the way is not as if nothing had been written.
    fake.state.lock().unwrap().holes.insert(11);
    let error = write(&bus, 1, &request(&[1, 2])).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("after 1 of 2 were written one by one"),
        "{text}"
    );
}
