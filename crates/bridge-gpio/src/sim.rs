//! Lines that exist only in this process: for tests, and for a plant without hardware. A line is
//! there as soon as it is asked for. Resistors and debouncing are not simulated. What drives
//! an output is in the log, in the place of a lamp.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::{Drive, Edge, LineConfig, LineRef, PwmConfig};
use crate::line::{Backend, EdgeEvent, InputLine, LineError, LineInfo, OutputLine, PwmLine};

/// A simulated chip; clones are the same one. Levels here are voltages: `true` is high.
#[derive(Clone, Debug)]
pub struct SimChip {
    lines: Arc<Mutex<Lines>>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Lines {
    lines: BTreeMap<LineRef, Line>,
    /// Outputs by the inputs that they drive.
    wires: BTreeMap<LineRef, LineRef>,
    pwm: BTreeMap<u8, f64>,
    is_unplugged: bool,
}

#[derive(Debug, Default)]
struct Line {
    is_high: bool,
    is_output: bool,
    owner: Option<String>,
    /// What edges are reported; `None` if it is no input of ours.
    watch: Option<Watch>,
    /// How often it was driven, with the same level too.
    writes: usize,
}

#[derive(Debug)]
struct Watch {
    edge: Edge,
    active_low: bool,
    sequence: u32,
    events: VecDeque<EdgeEvent>,
    waker: Option<Waker>,
}

/// As many edges as the kernel keeps at most.
const EVENTS_MAX: usize = 1024;
/// How fast simulated inputs move: a counter gets a pulse with each second step, other inputs
/// change with each thirty-second.
const STEP: Duration = Duration::from_millis(125);
const SLOW: u64 = 32;

impl Default for SimChip {
    fn default() -> Self {
        Self::new()
    }
}

impl SimChip {
    /// A chip whose lines are low.
    pub fn new() -> Self {
        Self {
            lines: Arc::default(),
            start: Instant::now(),
        }
    }

    /// Moves the inputs that are taken, for as long as there is another clone.
    pub async fn play(self) {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut step = 0u64;
        while Arc::strong_count(&self.lines) > 1 {
            ticks.tick().await;
            step = step.wrapping_add(1);
            let inputs: Vec<_> = {
                let lines = self.lock();
                let watched = lines.lines.iter().filter_map(|(line, state)| {
                    let watch = state.watch.as_ref()?;
                    let is_slow = watch.edge == Edge::Both;
                    let is_due = !is_slow || step.is_multiple_of(SLOW);
                    (is_due && !lines.wires.contains_key(line))
                        .then(|| (line.clone(), !state.is_high))
                });
                watched.collect()
            };
            for (line, is_high) in inputs {
                self.drive(&line, is_high);
            }
        }
    }

    /// Puts a voltage on an input from outside.
    pub fn drive(&self, line: &LineRef, is_high: bool) {
        let at = self.start.elapsed();
        self.lock().drive(line, is_high, at);
    }

    /// Wires inputs to the outputs that drive them, in the place of older wires.
    pub fn wire(&self, wires: BTreeMap<LineRef, LineRef>) {
        let at = self.start.elapsed();
        let mut lines = self.lock();
        for (input, output) in &wires {
            let is_high = lines.lines.get(output).is_some_and(|line| line.is_high);
            lines.drive(input, is_high, at);
        }
        lines.wires = wires;
    }

    /// The voltage of a line.
    pub fn is_high(&self, line: &LineRef) -> bool {
        let lines = self.lock();
        lines.lines.get(line).is_some_and(|line| line.is_high)
    }

    /// How often an output was driven.
    pub fn writes(&self, line: &LineRef) -> usize {
        self.lock().lines.get(line).map_or(0, |line| line.writes)
    }

    /// Whether a line is taken.
    pub fn is_taken(&self, line: &LineRef) -> bool {
        let lines = self.lock();
        lines
            .lines
            .get(line)
            .is_some_and(|line| line.owner.is_some())
    }

    /// Another program takes a line.
    pub fn take(&self, line: &LineRef, owner: &str) {
        self.lock().lines.entry(line.clone()).or_default().owner = Some(owner.to_owned());
    }

    /// The duty of a PWM channel; `None` if it was never set.
    pub fn duty(&self, channel: u8) -> Option<f64> {
        self.lock().pwm.get(&channel).copied()
    }

    /// Pulls the chip out, or puts it back.
    pub fn unplug(&self, is_unplugged: bool) {
        let mut lines = self.lock();
        lines.is_unplugged = is_unplugged;
        for line in lines.lines.values_mut() {
            if let Some(waker) = line.watch.as_mut().and_then(|watch| watch.waker.take()) {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(
        &self,
        config: &LineConfig,
        owner: &str,
        open: impl FnOnce(&mut Line),
    ) -> Result<SimLine, LineError> {
        let mut lines = self.lock();
        lines.check(&config.line)?;
        let line = lines.lines.entry(config.line.clone()).or_default();
        if let Some(other) = &line.owner {
            return Err(LineError(format!(
                "line {} is in use by \"{other}\"",
                config.line
            )));
        }
        line.owner = Some(owner.to_owned());
        open(line);
        Ok(SimLine {
            chip: self.clone(),
            line: config.line.clone(),
            active_low: config.active_low,
        })
    }
}

impl Lines {
    fn drive(&mut self, line: &LineRef, is_high: bool, at: Duration) {
        let state = self.lines.entry(line.clone()).or_default();
        if std::mem::replace(&mut state.is_high, is_high) == is_high {
            return;
        }
        let Some(watch) = &mut state.watch else {
            return;
        };
        let level = is_high != watch.active_low;
        match watch.edge {
            Edge::Rising if !level => return,
            Edge::Falling if level => return,
            _ => {}
        }
        watch.sequence = watch.sequence.wrapping_add(1);
        // As the kernel does it: the oldest goes.
        if watch.events.len() == EVENTS_MAX {
            watch.events.pop_front();
        }
        watch.events.push_back(EdgeEvent {
            level,
            sequence: watch.sequence,
            at,
        });
        if let Some(waker) = watch.waker.take() {
            waker.wake();
        }
    }

    fn check(&self, line: &LineRef) -> Result<(), LineError> {
        match self.is_unplugged {
            true => Err(LineError(format!("there is no line {line}"))),
            false => Ok(()),
        }
    }
}

impl Backend for SimChip {
    fn input(
        &self,
        _chip: Option<&str>,
        line: &LineConfig,
        edge: Edge,
        owner: &str,
    ) -> Result<Box<dyn InputLine>, LineError> {
        let line = self.open(line, owner, |state| {
            state.is_output = false;
            state.watch = Some(Watch {
                edge,
                active_low: line.active_low,
                sequence: 0,
                events: VecDeque::new(),
                waker: None,
            });
        })?;
        Ok(Box::new(line))
    }

    fn output(
        &self,
        _chip: Option<&str>,
        line: &LineConfig,
        _drive: Drive,
        level: Option<bool>,
        owner: &str,
    ) -> Result<Box<dyn OutputLine>, LineError> {
        let mut line = self.open(line, owner, |_| {})?;
        if let Some(level) = level {
            OutputLine::set(&mut line, level)?;
        }
        Ok(Box::new(line))
    }

    fn pwm(&self, pwm: &PwmConfig, duty: f64) -> Result<Box<dyn PwmLine>, LineError> {
        let mut line = SimPwm {
            chip: self.clone(),
            channel: pwm.channel,
        };
        line.set(duty)?;
        Ok(Box::new(line))
    }

    fn look(&self, _chip: Option<&str>, line: &LineRef) -> Result<LineInfo, LineError> {
        let lines = self.lock();
        lines.check(line)?;
        let state = lines.lines.get(line);
        let (offset, name) = match line {
            LineRef::Offset(offset) => (*offset, String::new()),
            LineRef::Name(name) => (0, name.clone()),
        };
        Ok(LineInfo {
            chip: "simulated".to_owned(),
            offset,
            name,
            is_output: state.is_some_and(|line| line.is_output),
            consumer: state.and_then(|line| line.owner.clone()),
        })
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

#[derive(Debug)]
struct SimLine {
    chip: SimChip,
    line: LineRef,
    active_low: bool,
}

impl InputLine for SimLine {
    fn poll_edges(
        &mut self,
        context: &mut Context<'_>,
        max: usize,
        out: &mut Vec<EdgeEvent>,
    ) -> Poll<Result<(), LineError>> {
        let mut lines = self.chip.lock();
        if let Err(error) = lines.check(&self.line) {
            return Poll::Ready(Err(error));
        }
        let watch = lines
            .lines
            .get_mut(&self.line)
            .and_then(|line| line.watch.as_mut());
        let Some(watch) = watch else {
            return Poll::Pending;
        };
        if watch.events.is_empty() {
            watch.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = watch.events.len().min(max);
        out.extend(watch.events.drain(..count));
        Poll::Ready(Ok(()))
    }

    fn level(&self) -> Result<bool, LineError> {
        self.chip.lock().check(&self.line)?;
        Ok(self.chip.is_high(&self.line) != self.active_low)
    }
}

impl OutputLine for SimLine {
    fn set(&mut self, level: bool) -> Result<(), LineError> {
        let at = self.chip.start.elapsed();
        let mut lines = self.chip.lock();
        lines.check(&self.line)?;
        let is_high = level != self.active_low;
        let line = lines.lines.entry(self.line.clone()).or_default();
        line.is_high = is_high;
        line.is_output = true;
        line.writes += 1;
        let wires = lines.wires.iter();
        let driven = wires.filter(|(_, output)| **output == self.line);
        let driven: Vec<LineRef> = driven.map(|(input, _)| input.clone()).collect();
        for input in driven {
            lines.drive(&input, is_high, at);
        }
        let voltage = if is_high { "high" } else { "low" };
        log::info!("simulated line {} is driven {voltage}", self.line);
        Ok(())
    }

    fn level(&self) -> Result<bool, LineError> {
        InputLine::level(self)
    }
}

impl Drop for SimLine {
    fn drop(&mut self) {
        if let Some(line) = self.chip.lock().lines.get_mut(&self.line) {
            line.owner = None;
            line.watch = None;
        }
    }
}

#[derive(Debug)]
struct SimPwm {
    chip: SimChip,
    channel: u8,
}

impl PwmLine for SimPwm {
    fn set(&mut self, duty: f64) -> Result<(), LineError> {
        self.chip.lock().pwm.insert(self.channel, duty);
        Ok(())
    }
}
