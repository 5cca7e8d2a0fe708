//! A day without the remote, all of its messages one after the other, and how they go up beside new ones.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{io, thread};

use fieldgate_tests::bench::process::Process;
use fieldgate_tests::counter::Wire;
use fieldgate_tests::faults::{Mode, Proxy};
use serde_json::Value;

use crate::SILENCE;
use crate::sender::{Kind, remote};

const DAY: u64 = 86_400;
/// Messages of a publisher that are not acknowledged: the broker reads no further at about 4,000.
const UNDER_WAY: u64 = 3_000;
/// Publishers of the day. Without the remote the card is written twice a second.
const PUBLISHERS: usize = 10;
/// New messages a second while the backlog goes up.
const LIVE: u32 = 1_000;
/// Their numbers begin here.
const FROM: u64 = 1_000_000_000;

/// Clients wait for the card, so that no message comes faster than it takes them.
const UPLINK: &str = "    spool: {max: 1G}\n    limits: {in_flight: 1000}\n";

/// A reading, as the gateway publishes it.
fn payload(number: u64) -> String {
    format!(
        "{{\"ts\":\"2026-11-22T17:{:02}:{:02}.{:03}Z\",\"value\":{number},\"unit\":\"kWh\",\"quality\":\"good\"}}",
        number / 60_000 % 60,
        number / 1_000 % 60,
        number % 1_000
    )
}

fn topic(number: u64) -> String {
    format!("data/meter{:02}/power", number % 100)
}

fn number(payload: &str) -> Option<u64> {
    let (_, rest) = payload.split_once("\"value\":")?;
    rest.split(',').next()?.parse().ok()
}

/// What came, and when.
struct Seen {
    of_the_day: Vec<u8>,
    /// Milliseconds from the moment at which a new message was due to the one at which it came.
    late: Vec<f64>,
    drained_after: Option<Duration>,
}

pub fn run(kind: &Kind, rate: u32, folder: &Path) -> io::Result<()> {
    let count = u64::from(rate) * DAY;
    let (_remote, port) = remote()?;
    let proxy = Proxy::start(port);
    proxy.set(Mode::Refuse);
    let home = folder.join("day");
    let sender = kind.start_with(&home, Some(proxy.port), UPLINK)?;
    let mut memory = 0;
    let began = Instant::now();
    let before = sender.cpu()?;
    fill(&sender, count, &mut memory)?;
    let (took, used) = (began.elapsed(), sender.cpu()? - before);
    let Kind::Fieldgate(binary) = kind else {
        return Ok(());
    };
    let status = status(binary, &home)?;
    let written = status["backlog"]["written"].as_f64().unwrap_or(0.0);
    let waiting = status["backlog"]["messages"].as_u64().unwrap_or(0);
    println!(
        "{count} messages, {waiting} of them on the card: {:.0} MB written, {:.1} bytes a message; {:.0} s, {:.1} µs of \
         processor time a message, resident at most {:.0} MiB",
        written / 1e6,
        written / count as f64,
        took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / count as f64,
        mib(memory),
    );
    let mut there = Wire::connect(port, "counter");
    there.subscribe("data/#");
    proxy.set(Mode::Pass);
    let begun = Instant::now();
    let here = Wire::connect(sender.address.port(), "live");
    let (stop, stopped) = std::sync::mpsc::channel();
    let live = thread::spawn(move || publish_live(here, begun, &stopped));
    let seen = watch(&mut there, &sender, count, begun, &mut memory)?;
    let _ = stop.send(());
    let published = live.join().map_err(|_| io::Error::other("no publisher"))?;
    report(&seen, count, published, memory);
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn fill(sender: &Process, count: u64, memory: &mut u64) -> io::Result<()> {
    // Each topic has one publisher, so that its messages keep their order.
    let connect = |number| Wire::connect(sender.address.port(), &format!("publisher{number}"));
    let mut publishers: Vec<(Wire, u64)> = (0..PUBLISHERS).map(|one| (connect(one), 0)).collect();
    for number in 0..count {
        let (here, waiting) = &mut publishers[number as usize % PUBLISHERS];
        here.post(&topic(number), &payload(number), false);
        *waiting += 1;
        if *waiting > UNDER_WAY {
            here.acknowledged(SILENCE).expect("an acknowledgement");
            *waiting -= 1;
        }
        if number.is_multiple_of(100_000) {
            *memory = sender.memory_now()?.max(*memory);
        }
    }
    for (here, waiting) in &mut publishers {
        for _ in 0..*waiting {
            here.acknowledged(SILENCE).expect("an acknowledgement");
        }
    }
    Ok(())
}

fn status(binary: &Path, home: &Path) -> io::Result<Value> {
    // What came last is in memory for a window of 10 s.
    thread::sleep(Duration::from_secs(12));
    let output = Command::new(binary)
        .args(["uplink", "status", "there", "--config"])
        .arg(home.join("gateway.yaml"))
        .arg("--control")
        .arg(home.join("control"))
        .output()?;
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}

/// New messages, each at its time, until told to stop. Returns how many.
fn publish_live(mut here: Wire, begun: Instant, stop: &std::sync::mpsc::Receiver<()>) -> u64 {
    let mut count = 0;
    while stop.try_recv().is_err() {
        let due = Duration::from_secs(1).mul_f64(count as f64 / f64::from(LIVE));
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let number = FROM + count;
        here.post(&topic(number), &payload(number), false);
        count += 1;
        if count > UNDER_WAY {
            here.acknowledged(SILENCE).expect("an acknowledgement");
        }
    }
    count
}

fn watch(
    there: &mut Wire,
    sender: &Process,
    count: u64,
    begun: Instant,
    memory: &mut u64,
) -> io::Result<Seen> {
    let mut seen = Seen {
        of_the_day: vec![0; usize::try_from(count).map_err(io::Error::other)?],
        late: Vec::new(),
        drained_after: None,
    };
    let mut left = count;
    while left > 0 {
        let Some(got) = there.message(SILENCE) else {
            break;
        };
        let Some(number) = number(&got.payload) else {
            continue;
        };
        match number.checked_sub(FROM) {
            Some(live) => {
                let due = Duration::from_secs(1).mul_f64(live as f64 / f64::from(LIVE));
                let late = begun.elapsed().saturating_sub(due);
                seen.late.push(late.as_secs_f64() * 1e3);
            }
            None => {
                let times = &mut seen.of_the_day[number as usize];
                left -= u64::from(*times == 0);
                *times = times.saturating_add(1);
            }
        }
        if left.is_multiple_of(50_000) {
            *memory = sender.memory_now()?.max(*memory);
        }
    }
    seen.drained_after = (left == 0).then(|| begun.elapsed());
    Ok(seen)
}

fn report(seen: &Seen, count: u64, live: u64, memory: u64) {
    let lost = seen.of_the_day.iter().filter(|times| **times == 0).count();
    let twice: u64 = seen
        .of_the_day
        .iter()
        .map(|times| u64::from(times.saturating_sub(1)))
        .sum();
    let mut late = seen.late.clone();
    late.sort_by(f64::total_cmp);
    let at = |share: f64| {
        late.get((late.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    let took = seen.drained_after.unwrap_or_default().as_secs_f64();
    println!(
        "went up in {took:.0} s, {:.0} a second beside {LIVE} new ones: {lost} lost, {twice} twice; new ones late by \
         {:.0} ms (50 %), {:.0} ms (99 %), {live} of them; resident at most {:.0} MiB",
        count as f64 / took.max(1e-9),
        at(0.5),
        at(0.99),
        mib(memory),
    );
}
