//! A link on a line in memory, whose other end says what the case wants, on a clock that stands
//! still unless all tasks wait.

use super::*;
use crate::config::Table;
use crate::data::{Data, Exception};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

/// 9600 baud, 8E1.
const TIMING: Timing = Timing {
    character: Duration::from_micros(1_146),
    silence: Duration::from_micros(4_010),
    gap: Duration::from_millis(60),
    turnaround: Duration::from_millis(100),
};

struct Line {
    link: RtuLink,
    units: Units,
    ledger: Ledger,
}

/// A link and the other end of its line.
fn line() -> (Line, DuplexStream) {
    let (ours, theirs) = duplex(4096);
    let line = Line {
        link: RtuLink::new(Box::new(ours), TIMING, false),
        units: Units::new("test", LATE),
        ledger: Ledger::default(),
    };
    (line, theirs)
}

impl Line {
    async fn ask(&mut self, unit: u8, request: &Request) -> Result<Answer, Fault> {
        let Self {
            link,
            units,
            ledger,
        } = self;
        link.transact(unit, request, LIMIT, units, ledger).await
    }

    /// Timeouts, CRC errors, short frames, wrong, late and foreign answers of the bus.
    fn faults(&self) -> [u64; 6] {
        let counts = self.ledger.snapshot().bus;
        [
            counts.timeouts,
            counts.crc_errors,
            counts.short_frames,
            counts.wrong_answers,
            counts.late_answers,
            counts.foreign_frames,
        ]
    }
}

fn holding(count: u16) -> Request {
    Request::Read {
        table: Table::Holding,
        address: 0,
        count,
    }
}

/// An answer with one register.
fn one(unit: u8, word: u16) -> Vec<u8> {
    let [high, low] = word.to_be_bytes();
    rtu::frame(unit, &[3, 2, high, low])
}

fn word(word: u16) -> Result<Answer, Fault> {
    Ok(Answer::Data(Data::Words(vec![word])))
}

/// Waits for a whole request of eight bytes, then sends each of `parts` after its pause. Function 8
/// is answered at once.
fn reply(mut end: DuplexStream, parts: Vec<(Duration, Vec<u8>)>) -> JoinHandle<DuplexStream> {
    tokio::spawn(async move {
        let mut request = [0; 8];
        loop {
            end.read_exact(&mut request).await.unwrap();
            let (_, pdu) = rtu::open(&request).unwrap();
            if pdu.first() != Some(&8) {
                break;
            }
            end.write_all(&request).await.unwrap();
        }
        for (pause, bytes) in parts {
            sleep(pause).await;
            end.write_all(&bytes).await.unwrap();
        }
        end
    })
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_an_answer_or_a_fault_that_is_counted() {
    let good = one(1, 7);
    let mut broken = good.clone();
    broken[4] ^= 0x10;
    let cut = good[..4].to_vec();
    let glitched = [&[0, 0xFF][..], &good].concat();
    let led = [&[0x55, 3, 0xAA][..], &good].concat();
    let twice = [&good[..], &good].concat();
    let wrong = |detail: &str| Err(Fault::Wrong(detail.into()));
    let whole_then_more = [&good[..], &[1, 3]].concat();
    for (name, parts, want, faults) in [
        ("an answer", vec![(MS, good.clone())], word(7), [0; 6]),
        (
            "in pieces",
            vec![(MS, cut.clone()), (50 * MS, good[4..].to_vec())],
            word(7),
            [0; 6],
        ),
        ("behind a glitch", vec![(MS, glitched)], word(7), [0; 6]),
        ("with a tail", vec![(MS, whole_then_more)], word(7), [0; 6]),
        ("none", vec![], Err(Fault::Timeout), [1, 0, 0, 0, 0, 0]),
        (
            "broken",
            vec![(MS, broken)],
            wrong("7 bytes with a wrong CRC"),
            [0, 1, 0, 0, 0, 0],
        ),
        (
            "cut",
            vec![(MS, cut)],
            wrong("cut off after 4 of 7 bytes"),
            [0, 0, 1, 0, 0, 0],
        ),
        (
            "of another unit",
            vec![(MS, one(2, 9))],
            Err(Fault::Timeout),
            [1, 0, 0, 0, 0, 1],
        ),
        (
            "of another unit, then the right one",
            vec![(MS, one(2, 9)), (MS, good.clone())],
            word(7),
            [0, 0, 0, 0, 0, 1],
        ),
        (
            "of another function",
            vec![(MS, rtu::frame(1, &[4, 2, 0, 7]))],
            wrong("of another function, 4"),
            [0, 0, 0, 1, 0, 0],
        ),
        (
            "of another length",
            vec![(MS, rtu::frame(1, &[3, 4, 0, 7, 0, 8]))],
            wrong("not as many registers as asked for"),
            [0, 0, 0, 1, 0, 0],
        ),
        (
            "of an unknown function",
            vec![(MS, rtu::frame(1, &[0x41, 1, 2, 3]))],
            wrong("of another function, 65"),
            [0, 0, 0, 1, 0, 0],
        ),
        ("behind other bytes", vec![(MS, led)], word(7), [0; 6]),
        ("twice", vec![(MS, twice)], word(7), [0; 6]),
        (
            "noise",
            vec![(MS, b"noise on the line".to_vec())],
            wrong("17 bytes with a wrong CRC"),
            [0, 1, 0, 0, 0, 0],
        ),
    ] {
        let (mut line, end) = line();
        let end = reply(end, parts);
        assert_eq!(line.ask(1, &holding(1)).await, want, "{name}");
        assert_eq!(line.faults(), faults, "{name}");
        let end = end.await.unwrap();
        let end = reply(end, vec![(MS, one(1, 8))]);
        assert_eq!(line.ask(1, &holding(1)).await, word(8), "after {name}");
        end.await.unwrap();
        let counts = line.ledger.snapshot().bus;
        let named = [counts.leading_bytes, counts.repeats, counts.echoes];
        let want = match name {
            "behind other bytes" => [1, 0, 0],
            "twice" => [0, 1, 0],
            _ => [0, 0, 0],
        };
        assert_eq!(named, want, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_exception_is_told_and_counted_by_its_code() {
    let (mut line, mut end) = line();
    for code in [1, 2, 3, 4, 5, 6, 8, 10, 11, 99] {
        let task = reply(end, vec![(MS, rtu::frame(1, &[0x83, code]))]);
        let want = Err(Fault::Exception(Exception(code)));
        assert_eq!(line.ask(1, &holding(1)).await, want);
        end = task.await.unwrap();
        assert_eq!(line.ledger.snapshot().units[&1].exceptions[&code], 1);
    }
}

/// Nothing in an RTU answer says which request it answers.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_never_taken_for_another_ones() {
    let missed = async |line: &mut Line, end: DuplexStream| {
        let task = reply(end, vec![]);
        assert_eq!(line.ask(1, &holding(1)).await, Err(Fault::Timeout));
        task.await.unwrap()
    };
    // It is on the line before the unit is asked again.
    let (mut line, end) = self::line();
    let mut end = missed(&mut line, end).await;
    end.write_all(&one(1, 111)).await.unwrap();
    let task = reply(end, vec![(MS, one(1, 222))]);
    assert_eq!(line.ask(1, &holding(1)).await, word(222));
    assert_eq!(line.faults(), [1, 0, 0, 0, 1, 0]);
    assert_eq!(line.ledger.snapshot().bus.barriers, 0);
    task.await.unwrap();

    // Later by any time: the answer to function 8 comes behind it.
    let (mut line, end) = self::line();
    let mut end = missed(&mut line, end).await;
    let task = tokio::spawn(async move {
        let mut request = [0; 8];
        end.read_exact(&mut request).await.unwrap();
        assert_eq!(request[1], 8);
        sleep(LIMIT - 10 * MS).await;
        end.write_all(&one(1, 111)).await.unwrap();
        // The request does not wait for the barrier's answer, which can be told from its own.
        let mut echo = request;
        end.read_exact(&mut request).await.unwrap();
        assert_eq!(request[1], 3);
        end.write_all(&echo).await.unwrap();
        end.write_all(&one(1, 222)).await.unwrap();
        // Nothing is owed any more.
        end.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo[1], 3);
        end.write_all(&one(1, 223)).await.unwrap();
    });
    assert_eq!(line.ask(1, &holding(1)).await, word(222));
    assert_eq!(line.ask(1, &holding(1)).await, word(223));
    assert_eq!(line.faults(), [1, 0, 0, 0, 2, 0]);
    task.await.unwrap();

    // A request of another shape knows it at once, and needs no barrier.
    let (mut line, end) = self::line();
    let end = missed(&mut line, end).await;
    let two = rtu::frame(1, &[3, 4, 0, 1, 0, 2]);
    let task = reply(end, vec![(MS, one(1, 111)), (20 * MS, two)]);
    let answer = line.ask(1, &holding(2)).await;
    assert_eq!(answer, Ok(Answer::Data(Data::Words(vec![1, 2]))));
    assert_eq!(line.ledger.snapshot().bus.barriers, 0);
    task.await.unwrap();

    // Another unit is asked meanwhile: the late answer is known by its unit.
    let (mut line, end) = self::line();
    let end = missed(&mut line, end).await;
    let task = reply(end, vec![(MS, one(1, 111)), (MS, one(2, 5))]);
    assert_eq!(line.ask(2, &holding(1)).await, word(5));
    assert_eq!(line.faults(), [1, 0, 0, 0, 1, 0]);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_keep_their_distance_and_the_limit_begins_when_they_have_left() {
    let (mut line, end) = line();
    let start = Instant::now();
    let task = reply(end, vec![]);
    assert_eq!(line.ask(1, &holding(1)).await, Err(Fault::Timeout));
    let want = TIMING.silence + TIMING.character * 8 + LIMIT;
    let took = start.elapsed();
    assert!(took >= want && took < want + 3 * MS, "{took:?} {want:?}");
    // An answer that has begun may take its time: 255 bytes are 292 ms at this rate.
    let mut pdu = vec![3, 200];
    pdu.extend([0; 200]);
    let frame = rtu::frame(2, &pdu);
    let parts = frame
        .chunks(32)
        .map(|part| (32 * TIMING.character, part.to_vec()));
    let mut parts: Vec<_> = parts.collect();
    parts.insert(0, (LIMIT - 40 * MS, Vec::new()));
    let task = reply(task.await.unwrap(), parts);
    let answer = line.ask(2, &holding(100)).await;
    assert_eq!(answer, Ok(Answer::Data(Data::Words(vec![0; 100]))));
    // The next one waits for the silence after it.
    let end = Instant::now();
    let task = reply(task.await.unwrap(), vec![(Duration::ZERO, one(2, 1))]);
    assert_eq!(line.ask(2, &holding(1)).await, word(1));
    assert!(end.elapsed() >= TIMING.silence, "{:?}", end.elapsed());
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_to_all_units_waits_for_none() {
    let (mut line, mut end) = line();
    let request = Request::WriteRegister {
        address: 1,
        word: 2,
    };
    let start = Instant::now();
    assert_eq!(line.ask(0, &request).await, Ok(Answer::Done));
    assert!(start.elapsed() >= TIMING.turnaround + TIMING.character * 8);
    let mut sent = [0; 8];
    end.read_exact(&mut sent).await.unwrap();
    assert_eq!(rtu::open(&sent), Some((0, &[6, 0, 1, 0, 2][..])));
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_hears_itself_is_told_so() {
    let (mut line, mut end) = line();
    line.link.line.echo = true;
    let request = Request::WriteRegister {
        address: 1,
        word: 2,
    };
    let frame = rtu::frame(1, &[6, 0, 1, 0, 2]);
    let task = tokio::spawn(async move {
        let mut sent = [0; 8];
        for answers in [true, false] {
            end.read_exact(&mut sent).await.unwrap();
            end.write_all(&sent).await.unwrap();
            if answers {
                end.write_all(&frame).await.unwrap();
            }
        }
        end
    });
    assert_eq!(line.ask(1, &request).await, Ok(Answer::Done));
    // The echo of a write looks like its answer, and is none.
    assert_eq!(line.ask(1, &request).await, Err(Fault::Timeout));
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_never_falls_silent_is_reported_and_one_that_is_gone_is_lost() {
    let (mut line, mut end) = line();
    let babble = tokio::spawn(async move {
        while end.write_all(&[0x55; 16]).await.is_ok() {
            sleep(MS).await;
        }
    });
    let error = line.ask(1, &holding(1)).await.unwrap_err();
    assert!(format!("{error:?}").contains("never silent"), "{error:?}");
    babble.abort();
    let _ = babble.await;
    let error = line.ask(1, &holding(1)).await.unwrap_err();
    assert!(matches!(error, Fault::Lost(_)), "{error:?}");
}

/// Later than `late`, and just when the unit is asked again.
#[tokio::test(start_paused = true)]
async fn after_a_rest_an_answer_counts_only_if_no_second_one_comes() {
    for is_late in [false, true] {
        let (mut line, end) = line();
        let task = reply(end, vec![]);
        assert_eq!(line.ask(1, &holding(1)).await, Err(Fault::Timeout));
        let mut end = task.await.unwrap();
        sleep(LATE).await;
        let task = tokio::spawn(async move {
            let mut request = [0; 8];
            end.read_exact(&mut request).await.unwrap();
            assert_eq!(request[1], 3);
            if is_late {
                end.write_all(&one(1, 111)).await.unwrap();
            }
            sleep(200 * MS).await;
            end.write_all(&one(1, 222)).await.unwrap();
            end
        });
        let begun = Instant::now();
        let answer = line.ask(1, &holding(1)).await;
        assert!(begun.elapsed() >= LIMIT, "{:?}", begun.elapsed());
        let mut end = task.await.unwrap();
        if !is_late {
            assert_eq!(answer, word(222));
            continue;
        }
        assert!(matches!(answer, Err(Fault::Wrong(_))), "{answer:?}");
        // And now it is known that the unit is slower than was thought.
        let task = tokio::spawn(async move {
            let mut request = [0; 8];
            end.read_exact(&mut request).await.unwrap();
            assert_eq!(request[1], 8, "a barrier");
        });
        let _ = line.ask(1, &holding(1)).await;
        task.await.unwrap();
    }
}

/// A request that cannot be told apart must not be sent, and that must be said of a write.
#[tokio::test(start_paused = true)]
async fn a_write_behind_a_silent_barrier_is_not_sent() {
    let (mut line, mut end) = line();
    let write = Request::WriteRegister {
        address: 1,
        word: 2,
    };
    assert_eq!(line.ask(1, &write).await, Err(Fault::Timeout));
    let error = line.ask(1, &write).await;
    assert!(matches!(error, Err(Fault::Unsent(_))), "{error:?}");
    let mut sent = [0; 16];
    end.read_exact(&mut sent).await.unwrap();
    assert_eq!((sent[1], sent[9]), (6, 8));
}

/// The echo of function 8 is not its answer, also if it is late.
#[tokio::test(start_paused = true)]
async fn an_echo_never_passes_for_the_answer_to_a_barrier() {
    let (mut line, mut end) = line();
    line.link.line.echo = true;
    let task = tokio::spawn(async move {
        let mut sent = [0; 8];
        // The unit is silent; the adapter hears itself, the second time too late.
        end.read_exact(&mut sent).await.unwrap();
        end.write_all(&sent).await.unwrap();
        end.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent[1], 8);
        sleep(TIMING.gap + 20 * MS).await;
        end.write_all(&sent).await.unwrap();
        end.read_exact(&mut sent).await.unwrap();
        sent
    });
    assert_eq!(line.ask(1, &holding(1)).await, Err(Fault::Timeout));
    let error = line.ask(1, &holding(1)).await.unwrap_err();
    assert!(format!("{error:?}").contains("does not echo"), "{error:?}");
    sleep(LIMIT).await;
    let _ = line.ask(1, &holding(1)).await;
    let sent = task.await.unwrap();
    let (_, pdu) = rtu::open(&sent).unwrap();
    // What the first read owes has not come: another barrier goes first.
    assert_eq!(pdu, [3, 0, 0, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_echoes_unasked_is_named_and_no_echo_is_taken_for_an_answer() {
    let (mut line, mut end) = line();
    let write = Request::WriteRegister {
        address: 1,
        word: 2,
    };
    let task = tokio::spawn(async move {
        let mut sent = [0; 8];
        for answer in [Some(one(1, 7)), None, None] {
            end.read_exact(&mut sent).await.unwrap();
            end.write_all(&sent).await.unwrap();
            if let Some(answer) = answer {
                end.write_all(&answer).await.unwrap();
            }
        }
        // Another adapter: the unit itself answers.
        while end.read_exact(&mut sent).await.is_ok() {
            let answer = match sent[1] {
                3 => {
                    let words = [0, 8].repeat(sent[5].into());
                    rtu::frame(1, &[&[3, sent[5] * 2], words.as_slice()].concat())
                }
                _ => sent.to_vec(),
            };
            end.write_all(&answer).await.unwrap();
        }
    });
    for request in [&holding(1), &write] {
        let error = line.ask(1, request).await.unwrap_err();
        let Fault::Wrong(detail) = error else {
            panic!("{error:?}");
        };
        assert!(detail.contains("set `echo: true`"), "{detail}");
    }
    assert_eq!(line.ledger.snapshot().units[&1].echoes, 2);
    let mut left = 4;
    while line.ask(1, &holding(1)).await != word(8) {
        left -= 1;
        assert!(left > 0, "the flag stays");
    }
    assert!(!line.link.line.hears_itself);
    task.abort();
}

/// A cut can leave what has a right check by chance; a raw request knows no length.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_shorter_than_it_says_is_none_even_with_a_right_check() {
    let (mut line, end) = line();
    let task = reply(end, vec![(MS, rtu::frame(1, &[3, 2, 73]))]);
    let error = line.ask(1, &Request::Raw(vec![3, 0, 70, 0, 1])).await;
    assert_eq!(
        error,
        Err(Fault::Wrong("cut off after 6 of 7 bytes".into()))
    );
    task.await.unwrap();
}
