//! A device: what it is, what it told last, and commands to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fieldgate_bridge::{Figures, Request, Sender, Unsent as NotSent};
use fieldgate_model::{Command, Outcome, Point, Sample, Value};
use jiff::Timestamp;
use tokio::sync::oneshot::Receiver;

use crate::Changes;
use crate::reading::{Reading, Readings};
use crate::tally::{Kinds, Tally};

/// What a device is.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name, as in the configuration.
    pub name: String,
    /// The name of the bridge that serves it.
    pub bridge: String,
    /// The name of its bus, if it is on one.
    pub bus: Option<String>,
    /// Its points, in the order of the configuration.
    pub points: Arc<[Point]>,
    /// Where commands to it go.
    pub requests: Sender<Box<Request>>,
    /// The index that stands for raw bytes, if it takes them.
    pub raw: Option<usize>,
}

/// How a device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not answered since the gateway started or changed it.
    #[default]
    Starting,
    /// It answers.
    Online,
    /// It does not.
    Offline {
        /// Why, for people.
        error: String,
        /// Since when.
        since: Timestamp,
    },
}

/// A device that is there now.
#[derive(Debug)]
pub struct Device {
    about: About,
    changes: Changes,
    kinds: Kinds,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    state: State,
    tally: Tally,
    readings: Readings,
    /// The newest change of anything here.
    change: u64,
}

/// Why a command did not get to its device, for the client that sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent(pub String);

/// What will become of one command. An error if the device was removed meanwhile.
pub type Answer = Receiver<Outcome>;
/// What will become of several, in their order. An error if the device was removed meanwhile.
pub type Answers = Receiver<Vec<Outcome>>;

impl Device {
    pub(crate) fn new(about: About, changes: Changes, kinds: Kinds) -> Self {
        let now = Now {
            readings: Readings::new(about.points.len()),
            change: changes.next(),
            ..Now::default()
        };
        Self {
            about,
            changes,
            kinds,
            now: Mutex::new(now),
        }
    }

    /// What it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its points, in the order of the configuration.
    pub fn points(&self) -> &[Point] {
        &self.about.points
    }

    /// How it is.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Its counters, not older than the gateway looks at them. Those of some bridges are counted with the bus.
    pub fn figures(&self) -> Figures {
        self.lock().tally.figures()
    }

    /// The last reading of a point; `None` if there was none yet, or there is no such point.
    pub fn reading(&self, point: usize) -> Option<Reading> {
        self.lock().readings.get(point)
    }

    /// The last readings of all points, in their order.
    pub fn readings(&self) -> Vec<Option<Reading>> {
        self.lock().readings.all()
    }

    /// The same as samples, of those points that have one.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.each_sample(|_, sample| samples.push(sample));
        samples
    }

    /// Calls `found` with each of them and its point. Readings wait meanwhile.
    pub fn each_sample(&self, mut found: impl FnMut(&Point, Sample)) {
        let now = self.lock();
        for (place, point) in self.points().iter().enumerate() {
            if let Some(reading) = now.readings.get(place) {
                found(point, reading.sample(place));
            }
        }
    }

    /// Which points have got a new reading since change `number`, with it. Costs next to nothing if there is none.
    pub fn changed_since(&self, number: u64) -> Vec<(usize, Reading)> {
        let now = self.lock();
        if now.change <= number {
            return Vec::new();
        }
        now.readings.since(number)
    }

    /// Whether anything of it has changed since change `number`.
    pub fn has_changed_since(&self, number: u64) -> bool {
        self.lock().change > number
    }

    /// Takes over what another device told of points that both have: a device that was changed keeps its readings, which
    /// are stale until it answers.
    pub fn inherit(&self, other: &Self) {
        let names = other.points().iter().map(|point| point.name.as_str());
        let mut old: HashMap<&str, Option<Reading>> = names.zip(other.readings()).collect();
        let mut now = self.lock();
        let change = self.changes.next();
        now.change = change;
        let mut readings = Readings::new(self.points().len());
        for (place, point) in self.points().iter().enumerate() {
            let old = old.get_mut(point.name.as_str()).and_then(Option::take);
            if let Some(old) = old {
                let change = old.change;
                readings.put(&old.sample(place), change);
            }
        }
        readings.age(change);
        now.readings = readings;
    }

    /// Says what it told. Samples of points that it does not have, such as raw bytes, are left out.
    pub fn take(&self, samples: &[Sample]) {
        let mut now = self.lock();
        let change = self.changes.next();
        now.change = change;
        for sample in samples {
            now.readings.put(sample, change);
        }
    }

    /// Says how it is.
    pub fn set_state(&self, state: State) {
        let mut now = self.lock();
        now.change = self.changes.next();
        now.state = state;
    }

    /// Says that nothing looks at it any more, and why: its good readings are stale from now on.
    pub fn abandon(&self, error: &str) {
        let mut now = self.lock();
        let change = self.changes.next();
        now.change = change;
        now.readings.age(change);
        now.state = State::Offline {
            error: error.to_owned(),
            since: Timestamp::now(),
        };
    }

    /// Says what its counters are.
    pub fn count(&self, figures: &Figures) {
        let tally = self.kinds.tally(figures);
        let mut now = self.lock();
        if now.tally != tally {
            now.change = self.changes.next();
            now.tally = tally;
        }
    }

    /// Has a value written to a point.
    ///
    /// # Errors
    ///
    /// If there is no such point, it takes no commands, or the device takes none now.
    pub fn write(&self, point: &str, value: Value) -> Result<Answer, Unsent> {
        let point = self.writable(point)?;
        self.one(Command { point, value })
    }

    /// Has values written to several points, in this order.
    ///
    /// # Errors
    ///
    /// Those of [`Device::write`], for any of them; then none is written.
    pub fn write_all(&self, values: Vec<(String, Value)>) -> Result<Answers, Unsent> {
        let commands = values.into_iter();
        let commands = commands.map(|(name, value)| {
            let point = self.writable(&name)?;
            Ok(Command { point, value })
        });
        let commands: Result<Vec<_>, Unsent> = commands.collect();
        let (request, answers) = Request::several(commands?);
        self.send(request)?;
        Ok(answers)
    }

    /// Has bytes sent to the device as they are.
    ///
    /// # Errors
    ///
    /// If it takes no bytes, or nothing now.
    pub fn write_raw(&self, bytes: Vec<u8>) -> Result<Answer, Unsent> {
        let unsent = || Unsent("the device has no `raw: true`".to_owned());
        let point = self.about.raw.ok_or_else(unsent)?;
        self.one(Command {
            point,
            value: Value::Bytes(bytes),
        })
    }

    fn one(&self, command: Command) -> Result<Answer, Unsent> {
        let (request, answer) = Request::new(command);
        self.send(request)?;
        Ok(answer)
    }

    fn send(&self, request: Box<Request>) -> Result<(), Unsent> {
        let sent = self.about.requests.try_send(request);
        sent.map_err(|error| {
            Unsent(match error {
                NotSent::Full => "busy: too many commands are waiting".to_owned(),
                NotSent::Closed => "the device was stopped".to_owned(),
            })
        })
    }

    /// The index of a point that takes commands.
    fn writable(&self, name: &str) -> Result<usize, Unsent> {
        let device = &self.about.name;
        let mut points = self.about.points.iter().enumerate();
        let found = points.find(|(_, point)| point.name == name);
        let text = match found {
            Some((index, point)) if point.writable => return Ok(index),
            Some(_) => format!("the point \"{name}\" is read-only: it has no `write`"),
            None => format!("the device \"{device}\" has no point \"{name}\""),
        };
        Err(Unsent(text))
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
