//! The device types that come with the gateway, on units that stall: they take seconds for one
//! answer, and hear nothing meanwhile or all of it. No value is that of another register.
//!
//! Every word and bit of the units is different, and never changes: a value that differs from that
//! of a healthy line is another register's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fieldgate_bridge::{Counters, Defaults, Event, Ports, channel, run};
use fieldgate_model::{Quality, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::{BusConfig, DeviceEntry, TypeConfig};
use crate::wire::rtu::{self, Scan, Side};

/// One answer of a unit, the `at`th, takes so long.
#[derive(Clone, Copy, Debug)]
struct Stall {
    at: usize,
    takes: Duration,
    /// What arrives meanwhile is lost; else it is answered afterwards.
    is_deaf: bool,
}

const SECONDS: u64 = 16;

fn types() -> Vec<(String, TypeConfig)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/types");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let mut kind: serde_yaml::Mapping = serde_yaml::from_str(&text).unwrap();
        kind.retain(|key, _| matches!(key.as_str(), Some("modbus" | "points")));
        // What is read rarely is asked as often as all else, so that more can go wrong.
        let points = kind.get_mut("points").unwrap().as_mapping_mut().unwrap();
        for (_, point) in points {
            let point = point.as_mapping_mut().unwrap();
            point.remove("poll");
            // That is not the bridge's business.
            point.remove("counter");
        }
        let kind = serde_yaml::from_value(kind.into());
        let kind = kind.unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, kind)
    };
    files.into_iter().map(read).collect()
}

fn word(function: u8, address: u16) -> u16 {
    let mixed =
        (u64::from(function) << 16 | u64::from(address)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as u16
}

/// What a unit answers that knows functions 1 to 4 and no other.
fn answer(pdu: &[u8]) -> Vec<u8> {
    let field = |at: usize| u16::from_be_bytes([pdu[at], pdu[at + 1]]);
    let function = pdu[0];
    if !(1..=4).contains(&function) {
        return vec![function | 0x80, 1];
    }
    let (address, count) = (field(1), field(3));
    let bytes: Vec<u8> = if function < 3 {
        (0..count.div_ceil(8))
            .map(|byte| word(function, address.wrapping_add(byte)) as u8)
            .collect()
    } else {
        let words = (0..count).map(|at| word(function, address.wrapping_add(at)));
        words.flat_map(u16::to_be_bytes).collect()
    };
    [&[function, bytes.len() as u8], bytes.as_slice()].concat()
}

async fn serve(mut line: DuplexStream, stall: Option<Stall>, bytes: Arc<AtomicU64>) {
    let mut buffer = Vec::new();
    let mut answered = 0;
    loop {
        let mut chunk = [0; 256];
        match line.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(read) => buffer.extend(&chunk[..read]),
        }
        while let Scan::Frame(length) = rtu::scan(&buffer, Side::Request) {
            let frame: Vec<u8> = buffer.drain(..length).collect();
            let (unit, pdu) = rtu::open(&frame).unwrap();
            let stall = stall.filter(|stall| stall.at == answered);
            answered += 1;
            sleep(stall.map_or(Duration::from_millis(5), |stall| stall.takes)).await;
            if stall.is_some_and(|stall| stall.is_deaf) {
                // Without waiting: what has come so far is gone.
                let mut lost = [0; 1024];
                let read = line.read(&mut lost);
                let _ = tokio::time::timeout(Duration::ZERO, read).await;
                buffer.clear();
            }
            let answer = rtu::frame(unit, &answer(pdu));
            bytes.fetch_add((frame.len() + answer.len()) as u64, Ordering::Relaxed);
            if line.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// What came of a device.
#[derive(Default)]
struct Played {
    /// The good values of each point.
    good: BTreeMap<usize, Vec<Value>>,
    requests: u64,
    bytes: u64,
    busy: Duration,
}

async fn play(kind: &TypeConfig, retries: u8, stall: Option<Stall>) -> Played {
    let json = format!(
        r#"{{"serial": {{"port": "/dev/line", "baud": 19200}}, "timeout": "1s",
            "retries": {retries}}}"#
    );
    let config: BusConfig = serde_json::from_str(&json).unwrap();
    let (ours, theirs) = tokio::io::duplex(4096);
    let bytes = Arc::new(AtomicU64::new(0));
    let server = tokio::spawn(serve(theirs, stall, Arc::clone(&bytes)));
    let bus = BusHandle::spawn_on(config.clone(), ours);
    let entry: DeviceEntry =
        serde_json::from_str(r#"{"bus": "b", "unit": 1, "type": "t"}"#).unwrap();
    let defaults = r#"{"poll": "1s", "publish": "every_poll"}"#;
    let defaults: Defaults = serde_json::from_str(defaults).unwrap();
    let device = entry.resolve("d", 1, Some(kind), &defaults).unwrap();
    let settings = device.settings(&config.offline, 1);
    let driver = ModbusDriver::new(device, bus.clone());
    let (events, mut told) = channel(10_000);
    let (_requests, requests) = channel(1);
    let cancel = CancellationToken::new();
    let ports = Ports {
        requests,
        events,
        cancel: cancel.clone(),
    };
    let task = tokio::spawn(run(driver, settings, Arc::new(Counters::default()), ports));
    sleep(Duration::from_secs(SECONDS)).await;
    cancel.cancel();
    let _ = task.await;
    server.abort();
    let counts = bus.counters().bus;
    let mut played = Played {
        requests: counts.requests,
        bytes: bytes.load(Ordering::Relaxed),
        busy: counts.busy,
        ..Played::default()
    };
    while let Some(event) = told.try_recv() {
        let Event::Samples(samples) = *event else {
            continue;
        };
        for sample in samples {
            if let (Quality::Good, Some(value)) = (sample.quality, sample.value) {
                played.good.entry(sample.point).or_default().push(value);
            }
        }
    }
    played
}

#[test]
fn no_shipped_type_takes_a_stalled_units_answer_for_another_registers() {
    let (mut runs, mut requests, mut bytes, mut busy) = (0, 0, 0, Duration::ZERO);
    let mut wrong = Vec::new();
    for (name, kind) in types() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let healthy = play(&kind, 1, None).await;
            requests += healthy.requests;
            bytes += healthy.bytes;
            busy += healthy.busy;
            let healthy = healthy.good;
            assert!(!healthy.is_empty(), "{name}");
            for (retries, tenths, is_deaf) in [
                (1, 41, true),
                (1, 45, true),
                (1, 50, true),
                (1, 65, true),
                (1, 70, true),
                (0, 21, true),
                (0, 25, true),
                (0, 30, true),
                (1, 45, false),
                (1, 70, false),
                (0, 25, false),
                (0, 45, false),
            ] {
                for at in [1, 4] {
                    let takes = Duration::from_millis(100 * tenths + 50);
                    let stall = Stall { at, takes, is_deaf };
                    let seen = play(&kind, retries, Some(stall)).await.good;
                    runs += 1;
                    let is_wrong = seen.iter().any(|(point, values)| {
                        let good = healthy.get(point).and_then(|values| values.first());
                        values.iter().any(|value| Some(value) != good)
                    });
                    if is_wrong {
                        wrong.push(format!("{name}, retries {retries}: {stall:?}"));
                    }
                    let last = seen.values().map(Vec::len).max().unwrap_or_default();
                    assert!(
                        last > 3,
                        "{name}, retries {retries}, {stall:?}: it stays silent"
                    );
                }
            }
        });
    }
    eprintln!("{runs} stalls; healthy: {requests} requests, {bytes} bytes, {busy:?} of the line");
    assert!(runs >= 43 * 24, "{runs} runs");
    assert!(
        wrong.is_empty(),
        "{} of {runs}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
