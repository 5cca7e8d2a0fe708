//! From one block to the next.

use super::block::{self, Block, Stamp};
use super::{Lent, RAW_MAX, Ring, Spot};
use crate::Error;
use crate::frame::{BLOCK, HEAD, Head};
use crate::segment::Segment;

impl Ring {
    /// The next block, if there is one. Blocks that are damaged or too old at `now` are left out
    /// and counted. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&mut self, now: u64) -> Result<Option<Block>, Error> {
        while !self.is_read() {
            let Some((head, at)) = self.find_next()? else {
                continue;
            };
            let Some((segment, end)) = self.segment(self.read.generation)? else {
                continue;
            };
            let behind = at + head.size() as u64;
            let is_sane = head.raw() <= RAW_MAX && behind <= end;
            let payload = match is_sane {
                true => segment.payload(at, &head)?,
                false => None,
            };
            let stamp = Stamp::decode(&head.stamp);
            let generation = self.read.generation;
            let spot = Spot {
                generation,
                at: if is_sane { behind } else { at + BLOCK as u64 },
                number: head.number + 1,
            };
            let block = payload.and_then(|payload| block::of_head(&head, &payload));
            self.read = spot;
            let taken = Some(stamp.times.1).filter(|taken| *taken > 0);
            let ends = taken
                .zip(self.bounds.age)
                .map(|(taken, age)| taken.saturating_add(age));
            let is_old = ends.is_some_and(|end| end < now);
            match block {
                Some(block) if !is_old => {
                    return Ok(Some(self.lend(block, spot)));
                }
                found => {
                    let count = u64::from(stamp.count);
                    match found {
                        Some(_) => self.figures.aged += count,
                        None => self.figures.damaged += 1,
                    }
                    self.figures.records = self.figures.records.saturating_sub(count);
                    self.figures.lose(stamp.times.0, stamp.times.1);
                    self.seen = stamp.times.1;
                    if self.lent.is_empty() {
                        self.move_to(spot);
                    }
                }
            }
        }
        if self.lent.is_empty() && self.acked != self.read {
            self.move_to(self.read);
        }
        Ok(None)
    }

    /// Of the block at the cursor those records that are not acknowledged.
    fn lend(&mut self, mut block: Block, behind: Spot) -> Block {
        let count = block.records.len() as u32;
        if block.number == self.cursor.number {
            block
                .records
                .drain(..(self.cursor.skip as usize).min(block.records.len()));
        }
        self.last_read = block.records.last().map_or(0, |record| record.time);
        self.lent.push_back(Lent {
            number: block.number,
            count,
            last: self.last_read,
            behind,
        });
        block
    }

    /// The header of the next block and where it is, in the segment of `self.read`. `None`: look again.
    fn find_next(&mut self) -> Result<Option<(Head, u64)>, Error> {
        let Spot {
            generation,
            mut at,
            number,
        } = self.read;
        let salt = self.cursor.salt;
        let mut found = None;
        if let Some((segment, end)) = self.segment(generation)? {
            while at + HEAD as u64 <= end {
                let head = segment.head(at)?;
                let is_ours = |head: &Head| {
                    head.generation == generation && head.salt == salt && head.number >= number
                };
                if let Some(head) = head.filter(is_ours) {
                    found = Some((head, at));
                    break;
                }
                at += BLOCK as u64;
            }
        }
        if let Some((head, at)) = found {
            let missing = block::first_of(&head).saturating_sub(number);
            self.miss(missing, Stamp::decode(&head.stamp).times.0);
            self.read.at = at;
            return Ok(found);
        }
        let next = self.index(generation).map_or(0, |index| index + 1);
        match self.parts.get(next).map(|part| part.generation) {
            Some(generation) => {
                self.read = Spot {
                    generation,
                    at: 0,
                    number,
                };
            }
            // The end of all that can be found.
            None => {
                let missing = self.cursor.next.saturating_sub(number);
                self.miss(missing, self.last_read);
                self.read.number = self.cursor.next;
            }
        }
        Ok(None)
    }

    fn miss(&mut self, blocks: u64, until: u64) {
        if blocks > 0 {
            self.figures.damaged += blocks;
            self.figures.lose(self.last_read.min(until), until);
        }
    }

    /// The segment of a generation and where it ends.
    fn segment(&mut self, generation: u64) -> Result<Option<(&Segment, u64)>, Error> {
        let index = self.index(generation);
        let Some(part) = index.and_then(|index| self.parts.get(index)) else {
            return Ok(None);
        };
        let (path, end) = (part.path.clone(), part.end);
        let is_head = self
            .parts
            .back()
            .is_some_and(|last| last.generation == generation);
        if let Some(head) = self.head.as_ref().filter(|_| is_head) {
            return Ok(Some((head, end)));
        }
        if self
            .reading
            .as_ref()
            .is_none_or(|(open, _)| *open != generation)
        {
            self.reading = Some((generation, Segment::open(path)?));
        }
        Ok(self.reading.as_ref().map(|(_, segment)| (segment, end)))
    }
}
