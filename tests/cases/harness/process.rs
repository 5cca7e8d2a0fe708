//! Child processes whose output is read line by line.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::PATIENCE;

/// A running program. It is killed when this goes out of scope.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Lines>,
}

/// The lines that were not waited for yet, and the last ones for a failure's report.
#[derive(Default)]
struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<String>,
    all: Vec<String>,
    closed: usize,
}

impl Lines {
    /// A case that fails while it looks at a line leaves the lines as they are.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, limit);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Process {
    /// Starts `command` with its standard input, output and error connected to this.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let lines = Arc::new(Lines::default());
        read_lines(child.stdout.take().expect("piped"), Arc::clone(&lines));
        read_lines(child.stderr.take().expect("piped"), Arc::clone(&lines));
        Self {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Waits for the next line of which `pick` makes something; the lines before it are dropped.
    pub fn wait<T>(&self, what: &str, pick: impl FnMut(&str) -> Option<T>) -> T {
        self.wait_within(PATIENCE, what, pick)
    }

    /// As [`Self::wait`], with a limit that is part of what the case checks.
    pub fn wait_within<T>(
        &self,
        limit: Duration,
        what: &str,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let end = Instant::now() + limit;
        let mut state = self.lines.lock();
        loop {
            while let Some(line) = state.waiting.pop_front() {
                if let Some(picked) = pick(&line) {
                    return picked;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed == 2 {
                let ended = if state.closed == 2 { ", it ended" } else { "" };
                drop(state);
                self.report();
                panic!("{}: no {what} within {limit:?}{ended}", self.name);
            }
            state = self.lines.wait(state, left);
        }
    }

    /// Waits for a line that contains `text`.
    pub fn wait_line(&self, text: &str) -> String {
        self.wait(&format!("line with {text:?}"), |line| {
            line.contains(text).then(|| line.to_owned())
        })
    }

    /// Every line so far, also those that were waited for.
    pub fn transcript(&self) -> Vec<String> {
        self.lines
            .state
            .lock()
            .expect("no reader panics")
            .all
            .clone()
    }

    /// Sends one line to the standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        let sent = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        if let Err(error) = sent {
            self.report();
            panic!("{} takes no input: {error}", self.name);
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without "SIG".
    pub fn signal(&self, signal: &str) {
        let id = self.child.id();
        let kill = format!("kill -{signal} {id}");
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("sh is there").success(), "{kill}");
    }

    /// Waits until the program has ended.
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        let mut state = self.lines.lock();
        while state.closed < 2 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                self.report();
                panic!("{} still runs after {limit:?}", self.name);
            }
            state = self.lines.wait(state, left);
        }
        drop(state);
        self.child.wait().expect("it was not waited for before")
    }

    /// Fails when the program has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child") {
            self.report();
            panic!("{} has ended: {status}", self.name);
        }
    }

    /// How the program has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Prints what the program has said, for the reader of a failure.
    pub fn report(&self) {
        let state = self.lines.lock();
        let first = state.all.len().saturating_sub(40);
        eprintln!("---- the last lines of {}:", self.name);
        for line in state.all.iter().skip(first) {
            eprintln!("{line}");
        }
        eprintln!("----");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report();
        }
        self.kill();
    }
}

fn read_lines(stream: impl Read + Send + 'static, lines: Arc<Lines>) {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while matches!(stream.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            let mut state = lines.lock();
            state.all.push(line.clone());
            state.waiting.push_back(line);
            lines.changed.notify_all();
        }
        lines.lock().closed += 1;
        lines.changed.notify_all();
    });
}
