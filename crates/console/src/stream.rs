//! What pages want to be told while they are open: the streams, and the points of each.
//!
//! A stream keeps the points that its page shows and the change up to which it has told them. So a page that takes
//! nothing costs nothing, and when it takes something again it gets the newest value of each point.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::Token;

/// Streams at a time.
pub(crate) const STREAMS_MAX: usize = 32;
/// Points of one stream: more than any screen shows.
pub(crate) const POINTS_MAX: usize = 500;

/// All streams, by number.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    streams: HashMap<u64, Arc<Shared>>,
}

/// One stream, for its body and for those who change it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) token: Token,
    pub(crate) wanted: Mutex<Wanted>,
}

/// A point, as it is named: device and point.
pub(crate) type Named = (String, String);

/// What one stream tells.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Points by device.
    pub(crate) points: BTreeMap<String, BTreeSet<String>>,
    count: usize,
    /// Those whose reading was not told yet.
    pub(crate) fresh: Vec<Named>,
    /// Whether devices are told of.
    pub(crate) states: bool,
}

/// Why a stream is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NoSuchStream,
    TooManyPoints,
}

impl Streams {
    /// Changes what a stream tells. Only its own session may.
    pub(crate) fn change(
        &self,
        number: u64,
        token: &Token,
        add: Vec<Named>,
        remove: &[Named],
    ) -> Result<(), Refused> {
        let stream = self.lock().streams.get(&number).cloned();
        let stream = stream.filter(|stream| stream.token == *token);
        let stream = stream.ok_or(Refused::NoSuchStream)?;
        let mut wanted = lock(&stream.wanted);
        remove.iter().for_each(|point| wanted.remove(point));
        wanted.add(add)
    }

    /// A new stream. Returns its number; `None` if there are too many.
    pub(crate) fn open(&self, stream: &Arc<Shared>) -> Option<u64> {
        let mut open = self.lock();
        if open.streams.len() >= STREAMS_MAX {
            return None;
        }
        open.last += 1;
        let number = open.last;
        open.streams.insert(number, Arc::clone(stream));
        Some(number)
    }

    pub(crate) fn close(&self, number: u64) {
        self.lock().streams.remove(&number);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().streams.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

impl Wanted {
    /// No points, and devices if `states`.
    pub(crate) fn new(states: bool) -> Self {
        Self {
            states,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, points: Vec<Named>) -> Result<(), Refused> {
        for (device, point) in points {
            if self.count >= POINTS_MAX {
                return Err(Refused::TooManyPoints);
            }
            let known = self.points.entry(device.clone()).or_default();
            if known.insert(point.clone()) {
                self.count += 1;
                self.fresh.push((device, point));
            }
        }
        Ok(())
    }

    fn remove(&mut self, (device, point): &Named) {
        let Some(points) = self.points.get_mut(device) else {
            return;
        };
        if points.remove(point) {
            self.count -= 1;
            self.fresh
                .retain(|(other, fresh)| other != device || fresh != point);
        }
        if points.is_empty() {
            self.points.remove(device);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(device: &str, point: impl ToString) -> Named {
        (device.to_owned(), point.to_string())
    }

    #[test]
    fn a_stream_tells_of_so_many_points_and_no_more() {
        let mut wanted = Wanted::default();
        let all = (0..POINTS_MAX).map(|number| named("d", number)).collect();
        assert_eq!(wanted.add(all), Ok(()));
        assert_eq!(wanted.add(vec![named("e", 1)]), Err(Refused::TooManyPoints));
        wanted.remove(&named("d", 7));
        wanted.remove(&named("d", 7));
        wanted.remove(&named("x", 7));
        assert_eq!(wanted.count, POINTS_MAX - 1);
        assert_eq!(wanted.fresh.len(), POINTS_MAX - 1);
        assert_eq!(wanted.add(vec![named("e", 1)]), Ok(()));
        assert_eq!(wanted.count, POINTS_MAX);
        wanted.remove(&named("e", 1));
        assert!(!wanted.points.contains_key("e"));
    }
}
