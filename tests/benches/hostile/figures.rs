//! A row's figures, their targets, and the line that shows them. Pure but for the machine's memory.

use std::io;
use std::time::Duration;

use fieldgate_tests::bench::stats::percentile;

use crate::good::Noticed;

pub const HEAD: &str = "\
| input | MiB peak | later | messages | p50 ms | p99 | max | pace % | in ms | command | visits | log KB | stop, start s | |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|";

/// What the gateway may hold besides the budget, in bytes.
const BESIDE: u64 = 40 << 20;

const P99_MAX: f64 = 100.0;
const MAX_MAX: f64 = 500.0;
const PACE_MIN: f64 = 95.0;
/// Bytes that an attack may put into the log.
const LOG_MAX: u64 = 1 << 20;
const RESTART_MAX: Duration = Duration::from_secs(10);

/// What a row measured. Memory in bytes, latencies in milliseconds.
#[derive(Default)]
pub struct Figures {
    pub memory_before: u64,
    pub memory_peak: Option<u64>,
    pub memory_after: Option<u64>,
    pub sent: u64,
    pub arrived: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub slowest: (String, f64),
    pub visit: (Duration, Duration),
    /// Visitors in vain, and all.
    pub vain: (usize, usize),
    /// Retained topics of a device that was added late, and of a like one that was there.
    pub late: Option<(usize, usize)>,
    pub logged: u64,
    /// How the gateway ended, if it did.
    pub dead: Option<String>,
    /// It had to be killed, as it did not stop when it was asked to.
    pub hung: bool,
    pub stopped: Duration,
    pub restarted: Option<Duration>,
    pub notes: Vec<String>,
}

/// What a row has to meet.
pub struct Targets {
    /// `broker.limits.memory` in bytes.
    pub budget: u64,
}

impl Figures {
    pub fn take(&mut self, noticed: Noticed) {
        let mut latencies = noticed.latencies;
        let mut ms = |percent| percentile(&mut latencies, percent).unwrap_or_default() as f64 / 1e6;
        (self.p50, self.p99, self.max) = (ms(50.0), ms(99.0), ms(100.0));
        (self.sent, self.arrived) = (noticed.sent, noticed.arrived);
        self.slowest = noticed.slowest;
        self.visit = noticed.visit;
        self.vain = noticed.vain;
        self.notes.extend(noticed.errors);
    }

    pub fn line(&self, name: &str, missed: &[String]) -> String {
        let mib =
            |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| (bytes >> 20).to_string());
        let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
        let verdict = match missed.is_empty() {
            true => "met".to_owned(),
            false => format!("**missed**: {}", missed.join(", ")),
        };
        let restarted = self
            .restarted
            .map_or("no".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        format!(
            "| {name} | {} | {} | {} of {} | {:.1} | {:.1} | {:.1} | {:.0} ({}) | {} | {} | {} of {} | {:.0} | {:.1}, {restarted} | {verdict} |",
            mib(self.memory_peak),
            mib(self.memory_after),
            self.arrived,
            self.sent,
            self.p50,
            self.p99,
            self.max,
            self.slowest.1,
            self.slowest.0,
            ms(self.visit.0),
            ms(self.visit.1),
            self.vain.1 - self.vain.0,
            self.vain.1,
            self.logged as f64 / 1e3,
            self.stopped.as_secs_f64(),
        )
    }
}

impl Targets {
    /// The names of those that are missed.
    pub fn missed(&self, figures: &Figures) -> Vec<String> {
        let mut missed: Vec<String> = figures.dead.clone().into_iter().collect();
        let mut check = |name: &str, met: bool| {
            if !met {
                missed.push(name.to_owned());
            }
        };
        let peak = figures.memory_peak.unwrap_or(u64::MAX);
        check("memory", peak <= self.budget + BESIDE);
        let after = figures.memory_after.unwrap_or(0);
        check("memory later", after <= figures.memory_before + BESIDE);
        check("complete", figures.arrived == figures.sent);
        // What never came took longer than anything.
        let (arrived, sent) = (figures.arrived, figures.sent);
        check("p99", figures.p99 < P99_MAX && arrived * 100 >= sent * 99);
        check("max", figures.max < MAX_MAX && arrived == sent);
        check("pace", figures.slowest.1 >= PACE_MIN);
        check("visitors", figures.vain.0 == 0);
        check("log", figures.logged <= LOG_MAX);
        check("stop", !figures.hung);
        check(
            "own topics",
            figures
                .late
                .is_none_or(|(late, like)| late == like && like > 0),
        );
        let restarted = figures.restarted.is_some_and(|time| time <= RESTART_MAX);
        check("restart", restarted);
        missed
    }
}

/// What `broker.limits.memory` is when it is not configured: an eighth of the memory that there is, 32 to 256 MiB.
///
/// # Errors
/// When `/proc/meminfo` cannot be read.
pub fn usual_budget(group: Option<u64>) -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let total = total.ok_or(io::ErrorKind::InvalidData)? * 1024;
    Ok((total.min(group.unwrap_or(u64::MAX)) / 8).clamp(32 << 20, 256 << 20))
}
