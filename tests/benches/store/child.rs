//! Starts jobs in processes of their own, each in a folder of its own that goes away afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::job::{Job, Task};
use crate::store::{Engine, Failure};

/// No job but those with a time of their own takes nearly this long.
const TOO_LONG: Duration = Duration::from_secs(120);

/// A folder that is removed when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(base: &Path, name: &str) -> io::Result<Self> {
        let path = base.join(format!("store-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes this folder hold what the other holds, and nothing else.
    pub fn copy_of(&self, other: &Path) -> io::Result<()> {
        fs::remove_dir_all(&self.0)?;
        copy(other, &self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // An error cannot be reported from here, and a folder that stays harms nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

pub fn start(job: Job, engine: Engine, dir: &Path, task: &Task) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--job", &job.name(), "--engine", engine.name(), "--dir"]);
    command.arg(dir);
    for (name, value) in [
        ("--size", task.size),
        ("--depth", task.depth),
        ("--batches", task.batches),
        ("--millis", task.millis),
    ] {
        command.args([name, &value.to_string()]);
    }
    for (name, wanted) in [
        ("--all-spaces", task.all_spaces),
        ("--check", task.check),
        ("--unclean", task.unclean),
    ] {
        command.args(wanted.then_some(name));
    }
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command.spawn()
}

/// What a job printed.
pub type Figures = BTreeMap<String, f64>;

/// How a job ended.
pub enum End {
    Done(Figures),
    /// With what it said, and whether the store did not even open
    Failed {
        error: String,
        at_open: bool,
    },
    Panicked(String),
    Hung,
}

/// Runs a job to its end. Jobs print little enough for a pipe to hold, so it is read afterwards.
pub fn run(job: Job, engine: Engine, dir: &Path, task: &Task) -> io::Result<End> {
    let mut child = start(job, engine, dir, task)?;
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > TOO_LONG + Duration::from_millis(task.millis) {
            child.kill()?;
            child.wait()?;
            return Ok(End::Hung);
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (mut out, mut errors) = (String::new(), String::new());
    child
        .stdout
        .take()
        .map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut out))?;
    child
        .stderr
        .take()
        .map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut errors))?;
    let figures: Figures = out
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.into(), value.parse().ok()?))
        })
        .collect();
    Ok(match status.code() {
        // A thread of the engine's own that panicked does not fail the job.
        Some(0) => End::Done(figures),
        Some(1) => End::Failed {
            error: errors.trim().into(),
            at_open: figures.contains_key("at-open"),
        },
        _ => End::Panicked(errors.trim().into()),
    })
}

/// Runs a job that has to succeed.
pub fn figures(job: Job, engine: Engine, dir: &Path, task: &Task) -> Result<Figures, Failure> {
    let failed = |how: &str| format!("{}, {}: {how}", engine.name(), job.name()).into();
    match run(job, engine, dir, task)? {
        End::Done(figures) => Ok(figures),
        End::Failed { error, .. } | End::Panicked(error) => Err(failed(&error)),
        End::Hung => Err(failed("did not end")),
    }
}
