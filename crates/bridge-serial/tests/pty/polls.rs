use fieldgate_bridge::Defaults;
use fieldgate_bridge_serial::{SerialEntry, probe};

use super::device::{Device, Pty, far};

const PRESSURE: &str = r#"
    "frame": {"line": "\r"},
    "request": {"send": "P?\r", "every": "50ms", "timeout": "500ms", "retries": 1},
    "offline": {"after": 2, "backoff": "10ms..20ms"}, "late": "200ms",
    "parse": {"regex": "^P=(?P<p>\\S+)$", "decimal": ","},
    "points": {"p": {"field": "p", "as": "decimal", "publish": "every_poll"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_instrument_is_asked_and_its_echo_and_banner_are_passed_over() {
    let pty = Pty::new();
    // So long that no busy machine is taken for a device that does not answer.
    let mut device = Device::start(&pty, &PRESSURE.replace("500ms", "20s"));
    let pty = far(move || {
        for answer in ["P?\rP=1,5\r", "WELCOME\rP=2,5\rP=99\r", "P=3,5\r"] {
            pty.expect(b"P?\r");
            pty.send(answer.as_bytes());
        }
        pty
    })
    .await;
    let values = [
        device.value().await,
        device.value().await,
        device.value().await,
    ];
    assert_eq!(
        values,
        ["1.5", "2.5", "3.5"],
        "what comes unasked is no answer"
    );
    assert!(device.counts().unasked > 0 || device.counts().unmatched > 0);
    drop(pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_asked_for_again_and_a_wrong_one_is_told() {
    let pty = Pty::new();
    let mut device = Device::start(&pty, PRESSURE);
    let pty = far(move || {
        pty.expect(b"P?\rP?\r");
        pty.send(b"P=7\r");
        pty
    })
    .await;
    assert_eq!(device.value().await, "7");
    // Silent now: asked, asked again after a rest, then offline.
    let error = device.offline().await;
    assert_eq!(error, "no answer to \"P?\\r\" within 500 ms");
    drop(pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_is_shown_when_the_device_is_given_up() {
    let pty = Pty::new();
    let mut device = Device::start(&pty, PRESSURE);
    let far_side = far(move || {
        for _ in 0..2 {
            pty.expect(b"P?\r");
            pty.send(b"ERR 5\r");
        }
        pty
    });
    let (error, pty) = tokio::join!(device.offline(), far_side);
    assert_eq!(
        error,
        "the answer to \"P?\\r\" was \"ERR 5\": the regex does not match"
    );
    drop(pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_not_taken_for_that_of_another_request() {
    let pty = Pty::new();
    let mut device = Device::start(
        &pty,
        r#""requests": {
            "volts": {"send": "U?\n", "every": "10s", "timeout": "100ms", "retries": 0},
            "amps": {"send": "I?\n", "every": "10s", "timeout": "2s", "retries": 0}
        },
        "parse": {"regex": "^(?P<n>[\\d.]+)$"},
        "points": {
            "u": {"request": "volts", "field": "n", "unit": "V"},
            "i": {"request": "amps", "field": "n", "unit": "A"}
        }"#,
    );
    far(move || {
        pty.expect(b"U?\n");
        // Longer than its time limit, shorter than the silence that is waited for after it.
        std::thread::sleep(std::time::Duration::from_millis(150));
        pty.send(b"230.1\n");
        pty.expect(b"I?\n");
        pty.send(b"1.5\n");
        pty.expect(b"");
        // Keeps the port open until the value is there.
        std::thread::sleep(std::time::Duration::from_millis(200));
    })
    .await;
    let sample = device.sample().await;
    assert_eq!(
        (sample.point, sample.value.unwrap().to_string().as_str()),
        (1, "1.5")
    );
    let counts = device.counts();
    assert_eq!((counts.late, counts.unasked), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_device_shows_late_answers_and_surplus_frames_as_what_they_are() {
    let pty = Pty::new();
    let json = format!(
        r#"{{"serial": {{"port": "{}"}}, "requests": {{
            "volts": {{"send": "U?\n", "timeout": "100ms"}}, "amps": {{"send": "I?\n", "timeout": "5s"}}}},
        "parse": {{"regex": "^(?P<n>[\\d.]+)$"}},
        "points": {{"u": {{"request": "volts", "field": "n"}}, "i": {{"request": "amps", "field": "n"}}}}}}"#,
        pty.path()
    );
    let entry: SerialEntry = serde_json::from_str(&json).unwrap();
    let config = entry.resolve("d", &Defaults::default()).unwrap();
    let far_side = far(move || {
        pty.expect(b"U?\n");
        std::thread::sleep(std::time::Duration::from_millis(200));
        pty.send(b"230.1\n");
        pty.expect(b"I?\n");
        pty.send(b"1.5\n7\n");
        pty
    });
    let looking = probe(config, std::time::Duration::from_secs(1));
    let (seen, pty) = tokio::join!(looking, far_side);
    let seen = seen.unwrap();
    drop(pty);
    let frames: Vec<_> = seen
        .seen
        .iter()
        .map(|seen| (seen.frame.as_slice(), seen.unfit.is_none()))
        .collect();
    assert_eq!(
        frames,
        [(&b"230.1"[..], false), (b"1.5", true), (b"7", false)]
    );
    assert_eq!((seen.missing, seen.counts.late), (vec![0], 1));
}
