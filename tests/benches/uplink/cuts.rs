//! Faults of all kinds, in turn, with a gateway and with mosquitto in its place.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io, thread};

use fieldgate_tests::bench::process::{Process, free_port};
use fieldgate_tests::cuts::{Cuts, Daemon, Fault, Tally};
use fieldgate_tests::faults::Proxy;

use crate::sender::{self, Kind};

/// Nothing comes for so long: the next round begins. What comes later still counts.
const SILENCE: Duration = Duration::from_secs(10);

/// A process that is started again with the same command.
struct Again<F> {
    command: F,
    port: u16,
    process: Option<Process>,
}

impl<F: Fn() -> io::Result<Command>> Again<F> {
    fn new(port: u16, command: F) -> Self {
        let mut again = Self {
            command,
            port,
            process: None,
        };
        again.start();
        again
    }
}

impl<F: Fn() -> io::Result<Command>> Daemon for Again<F> {
    fn start(&mut self) {
        let started = (self.command)().and_then(|command| sender::run(command, self.port));
        self.process = Some(started.expect("it starts"));
    }

    fn kill(&mut self) {
        self.process = None;
    }
}

/// Each of `kinds` at the same time: none of them works for long.
pub fn run(
    (rounds, rate): (usize, u32),
    faults: &[Fault],
    kinds: &[&Kind],
    folder: &Path,
) -> io::Result<()> {
    println!("\n| {rounds} rounds | who | messages | lost | twice | sent again by the publisher |");
    println!("|---|---|--:|--:|--:|--:|");
    let running: Vec<_> = kinds
        .iter()
        .zip(0..)
        .map(|(kind, number)| {
            let (kind, folder) = ((*kind).clone(), folder.join(format!("cuts{number}")));
            let faults = faults.to_vec();
            thread::spawn(move || one((rounds, rate), &faults, &kind, &folder))
        })
        .collect();
    for (running, kind) in running.into_iter().zip(kinds) {
        let (tallies, connections) = running
            .join()
            .map_err(|_| io::Error::other("a run has ended early"))??;
        let mut all = Tally::default();
        for (fault, tally) in tallies {
            print(fault.name(), kind, &tally);
            all.add(tally);
        }
        print(&format!("all, {connections} connections"), kind, &all);
    }
    Ok(())
}

fn print(what: &str, kind: &Kind, tally: &Tally) {
    let (name, twice) = (kind.name(), tally.twice + tally.unknown);
    let (messages, lost, repeated) = (tally.messages, tally.lost, tally.repeated);
    println!("| {what} | {name} | {messages} | {lost} | {twice} | {repeated} |");
}

fn one(
    (rounds, rate): (usize, u32),
    faults: &[Fault],
    kind: &Kind,
    folder: &Path,
) -> io::Result<(Vec<(Fault, Tally)>, usize)> {
    fs::create_dir_all(folder)?;
    let (here, there) = (free_port()?, free_port()?);
    let remote = Again::new(there, || sender::remote_command(there));
    let proxy = Proxy::start(there);
    let to = proxy.port;
    let gateway = Again::new(here, || kind.command(folder, here, Some(to), ""));
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let mut cuts = Cuts::new((gateway, at(here)), (remote, at(there)), proxy, rate);
    let mut known = 0;
    for (round, fault) in (0..rounds).zip(faults.iter().copied().cycle()) {
        cuts.round(fault, SILENCE);
        let missing = cuts.missing().len();
        if missing > known {
            let (name, fault) = (kind.name(), fault.name());
            eprintln!(
                "{name}, round {round}, {fault}: {} missing",
                missing - known
            );
        }
        known = missing;
    }
    // A remote that falls silent is given up within 20 s.
    cuts.wait_quiet(3 * SILENCE);
    Ok((cuts.tallies(), cuts.connections()))
}
