//! Figures of the broker and of the process, for the console.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use fieldgate_broker::{Door, Totals};
use fieldgate_console::{Figure, FigureKind};
use fieldgate_history::{Figures, Reader};

use crate::clock::Clock;

/// The rest of the program, as the console sees it.
pub(super) struct House {
    door: Door,
    clock: Clock,
    history: Option<Reader>,
    /// In seconds since 1970.
    started: f64,
}

impl House {
    pub(super) fn new(door: Door, history: Option<Reader>) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            door,
            clock: Clock::default(),
            history,
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
        if let Some(history) = &self.history {
            figures.extend(of_history(&history.figures()));
        }
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
        let is_stuck = self
            .history
            .as_ref()
            .is_some_and(|history| history.figures().is_stuck);
        let all = [
            (!self.door.is_keeping(), "not_keeping"),
            (is_stuck, "history_stuck"),
        ];
        let there = all.into_iter().filter(|(is_there, _)| *is_there);
        there.map(|(_, name)| name.to_owned()).collect()
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
    let clients = "Clients that are connected.";
    let mut figures = vec![gauge("broker_clients", clients, connected as f64)];
    figures.extend(labelled(totals));
    let count = |name, help, count: u64| counter(name, help, count as f64);
    let t = totals;
    figures.extend([
        count("broker_connections", "Connections accepted.", t.connections),
        count(
            "broker_connections_refused",
            "Connections refused.",
            t.connections_refused,
        ),
        count(
            "broker_logins_failed",
            "Wrong user names or passwords.",
            t.logins_failed,
        ),
        count(
            "broker_protocol_errors",
            "Clients that broke the protocol.",
            t.protocol_errors,
        ),
        count(
            "broker_timeouts",
            "Clients that were silent for too long.",
            t.timeouts,
        ),
        count(
            "store_commits",
            "Times that something was written to the disk.",
            t.store_commits,
        ),
    ]);
    figures
}

fn of_history(figures: &Figures) -> Vec<Figure> {
    let count = |name, help, count: u64| counter(name, help, count as f64);
    let mut all = vec![
        count(
            "history_readings",
            "Readings that history took.",
            figures.kept,
        ),
        count(
            "history_dropped",
            "Readings that history had no room for.",
            figures.dropped,
        ),
        count(
            "history_events",
            "Events that history took.",
            figures.events,
        ),
        count(
            "history_events_left_out",
            "Events that history left out, as there were too many.",
            figures.events_left_out,
        ),
        count(
            "history_written_bytes",
            "Bytes that history wrote.",
            figures.written,
        ),
        count(
            "history_removed_files",
            "Files of history removed to keep its bounds.",
            figures.removed,
        ),
        count(
            "history_damaged",
            "Parts of history that were found damaged.",
            figures.damaged,
        ),
        gauge(
            "history_bytes",
            "Bytes of the files of history.",
            figures.bytes as f64,
        ),
    ];
    let since = "The oldest reading of history.";
    all.extend(
        figures
            .since
            .map(|at| gauge("history_since_seconds", since, at as f64 / 1_000.0)),
    );
    all
}

/// Those of one name for several directions or reasons.
fn labelled(totals: &Totals) -> Vec<Figure> {
    let t = totals;
    let messages = [t.publish_received, t.publish_sent];
    let payloads = [t.publish_bytes_received, t.publish_bytes_sent];
    let bytes = [t.bytes_received, t.bytes_sent];
    let mut figures = Vec::new();
    for (name, help, both) in [
        ("broker_messages", "Messages published.", messages),
        ("broker_message_bytes", "Bytes of their payloads.", payloads),
        ("broker_bytes", "Bytes from and to clients.", bytes),
    ] {
        for (direction, count) in ["received", "sent"].into_iter().zip(both) {
            let label = Some(("direction", direction));
            let figure = counter(name, help, count as f64);
            figures.push(Figure { label, ..figure });
        }
    }
    for (reason, count) in [
        ("queue_full", t.publish_dropped),
        ("expired", t.publish_expired),
        ("too_large", t.publish_oversize),
        ("refused", t.publish_refused),
    ] {
        let label = Some(("reason", reason));
        let help = "Messages that were not delivered.";
        let figure = counter("broker_dropped", help, count as f64);
        figures.push(Figure { label, ..figure });
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
