//! Devices that never stop talking, beside one that is polled, all on one thread as in the gateway.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};

use super::device::{Device, Pty};

const POLLED: &str = r#"
    "frame": {"line": "\n"},
    "request": {"send": "P?\n", "every": "20ms", "timeout": "2s"},
    "parse": {"regex": "^P=(?P<p>\\d+)$"},
    "points": {"p": {"field": "p", "publish": "every_poll"}}"#;

/// Writes one text without end, until it is told to stop or the port has gone.
fn flood(pty: &Pty, text: &'static str, stop: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let (mut far, stop) = (pty.far.try_clone().unwrap(), Arc::clone(stop));
    thread::spawn(move || {
        let block = text.repeat(4096 / text.len());
        // While the port is closed nothing takes the bytes: a write would wait for ever.
        fcntl_setfl(&far, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        while !stop.load(Ordering::Relaxed) {
            match far.write(block.as_bytes()) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_micros(200));
                }
                Err(_) => return,
            }
        }
    })
}

/// Answers every request.
fn answer(pty: &Pty) {
    let mut far = pty.far.try_clone().unwrap();
    thread::spawn(move || {
        let mut request = [0; 3];
        while far.read_exact(&mut request).is_ok() && far.write_all(b"P=7\n").is_ok() {}
    });
}

#[tokio::test]
async fn a_port_that_never_stops_is_counted_and_closed_and_others_keep_their_pace() {
    // The last two are asked, and never get to the end of what is no answer.
    for (keys, text) in [
        (
            r#""points": {"x": {"field": "x"}}, "parse": {"regex": "^x=(?P<x>\\d+)$"}"#,
            "no\n",
        ),
        (
            r#""points": {"x": {"field": "x"}}, "parse": {"regex": "^x=(?P<x>\\d+)$"}"#,
            "x=1\n",
        ),
        (
            r#""points": {"x": {"field": "x"}}, "parse": {"regex": "^x=(?P<x>\\d+)$"}"#,
            "~",
        ),
        (POLLED, "no\n"),
        (POLLED, "~"),
    ] {
        let (loud, good) = (Pty::new(), Pty::new());
        answer(&good);
        let mut polled = Device::start(&good, POLLED);
        assert_eq!(polled.value().await, "7");
        let stop = Arc::default();
        let keys = format!(r#"{keys}, "offline": {{"after": 1, "backoff": "100ms..200ms"}}"#);
        let mut talker = Device::start(&loud, &keys);
        let flooder = flood(&loud, text, &stop);
        let error = loop {
            let error = talker.offline().await;
            if error.contains("sends without end") {
                break error;
            }
        };
        assert!(error.contains(loud.path()), "{error}");
        assert!(talker.counts().floods > 0);
        let begun = tokio::time::Instant::now();
        for _ in 0..50 {
            assert_eq!(polled.value().await, "7");
        }
        // 50 polls take 1 s; a busy machine may need twice that.
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{text:?}: {took:?}");
        stop.store(true, Ordering::Relaxed);
        drop((talker, loud));
        flooder.join().unwrap();
    }
}
