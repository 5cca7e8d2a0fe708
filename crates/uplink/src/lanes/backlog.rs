//! Blocks of the ring in memory, oldest first.

use std::collections::VecDeque;

use fieldgate_spool::ring::{Block, Record};

use super::Key;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Again,
    Sent,
    SentAgain,
    Done,
}

#[derive(Debug)]
struct Open {
    number: u64,
    epoch: u32,
    /// The place of its first record.
    base: u64,
    records: Vec<Record>,
    states: Vec<State>,
    /// Records at its beginning that are done and told.
    told: usize,
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    blocks: VecDeque<Open>,
    /// The place behind the last record.
    end: u64,
    next: u64,
    /// Records that are not done.
    left: usize,
    /// What it may send before new messages go: rises by its share each time it is asked.
    credit: f64,
    /// The newest block that is done with, and how much of it was not told.
    finished: Option<(u64, usize)>,
}

impl Backlog {
    pub(super) fn push(&mut self, block: Block) {
        let base = self.end;
        self.end += block.records.len() as u64;
        self.left += block.records.len();
        self.blocks.push_back(Open {
            number: block.number,
            epoch: block.epoch,
            base,
            states: vec![State::Waiting; block.records.len()],
            records: block.records,
            told: 0,
        });
        self.clean();
    }

    /// This message was sent before it came here, over this connection. Returns its place; `None` if it is not here.
    pub(super) fn take_over(&mut self, key: Key) -> Option<u64> {
        let place = self.place_of(key)?;
        *self.state(place)? = State::Sent;
        Some(place)
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn len(&self) -> usize {
        self.left
    }

    fn open(&self, place: u64) -> Option<(&Open, usize)> {
        let mut blocks = self.blocks.iter().rev();
        let open = blocks.find(|open| open.base <= place)?;
        let index = usize::try_from(place - open.base).ok()?;
        (index < open.records.len()).then_some((open, index))
    }

    fn state(&mut self, place: u64) -> Option<&mut State> {
        let mut blocks = self.blocks.iter_mut().rev();
        let open = blocks.find(|open| open.base <= place)?;
        let index = usize::try_from(place - open.base).ok()?;
        open.states.get_mut(index)
    }

    pub(super) fn get(&self, place: u64) -> Option<(u32, &Record)> {
        let (open, index) = self.open(place)?;
        let state = open.states.get(index)?;
        let record = open.records.get(index)?;
        (*state != State::Done).then_some((open.epoch, record))
    }

    pub(super) fn has_next(&mut self) -> bool {
        self.skip();
        self.next < self.end
    }

    fn skip(&mut self) {
        let first = self.blocks.front().map_or(self.end, |open| open.base);
        self.next = self.next.max(first);
        while self.next < self.end {
            let next = self.next;
            match self.state(next) {
                Some(State::Waiting | State::Again) => return,
                _ => self.next += 1,
            }
        }
    }

    /// Whether its share of messages has not been sent yet. To be asked once for each message.
    pub(super) fn owes(&mut self, share: f64) -> bool {
        self.credit += share;
        let owes = self.credit >= 1.0;
        if owes {
            self.credit -= 1.0;
        }
        owes
    }

    fn place_of(&self, (epoch, seq): Key) -> Option<u64> {
        self.blocks
            .iter()
            .filter(|open| open.epoch == epoch)
            .find_map(|open| {
                let mut records = open.records.iter().zip(&open.states);
                let index = records
                    .position(|(record, state)| record.seq == seq && *state != State::Done)?;
                Some(open.base + index as u64)
            })
    }

    pub(super) fn find(&self, key: Key) -> bool {
        self.place_of(key).is_some()
    }

    pub(super) fn send(&mut self, only: Option<Key>) -> Option<u64> {
        self.skip();
        let place = match only {
            Some(key) => self.place_of(key)?,
            None => self.next,
        };
        let state = self.state(place)?;
        *state = match *state {
            State::Again => State::SentAgain,
            _ => State::Sent,
        };
        Some(place)
    }

    pub(super) fn sent(&self, place: u64) -> Option<(u32, bool, &Record)> {
        let (open, index) = self.open(place)?;
        let state = open.states.get(index)?;
        let record = open.records.get(index)?;
        Some((open.epoch, *state == State::SentAgain, record))
    }

    pub(super) fn retry(&mut self, place: u64) {
        if let Some(state) = self.state(place) {
            *state = State::Again;
            self.next = self.next.min(place);
        }
    }

    pub(super) fn done(&mut self, place: u64) -> Option<(u32, Record)> {
        let mut blocks = self.blocks.iter_mut().rev();
        let open = blocks.find(|open| open.base <= place)?;
        let index = usize::try_from(place - open.base).ok()?;
        let (state, record) = (open.states.get_mut(index)?, open.records.get_mut(index)?);
        if *state == State::Done {
            return None;
        }
        *state = State::Done;
        let bytes = std::mem::take(&mut record.bytes);
        let found = (open.epoch, Record { bytes, ..*record });
        self.left -= 1;
        self.clean();
        Some(found)
    }

    pub(super) fn take_out(&mut self, epoch: u32, seq: u64) -> Option<Record> {
        let place = self.place_of((epoch, seq))?;
        self.done(place).map(|(_, record)| record)
    }

    /// Drops the blocks at the front that are done.
    fn clean(&mut self) {
        while let Some(open) = self.blocks.front() {
            if open.states.iter().any(|state| *state != State::Done) {
                return;
            }
            let rest = open.records.len() - open.told;
            self.finished = Some((open.number, rest));
            self.blocks.pop_front();
        }
    }

    pub(super) fn progress(&mut self) -> Option<(u64, usize)> {
        let done = self.blocks.front_mut().and_then(|open| {
            let done = open
                .states
                .iter()
                .take_while(|state| **state == State::Done)
                .count();
            let more = done - open.told;
            open.told = done;
            (more > 0).then_some((open.number, more))
        });
        // A later block says that those before it are done, too.
        let finished = self.finished.take();
        done.or(finished)
    }

    pub(super) fn again(&mut self) {
        for state in self.blocks.iter_mut().flat_map(|open| &mut open.states) {
            if matches!(state, State::Sent | State::SentAgain) {
                *state = State::Again;
            }
        }
        self.next = self.blocks.front().map_or(self.end, |open| open.base);
    }
}
