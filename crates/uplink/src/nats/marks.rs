//! Up to which message of a stream nothing is in doubt. Pure.
//!
//! Messages under way are in two generations. What was acknowledged before the older one began lies below all of those
//! that are under way.

use std::collections::BTreeMap;

/// The numbers of one stream.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    /// Before the older generation,
    low: u64,
    /// before the newer,
    middle: u64,
    /// and now.
    top: u64,
}

#[derive(Debug, Default)]
pub(super) struct Marks {
    streams: BTreeMap<String, Numbers>,
    generation: u64,
    /// Messages of the older generation and of the newer that are under way.
    under_way: [u64; 2],
}

impl Marks {
    /// Nothing is under way, and these are the last numbers.
    pub(super) fn new(tops: BTreeMap<String, u64>) -> Self {
        let all = |top| Numbers {
            low: top,
            middle: top,
            top,
        };
        Self {
            streams: tops
                .into_iter()
                .map(|(stream, top)| (stream, all(top)))
                .collect(),
            ..Self::default()
        }
    }

    /// A message is sent; its generation.
    pub(super) fn sent(&mut self) -> u64 {
        self.under_way[1] += 1;
        self.generation
    }

    pub(super) fn acknowledged(&mut self, generation: u64, stream: String, seq: u64) {
        let numbers = self.streams.entry(stream).or_default();
        numbers.top = numbers.top.max(seq);
        self.refused(generation);
    }

    /// It is not under way any more.
    pub(super) fn refused(&mut self, generation: u64) {
        let which = usize::from(generation == self.generation);
        self.under_way[which] = self.under_way[which].saturating_sub(1);
        if self.under_way[0] == 0 {
            self.turn();
        }
        if self.under_way == [0, 0] {
            self.turn();
        }
    }

    fn turn(&mut self) {
        for numbers in self.streams.values_mut() {
            numbers.low = numbers.middle;
            numbers.middle = numbers.top;
        }
        self.under_way = [self.under_way[1], 0];
        self.generation += 1;
    }

    /// Keeps where to begin to read.
    pub(super) fn save(&self, low: &mut BTreeMap<String, u64>) {
        low.extend(
            self.streams
                .iter()
                .map(|(stream, numbers)| (stream.clone(), numbers.low)),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn low(marks: &Marks) -> u64 {
        let mut low = BTreeMap::new();
        marks.save(&mut low);
        low["S"]
    }

    proptest! {
        /// Messages are stored in any order, some never, and acknowledged in any order, some never.
        #[test]
        fn what_is_under_way_is_never_below_the_mark(
            steps in prop::collection::vec((0..3_u8, any::<prop::sample::Index>()), 1..200), first in 1..100_u64,
        ) {
            let mut marks = Marks::new(BTreeMap::from([("S".to_owned(), first)]));
            // Sent; stored with a number; then acknowledged.
            let (mut sent, mut stored, mut next) = (Vec::new(), Vec::new(), first + 1);
            for (step, which) in steps {
                match step {
                    0 => sent.push(marks.sent()),
                    1 if !sent.is_empty() => {
                        stored.push((sent.swap_remove(which.index(sent.len())), next));
                        next += 1;
                    }
                    2 if !stored.is_empty() => {
                        let (generation, seq) = stored.swap_remove(which.index(stored.len()));
                        marks.acknowledged(generation, "S".to_owned(), seq);
                    }
                    _ => {}
                }
                let mark = low(&marks);
                prop_assert!(stored.iter().all(|(_, seq)| *seq > mark), "{} {:?}", mark, stored);
            }
            for (generation, seq) in stored {
                marks.acknowledged(generation, "S".to_owned(), seq);
            }
            if sent.is_empty() {
                prop_assert_eq!(low(&marks), next - 1);
            }
        }
    }

    #[test]
    fn the_mark_follows_while_messages_are_always_under_way() {
        let mut marks = Marks::new(BTreeMap::from([("S".to_owned(), 0)]));
        let mut under_way = std::collections::VecDeque::new();
        for seq in 1..=1_000 {
            under_way.push_back((marks.sent(), seq));
            if under_way.len() > 10 {
                let (generation, seq) = under_way.pop_front().unwrap();
                marks.acknowledged(generation, "S".to_owned(), seq);
            }
        }
        assert!(low(&marks) > 950, "{}", low(&marks));
    }
}
