//! Which requests read which points. Pure.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included};

use crate::config::{DeviceConfig, PointConfig, Table};
use crate::data::ReadRequest;

/// Addresses at which a new request must begin, learned from a device that refused to be read
/// across them.
pub type Breaks = BTreeSet<(Table, u16)>;

/// A gap of 16 bits costs the wire as much as one of one register.
const BITS_PER_REGISTER: u16 = 16;

/// Plans the fewest requests that read the points `due`, given as indices into the device's list;
/// one that is not in the list is left out.
///
/// A request never spans more than the device's limits, never reads more than `max_gap` unused
/// registers in a row, and never begins or ends inside a point. Requests are in the order of
/// tables and addresses. Points are taken in the order of their addresses and each joins the
/// request before it if it can, which is the fewest that there can be.
pub fn plan(device: &DeviceConfig, due: &[usize], breaks: &Breaks) -> Vec<ReadRequest> {
    let mut points: Vec<(usize, &PointConfig)> = Vec::with_capacity(due.len());
    let known = |index: &usize| Some((*index, &device.points.get(*index)?.1));
    points.extend(due.iter().filter_map(known));
    points.sort_by_key(|(index, point)| (point.table, point.address, point.end(), *index));
    points.dedup_by_key(|(index, _)| *index);
    let mut spans: Vec<(Span, Vec<usize>)> = Vec::new();
    for (index, point) in points {
        let joined = spans
            .last()
            .filter(|(span, _)| !is_broken(breaks, span, point))
            .and_then(|(span, _)| join(device, span, point));
        match (joined, spans.last_mut()) {
            (Some(count), Some((span, indices))) => {
                span.count = count;
                indices.push(index);
            }
            _ => spans.push((Span::of(point), vec![index])),
        }
    }
    let requests = spans.into_iter();
    requests
        .map(|(span, indices)| span.request(indices))
        .collect()
}

/// The same, remembered for all devices with the same points: they are asked again and again.
pub(crate) fn planned(device: &DeviceConfig, due: &[usize], breaks: &Breaks) -> Vec<ReadRequest> {
    if !breaks.is_empty() {
        return plan(device, due, breaks);
    }
    let limits = [device.max_gap, device.max_registers, device.max_bits];
    let make = || plan(device, due, breaks);
    device.points.planned(limits, due, make)
}

/// What a request reads.
struct Span {
    table: Table,
    address: u16,
    count: u16,
}

impl Span {
    fn of(point: &PointConfig) -> Self {
        Self {
            table: point.table,
            address: point.address,
            count: point.kind.registers(),
        }
    }

    fn request(self, points: Vec<usize>) -> ReadRequest {
        let Self {
            table,
            address,
            count,
        } = self;
        ReadRequest {
            table,
            address,
            count,
            points: points.into(),
        }
    }
}

/// Whether a request must not reach as far as a point, which does not begin before it.
fn is_broken(breaks: &Breaks, request: &Span, point: &PointConfig) -> bool {
    let start = (request.table, request.address);
    let end = (point.table, point.address);
    start < end
        && breaks
            .range((Excluded(start), Included(end)))
            .next()
            .is_some()
}

/// How many registers a request would have with one more point; `None` if it may not have it.
fn join(device: &DeviceConfig, request: &Span, point: &PointConfig) -> Option<u16> {
    let (max_count, max_gap) = if point.table.is_bits() {
        let gap = device.max_gap.saturating_mul(BITS_PER_REGISTER);
        (device.max_bits, gap)
    } else {
        (device.max_registers, device.max_gap)
    };
    let start = u32::from(request.address);
    let end = start + u32::from(request.count);
    let gap = u32::from(point.address).saturating_sub(end);
    let count = u16::try_from(end.max(point.end()) - start).ok()?;
    let fits = request.table == point.table && gap <= u32::from(max_gap) && count <= max_count;
    fits.then_some(count)
}

/// Divides a request that the device refused: at the gap that is nearest to its middle, or, if it
/// has no gap, in its middle. `None` if it cannot be divided.
pub(crate) fn split(
    device: &DeviceConfig,
    request: &ReadRequest,
) -> Option<(ReadRequest, ReadRequest)> {
    let mut points: Vec<(usize, &PointConfig)> = request
        .points
        .iter()
        .filter_map(|index| Some((*index, &device.points.get(*index)?.1)))
        .collect();
    points.sort_by_key(|(index, point)| (point.address, point.end(), *index));
    let middle = u32::from(request.address) * 2 + u32::from(request.count);
    let mut end = points.first().map(|(_, point)| point.end())?;
    // Gaps before everything else, then the nearest to the middle.
    let mut best: Option<((bool, u32), usize)> = None;
    for (place, (_, point)) in points.iter().enumerate() {
        let start = u32::from(point.address);
        if start >= end {
            let score = (start == end, (start * 2).abs_diff(middle));
            if best.is_none_or(|(other, _)| score < other) {
                best = Some((score, place));
            }
        }
        end = end.max(point.end());
    }
    let (first, second) = points.split_at_checked(best?.1)?;
    Some((
        around(request.table, first)?,
        around(request.table, second)?,
    ))
}

/// The request over points in the order of their addresses.
fn around(table: Table, points: &[(usize, &PointConfig)]) -> Option<ReadRequest> {
    let address = points.first()?.1.address;
    let end = points.iter().map(|(_, point)| point.end()).max()?;
    Some(ReadRequest {
        table,
        address,
        count: u16::try_from(end - u32::from(address)).ok()?,
        points: points.iter().map(|(index, _)| *index).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DeviceEntry, Type};
    use fieldgate_bridge::Defaults;
    use proptest::prelude::*;

    fn device(layout: &str, points: &[&str]) -> DeviceConfig {
        let points: Vec<_> = points
            .iter()
            .enumerate()
            .map(|(index, point)| format!("\"p{index}\": {{{point}}}"))
            .collect();
        let json = format!(
            r#"{{"bus": "b", "unit": 1, "modbus": {{{layout}}}, "points": {{{}}}}}"#,
            points.join(",")
        );
        let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
        entry.resolve("d", 1, None, &Defaults::default()).unwrap()
    }

    fn planned(device: &DeviceConfig, breaks: &Breaks) -> Vec<(u16, u16, Vec<usize>)> {
        let all: Vec<_> = (0..device.points.len()).collect();
        let requests = plan(device, &all, breaks).into_iter();
        requests
            .map(|request| (request.address, request.count, request.points.to_vec()))
            .collect()
    }

    #[test]
    fn points_are_merged_within_gap_and_size() {
        let word = |address: u16| format!("\"input\": {address}, \"as\": \"u16\"");
        for (layout, points, want) in [
            (
                "\"max_gap\": 0",
                vec![word(0), word(1)],
                vec![(0, 2, vec![0, 1])],
            ),
            (
                "\"max_gap\": 0",
                vec![word(0), word(2)],
                vec![(0, 1, vec![0]), (2, 1, vec![1])],
            ),
            (
                "\"max_gap\": 1",
                vec![word(2), word(0)],
                vec![(0, 3, vec![1, 0])],
            ),
            (
                "\"max_gap\": 8",
                vec![word(0), word(10)],
                vec![(0, 1, vec![0]), (10, 1, vec![1])],
            ),
            (
                "\"max_registers\": 2",
                vec![word(0), word(1), word(2)],
                vec![(0, 2, vec![0, 1]), (2, 1, vec![2])],
            ),
            ("", vec![word(5), word(5)], vec![(5, 1, vec![0, 1])]),
            (
                "",
                vec![word(65535), "\"input\": 65532, \"as\": \"u32\"".into()],
                vec![(65532, 4, vec![1, 0])],
            ),
            // A point never falls into two requests.
            (
                "\"max_registers\": 3",
                vec![
                    word(0),
                    "\"input\": 1, \"as\": \"u32\"".into(),
                    "\"input\": 3, \"as\": \"u32\"".into(),
                ],
                vec![(0, 3, vec![0, 1]), (3, 2, vec![2])],
            ),
            // One long point covers short ones behind it.
            (
                "\"max_registers\": 10",
                vec![
                    word(0),
                    "\"input\": 5, \"as\": \"string(20)\"".into(),
                    word(8),
                ],
                vec![(0, 1, vec![0]), (5, 10, vec![1, 2])],
            ),
            (
                "",
                vec![word(1), "\"holding\": 2, \"as\": \"u16\"".into()],
                vec![(1, 1, vec![0]), (2, 1, vec![1])],
            ),
            (
                "",
                vec!["\"coil\": 0".into(), "\"coil\": 129".into()],
                vec![(0, 130, vec![0, 1])],
            ),
            (
                "",
                vec!["\"coil\": 0".into(), "\"coil\": 130".into()],
                vec![(0, 1, vec![0]), (130, 1, vec![1])],
            ),
        ] {
            let points: Vec<_> = points.iter().map(String::as_str).collect();
            assert_eq!(
                planned(&device(layout, &points), &Breaks::new()),
                want,
                "{points:?}"
            );
        }
    }

    #[test]
    fn only_points_that_are_due_are_read_and_unknown_ones_are_left_out() {
        let device = device("", &["\"coil\": 0", "\"coil\": 1", "\"coil\": 2"]);
        let requests = plan(&device, &[2, 99, 1, 2], &Breaks::new());
        assert_eq!(requests.len(), 1);
        assert_eq!((requests[0].address, requests[0].count), (1, 2));
        assert_eq!(*requests[0].points, [1, 2]);
        assert_eq!(plan(&device, &[], &Breaks::new()), vec![]);
    }

    #[test]
    fn a_refused_request_is_divided_at_the_gap_nearest_its_middle_or_in_its_middle() {
        let word = |at: u16| format!("\"input\": {at}, \"as\": \"u16\"");
        let long = "\"input\": 0, \"as\": \"string(12)\"".to_owned();
        for (points, want) in [
            (vec![word(0)], None),
            (vec![word(0), word(1)], Some(((0, 1), (1, 1)))),
            (
                vec![word(0), word(1), word(4), word(5), word(8)],
                Some(((0, 2), (4, 5))),
            ),
            (
                vec![word(0), word(1), word(2), word(9)],
                Some(((0, 3), (9, 1))),
            ),
            (
                vec![word(0), word(1), word(2), word(3)],
                Some(((0, 2), (2, 2))),
            ),
            // What lies within another point cannot be parted from it.
            (vec![long.clone(), word(3)], None),
            (vec![long, word(3), word(6)], Some(((0, 6), (6, 1)))),
        ] {
            let texts: Vec<_> = points.iter().map(String::as_str).collect();
            let device = device("", &texts);
            let all: Vec<_> = (0..points.len()).collect();
            let request = plan(&device, &all, &Breaks::new()).remove(0);
            let place = |part: ReadRequest| (part.address, part.count);
            let parts = split(&device, &request);
            let got = parts.map(|(first, second)| (place(first), place(second)));
            assert_eq!(got, want, "{points:?}");
        }
    }

    #[test]
    fn a_request_never_spans_a_break_and_points_of_one_register_stay_together() {
        let device = device(
            "",
            &[
                "\"input\": 10, \"as\": \"u16\"",
                "\"input\": 12, \"as\": \"bit(0)\"",
                "\"input\": 12, \"as\": \"bit(1)\"",
                "\"input\": 13, \"as\": \"u16\"",
                "\"holding\": 12, \"as\": \"u16\"",
            ],
        );
        let breaks = Breaks::from([(Table::Input, 12)]);
        for (due, want) in [
            (&[0, 1, 2, 3][..], vec![(10, 1), (12, 2)]),
            (&[0, 3], vec![(10, 1), (13, 1)]),
            (&[3, 4], vec![(13, 1), (12, 1)]),
            (&[1, 2], vec![(12, 1)]),
        ] {
            let requests = plan(&device, due, &breaks);
            let places: Vec<_> = requests.iter().map(|r| (r.address, r.count)).collect();
            assert_eq!(places, want, "{due:?}");
        }
    }

    fn kinds() -> impl Strategy<Value = Type> {
        prop_oneof![
            Just(Type::U16),
            Just(Type::U32),
            Just(Type::F64),
            (1u8..=20).prop_map(Type::String)
        ]
    }

    /// The fewest requests, by trying every way to cut the sorted points into groups.
    fn fewest(device: &DeviceConfig) -> usize {
        let mut points: Vec<_> = device.points.iter().map(|(_, point)| point).collect();
        points.sort_by_key(|point| (point.address, point.end()));
        let count = points.len();
        let groups_of = |assignment: &[usize]| {
            let mut groups = vec![Vec::new(); count];
            for (point, group) in points.iter().zip(assignment) {
                groups[*group].push(*point);
            }
            groups
        };
        let is_allowed = |group: &Vec<&PointConfig>| {
            let Some(first) = group.first() else {
                return true;
            };
            let mut end = first.end();
            for point in group {
                if u32::from(point.address) > end + u32::from(device.max_gap) {
                    return false;
                }
                end = end.max(point.end());
            }
            end - u32::from(first.address) <= u32::from(device.max_registers)
        };
        let mut best = count;
        let mut assignment = vec![0; count];
        'all: loop {
            let groups = groups_of(&assignment);
            if groups.iter().all(is_allowed) {
                best = best.min(groups.iter().filter(|group| !group.is_empty()).count());
            }
            for digit in &mut assignment {
                *digit += 1;
                if *digit < count {
                    continue 'all;
                }
                *digit = 0;
            }
            return best;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_point_is_covered_once_within_the_limits(
            places in proptest::collection::vec((0u16..400, kinds()), 1..40),
            max_gap in 0u16..20,
            max_registers in 10u16..=125,
        ) {
            let points: Vec<_> = places
                .iter()
                .map(|(at, kind)| format!("\"holding\": {at}, \"as\": \"{kind}\""))
                .collect();
            let points: Vec<_> = points.iter().map(String::as_str).collect();
            let layout = format!("\"max_gap\": {max_gap}, \"max_registers\": {max_registers}");
            let device = device(&layout, &points);
            let all: Vec<_> = (0..points.len()).collect();
            let requests = plan(&device, &all, &Breaks::new());
            let mut covered: Vec<_> = requests.iter().flat_map(|request| request.points.to_vec()).collect();
            covered.sort_unstable();
            prop_assert_eq!(covered, all);
            for request in &requests {
                prop_assert!((1..=max_registers).contains(&request.count));
                let end = u32::from(request.address) + u32::from(request.count);
                for index in &*request.points {
                    let point = &device.points[*index].1;
                    prop_assert!(point.address >= request.address && point.end() <= end);
                }
                let used = |at: u32| request.points.iter().any(|index| {
                    let point = &device.points[*index].1;
                    (u32::from(point.address)..point.end()).contains(&at)
                });
                let mut gap = 0;
                for at in u32::from(request.address)..end {
                    gap = if used(at) { 0 } else { gap + 1 };
                    prop_assert!(gap <= max_gap);
                }
            }
        }

        #[test]
        fn what_is_remembered_is_what_would_be_planned(
            places in proptest::collection::vec(0u16..60, 1..12),
            asked in proptest::collection::vec((0usize..12, 0usize..12, 1u16..4, any::<bool>()), 1..30),
        ) {
            let points: Vec<_> = places
                .iter()
                .map(|at| format!("\"holding\": {at}, \"as\": \"u16\""))
                .collect();
            let points: Vec<_> = points.iter().map(String::as_str).collect();
            let mut device = device("", &points);
            for (first, count, max_gap, is_broken) in asked {
                // Devices with the same points may have other limits.
                device.max_gap = max_gap;
                let due: Vec<_> = (first..first + count).collect();
                let breaks: Breaks = is_broken.then_some((Table::Holding, 30)).into_iter().collect();
                let want = plan(&device, &due, &breaks);
                prop_assert_eq!(super::planned(&device, &due, &breaks), want);
            }
        }

        #[test]
        fn there_are_never_more_requests_than_needed(
            places in proptest::collection::vec((0u16..24, kinds()), 1..6),
            max_gap in 0u16..6,
            max_registers in 10u16..16,
        ) {
            let points: Vec<_> = places
                .iter()
                .map(|(at, kind)| format!("\"holding\": {at}, \"as\": \"{kind}\""))
                .collect();
            let points: Vec<_> = points.iter().map(String::as_str).collect();
            let layout = format!("\"max_gap\": {max_gap}, \"max_registers\": {max_registers}");
            let device = device(&layout, &points);
            prop_assert_eq!(planned(&device, &Breaks::new()).len(), fewest(&device));
        }
    }
}
