//! A model of an instrument that answers in order and may do all else: be late, lose requests and
//! answers, say what it was not asked, refuse, start anew. Every answer holds the number of the
//! request that it belongs to, so that a value that is handed out as good says itself whether it
//! was asked for.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::instrument::{Did, Fate, Instrument};
use super::*;

/// Answers that look alike, that do not, that are any text, and that have several frames.
const REQUESTS: [(&str, &str, &str); 5] = [
    (
        "a",
        r#"{"send": "A?\n", "every": "1s", "parse": {"regex": "^(?P<n>\\d+)$"}}"#,
        r#"{"request": "a", "field": "n", "as": "decimal"}"#,
    ),
    (
        "b",
        r#"{"send": "B?\n", "every": "3s", "retries": 3, "timeout": "600ms", "parse": {"regex": "^(?P<n>\\d+)$"}}"#,
        r#"{"request": "b", "field": "n", "as": "decimal"}"#,
    ),
    (
        "c",
        r#"{"send": "C?\n", "every": "20s"}"#,
        r#"{"request": "c", "as": "decimal", "invalid": "***"}"#,
    ),
    (
        "d",
        r#"{"send": "D?\n", "every": "2s", "retries": 0, "parse": {"regex": "^D=(?P<n>\\d+)$"}}"#,
        r#"{"request": "d", "field": "n", "as": "decimal"}"#,
    ),
    (
        "e",
        r#"{"send": "E?\n", "every": "5s", "frames": 2, "parse": {"regex": "^E1=(?P<n>\\d+)$|^E2=(?P<m>\\d+)$"}}"#,
        r#"{"request": "e", "field": "n", "as": "decimal"}, "e2": {"request": "e", "field": "m", "as": "decimal"}"#,
    ),
];
const COMMANDS: &str = r#"
    "set": {"write": {"send": "SET {value}\n", "answer": "^OK$", "refused": "^ERR"}},
    "put": {"write": {"send": "PUT {value}\n", "answer": "^OK (?P<value>\\d+)$", "refused": "^ERR", "timeout": "700ms"}}"#;

fn answer(number: u64, told: &str) -> Vec<String> {
    let text = match told.split(' ').collect::<Vec<_>>().as_slice() {
        ["D?"] => format!("D={number}\n"),
        ["E?"] => return vec![format!("E1={number}\n"), format!("E2={number}\n")],
        ["SET", _] => "OK\n".to_owned(),
        ["PUT", value] => format!("OK {value}\n"),
        _ => format!("{number}\n"),
    };
    vec![text]
}

#[derive(Clone, Debug)]
enum Step {
    Poll(u64),
    Command(usize),
    Reopen,
    /// Says something unasked, while nothing is asked.
    Say(&'static str),
}

fn fate() -> impl Strategy<Value = Fate> {
    let soon = 0..200u64;
    // Around the time limits, and far beyond them.
    let late = prop_oneof![500..1_200u64, 900..4_000u64];
    let time = prop_oneof![2 => soon, 3 => late];
    prop_oneof![
        6 => time.clone().prop_map(Fate::Answer),
        1 => (time.clone(), 0..150u64).prop_map(|(time, pause)| Fate::InPieces(time, pause)),
        1 => time.clone().prop_map(Fate::Banner),
        1 => Just(Fate::Lost),
        1 => time.clone().prop_map(Fate::Unheard),
        1 => time.clone().prop_map(Fate::Garbled),
        1 => time.clone().prop_map(Fate::Refuse),
        1 => time.prop_map(Fate::Restart),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_000u64).prop_map(Step::Poll),
        3 => (0..2usize).prop_map(Step::Command),
        1 => Just(Step::Reopen),
        1 => prop_oneof![Just("999999\n"), Just("*** READY\n"), Just("D=999999\n"), Just("OK\n"), Just("99")]
            .prop_map(Step::Say),
    ]
}

/// Long enough for all that an instrument of these tests can owe.
const LATE: u64 = 120_000;

/// A device with the requests of which the bits of `which` are set; without any, it streams.
fn keys(which: usize) -> String {
    let chosen = REQUESTS.iter().enumerate();
    let chosen = chosen.filter(|(at, _)| which & (1 << at) != 0);
    let (mut requests, mut points) = (Vec::new(), vec![COMMANDS.to_owned()]);
    for (_, (name, request, point)) in chosen {
        requests.push(format!("\"{name}\": {request}"));
        points.push(format!("\"{name}\": {point}"));
    }
    let head = if requests.is_empty() {
        points.push(r#""w": {"field": "n", "as": "decimal"}"#.to_owned());
        r#""parse": {"regex": "^W=(?P<n>\\d+)$"}"#.to_owned()
    } else {
        format!(r#""requests": {{{}}}"#, requests.join(", "))
    };
    format!(
        r#"{head}, "late": "{LATE}ms", "points": {{{}}}"#,
        points.join(", ")
    )
}

/// Whether each good value belongs to a request of its kind that was made in this poll, and was
/// the last thing sent when its answer came.
fn check(
    config: &SerialConfig,
    instrument: &Instrument,
    before: u64,
    samples: &[Sample],
) -> Result<(), TestCaseError> {
    for sample in samples {
        let name = &config.points[sample.point].0;
        let (Some(request), Some(value)) = (config.points[sample.point].1.request, &sample.value)
        else {
            continue;
        };
        let sent = String::from_utf8_lossy(&config.requests[request].send);
        let number: u64 = value.to_string().parse().unwrap_or_default();
        prop_assert!(
            number > before
                && instrument.log.get(number).as_deref() == Some(sent.trim_end())
                && instrument.was_in_time(number),
            "{name} is {value} of {:?} after {before}, {:?}",
            instrument.log.all(),
            instrument.done(number)
        );
    }
    Ok(())
}

/// What a schedule came to, for the account of all.
#[derive(Debug, Default)]
struct Tally {
    good: usize,
    late: u64,
    told: usize,
    unknown: usize,
}

async fn schedule(
    which: usize,
    fates: Vec<Fate>,
    steps: Vec<Step>,
) -> Result<Tally, TestCaseError> {
    // To a request whose answer is any text a banner is one, too.
    let banner = if which & 4 == 0 { "*** READY\n" } else { "" };
    let (instrument, cable) = Instrument::new(fates, banner, answer);
    let mut bench = Bench::new(&keys(which), cable).await;
    let config = Arc::clone(&bench.config);
    let mut tally = Tally::default();
    if which == 0 {
        let talker = instrument.clone();
        tokio::spawn(async move {
            for number in 0.. {
                talker.say(&format!("W={number}\n"));
                tokio::time::sleep(Duration::from_millis(190)).await;
            }
        });
    }
    let mut value = 0;
    for step in steps {
        match step {
            Step::Poll(millis) => tally.good += poll(&mut bench, &instrument, millis).await?.len(),
            Step::Reopen => bench.reopen().await,
            // What looks like an answer that is owed is one.
            Step::Say(text) if bench.debts.is_clear() => instrument.say(text),
            Step::Say(_) => instrument.say(banner),
            Step::Command(point) => {
                value += 1;
                let before = instrument.log.len();
                let (outcome, samples) = bench.command(point, &value.to_string()).await;
                check(&config, &instrument, before, &samples)?;
                let start = ["SET", "PUT"][point];
                let own = instrument.log.last(&format!("{start} {value}"));
                let did = if outcome.starts_with("done") {
                    prop_assert_eq!(outcome.clone(), format!("done {}", value));
                    Some(Did::It)
                } else if outcome.starts_with("the device refused") {
                    Some(Did::Refused)
                } else {
                    prop_assert!(!outcome.starts_with("mismatch"), "{outcome}");
                    None
                };
                tally.told += usize::from(did.is_some());
                tally.unknown += usize::from(did.is_none());
                if did.is_some() {
                    prop_assert_eq!(
                        instrument.did(own),
                        did,
                        "{} {:?}",
                        outcome,
                        instrument.log.all()
                    );
                }
            }
        }
    }
    // Whatever was: it comes back.
    instrument.recover();
    poll(&mut bench, &instrument, 3 * LATE).await?;
    let seen = poll(&mut bench, &instrument, 30_000).await?;
    for (point, (name, own)) in config.points.iter().enumerate() {
        prop_assert!(
            own.source.is_none() || seen.contains(&point),
            "{name} did not come back"
        );
    }
    for point in 0..2 {
        let (outcome, _) = bench.command(point, "1000").await;
        prop_assert_eq!(outcome, "done 1000");
    }
    tally.late = bench.counts.snapshot().late;
    Ok(tally)
}

/// Polls for so long. Returns the points that had good values.
async fn poll(
    bench: &mut Bench,
    instrument: &Instrument,
    millis: u64,
) -> Result<Vec<usize>, TestCaseError> {
    let config = Arc::clone(&bench.config);
    let (mut result, mut seen) = (Ok(()), Vec::new());
    let mut before = instrument.log.len();
    let end = Instant::now() + Duration::from_millis(millis);
    bench
        .run_until(end, |polled| {
            if let Ok(samples) = polled {
                let checked = check(&config, instrument, before, samples);
                result = std::mem::replace(&mut result, Ok(())).and(checked);
                let good = samples.iter().filter(|own| own.quality == Quality::Good);
                seen.extend(good.map(|own| own.point));
            }
            before = instrument.log.len();
        })
        .await;
    result.map(|()| seen)
}

fn run(which: usize, fates: Vec<Fate>, steps: Vec<Step>) -> Result<Tally, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(schedule(which, fates, steps))
}

#[test]
fn every_value_and_every_result_belongs_to_what_was_asked() {
    let tally = RefCell::new(Tally::default());
    let config = ProptestConfig {
        source_file: Some(file!()),
        ..ProptestConfig::with_cases(schedules())
    };
    let fates = proptest::collection::vec(fate(), 0..40);
    let steps = proptest::collection::vec(step(), 1..25);
    let ran = TestRunner::new(config).run(&(0..32usize, fates, steps), |(which, fates, steps)| {
        let own = run(which, fates, steps)?;
        let mut all = tally.borrow_mut();
        all.good += own.good;
        all.late += own.late;
        all.told += own.told;
        all.unknown += own.unknown;
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    // It is no model of an instrument that says nothing, or is never late.
    let (all, least) = (tally.into_inner(), schedules() as usize);
    let is_tried = all.good > 5 * least && all.late > schedules().into() && all.told > least;
    assert!(is_tried, "{all:?}");
}

#[test]
fn half_an_answer_on_a_port_that_was_opened_again_settles_nothing() {
    let mut fates = vec![Fate::Answer(0); 5];
    fates.extend([
        Fate::Answer(2008),
        Fate::Banner(500),
        Fate::Answer(0),
        Fate::InPieces(3293, 115),
        Fate::Answer(1),
    ]);
    let mut steps = vec![Step::Command(0); 5];
    steps.extend([Step::Poll(1), Step::Poll(501)]);
    steps.extend([Step::Command(1), Step::Command(1)]);
    steps.extend([Step::Reopen, Step::Poll(0)]);
    run(9, fates, steps).unwrap();
}

/// A share that fits an ordinary run, or as many as are asked for.
fn schedules() -> u32 {
    let wanted = std::env::var("FIELDGATE_SCHEDULES").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(300)
}
