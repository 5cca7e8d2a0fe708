use super::*;
use crate::link::{FCB, Frame, Framer, REQ_UD2, RSP_UD, SND_NKE};
use crate::sim::{SimLine, SimMeter, serve};
use crate::{End, Found, scan_primary, scan_secondary};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn config() -> MbusBusEntry {
    MbusBusEntry::new(Transport::Serial("/dev/test".into())).unwrap()
}

fn secondary(text: &str) -> Secondary {
    text.parse().unwrap()
}

use crate::address::Secondary;

/// A bus whose line has these meters on it.
fn bus_with(line: SimLine) -> (MbusBusHandle, Arc<Mutex<SimLine>>) {
    let (near, mut far) = duplex(4096);
    let meters = Arc::new(Mutex::new(line));
    let served = Arc::clone(&meters);
    tokio::spawn(async move {
        let start = Instant::now();
        let cancel = CancellationToken::new();
        serve(&mut far, &served, start, &cancel).await
    });
    (MbusBus::spawn_on(config(), near), meters)
}

fn heat(address: u8) -> SimMeter {
    let id = format!("{:08}ELS0104", u32::from(address));
    SimMeter::heat(address, secondary(&id), 1000.0 * f64::from(address))
}

fn energy(readout: &Readout) -> String {
    readout.records[0].value.clone().unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn meters_are_read_by_primary_and_by_secondary_address() {
    let (bus, _) = bus_with(SimLine::new(vec![heat(1), heat(2), heat(3)]));
    for (who, want) in [
        (Address::Primary(1), "1000000"),
        (Address::Primary(3), "3000000"),
        (Address::Secondary(secondary("00000002")), "2000000"),
        (Address::Secondary(secondary("00000003ELS0104")), "3000000"),
        (Address::Secondary(secondary("FFFFFFF1")), "1000000"),
    ] {
        let readout = bus.read(who, 1).await.unwrap();
        assert_eq!(
            (energy(&readout).as_str(), readout.records.len()),
            (want, 8),
            "{who}"
        );
    }
    let error = bus.read(Address::Primary(4), 1).await.unwrap_err();
    assert_eq!(error.to_string(), "address 4: no answer within 337 ms");
    assert_eq!(error.cause, Cause::Timeout);
    let error = bus.read(Address::Secondary(secondary("00000009")), 1).await;
    assert_eq!(error.unwrap_err().cause, Cause::Timeout);
}

#[tokio::test(start_paused = true)]
async fn all_telegrams_of_a_meter_are_one_readout_even_if_some_answers_are_lost() {
    let mut meter = heat(1);
    let one = meter.telegrams.remove(0);
    meter.telegrams = one.chunks(3).map(<[_]>::to_vec).collect();
    let (bus, meters) = bus_with(SimLine::new(vec![meter]));
    for (losses, telegrams, want, more) in [(0, 8, 8, false), (1, 8, 8, false), (0, 2, 6, true)] {
        meters.lock().unwrap().meter(0).unwrap().loses = losses;
        let readout = bus.read(Address::Primary(1), telegrams).await.unwrap();
        assert_eq!((readout.records.len(), readout.more), (want, more));
    }
}

#[tokio::test(start_paused = true)]
async fn two_meters_with_one_address_are_named_as_a_reason_and_echoes_are_none() {
    let mut twin = heat(1);
    twin.secondary = secondary("99999999EFE0204");
    let mut line = SimLine::new(vec![heat(1), twin]);
    line.echoes = true;
    let (bus, _) = bus_with(line);
    let error = bus.read(Address::Primary(1), 1).await.unwrap_err();
    assert!(error.is_garbled, "{error}");
    assert!(error.to_string().contains("several meters"), "{error}");
    assert!(bus.counters().bus.rejected.checks > 0);
    let mut line = SimLine::new(vec![heat(1)]);
    line.echoes = true;
    let (bus, _) = bus_with(line);
    bus.read(Address::Primary(1), 1).await.unwrap();
    let counts = bus.counters().bus;
    assert_eq!((counts.echoes, counts.answers, counts.foreign), (2, 2, 0));
}

/// The next request on the line.
async fn request(far: &mut DuplexStream) -> Frame {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    while frames.is_empty() {
        let mut byte = [0];
        far.read_exact(&mut byte).await.unwrap();
        framer.feed(&byte, &mut frames);
    }
    frames.remove(0)
}

async fn say(far: &mut DuplexStream, frame: &Frame) {
    far.write_all(&frame.encode()).await.unwrap();
}

fn telegram(address: u8, number: u8) -> Frame {
    let mut data = secondary("00000001ELS0104").bytes().to_vec();
    data.extend([0, 0, 0, 0, 0x01, 0x06, number]);
    Frame::Long {
        control: RSP_UD,
        address,
        ci: 0x72,
        data,
    }
}

fn asks(control: u8) -> Frame {
    Frame::Short {
        control,
        address: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_never_taken_for_the_answer_to_a_later_request() {
    let (near, mut far) = duplex(4096);
    let bus = MbusBus::spawn_on(config(), near);
    let meter = tokio::spawn(async move {
        // The first readout gets no answer, also when it is repeated.
        assert_eq!(request(&mut far).await, asks(SND_NKE));
        say(&mut far, &Frame::Ack).await;
        for _ in 0..2 {
            assert_eq!(request(&mut far).await, asks(REQ_UD2 | FCB));
        }
        // It comes while the meter is greeted again, before its acknowledgement.
        assert_eq!(request(&mut far).await, asks(SND_NKE));
        say(&mut far, &telegram(1, 1)).await;
        say(&mut far, &Frame::Ack).await;
        assert_eq!(request(&mut far).await, asks(REQ_UD2 | FCB));
        say(&mut far, &telegram(1, 2)).await;
        // An answer twice, and then a meter that was not asked.
        tokio::time::sleep(Duration::from_millis(1)).await;
        say(&mut far, &telegram(1, 2)).await;
        assert_eq!(request(&mut far).await, asks(SND_NKE));
        say(&mut far, &Frame::Ack).await;
        assert_eq!(request(&mut far).await, asks(REQ_UD2 | FCB));
        say(&mut far, &telegram(7, 3)).await;
        assert_eq!(request(&mut far).await, asks(REQ_UD2 | FCB));
        say(&mut far, &telegram(1, 4)).await;
        far
    });
    let who = Address::Primary(1);
    assert_eq!(bus.read(who, 1).await.unwrap_err().cause, Cause::Timeout);
    assert_eq!(energy(&bus.read(who, 1).await.unwrap()), "2000");
    assert_eq!(energy(&bus.read(who, 1).await.unwrap()), "4000");
    let counts = bus.counters().bus;
    assert_eq!((counts.late, counts.foreign, counts.retries), (2, 1, 2));
    drop(meter.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_meter_that_owes_an_answer_and_does_not_acknowledge_is_not_asked_before_it_has_rested() {
    let (near, mut far) = duplex(4096);
    let bus = MbusBus::spawn_on(config(), near);
    let who = Address::Primary(1);
    let asked = tokio::spawn(async move {
        let mut requests = Vec::new();
        for _ in 0..5 {
            requests.push(request(&mut far).await);
        }
        (requests, far)
    });
    for pause in [0, 0, 20] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        assert_eq!(bus.read(who, 1).await.unwrap_err().cause, Cause::Timeout);
    }
    let (requests, far) = asked.await.unwrap();
    let (greeting, asking) = (asks(SND_NKE), asks(REQ_UD2 | FCB));
    let want = [&greeting, &asking, &greeting, &greeting, &asking];
    assert_eq!(requests.iter().collect::<Vec<_>>(), want);
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn noise_and_other_meters_cost_a_repetition() {
    let (near, mut far) = duplex(4096);
    let bus = MbusBus::spawn_on(config(), near);
    let meter = tokio::spawn(async move {
        assert_eq!(request(&mut far).await, asks(SND_NKE));
        // An acknowledgement in noise is none.
        far.write_all(&[0x00, 0xE5]).await.unwrap();
        assert_eq!(request(&mut far).await, asks(SND_NKE));
        say(&mut far, &Frame::Ack).await;
        assert_eq!(request(&mut far).await, asks(REQ_UD2 | FCB));
        let mut spoilt = telegram(1, 8).encode();
        spoilt[10] ^= 1;
        far.write_all(&spoilt).await.unwrap();
        assert_eq!(request(&mut far).await, asks(REQ_UD2 | FCB));
        // The own answer follows that of another meter.
        say(&mut far, &telegram(2, 7)).await;
        say(&mut far, &telegram(1, 9)).await;
        // A meter that only acknowledges has nothing to say.
        assert_eq!(request(&mut far).await, asks(SND_NKE));
        say(&mut far, &Frame::Ack).await;
        for _ in 0..2 {
            request(&mut far).await;
            say(&mut far, &Frame::Ack).await;
        }
        far
    });
    let readout = bus.read(Address::Primary(1), 1).await.unwrap();
    assert_eq!(energy(&readout), "9000");
    let error = bus.read(Address::Primary(1), 1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "address 1: the meter has no readings to give"
    );
    let counts = bus.counters().bus;
    assert_eq!((counts.retries, counts.foreign, counts.empty), (3, 1, 2));
    assert_eq!(
        (counts.rejected.checks, counts.rejected.noise > 1),
        (1, true)
    );
    drop(meter.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_never_stops_is_closed_and_counted() {
    let (near, mut far) = duplex(65_536);
    let bus = MbusBus::spawn_on(config(), near);
    tokio::spawn(async move { while far.write_all(&[0x55; 512]).await.is_ok() {} });
    let error = bus.read(Address::Primary(1), 1).await.unwrap_err();
    assert_eq!(error.to_string(), "address 1: /dev/test sends without end");
    let counts = bus.counters().bus;
    assert_eq!((counts.floods, counts.lost), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_trickles_without_end_takes_no_longer_than_two_frames() {
    let (near, mut far) = duplex(65_536);
    let bus = MbusBus::spawn_on(config(), near);
    tokio::spawn(async move {
        while far.write_all(&[0x55]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(12)).await;
        }
    });
    let begun = Instant::now();
    let error = bus.read(Address::Primary(1), 1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Lost, "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn dead_meters_leave_most_of_the_line_to_those_that_answer() {
    let (bus, _) = bus_with(SimLine::new(vec![heat(1)]));
    let end = Instant::now() + Duration::from_secs(120);
    let mut tasks = Vec::new();
    for address in 1..=20 {
        let bus = bus.clone();
        tasks.push(tokio::spawn(async move {
            let mut answered = 0;
            while Instant::now() < end {
                let who = Address::Primary(address);
                let mut pending = bus.begin(who, 1).await.unwrap();
                answered += u32::from(pending.readout().await.is_ok());
            }
            (answered, bus.counters_of(Address::Primary(address)))
        }));
    }
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    let (answered, first) = &results[0];
    assert!(*answered > 500, "{answered}");
    assert_eq!(first.timeouts, 0);
    let dead: u64 = results[1..].iter().map(|(_, counts)| counts.timeouts).sum();
    assert!((40..120).contains(&dead), "each is still tried: {dead}");
}

#[tokio::test(start_paused = true)]
async fn a_readout_that_nothing_waits_for_any_more_is_not_carried_out() {
    let (bus, _) = bus_with(SimLine::new(vec![heat(1), heat(2)]));
    let mut kept = bus.begin(Address::Primary(1), 1).await.unwrap();
    drop(bus.begin(Address::Primary(2), 1).await.unwrap());
    kept.readout().await.unwrap();
    bus.read(Address::Primary(1), 1).await.unwrap();
    assert_eq!(bus.counters().bus.requests, 4);
}

#[tokio::test(start_paused = true)]
async fn scans_find_all_meters_and_name_those_that_share_an_address() {
    let id = |text: &str, address| {
        let mut meter = heat(address);
        meter.secondary = secondary(text);
        meter
    };
    let mut twin = id("44000004ELS0104", 9);
    twin.status = 4;
    let meters = vec![
        id("12345678ELS0104", 1),
        id("12345679EFE0207", 7),
        id("98765432KAM0302", 7),
        id("44000004ELS0104", 8),
        twin,
    ];
    let (bus, _) = bus_with(SimLine::new(meters));
    let mut found = Vec::new();
    scan_primary(&bus, 0..=10, |one| found.push(shown(&one)))
        .await
        .unwrap();
    assert_eq!(
        found,
        [
            "address 1: 12345678",
            "several at address 7",
            "address 8: 44000004",
            "address 9: 44000004"
        ]
    );
    let mut found = Vec::new();
    let limit = Duration::from_secs(600);
    let end = scan_secondary(&bus, limit, |one| found.push(shown(&one))).await;
    assert_eq!(end, Ok(End::Complete));
    assert_eq!(
        found,
        [
            "secondary 12345678ELS0104: 12345678",
            "secondary 12345679EFE0207: 12345679",
            "several at secondary 44000004",
            "secondary 98765432KAM0302: 98765432",
        ]
    );
    let end = scan_secondary(&bus, Duration::from_secs(1), |_| ()).await;
    assert_eq!(end, Ok(End::TimedOut));
}

fn shown(found: &Found) -> String {
    match found {
        Found::Meter { at, header } => {
            let header = header.as_ref().unwrap();
            format!("{at}: {}", header.id.as_deref().unwrap())
        }
        Found::Several(at) => format!("several at {at}"),
        Found::Mute(at) => format!("mute at {at}"),
    }
}

#[tokio::test]
async fn a_port_that_is_not_there_is_told_with_a_remedy() {
    let mut config = config();
    config.transport = Transport::Serial("/dev/no-such-port".into());
    let cancel = CancellationToken::new();
    let bus = MbusBus::spawn("test", config, cancel.clone());
    for _ in 0..2 {
        let error = bus.read(Address::Primary(1), 1).await.unwrap_err();
        assert_eq!(error.cause, Cause::Open);
        assert!(
            error
                .to_string()
                .contains("is not there: is the adapter plugged in?"),
            "{error}"
        );
    }
    assert_eq!(bus.counters().bus.lost, 1);
    cancel.cancel();
    bus.ended().await;
    let error = bus.read(Address::Primary(1), 1).await.unwrap_err();
    assert_eq!(error.to_string(), "address 1: the bus has ended");
}
