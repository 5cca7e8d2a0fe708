//! What the engines do after a kill, and with files that were damaged behind their backs.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fieldgate_tests::bench::stats::{median, percentile};

use crate::child::{self, End, Folder};
use crate::job::{Job, Task};
use crate::machine;
use crate::pattern::WRONG;
use crate::store::{Engine, Failure};

const CRASH: Task = Task {
    size: 16,
    depth: 64,
    batches: 0,
    millis: 0,
    all_spaces: true,
    check: false,
    unclean: false,
};

/// A generator of no particular quality (xorshift), since the bench must not differ from run to run.
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// From 0 to below `sides`; 0 if there are none.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.checked_rem(sides).unwrap_or(0)
    }
}

pub struct Kills {
    pub rounds: usize,
    pub acknowledged: u64,
    /// What went wrong, round by round
    pub faults: Vec<String>,
    pub open_us: Option<f64>,
    pub open_max_us: Option<u64>,
}

/// Kills a writer at a random moment, and looks whether the store holds precisely what it held after a batch that is
/// not older than the last that was acknowledged; again and again on the same files.
pub fn kills(engine: Engine, base: &Path, rounds: usize) -> Result<Kills, Failure> {
    let folder = Folder::new(base, &format!("kill-{}", engine.name()))?;
    let mut dice = Dice::new(0x5eed);
    let mut kills = Kills {
        rounds,
        acknowledged: 0,
        faults: vec![],
        open_us: None,
        open_max_us: None,
    };
    let mut opens = vec![];
    // The last batch that is surely there; -1 is none.
    let mut known = -1;
    for round in 0..rounds {
        let mut writer = child::start(Job::Crash, engine, folder.path(), &CRASH)?;
        thread::sleep(Duration::from_millis(100 + dice.roll(300)));
        writer.kill()?;
        let mut said = String::new();
        writer
            .stdout
            .take()
            .ok_or("no pipe")?
            .read_to_string(&mut said)?;
        writer.wait()?;
        // The last line may be cut off: what counts has its line feed.
        let mut lines = said
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        kills.acknowledged += lines.clone().count() as u64;
        known = lines
            .next_back()
            .map_or(Ok(known), |line| line.trim().parse())?;
        match child::run(Job::Verify, engine, folder.path(), &CRASH)? {
            End::Done(figures) => {
                opens.push(figures["open_us"]);
                let last = figures["last"] as i64;
                // The kill may have cut off the acknowledgement of one batch, and of no more.
                if !(known..=known + 1).contains(&last) {
                    kills
                        .faults
                        .push(format!("round {round}: {known} acknowledged, {last} there"));
                }
                known = last;
            }
            End::Failed { error, .. } | End::Panicked(error) => {
                kills.faults.push(format!("round {round}: {error}"));
                break;
            }
            End::Hung => kills.faults.push(format!("round {round}: reopening hung")),
        }
    }
    kills.open_us = median(&opens);
    let mut opens: Vec<u64> = opens.into_iter().map(|us| us as u64).collect();
    kills.open_max_us = percentile(&mut opens, 100.0);
    Ok(kills)
}

/// How often each damage ended in which way.
pub type Outcomes = BTreeMap<&'static str, usize>;

/// The worst first: the order of the columns.
pub const OUTCOMES: [&str; 6] = ["wrong", "rolled back", "hung", "panic", "error", "whole"];

pub struct Damage {
    pub what: String,
    pub outcomes: Outcomes,
    /// Of each that failed
    pub messages: Vec<String>,
}

/// Damages copies of one store, `flips` of them by a byte each and `cuts` by cutting a file off, and reads them.
pub fn damage(engine: Engine, base: &Path, flips: u64, cuts: u64) -> Result<Vec<Damage>, Failure> {
    // More than a memtable of fjall's, so that there are tables besides the journal.
    let task = Task {
        size: 64,
        depth: 600,
        batches: 700,
        all_spaces: true,
        ..Task::default()
    };
    let mut found = vec![];
    for unclean in [true, false] {
        let whole = Folder::new(base, &format!("whole-{}", engine.name()))?;
        let build = Task {
            unclean,
            ..task.clone()
        };
        child::figures(Job::Fill, engine, whole.path(), &build)?;
        let harmed = Folder::new(base, &format!("harmed-{}", engine.name()))?;
        for check in [false, true] {
            if check && !engine.has_check() {
                continue;
            }
            for (count, kind) in [(flips, "byte flipped"), (cuts, "file cut off")] {
                let mut damage = Damage {
                    what: format!(
                        "{kind}, {}{}",
                        if unclean { "after a kill" } else { "closed" },
                        if check { ", checked" } else { "" }
                    ),
                    outcomes: Outcomes::new(),
                    messages: vec![],
                };
                let mut dice = Dice::new(0xdead_beef);
                for at in 0..count {
                    harmed.copy_of(whole.path())?;
                    if kind == "byte flipped" {
                        flip(harmed.path(), at, count, &mut dice)?;
                    } else {
                        cut(harmed.path(), at, count)?;
                    }
                    let verify = Task {
                        check,
                        ..task.clone()
                    };
                    let end = child::run(Job::Verify, engine, harmed.path(), &verify)?;
                    let (outcome, message) = judge(end, task.batches);
                    *damage.outcomes.entry(outcome).or_default() += 1;
                    damage.messages.extend(message);
                }
                damage.messages.sort();
                found.push(damage);
            }
        }
    }
    Ok(found)
}

fn judge(end: End, batches: u64) -> (&'static str, Option<String>) {
    match end {
        End::Done(figures) if figures["last"] as i64 == batches as i64 - 1 => ("whole", None),
        End::Done(_) => ("rolled back", None),
        End::Failed { error, .. } if error.contains(WRONG) => ("wrong", Some(error)),
        End::Failed { error, at_open } => {
            let place = if at_open { "open" } else { "read" };
            ("error", Some(format!("{place}: {error}")))
        }
        End::Panicked(message) => ("panic", Some(message)),
        End::Hung => ("hung", None),
    }
}

/// Flips a bit in a random byte that is not 0 of the `part`-th of `parts` equal parts of all the files' bytes.
fn flip(dir: &Path, part: u64, parts: u64, dice: &mut Dice) -> Result<(), Failure> {
    let mut used = vec![];
    for path in machine::files(dir)? {
        let bytes = fs::read(&path)?;
        let offsets = bytes.iter().zip(0u64..).filter(|(byte, _)| **byte != 0);
        let offsets: Vec<u64> = offsets.map(|(_, offset)| offset).collect();
        used.push((path, bytes, offsets));
    }
    let total: u64 = used
        .iter()
        .map(|(_, _, offsets)| offsets.len() as u64)
        .sum();
    let mut index = total * part / parts + dice.roll(total / parts);
    for (path, bytes, offsets) in used {
        let Some(offset) = offsets.get(index as usize) else {
            index -= offsets.len() as u64;
            continue;
        };
        let bit = 1 << dice.roll(8);
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&[bytes[*offset as usize] ^ bit], *offset)?;
        return Ok(());
    }
    Err("there is nothing to damage".into())
}

/// Cuts the `part`-th of the files that matter, the biggest first, off at a place that gets nearer to the end.
fn cut(dir: &Path, part: u64, parts: u64) -> Result<(), Failure> {
    let mut files: Vec<_> = machine::files(dir)?
        .into_iter()
        .filter_map(|path| Some((fs::metadata(&path).ok()?.len(), path)))
        .filter(|(length, _)| *length > 0)
        .collect();
    files.sort();
    files.reverse();
    files.truncate(2);
    let (length, path) = &files[part as usize % files.len()];
    let file = OpenOptions::new().write(true).open(path)?;
    Ok(file.set_len(length * (part + 1) / (parts + 1))?)
}
