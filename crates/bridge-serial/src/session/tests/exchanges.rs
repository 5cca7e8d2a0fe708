//! Single exchanges, told.

use super::instrument::{Fate, Instrument};
use super::*;

/// The oven of the documentation.
const OVEN: &str = r#"
    "frame": {"line": "\r\n"},
    "requests": {
        "temperature": {"send": "T?\r\n", "every": "1s"},
        "setpoint": {"send": "S?\r\n", "every": "30s", "timeout": "500ms", "retries": 2},
        "model": {"send": "*IDN?\r\n", "every": "once", "parse": "text"}
    },
    "parse": {"regex": "^(?P<n>-?[\\d,]+)$", "decimal": ","},
    "points": {
        "temperature": {"request": "temperature", "field": "n", "unit": "°C", "deadband": 0.2},
        "setpoint": {"request": "setpoint", "field": "n", "unit": "°C",
            "write": {"send": "S {value:.1}\r\n", "answer": "^OK$", "refused": "^ERR", "min": 0, "max": 300}},
        "model": {"request": "model", "field": "text"}
    }"#;

fn oven(_: u64, told: &str) -> Vec<String> {
    let answer = match told {
        "T?" => "21,5",
        "S?" => "80,0",
        "*IDN?" => "OVEN 3",
        _ => "OK",
    };
    vec![format!("{answer}\r\n")]
}

fn good(read: &[String]) -> Vec<&str> {
    let mut good: Vec<&str> = read.iter().map(String::as_str).collect();
    good.retain(|text| !text.contains("answer"));
    good.sort_unstable();
    good.dedup();
    good
}

#[tokio::test(start_paused = true)]
async fn no_answer_of_a_slow_start_or_a_stall_is_taken_for_that_of_another_request() {
    let slow = [1_400, 1_200, 1_500, 1_900, 2_000, 2_500, 3_000];
    for millis in slow {
        for at in 0..6 {
            let mut fates = vec![Fate::Answer(5); at];
            fates.push(Fate::Answer(millis));
            let (instrument, cable) = Instrument::new(fates, "", oven);
            let mut bench = Bench::new(OVEN, cable).await;
            let read = bench.read_for(40_000).await;
            assert_eq!(
                good(&read),
                ["model OVEN 3", "setpoint 80", "temperature 21.5"],
                "{millis} ms at {at}: {read:?}"
            );
            assert!(bench.counts.snapshot().late > 0, "{millis} ms at {at}");
            assert!(instrument.log.last("*IDN?") > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_for_ever_is_written_off_after_a_rest() {
    let keys = r#"
        "request": {"send": "W\n", "every": "500ms", "timeout": "300ms", "retries": 2},
        "parse": {"regex": "^(?P<n>\\d+)$"}, "points": {"w": {"field": "n", "as": "decimal"}}"#;
    let fates = [Fate::Answer(5), Fate::Lost];
    let (instrument, cable) = Instrument::new(fates, "", |number, _| vec![format!("{number}\n")]);
    let mut bench = Bench::new(keys, cable).await;
    assert_eq!(bench.read_for(400).await, ["w 1"]);
    let read = bench.read_for(10_000).await;
    assert_eq!(read, ["no answer to \"W\\n\" within 300 ms"]);
    assert_eq!(instrument.log.len(), 2, "it rests");
    let read = bench.read_for(1_200).await;
    assert_eq!(read, ["w 3", "w 4", "w 5"], "and is asked again");
    assert_eq!(bench.counts.snapshot().late, 0);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_line_costs_no_byte_and_no_wait() {
    let (instrument, cable) = Instrument::new([], "", oven);
    let mut bench = Bench::new(OVEN, cable).await;
    let start = Instant::now();
    let read = bench.read_for(10_500).await;
    assert_eq!(read.len(), 13, "{read:?}");
    assert_eq!(instrument.log.len(), 13);
    assert_eq!(start.elapsed(), Duration::from_millis(10_500));
    assert_eq!(bench.counts.snapshot().late, 0);
}

const VALVE: &str = r#"
    "parse": {"regex": "^W=(?P<n>\\d+)$"},
    "points": {
        "limit": {"write": {"send": "L {value}\n", "answer": "^OK$", "refused": "^ERR"}},
        "zero": {"write": {"send": "Z {value}\n", "answer": "^OK$", "refused": "^ERR"}},
        "w": {"field": "n"}
    }"#;

#[tokio::test(start_paused = true)]
async fn the_late_answer_to_one_command_is_not_the_result_of_another() {
    let polled = VALVE.replace(
        "\"parse\"",
        r#""request": {"send": "W?\n", "every": "1m"}, "parse""#,
    );
    for keys in [VALVE, &polled] {
        for millis in [1_300, 1_600, 1_900] {
            let is_polled = keys != VALVE;
            // The polled one answers its first reading before.
            let mut fates = vec![Fate::Answer(5); usize::from(is_polled)];
            fates.push(Fate::Answer(millis));
            fates.push(if is_polled {
                Fate::Answer(5)
            } else {
                Fate::Refuse(5)
            });
            fates.push(Fate::Refuse(5));
            let answer = |_: u64, told: &str| {
                let answer = if told == "W?" { "W=5\n" } else { "OK\n" };
                vec![answer.to_owned()]
            };
            let (_, cable) = Instrument::new(fates, "", answer);
            let mut bench = Bench::new(keys, cable).await;
            bench.read_for(100).await;
            let (first, _) = bench.command(0, "300").await;
            assert_eq!(first, "no answer within 1000 ms; it may have taken effect");
            let (second, _) = bench.command(1, "1").await;
            assert_eq!(
                second, "the device refused: \"ERR 3\"",
                "{millis} ms {keys}"
            );
            assert_eq!(bench.counts.snapshot().late, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_frames_of_an_answer_are_taken_and_more_than_are_wanted_are_dropped() {
    let station = |frames: &str| {
        format!(
            r#"
            "request": {{"send": "0R\n", "every": "10s", {frames} "timeout": "500ms"}},
            "parse": {{"regex": "^0R1,Dn=(?P<dir>\\d+)$|^0R2,Ta=(?P<temp>[\\d.]+)$|^0R3,Rc=(?P<rain>\\d+)$|^0R5,Th=(?P<heat>\\d+)$"}},
            "points": {{"dir": {{"field": "dir"}}, "temp": {{"field": "temp"}}, "rain": {{"field": "rain", "absent": "bad"}},
                "heat": {{"field": "heat", "absent": {{"value": "off"}}}}}}"#
        )
    };
    let lines = |_: u64, _: &str| {
        let lines = ["0R1,Dn=236\n", "0R2,Ta=23.6\n", "0R3,Rc=0\n", "0R5,Th=25\n"];
        lines.map(str::to_owned).to_vec()
    };
    let (_, cable) = Instrument::new([Fate::Answer(5), Fate::InPieces(5, 400)], "", lines);
    let mut bench = Bench::new(&station(r#""frames": 4,"#), cable).await;
    for _ in 0..2 {
        let all = ["dir 236", "temp 23.6", "rain 0", "heat 25"];
        assert_eq!(bench.read_for(10_000).await, all);
    }
    // Without `frames` the first is the answer; the rest is dropped, counted and told.
    let (_, cable) = Instrument::new([], "", lines);
    let mut bench = Bench::new(&station(""), cable).await;
    let first = ["dir 236", "rain bad: not in the frame", "heat off"];
    assert_eq!(bench.read_for(10_000).await, first);
    assert_eq!(bench.read_for(10_000).await, first);
    assert!(bench.counts.snapshot().unasked > 50);
    assert!(bench.session().has_reported_surplus);
    // Three of four: the answer broke off, and what is missing may still come.
    let three = |_: u64, _: &str| vec!["0R1,Dn=1\n0R2,Ta=2\n0R3,Rc=3\n".to_owned()];
    let (_, cable) = Instrument::new([], "", three);
    let mut bench = Bench::new(&station(r#""frames": 4,"#), cable).await;
    let broke = "the answer to \"0R\\n\" broke off: 3 of 4 frames came";
    assert_eq!(bench.read_for(5_000).await, [broke]);
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_does_not_hold_is_cleared_or_bad_as_the_point_says() {
    let keys = r#"
        "request": {"send": "SI\n", "every": "1s"},
        "parse": {"regex": "^S (?:(?P<st>[SD])\\s+(?P<w>-?\\s*[\\d.]+) (?P<u>\\w+)|(?P<fault>[I+-]))$"},
        "points": {
            "weight": {"field": "w", "unit": "kg", "absent": "bad", "unit_from": {"field": "u", "factors": {"g": 0.001, "lb": 0.45359237}}},
            "stable": {"field": "st", "enum": {"S": true, "D": false}, "absent": "bad"},
            "fault": {"field": "fault", "enum": {"I": "not ready", "+": "overload"}, "absent": {"value": "none"}}
        }"#;
    let answer = |number: u64, _: &str| {
        let answers = [
            "S S     100.00 g\n",
            "S +\n",
            "S D     2 lb\n",
            "S S  1 oz\n",
        ];
        vec![answers[number as usize - 1].to_owned()]
    };
    let (_, cable) = Instrument::new([], "", answer);
    let mut bench = Bench::new(keys, cable).await;
    let absent = "bad: not in the frame";
    for want in [
        ["weight 0.1", "stable true", "fault none"],
        [
            "fault overload",
            &format!("weight {absent}"),
            &format!("stable {absent}"),
        ],
        ["weight 0.90718474", "stable false", "fault none"],
        [
            "weight bad: the unit \"oz\" is not in unit_from",
            "stable true",
            "fault none",
        ],
    ] {
        assert_eq!(bench.read_for(1_000).await, want);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_settles_a_request_and_says_so() {
    let keys = r#"
        "request": {"send": "W\n", "every": "1s", "refused": "^ERR"},
        "parse": {"regex": "^(?P<n>\\d+)$"}, "points": {"w": {"field": "n"}}"#;
    let (_, cable) = Instrument::new([Fate::Refuse(5)], "", |number, _| {
        vec![format!("{number}\n")]
    });
    let mut bench = Bench::new(keys, cable).await;
    let refused = "the device refused \"W\\n\": \"ERR 3\"";
    assert_eq!(bench.read_for(2_500).await, [refused, "w 2", "w 3"]);
}

#[tokio::test(start_paused = true)]
async fn the_echo_of_a_request_is_no_text_that_answers_it() {
    let keys = r#""request": {"send": "*IDN?\n", "every": "1s"}, "points": {"model": {}}"#;
    let echo = |_: u64, told: &str| vec![format!("{told}\nOVEN\n")];
    let (_, cable) = Instrument::new([], "", echo);
    let mut bench = Bench::new(keys, cable).await;
    assert_eq!(bench.read_for(1_500).await, ["model OVEN", "model OVEN"]);
}
