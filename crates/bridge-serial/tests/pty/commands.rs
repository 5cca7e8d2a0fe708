use std::io::Read;
use std::time::Duration;

use fieldgate_model::Outcome;

use super::device::{Device, Pty, far};

const OVEN: &str = r#"
    "frame": {"line": "\r\n"},
    "parse": {"regex": "^T=(?P<t>[\\d.]+)$"},
    "points": {
        "t": {"field": "t", "unit": "°C", "write": {
            "send": "SET {value:.1}\r\n", "answer": "^SP=(?P<value>[\\d.]+)$", "refused": "^E\\d",
            "timeout": "300ms", "min": 0, "max": 300}},
        "reset": {"write": {"send": "*RST\r\n"}}
    }"#;

async fn outcome(device: &Device, point: usize, value: &str) -> String {
    match device.command(point, value).await.await.unwrap() {
        Outcome::Done { value, readback } => format!("done {value} {readback:?}"),
        Outcome::Mismatch { value, readback } => format!("mismatch {value} {readback:?}"),
        Outcome::Failed(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_answered_read_back_refused_or_told_to_be_unanswered() {
    let pty = Pty::new();
    let mut device = Device::start(&pty, OVEN);
    device.online().await;
    let far_side = tokio::task::spawn_blocking(move || {
        for (request, answer) in [
            (&b"SET 21.5\r\n"[..], &b"\r\nT=20.0\r\nSP=21.50\r\n"[..]),
            (b"SET 22.0\r\n", b"SP=21.5\r\n"),
            (b"SET 23.0\r\n", b"E5 door open\r\n"),
            (b"SET 24.0\r\n", b""),
            (b"*RST\r\n", b""),
        ] {
            pty.expect(request);
            pty.send(answer);
        }
        pty
    });
    assert_eq!(
        outcome(&device, 0, "21.5").await,
        "done 21.5 Some(Decimal(Decimal { mantissa: 215, digits: 1 }))"
    );
    assert_eq!(
        device.value().await,
        "20",
        "a reading that comes before the answer is not lost"
    );
    assert!(
        outcome(&device, 0, "22")
            .await
            .starts_with("mismatch 22 Some")
    );
    assert_eq!(
        outcome(&device, 0, "23").await,
        "the device refused: \"E5 door open\""
    );
    assert_eq!(
        outcome(&device, 0, "301").await,
        "301 is outside the limits 0..=300"
    );
    assert_eq!(
        outcome(&device, 0, "21.55").await,
        "21.55 has more than 1 digits after the point"
    );
    let silent = outcome(&device, 0, "24").await;
    assert_eq!(silent, "no answer within 300 ms; it may have taken effect");
    assert_eq!(outcome(&device, 1, "1").await, "done 1 None");
    let pty = far_side.await.unwrap();
    // Nothing was sent a second time: what comes now is what is sent now.
    let sent = far(move || {
        let mut rest = [0; 64];
        let done = outcome_of_nothing(&pty, &mut rest);
        (done, pty)
    })
    .await;
    assert_eq!(sent.0, 0);
}

/// How many bytes are waiting at the far side.
fn outcome_of_nothing(pty: &Pty, rest: &mut [u8]) -> usize {
    let flags = rustix::fs::fcntl_getfl(&pty.far).unwrap();
    rustix::fs::fcntl_setfl(&pty.far, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    (&pty.far).read(rest).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_bytes_go_through_both_ways_untouched() {
    let pty = Pty::new();
    let keys = r#""raw": true"#;
    let mut device = Device::start(&pty, keys);
    device.online().await;
    let bytes: Vec<u8> = (0..=255).collect();
    pty.send(&bytes);
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        let sample = device.sample().await;
        assert_eq!(sample.point, 0);
        let Some(fieldgate_model::Value::Bytes(more)) = sample.value else {
            panic!("no bytes")
        };
        got.extend(more);
    }
    assert_eq!(got, bytes, "no echo, no translation, no signals");
    let value = fieldgate_model::Value::Bytes(bytes.clone());
    let (request, outcome) =
        fieldgate_bridge::Request::new(fieldgate_model::Command { point: 0, value });
    device.requests.send(request).await.unwrap();
    assert!(matches!(outcome.await.unwrap(), Outcome::Done { .. }));
    far(move || pty.expect(&bytes)).await;
}
