use std::time::{Duration, Instant};

use super::device::{Device, Pty, far};

const SCALE: &str = r#"
    "frame": {"line": "\r\n", "max": 64},
    "parse": {"regex": "^(?P<st>ST|US),GS,\\s*(?P<kg>[-+]?\\s*\\d+\\.\\d+)\\s*kg$"},
    "points": {
        "weight": {"field": "kg", "unit": "kg", "publish": "every_poll"},
        "stable": {"field": "st", "enum": {"ST": true, "US": false}}
    }"#;

#[tokio::test(flavor = "multi_thread")]
async fn split_and_merged_reads_and_garbage_between_frames_lose_nothing() {
    let pty = Pty::new();
    let mut device = Device::start(&pty, SCALE);
    device.online().await;
    let pty = far(move || {
        // Every frame in pieces, two in one write, garbage of all sorts between them.
        for piece in [
            // Right after the port was opened, what comes may be the rest of a frame.
            &b"2.50kg\r\nST,GS,  - 1"[..],
            b"2.50kg",
            b"\r",
            b"\nUS,GS,   3.75kg\r\nST,GS",
            b",   1.00kg\r\n",
            b"\xFF\x00\x80garbage\r\n",
            b"OL,GS, ------kg\r\n\r\n\r\n",
            b"ST,GS,   2.00kg\r\n",
        ] {
            pty.send(piece);
            std::thread::sleep(Duration::from_millis(5));
        }
        pty.send(&[b'x'; 200]);
        pty.send(b"\r\nST,GS,   4.00kg\r\n");
        pty
    })
    .await;
    let mut got = Vec::new();
    while got.last().map(String::as_str) != Some("4") {
        got.push(device.value().await);
    }
    assert_eq!(
        got,
        ["-12.5", "true", "3.75", "false", "1", "true", "2", "4"]
    );
    let counts = device.counts();
    assert_eq!(
        (counts.unmatched, counts.rejected.too_long),
        (2, 1),
        "{counts:?}"
    );
    drop(pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_frames_a_second_lose_none() {
    const FRAMES: u32 = 3000;
    let pty = Pty::new();
    let mut device = Device::start(
        &pty,
        r#""parse": {"regex": "^n=(?P<n>\\d+)$"}, "points": {"n": {"field": "n", "as": "decimal"}}"#,
    );
    device.online().await;
    let sender = far(move || {
        let start = Instant::now();
        pty.send(b"\n");
        for number in 1..=FRAMES {
            // On the pace of the clock, so that a slow machine catches up.
            let due = Duration::from_millis(number.into());
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            pty.send(format!("n={number}\n").as_bytes());
        }
        pty
    });
    let receiver = async {
        for number in 1..=FRAMES {
            assert_eq!(device.value().await, number.to_string());
        }
    };
    let (pty, ()) = tokio::join!(sender, receiver);
    let counts = device.counts();
    assert_eq!(
        (counts.frames, counts.unmatched),
        (FRAMES.into(), 0),
        "{counts:?}"
    );
    drop(pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_with_several_talkers_and_without_a_fix_tells_so() {
    let pty = Pty::new();
    let mut device = Device::start(
        &pty,
        r#""parse": "nmea", "points": {
            "position": {"sentence": "GGA", "fields": ["lat", "lon", "alt", "sats"]},
            "speed": {"sentence": "RMC", "field": "speed", "unit": "kn"},
            "glonass": {"sentence": "GLGSA", "field": "fix"}
        }"#,
    );
    device.online().await;
    let log: &[&str] = &[
        "$GNGGA,092724.00,,,,,0,00,99.99,,,,,,*72",
        "$GNRMC,092724.00,V,,,,,,,160926,,,N,V*19",
        "$GPGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99,1*2D",
        "$GLGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99,2*32",
        "$GPGSV,1,1,00*79",
        "$GNGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*45",
        "$GNRMC,092725.00,A,4717.11399,N,00833.91590,E,0.004,77.52,160926,,,A,V*32",
        "$GLGSA,A,3,67,68,,,,,,,,,,,1.51,1.01,1.12,2*08",
        // One letter is wrong.
        "$GNRMC,092726.00,A,4717.11399,N,00833.91590,E,9.004,77.52,160926,,,A,V*31",
    ];
    for line in log {
        pty.send(format!("{line}\r\n").as_bytes());
    }
    let mut got = Vec::new();
    for _ in 0..6 {
        got.push(device.value().await);
    }
    let fix = r#"{"lat":47.285233167,"lon":8.565265,"alt":499.6,"sats":8}"#;
    assert_eq!(got, ["bad", "bad", "1", fix, "0.004", "3"]);
    let counts = device.counted(|counts| counts.unmatched > 0).await;
    assert_eq!(counts.unmatched, 1, "the wrong letter");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplugged_device_is_offline_at_once_and_served_again_under_the_same_name() {
    let pty = Pty::new();
    let mut device = Device::start(&pty, SCALE);
    device.online().await;
    pty.send(b"\r\nST,GS,   1.00kg\r\nST,GS");
    assert_eq!(device.value().await, "1");
    assert_eq!(device.value().await, "true");
    let unplugged = pty.unplug();
    assert!(device.offline().await.ends_with("unplugged"));
    let outcome = device.command(0, "1").await.await.unwrap();
    let text = format!("{outcome:?}");
    assert!(text.contains("the device is offline"), "{text}");
    let pty = unplugged.plug();
    device.online().await;
    pty.send(b",   9.00kg\r\nST,GS,   2.00kg\r\n");
    assert_eq!(
        device.value().await,
        "2",
        "the half frame from before is no part of a new one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_is_offline_until_it_speaks_again() {
    let pty = Pty::new();
    let keys = format!(r#""timeout": "300ms", "offline": {{"backoff": "10ms..20ms"}}, {SCALE}"#);
    let mut device = Device::start(&pty, &keys);
    let error = device.offline().await;
    assert_eq!(error, "nothing usable within 300ms");
    // It listens again after each pause; what it hears while the port is closed is lost.
    let pty = std::sync::Arc::new(pty);
    let far_side = std::sync::Arc::clone(&pty);
    let speaking = tokio::spawn(async move {
        loop {
            far_side.send(b"ST,GS,   1.00kg\r\n");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    device.online().await;
    speaking.abort();
    assert!(device.offline().await.starts_with("nothing usable"));
}
