//! Questions to events: what happened in a range.

use crate::events::store;
use crate::events::{Event, Kind};
use crate::file::Fault;
use crate::query::{Error, Range, Reader};

/// What is asked of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When it happened.
    pub range: Range,
    /// Only those of this device; the empty name is the gateway itself.
    pub device: Option<String>,
    /// Those of the gateway itself beside those of `device`.
    pub with_gateway: bool,
    /// Only these kinds; all if there are none.
    pub kinds: Vec<Kind>,
    /// The newest so many.
    pub most: usize,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// By their times; those of one time in the order in which they came.
    pub events: Vec<Event>,
    /// Whether there are older ones in the range.
    pub is_cut: bool,
}

impl Asked {
    fn means(&self, event: &Event) -> bool {
        let at = event.millisecond();
        let is_own = |device: &String| {
            *device == event.device || (self.with_gateway && event.device.is_empty())
        };
        (self.range.from..self.range.to).contains(&at)
            && self.device.as_ref().is_none_or(is_own)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
    }
}

/// The newest of some events.
#[derive(Default)]
struct Newest {
    events: Vec<Event>,
    is_cut: bool,
}

impl Newest {
    fn push(&mut self, event: Event, most: usize) {
        self.events.push(event);
        if self.events.len() >= most.saturating_mul(2) {
            self.cut(most);
        }
    }

    fn cut(&mut self, most: usize) {
        self.events.sort_by_key(|event| event.at);
        let surplus = self.events.len().saturating_sub(most);
        self.events.drain(..surplus);
        self.is_cut |= surplus > 0;
    }
}

impl Reader {
    /// What happened. `go_on` is asked now and then.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or `go_on` says no.
    pub fn events(&self, asked: &Asked, go_on: &dyn Fn() -> bool) -> Result<Happened, Error> {
        let (pieces, pending): (Vec<_>, Vec<_>) = {
            let state = self.shared.lock();
            let pending = state.events.pending.iter();
            let pending = pending.filter(|event| asked.means(event)).cloned();
            (state.pieces.clone(), pending.collect())
        };
        let most = asked.most.max(1);
        let mut newest = Newest::default();
        let in_range = |times: (i64, i64)| times.0 < asked.range.to && asked.range.from <= times.1;
        for piece in pieces
            .iter()
            .filter(|piece| piece.times.is_none_or(in_range))
        {
            if !go_on() {
                return Err(Error::Withdrawn);
            }
            let walked = store::read(piece, |event| {
                if asked.means(&event) {
                    newest.push(event, most);
                }
            });
            walked.map_err(Fault::from)?;
        }
        for event in pending {
            newest.push(event, most);
        }
        newest.cut(most);
        Ok(Happened {
            events: newest.events,
            is_cut: newest.is_cut,
        })
    }
}
