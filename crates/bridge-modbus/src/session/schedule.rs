//! When which points are read. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use fieldgate_bridge::Poll;
use tokio::time::Instant;

use crate::config::DeviceConfig;

/// From where the periods of a device are counted: from `phase` before `origin`. Devices with the same origin and
/// phase are polled in the same moments, whenever they were opened.
#[derive(Clone, Copy, Debug)]
pub struct Periods {
    /// A moment that is not after the device was opened.
    pub origin: Instant,
    /// How long before that.
    pub phase: Duration,
}

/// The points of a device by their periods. All periods count from the same moment, so that those
/// that divide each other are due together and share requests.
#[derive(Debug)]
pub(crate) struct Schedule {
    periods: Periods,
    groups: Vec<Group>,
    /// Something is read once, and has not been read. Of most devices everything is read again and again.
    has_once: bool,
}

#[derive(Debug)]
struct Group {
    period: Duration,
    is_once: bool,
    next: Instant,
    points: Points,
}

/// Places of points, in little room.
#[derive(Debug)]
enum Points {
    /// Without a gap, as those of most devices, which are all read equally often.
    Run(Range<u32>),
    List(Box<[u32]>),
}

impl From<Vec<u32>> for Points {
    /// They are in order, and each is there once.
    fn from(points: Vec<u32>) -> Self {
        match points[..] {
            [] => Self::Run(0..0),
            [first, ..] if points.iter().copied().eq((first..).take(points.len())) => {
                Self::Run(first..points.last().map_or(first, |last| last + 1))
            }
            _ => Self::List(points.into()),
        }
    }
}

impl Points {
    fn iter(&self) -> impl Iterator<Item = u32> {
        let (run, list) = match self {
            Self::Run(run) => (run.clone(), &[][..]),
            Self::List(list) => (0..0, &list[..]),
        };
        run.chain(list.iter().copied())
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// How soon a point that is read once is tried again if there was no answer.
const ONCE_RETRY: Duration = Duration::from_secs(10);

impl Schedule {
    /// Everything is due at `start`, and then where the periods end.
    pub(crate) fn new(device: &DeviceConfig, start: Instant, periods: Periods) -> Self {
        let mut by_poll: BTreeMap<Poll, Vec<u32>> = BTreeMap::new();
        for (index, (_, point)) in (0..).zip(device.points.iter()) {
            if let Some(poll) = point.poll {
                by_poll.entry(poll).or_default().push(index);
            }
        }
        let groups = by_poll.into_iter().map(|(poll, points)| Group {
            period: match poll {
                Poll::Every(period) => period.get(),
                Poll::Once => ONCE_RETRY,
            },
            is_once: poll == Poll::Once,
            next: start,
            points: points.into(),
        });
        let mut schedule = Self {
            periods,
            groups: groups.collect(),
            has_once: false,
        };
        schedule.look_for_once();
        schedule
    }

    fn look_for_once(&mut self) {
        self.has_once = self.groups.iter().any(|group| group.is_once);
    }

    /// When something is due next; `None` if all has been read that is read once.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.groups.iter().map(|group| group.next).min()
    }

    /// The points that are due at `now`. Times that have been missed are left out, not made up.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<usize> {
        let Periods { origin, phase } = self.periods;
        let mut due = Vec::new();
        for group in self.groups.iter_mut().filter(|group| group.next <= now) {
            due.extend(group.points.iter().map(|point| point as usize));
            let period = group.period.as_nanos().max(1);
            let passed = (now.saturating_duration_since(origin) + phase).as_nanos() % period;
            let passed = Duration::from_nanos(u64::try_from(passed).unwrap_or_default());
            group.next = now + group.period.saturating_sub(passed);
        }
        due
    }

    /// Takes a point that is read once off the list.
    pub(crate) fn answered(&mut self, point: usize) {
        if self.has_once {
            self.answered_once(point);
        }
    }

    fn answered_once(&mut self, point: usize) {
        let has = |group: &&mut Group| group.points.iter().any(|other| other as usize == point);
        let once = self.groups.iter_mut().filter(|group| group.is_once);
        for group in once.filter(has) {
            let left = group.points.iter();
            let left: Vec<u32> = left.filter(|&other| other as usize != point).collect();
            group.points = left.into();
        }
        self.groups.retain(|group| !group.points.is_empty());
        self.look_for_once();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeviceEntry;
    use fieldgate_bridge::Defaults;

    fn schedule(start: Instant, periods: Periods) -> Schedule {
        let json = r#"{"bus": "b", "unit": 1, "points": {
            "a": {"coil": 0},
            "b": {"coil": 1, "poll": "3s"},
            "c": {"coil": 2, "poll": "once"},
            "d": {"coil": 3, "poll": "1s"}
        }}"#;
        let entry: DeviceEntry = serde_json::from_str(json).unwrap();
        let device = entry.resolve("d", 1, None, &Defaults::default()).unwrap();
        Schedule::new(&device, start, periods)
    }

    #[test]
    fn places_of_points_come_back_as_they_were() {
        for (places, is_run) in [
            (vec![], true),
            (vec![3], true),
            (vec![0, 1, 2], true),
            (vec![7, 8], true),
            (vec![0, 2], false),
            (vec![0, 1, 3], false),
        ] {
            let points = Points::from(places.clone());
            assert_eq!(matches!(points, Points::Run(_)), is_run, "{places:?}");
            assert_eq!(points.is_empty(), places.is_empty());
            assert_eq!(points.iter().collect::<Vec<_>>(), places);
        }
    }

    fn periods(origin: Instant, phase_ms: u64) -> Periods {
        Periods {
            origin,
            phase: Duration::from_millis(phase_ms),
        }
    }

    #[test]
    fn devices_that_were_opened_at_different_times_are_polled_in_the_same_moments() {
        let origin = Instant::now();
        for opened_ms in [0, 1, 250, 1_999, 86_400_017] {
            let start = origin + Duration::from_millis(opened_ms);
            let mut schedule = schedule(start, periods(origin, 50));
            schedule.take_due(start);
            let next = schedule.next().unwrap() - origin;
            assert_eq!(next.as_millis() % 1_000, 950, "{opened_ms} ms");
            assert!(next.as_millis() > u128::from(opened_ms));
        }
    }

    #[test]
    fn periods_keep_step_and_missed_times_are_left_out() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut schedule = schedule(start, periods(start, 0));
        for (now, want, next) in [
            (0, vec![0, 3, 1, 2], 1_000),
            (999, vec![], 1_000),
            (1_003, vec![0, 3], 2_000),
            (2_000, vec![0, 3], 3_000),
            (3_000, vec![0, 3, 1], 4_000),
            // Two rounds were missed; the pace stays.
            (6_400, vec![0, 3, 1], 7_000),
            (10_000, vec![0, 3, 1, 2], 11_000),
        ] {
            assert_eq!(schedule.take_due(at(now)), want, "{now} ms");
            assert_eq!(schedule.next(), Some(at(next)), "{now} ms");
        }
    }

    #[test]
    fn a_phase_shortens_the_first_period_and_periods_keep_step() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut schedule = schedule(start, periods(start, 1_300));
        for (now, want, next) in [
            (0, vec![0, 3, 1, 2], 700),
            (700, vec![0, 3], 1_700),
            (1_702, vec![0, 3, 1], 2_700),
            (4_700, vec![0, 3, 1], 5_700),
        ] {
            assert_eq!(schedule.take_due(at(now)), want, "{now} ms");
            assert_eq!(schedule.next(), Some(at(next)), "{now} ms");
        }
    }

    #[test]
    fn a_point_that_is_read_once_is_done_when_it_was_answered() {
        let start = Instant::now();
        let mut schedule = schedule(start, periods(start, 0));
        schedule.take_due(start);
        schedule.answered(2);
        schedule.answered(0);
        let due = schedule.take_due(start + Duration::from_secs(30));
        assert_eq!(due, [0, 3, 1]);
    }
}
