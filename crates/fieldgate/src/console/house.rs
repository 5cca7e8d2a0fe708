//! Figures of the broker and of the process, for the console.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use fieldgate_broker::{Door, Totals};
use fieldgate_console::{Figure, FigureKind};

use crate::daemon::clock::Clock;

/// The rest of the program, as the console sees it.
pub(super) struct House {
    door: Door,
    clock: Clock,
    /// In seconds since 1970.
    started: f64,
}

impl House {
    pub(super) fn new(door: Door) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            door,
            clock: Clock::default(),
            started: started.map_or(0.0, |since| since.as_secs() as f64),
        }
    }
}

impl fieldgate_console::House for House {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = of_broker(&self.door.totals(), self.door.connected());
        figures.push(gauge(
            "store_keeping",
            "Whether what has to outlive the process does.",
            f64::from(u8::from(self.door.is_keeping())),
        ));
        figures.push(gauge(
            "process_start_time_seconds",
            "When the process started.",
            self.started,
        ));
        let memory = "Memory of the process.";
        figures
            .extend(resident().map(|bytes| gauge("process_resident_memory_bytes", memory, bytes)));
        let time = "Processor time of the process.";
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let used = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
        figures.push(counter("process_cpu_seconds", time, used));
        figures
    }

    fn clock_is_set(&self) -> bool {
        self.clock.is_synchronised()
    }

    fn warnings(&self) -> Vec<String> {
        match self.door.is_keeping() {
            true => Vec::new(),
            false => vec!["not_keeping".to_owned()],
        }
    }
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Figure {
    Figure {
        name,
        help,
        kind: FigureKind::Gauge,
        label: None,
        value,
    }
}

fn counter(name: &'static str, help: &'static str, value: f64) -> Figure {
    Figure {
        kind: FigureKind::Counter,
        ..gauge(name, help, value)
    }
}

fn of_broker(totals: &Totals, connected: usize) -> Vec<Figure> {
    let mut figures = vec![gauge(
        "broker_clients",
        "Clients that are connected.",
        connected as f64,
    )];
    let labelled = [
        (
            "broker_messages",
            "Messages published.",
            [
                ("received", totals.publish_received),
                ("sent", totals.publish_sent),
            ],
        ),
        (
            "broker_message_bytes",
            "Bytes of their payloads.",
            [
                ("received", totals.publish_bytes_received),
                ("sent", totals.publish_bytes_sent),
            ],
        ),
        (
            "broker_bytes",
            "Bytes from and to clients.",
            [
                ("received", totals.bytes_received),
                ("sent", totals.bytes_sent),
            ],
        ),
    ];
    for (name, help, both) in labelled {
        for (direction, count) in both {
            figures.push(Figure {
                label: Some(("direction", direction)),
                ..counter(name, help, count as f64)
            });
        }
    }
    for (reason, count) in [
        ("queue_full", totals.publish_dropped),
        ("expired", totals.publish_expired),
        ("too_large", totals.publish_oversize),
        ("refused", totals.publish_refused),
    ] {
        figures.push(Figure {
            label: Some(("reason", reason)),
            ..counter(
                "broker_dropped",
                "Messages that were not delivered.",
                count as f64,
            )
        });
    }
    for (name, help, count) in [
        (
            "broker_connections",
            "Connections accepted.",
            totals.connections,
        ),
        (
            "broker_connections_refused",
            "Connections refused.",
            totals.connections_refused,
        ),
        (
            "broker_logins_failed",
            "Wrong user names or passwords.",
            totals.logins_failed,
        ),
        (
            "broker_protocol_errors",
            "Clients that broke the protocol.",
            totals.protocol_errors,
        ),
        (
            "broker_timeouts",
            "Clients that were silent for too long.",
            totals.timeouts,
        ),
        (
            "store_commits",
            "Times that something was written to the disk.",
            totals.store_commits,
        ),
    ] {
        figures.push(counter(name, help, count as f64));
    }
    figures
}

/// Bytes of memory that the process has, if the system says.
fn resident() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}
