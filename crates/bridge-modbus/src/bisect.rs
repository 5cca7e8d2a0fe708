//! Finds what in a request a device refuses, by halves. Pure.
//!
//! A request over many points can be refused because of one hole between two of them. Halves are
//! asked, then halves of the half that is refused, so that a hole among n points is found with
//! about 2 log2 n requests, and all that can be read together still is afterwards.

use crate::config::{DeviceConfig, Table};
use crate::data::ReadRequest;
use crate::plan::{Breaks, split};

/// The search in one refused request.
#[derive(Debug)]
pub(crate) struct Bisect {
    /// What is left, the next one last.
    todo: Vec<Task>,
    /// Whether the parts that are done could be read as a whole.
    whole: Vec<bool>,
    found: Breaks,
}

#[derive(Debug)]
enum Task {
    Read(ReadRequest),
    /// Both halves are done; the second begins here.
    Join(Table, u16),
}

impl Bisect {
    /// The search in `refused`; `None` if it cannot be divided.
    pub(crate) fn new(device: &DeviceConfig, refused: &ReadRequest) -> Option<Self> {
        let mut search = Self {
            todo: Vec::new(),
            whole: Vec::new(),
            found: Breaks::new(),
        };
        search.divide(device, refused).then_some(search)
    }

    /// The next part to read; `None` when the search is over.
    pub(crate) fn next_part(&mut self) -> Option<ReadRequest> {
        loop {
            match self.todo.pop()? {
                Task::Read(part) => return Some(part),
                Task::Join(table, middle) => {
                    let second = self.whole.pop().unwrap_or(false);
                    let first = self.whole.pop().unwrap_or(false);
                    if first && second {
                        // Only what lies between them can be wrong, or their size.
                        self.found.insert((table, middle));
                    }
                    self.whole.push(false);
                }
            }
        }
    }

    /// The part was read.
    pub(crate) fn was_read(&mut self) {
        self.whole.push(true);
    }

    /// The part was refused. True if it is divided further; else its points cannot be read, and
    /// are left alone from now on.
    pub(crate) fn was_refused(&mut self, device: &DeviceConfig, part: &ReadRequest) -> bool {
        if self.divide(device, part) {
            return true;
        }
        self.found.insert((part.table, part.address));
        if let Some(end) = part.address.checked_add(part.count) {
            self.found.insert((part.table, end));
        }
        self.whole.push(false);
        false
    }

    /// Addresses across which the device cannot be read.
    pub(crate) fn found(&self) -> &Breaks {
        &self.found
    }

    fn divide(&mut self, device: &DeviceConfig, request: &ReadRequest) -> bool {
        let Some((first, second)) = split(device, request) else {
            return false;
        };
        self.todo.push(Task::Join(second.table, second.address));
        self.todo.push(Task::Read(second));
        self.todo.push(Task::Read(first));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeviceEntry;
    use crate::plan::plan;
    use fieldgate_bridge::Defaults;
    use proptest::prelude::*;

    fn device(addresses: impl IntoIterator<Item = u16>) -> DeviceConfig {
        let points: Vec<_> = addresses
            .into_iter()
            .map(|at| format!("\"p{at}\": {{\"input\": {at}, \"as\": \"u16\"}}"))
            .collect();
        let points = points.join(",");
        let json = format!(r#"{{"bus": "b", "unit": 1, "points": {{{points}}}}}"#);
        let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
        entry.resolve("d", 1, None, &Defaults::default()).unwrap()
    }

    /// Searches until nothing is refused any more. Returns how many requests that took, and how
    /// many the plan then has.
    fn learn(device: &DeviceConfig, refuses: impl Fn(u16, u16) -> bool) -> (usize, Breaks) {
        let all: Vec<_> = (0..device.points.len()).collect();
        let (mut breaks, mut requests) = (Breaks::new(), 0);
        for _round in 0..100 {
            let mut is_refused = false;
            for request in plan(device, &all, &breaks) {
                if !refuses(request.address, request.count) {
                    continue;
                }
                let Some(mut search) = Bisect::new(device, &request) else {
                    continue;
                };
                is_refused = true;
                while let Some(part) = search.next_part() {
                    requests += 1;
                    if refuses(part.address, part.count) {
                        search.was_refused(device, &part);
                    } else {
                        search.was_read();
                    }
                }
                breaks.extend(search.found());
            }
            if !is_refused {
                return (requests, breaks);
            }
        }
        panic!("it does not end");
    }

    fn touches(holes: &[u16], address: u16, count: u16) -> bool {
        holes.iter().any(|hole| {
            (u32::from(address)..u32::from(address) + u32::from(count)).contains(&u32::from(*hole))
        })
    }

    #[test]
    fn a_hole_is_found_by_halves_and_the_rest_stays_together() {
        // Every third address from 0 to 96: 33 points, a gap behind each.
        let device = device((0..33).map(|n| n * 3));
        for hole in [1u16, 40, 94] {
            let (requests, breaks) = learn(&device, |at, count| touches(&[hole], at, count));
            assert!(requests <= 12, "{hole}: {requests} requests");
            let next = hole.div_ceil(3) * 3;
            assert_eq!(breaks, Breaks::from([(Table::Input, next)]), "{hole}");
            let all: Vec<_> = (0..33).collect();
            assert_eq!(plan(&device, &all, &breaks).len(), 2);
        }
    }

    #[test]
    fn a_point_that_does_not_exist_is_set_apart() {
        let device = device(0..32);
        let (requests, breaks) = learn(&device, |at, count| touches(&[9], at, count));
        assert!(requests <= 12, "{requests} requests");
        let all: Vec<_> = (0..32).collect();
        let sizes: Vec<u16> = plan(&device, &all, &breaks)
            .iter()
            .map(|r| r.count)
            .collect();
        assert_eq!(sizes, [9, 1, 22]);
    }

    #[test]
    fn a_device_that_takes_fewer_registers_than_said_is_asked_for_fewer() {
        let device = device(0..100);
        let (_, breaks) = learn(&device, |_, count| count > 60);
        let all: Vec<_> = (0..100).collect();
        let sizes: Vec<u16> = plan(&device, &all, &breaks)
            .iter()
            .map(|r| r.count)
            .collect();
        assert_eq!(sizes, [50, 50]);
    }

    proptest! {
        #[test]
        fn whatever_the_holes_all_that_exists_can_be_read_afterwards(
            points in proptest::collection::btree_set(0u16..120, 1..40),
            holes in proptest::collection::btree_set(0u16..120, 0..6),
        ) {
            let device = device(points.clone());
            let holes: Vec<u16> = holes.into_iter().collect();
            let refuses = |at: u16, count: u16| touches(&holes, at, count);
            let (_, breaks) = learn(&device, refuses);
            let all: Vec<_> = (0..points.len()).collect();
            for request in plan(&device, &all, &breaks) {
                let missing = touches(&holes, request.address, request.count);
                prop_assert!(!missing || request.count == 1, "{request:?}");
            }
        }
    }
}
