//! Takes all lines of a device, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Cause, DriverError};
use tokio::time::Instant;

use super::outputs::Outputs;
use super::{GpioDriver, GpioSession, State, every};
use crate::config::{Edge, GpioConfig, Kind, OutConfig, PwmConfig};
use crate::count_store::Counts;
use crate::counter::Counter;
use crate::handover::{Channel, Held, Output};
use crate::line::LineError;
use crate::output_states::{OutputStates, Rules, Wanted};
use crate::rate::Rate;

/// What is on its way to be a session. Dropped half-way, outputs go to their safe levels.
struct Opening<'a> {
    driver: &'a GpioDriver,
    /// What the run before this one left.
    held: Held,
    kept: Counts,
    bank: OutputStates,
    lines: BTreeMap<usize, Output>,
    now: Instant,
}

pub(super) async fn open(driver: &mut GpioDriver) -> Result<GpioSession, DriverError> {
    let config = Arc::clone(&driver.config);
    // Before anything may fail: the pulses of what stays with the keeper would not end.
    let held = driver.keeper.claim(&config.name);
    let (kept, owed) = begin(driver).await;
    let driver = &*driver;
    let now = Instant::now();
    let mut opening = Opening {
        held,
        kept: kept.clone(),
        bank: OutputStates::new(rules(&config)),
        lines: BTreeMap::new(),
        driver,
        now,
    };
    let failed = |name: &str, error: &LineError| {
        DriverError::new(Cause::Open, format!("point \"{name}\": {error}"))
    };
    let points = config.points.iter().enumerate();
    let mut outputs: Vec<_> = points
        .filter_map(|(index, (name, point))| match &point.kind {
            Kind::Out(out) => Some((index, name, out)),
            _ => None,
        })
        .collect();
    // An interlock sees what is on already before something else is switched on.
    outputs.sort_by_key(|(_, _, out)| opening.wanted(out) == Some(true));
    for (index, name, out) in outputs {
        let opened = opening.output(index, name, out);
        opened.map_err(|error| failed(name, &error))?;
    }
    let mut states = Vec::with_capacity(config.points.len());
    for (name, point) in &config.points {
        let state = opening.state(name, &point.kind).await;
        states.push(state.map_err(|error| failed(name, &error))?);
    }
    if let Some((one, other)) = opening.bank.conflict() {
        let name = |index: usize| {
            config
                .points
                .get(index)
                .map_or("", |(name, _)| name.as_str())
        };
        log::error!(DEVICE = config.name.as_str(); "interlocked outputs were found on together: {} and {}", name(one), name(other));
    }
    let persist = persist(&config);
    Ok(GpioSession {
        backend: Arc::clone(&driver.backend),
        store: Arc::clone(&driver.store),
        keeper: driver.keeper.clone(),
        counts: Arc::clone(&driver.counts),
        states,
        outputs: Outputs::new(opening.bank, opening.lines),
        reports: config
            .points
            .iter()
            .map(|(_, point)| every(point).map(|every| now + every))
            .collect(),
        save: persist.map(|every| (now + every, every)),
        kept,
        owed,
        edges: Vec::new(),
        is_crowded: false,
        lost: None,
        is_new: true,
        has_reported_loss: false,
        config,
    })
}

/// The counts that were kept. Those that cannot be read are owed: counting begins at zero, and what was
/// kept is added when it can be.
async fn begin(driver: &mut GpioDriver) -> (Counts, BTreeSet<String>) {
    let error = match load(driver).await {
        Ok(kept) => return (kept, BTreeSet::new()),
        Err(error) => error,
    };
    if !std::mem::replace(&mut driver.has_reported_load, true) {
        let device = driver.config.name.as_str();
        log::error!(DEVICE = device; "the kept counts cannot be read ({error}): counting begins at zero, and they are added when they can be");
    }
    let points = driver.config.points.iter();
    let kept = points.filter(|(_, point)| is_kept(&point.kind));
    let owed = kept.map(|(name, _)| name.clone()).collect();
    (Counts::new(), owed)
}

/// How often counts are kept.
fn persist(config: &GpioConfig) -> Option<Duration> {
    let points = config.points.iter();
    let all = points.filter_map(|(_, point)| match &point.kind {
        Kind::Count(count) => count.persist,
        _ => None,
    });
    all.min()
}

fn is_kept(kind: &Kind) -> bool {
    matches!(kind, Kind::Count(count) if count.persist.is_some())
}

/// The counts that were kept.
async fn load(driver: &GpioDriver) -> Result<Counts, String> {
    let mut points = driver.config.points.iter();
    if !points.any(|(_, point)| is_kept(&point.kind)) {
        return Ok(Counts::new());
    }
    let (store, name) = (Arc::clone(&driver.store), driver.config.name.clone());
    let loaded = tokio::task::spawn_blocking(move || store.load(&name)).await;
    match loaded {
        Ok(loaded) => loaded.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn rules(config: &GpioConfig) -> Vec<Rules> {
    let points = config.points.iter();
    points
        .map(|(_, point)| match &point.kind {
            Kind::Out(out) => Rules {
                pulse_max: out.pulse_max,
                interlock: out.interlock.clone(),
            },
            _ => Rules::default(),
        })
        .collect()
}

impl Opening<'_> {
    /// How we name ourselves to other programs.
    fn owner(&self, point: &str) -> String {
        format!("fieldgate {}/{point}", self.driver.config.name)
    }

    async fn state(&mut self, name: &str, kind: &Kind) -> Result<State, LineError> {
        let (chip, owner) = (self.driver.config.chip.as_deref(), self.owner(name));
        let backend = &self.driver.backend;
        Ok(match kind {
            Kind::In(line) => {
                let line = backend.input(chip, line, Edge::Both, &owner)?;
                let level = line.level()?;
                State::Input {
                    line,
                    level,
                    last: 0,
                }
            }
            Kind::Count(count) => {
                let kept = self.kept.get(name).filter(|_| count.persist.is_some());
                let kept = kept.copied().unwrap_or_default();
                State::Counter {
                    line: backend.input(chip, &count.line, count.edge, &owner)?,
                    counter: Counter::resume(kept.total, kept.lost),
                    rate: Rate::default(),
                }
            }
            Kind::Pwm(pwm) => State::Pwm(self.channel(pwm).await?),
            Kind::Out(_) | Kind::Rate(_) | Kind::Lost(_) => State::Other,
        })
    }

    /// Where an output is among those that are ours already.
    fn held(&self, out: &OutConfig) -> Option<usize> {
        let chip = self.driver.config.chip.as_deref();
        let mut held = self.held.lines.iter();
        held.position(|held| held.is(chip, &out.line, out.drive))
    }

    /// What an output is set to: nothing if it is ours already, as `initial` is for the start.
    fn wanted(&self, out: &OutConfig) -> Option<bool> {
        match (self.held(out), self.driver.has_started) {
            (Some(_), _) => None,
            (None, false) => out.initial,
            // It was lost, and went to its safe level if it could.
            (None, true) => out.safe,
        }
    }

    fn output(&mut self, index: usize, name: &str, out: &OutConfig) -> Result<(), LineError> {
        let chip = self.driver.config.chip.as_deref();
        let mut level = self.wanted(out);
        let now = self.now.into_std();
        if level == Some(true) && self.bank.plan(index, Wanted::On, now).is_err() {
            let device = self.driver.config.name.as_str();
            log::error!(DEVICE = device, POINT = name; "{name} stays off: an interlocked output is on already");
            level = Some(false);
        }
        let output = match self.held(out) {
            Some(at) => {
                let mut output = self.held.lines.swap_remove(at);
                output.safe = out.safe;
                output
            }
            None => {
                // A line that was set up in another way has to be let go first.
                self.held
                    .lines
                    .retain(|held| held.config.line != out.line.line);
                let (backend, owner) = (&self.driver.backend, self.owner(name));
                Output {
                    line: backend.output(chip, &out.line, out.drive, level, &owner)?,
                    chip: chip.map(str::to_owned),
                    config: out.line.clone(),
                    drive: out.drive,
                    safe: out.safe,
                    off_at: None,
                }
            }
        };
        let (level, off_at) = (output.line.level()?, output.off_at);
        self.bank.found(index, level, off_at, now);
        self.lines.insert(index, output);
        Ok(())
    }

    /// A channel can only be taken by setting it: without `initial` that is at the first command.
    async fn channel(&mut self, pwm: &PwmConfig) -> Result<Option<Channel>, LineError> {
        let is_same = |held: &Channel| {
            (held.config.channel, held.config.frequency) == (pwm.channel, pwm.frequency)
        };
        if let Some(at) = self.held.channels.iter().position(is_same) {
            let mut channel = self.held.channels.swap_remove(at);
            channel.config = pwm.clone();
            return Ok(Some(channel));
        }
        self.held
            .channels
            .retain(|held| held.config.channel != pwm.channel);
        let percent = match self.driver.has_started {
            false => pwm.initial,
            true => pwm.safe,
        };
        let Some(percent) = percent else {
            return Ok(None);
        };
        let backend = &self.driver.backend;
        Channel::take(backend, pwm, percent.to_f64())
            .await
            .map(Some)
    }
}
