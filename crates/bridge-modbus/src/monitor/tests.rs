use super::*;
use proptest::prelude::*;

const SILENCE: Duration = Duration::from_millis(20);

fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    rtu::frame(unit, pdu)
}

fn kind(heard: &Heard) -> String {
    match &heard.what {
        What::Request { unit, request } => request.describe(*unit),
        What::Answer { answer, .. } => match answer {
            Ok(Ok(answer)) => shown(answer),
            Ok(Err(exception)) => format!("exception {exception}"),
            Err(text) => format!("wrong: {text}"),
        },
        What::Stray { unit, .. } => format!("stray {unit}"),
        What::Unanswered { unit, .. } => format!("unanswered {unit}"),
        What::WrongCrc(bytes) => format!("crc {}", bytes.len()),
        What::Noise(bytes) => format!("noise {}", bytes.len()),
    }
}

/// What is told of bytes that arrive in pieces of `size`, 1 ms apart, and then silence.
fn told(bytes: &[u8], size: usize) -> Vec<String> {
    let mut now = Instant::now();
    let mut monitor = Monitor::new(SILENCE, now);
    let mut all = Vec::new();
    for piece in bytes.chunks(size) {
        all.extend(monitor.feed(piece, now));
        now += Duration::from_millis(1);
    }
    all.extend(monitor.silence(now + SILENCE));
    assert_eq!(monitor.deadline(), None);
    all.iter().map(kind).collect()
}

#[test]
fn traffic_is_told_alike_however_torn_or_glued() {
    let mut torn = frame(3, &[3, 2, 0, 9]);
    torn[4] ^= 1;
    for (frames, want) in [
        (
            vec![frame(1, &[3, 0, 10, 0, 2]), frame(1, &[3, 4, 0, 1, 0, 2])],
            vec!["read holding 10..=11 of unit 1", "0001 0002"],
        ),
        (
            vec![frame(1, &[6, 0, 10, 0, 2]), frame(1, &[6, 0, 10, 0, 2])],
            vec!["write holding 10 of unit 1", "done"],
        ),
        (
            vec![frame(9, &[1, 0, 0, 0, 3]), frame(9, &[1, 1, 5])],
            vec!["read coil 0..=2 of unit 9", "101"],
        ),
        (
            vec![frame(7, &[4, 0, 0, 0, 1]), frame(7, &[0x84, 2])],
            vec![
                "read input 0 of unit 7",
                "exception 2 (ILLEGAL DATA ADDRESS)",
            ],
        ),
        (
            vec![frame(7, &[4, 0, 0, 0, 1]), frame(8, &[4, 0, 0, 0, 1])],
            vec![
                "read input 0 of unit 7",
                "unanswered 7",
                "read input 0 of unit 8",
            ],
        ),
        (
            vec![frame(0, &[6, 0, 1, 0, 2]), frame(8, &[4, 0, 0, 0, 1])],
            vec!["write holding 1 of unit 0", "read input 0 of unit 8"],
        ),
        (vec![frame(5, &[3, 2, 0, 9])], vec!["stray 5"]),
        (
            vec![frame(3, &[3, 0, 0, 0, 1]), torn, frame(4, &[3, 0, 0, 0, 1])],
            vec![
                "read holding 0 of unit 3",
                "crc 7",
                "unanswered 3",
                "read holding 0 of unit 4",
            ],
        ),
        (
            vec![vec![0, 0xFF], frame(4, &[3, 0, 0, 0, 1])],
            vec!["noise 2", "read holding 0 of unit 4"],
        ),
        (vec![vec![1, 3, 0]], vec!["noise 3"]),
    ] {
        let bytes = frames.concat();
        for size in [1, 3, 8, bytes.len()] {
            assert_eq!(told(&bytes, size), want, "{bytes:02X?} by {size}");
        }
    }
}

#[test]
fn times_are_those_of_the_first_bytes() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut monitor = Monitor::new(SILENCE, start);
    let request = monitor.feed(&frame(1, &[3, 0, 0, 0, 1]), at(5));
    assert_eq!((request[0].at, request[0].gap), (at(5), None));
    let answer = frame(1, &[3, 2, 0, 7]);
    assert_eq!(monitor.feed(&answer[..2], at(35)), []);
    let heard = monitor.feed(&answer[2..], at(40));
    assert_eq!(heard[0].at, at(35));
    assert_eq!(heard[0].gap, Some(Duration::from_millis(30)));
    let What::Answer { after, .. } = &heard[0].what else {
        panic!("{heard:?}");
    };
    assert_eq!(*after, Duration::from_millis(30));
    let next = monitor.feed(&frame(1, &[3, 0, 0, 0, 1]), at(100));
    assert_eq!(next[0].gap, Some(Duration::from_millis(60)));
    let tally = Tally {
        requests: 2,
        answers: 1,
        ..Tally::default()
    };
    assert_eq!(monitor.tally(), tally);
}

#[test]
fn half_a_frame_is_not_continued_after_silence() {
    let start = Instant::now();
    let mut monitor = Monitor::new(SILENCE, start);
    let whole = frame(1, &[3, 0, 0, 0, 1]);
    assert_eq!(monitor.feed(&whole[..4], start), []);
    let heard = monitor.feed(&whole, start + SILENCE);
    let told: Vec<String> = heard.iter().map(kind).collect();
    assert_eq!(told, ["noise 4", "read holding 0 of unit 1"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_grow(pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..600), 0u64..50), 0..20)) {
        let mut now = Instant::now();
        let mut monitor = Monitor::new(SILENCE, now);
        for (bytes, pause) in pieces {
            monitor.feed(&bytes, now);
            prop_assert!(monitor.buffer.len() <= BUFFER_MAX);
            now += Duration::from_millis(pause);
        }
        monitor.silence(now + SILENCE);
        prop_assert!(monitor.buffer.is_empty());
    }
}
