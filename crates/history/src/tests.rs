//! Coding and layout, by their properties.

mod counting;
mod exporting;
mod happening;
mod keeping;

use fieldgate_model::{Decimal, Quality};
use proptest::prelude::*;

use crate::cells::{self, Cell};
use crate::file::{self, Header, Level, Series, What, Writer};
use crate::reading::{Number, Reading};
use crate::{chunk, column};

pub(crate) fn reading(at: i64, number: Option<Number>) -> Reading {
    Reading {
        at,
        number,
        quality: Quality::Good,
        is_clock_set: true,
    }
}

fn number() -> impl Strategy<Value = Number> {
    let decimal = |mantissa: i128, digits| {
        Decimal::new(mantissa, digits).map_or(Number::Bool(true), Number::decimal)
    };
    prop_oneof![
        any::<bool>().prop_map(Number::Bool),
        (-3_000..3_000_i128, 0..4_u8).prop_map(move |(m, d)| decimal(m, d)),
        (any::<i64>(), 0..37_u8).prop_map(move |(m, d)| decimal(m.into(), d)),
        (any::<i128>(), 0..37_u8).prop_map(move |(m, d)| decimal(m, d)),
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(i64::MAX - 1)]
            .prop_map(move |m| decimal(m.into(), 0)),
        any::<u32>().prop_map(|bits| Number::F32(f32::from_bits(bits))),
        (0..100_u8).prop_map(|whole| Number::F32(f32::from(whole) / 10.0)),
        any::<u64>().prop_map(|bits| Number::F64(f64::from_bits(bits))),
        prop_oneof![
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(-0.0),
            Just(f64::MIN)
        ]
        .prop_map(Number::F64),
    ]
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let quality =
        prop_oneof![8 => Just(Quality::Good), 1 => Just(Quality::Stale), 1 => Just(Quality::Bad)];
    let time = prop_oneof![8 => 990..1_010_i64, 1 => Just(0), 1 => -90_000_000..90_000_000_i64, 1 => any::<i64>()];
    let one = (time, number(), quality, any::<bool>(), 0..10_u8);
    let one = one.prop_map(|(step, number, quality, is_clock_set, none)| {
        (
            step,
            Reading {
                at: 0,
                number: Some(number).filter(|_| none > 0),
                quality,
                is_clock_set,
            },
        )
    });
    // Mostly of one kind, as a point's numbers are.
    let same = proptest::collection::vec((995..1_005_i64, -50..50_i64), 0..300).prop_map(|steps| {
        let mut mantissa = 2_300;
        let readings = steps.into_iter().map(|(step, change)| {
            mantissa += change;
            let number = Decimal::new(mantissa.into(), 1).map(Number::decimal);
            (step, reading(0, number))
        });
        readings.collect::<Vec<_>>()
    });
    prop_oneof![same, proptest::collection::vec(one, 0..200)].prop_map(|steps| {
        let mut at = 1_790_000_000_000_i64;
        let readings = steps.into_iter().map(|(step, reading)| {
            at = at.wrapping_add(step);
            Reading { at, ..reading }
        });
        readings.collect()
    })
}

/// In as many chunks as it takes.
fn chunks(mut readings: &[Reading], base: i64) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while !readings.is_empty() {
        let mut bytes = Vec::new();
        let count = chunk::encode(readings, base, &mut bytes);
        assert!(count > 0);
        readings = &readings[count..];
        chunks.push(bytes);
    }
    chunks
}

proptest! {
    #[test]
    fn whole_numbers_come_out_as_they_went_in(
        values in prop_oneof![
            proptest::collection::vec(any::<i64>(), 0..200),
            proptest::collection::vec((-5..5_i64).prop_map(|v| v * 1_000), 0..200),
            proptest::collection::vec(prop_oneof![Just(i64::MIN), Just(0), Just(i64::MAX)], 0..200),
        ],
        base in any::<i64>(),
    ) {
        let mut bytes = Vec::new();
        column::encode(&values, base, &mut bytes);
        bytes.push(7);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(column::decode(&mut rest, values.len(), base), Some(values));
        prop_assert_eq!(rest, [7]);
    }

    #[test]
    fn readings_come_out_as_they_went_in(readings in readings(), base in any::<i64>()) {
        let mut found = Vec::new();
        for chunk in chunks(&readings, base) {
            let mut rest = chunk.as_slice();
            let all = chunk::decode(&mut rest, base).unwrap();
            prop_assert!(rest.is_empty());
            let before = all.get(all.len() / 2).map_or(0, |reading| reading.at);
            let want = all.iter().rev().find(|reading| reading.at < before).cloned();
            prop_assert_eq!(chunk::last_before(&mut chunk.as_slice(), base, before), Some(want));
            found.extend(all);
        }
        prop_assert_eq!(found, readings);
    }

    #[test]
    fn no_bytes_make_decoding_fail_otherwise_than_by_saying_so(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        readings in readings(),
        spoilt in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
    ) {
        let _ = chunk::decode(&mut bytes.as_slice(), 0);
        let _ = cells::decode(&mut bytes.as_slice(), 0);
        for chunk in chunks(&readings, 0) {
            bytes.clone_from(&chunk);
            for (at, with) in &spoilt {
                let place = at % bytes.len();
                bytes[place] ^= with;
            }
            let _ = chunk::decode(&mut bytes.as_slice(), 0);
        }
    }

    /// But for means, which are rounded, roll-ups are what the readings say.
    #[test]
    fn cells_come_out_as_they_went_in(readings in readings(), span in prop_oneof![Just(1_000), Just(60_000)]) {
        let mut all = Vec::new();
        cells::of_readings(&readings, span, &mut all);
        let counted: u64 = all.iter().map(|cell| cell.count).sum();
        let good = readings.iter().filter(|one| one.quality == Quality::Good);
        let good = good.filter(|one| one.number.as_ref().is_some_and(|number| number.to_f64().is_finite()));
        prop_assert_eq!(counted, good.count() as u64);
        let mut bytes = Vec::new();
        cells::encode(&all, 0, &mut bytes);
        let found = cells::decode(&mut bytes.as_slice(), 0).unwrap();
        prop_assert_eq!(found.len(), all.len());
        for (found, cell) in found.iter().zip(&all) {
            let mean = |cell: &Cell| cell.numbers.map(|all| all.mean);
            if let (Some(found), Some(mean)) = (mean(found), mean(cell)) {
                let near = (found - mean).abs() <= mean.abs() * 1e-9 + 0.006;
                prop_assert!(near || found.is_nan() == mean.is_nan(), "{} for {}", found, mean);
            }
            let exact = |cell: &Cell| cell.numbers.map(|all| [all.min, all.max, all.first, all.last]);
            let bits = |cell: &Cell| exact(cell).map(|all| all.map(f64::to_bits));
            prop_assert_eq!(bits(found), bits(cell));
            prop_assert_eq!((found.start, found.count, found.worst), (cell.start, cell.count, cell.worst));
        }
    }

    /// What is read from a spoilt file was written, and what is lost is no more than the block that was hit.
    #[test]
    fn damage_costs_a_block_at_most(at in any::<usize>(), with in 1..=255_u8, cut in any::<bool>()) {
        let (bytes, blocks) = sample_file();
        let mut spoilt = bytes.clone();
        let at = at % bytes.len();
        if cut {
            spoilt.truncate(at);
        } else {
            spoilt[at] ^= with;
        }
        let Ok(opened) = file::open(spoilt.as_slice()) else {
            prop_assert!(at < 40, "only the header makes a file unreadable, not byte {}", at);
            return Ok(());
        };
        let (size, entries) = (spoilt.len() as u64, opened.index.len() as u64);
        for entry in opened.index.iter().filter(|_| !opened.is_damaged) {
            let own = file::find(spoilt.as_slice(), size, entries, entry.hash).unwrap();
            prop_assert_eq!(own.as_deref(), Some(opened.of(entry.hash)));
        }
        let mut found = Vec::new();
        for entry in &opened.index {
            if let Some(block) = file::read(spoilt.as_slice(), entry).unwrap() {
                found.push(block);
            }
        }
        for block in &found {
            prop_assert!(blocks.contains(block));
        }
        let lost = blocks.len() - found.len();
        let most = if cut { blocks.len() } else { 1 };
        prop_assert!(lost <= most, "{} blocks lost", lost);
    }
}

type Blocks = Vec<(Series, Vec<u8>)>;

fn sample_file() -> (Vec<u8>, Blocks) {
    let header = Header {
        level: Level::Hour,
        parts: (3, 3),
    };
    let mut writer = Writer::new(Vec::new(), header).unwrap();
    let mut blocks = Vec::new();
    for number in 0..5_u8 {
        let series = Series {
            device: format!("meter{}", number % 2),
            point: format!("p{number}"),
        };
        let data = vec![number; usize::from(number) * 37];
        writer
            .block(&series, What::Readings, 4, (5, 10), &data)
            .unwrap();
        blocks.push((series, data));
    }
    (writer.finish().unwrap().0, blocks)
}

#[test]
fn a_file_without_its_end_is_read_as_far_as_it_goes() {
    let (bytes, blocks) = sample_file();
    let opened = file::open(bytes.as_slice()).unwrap();
    assert!(!opened.is_damaged);
    for (series, data) in &blocks {
        let entries = opened.of(series.hash());
        assert_eq!(entries.len(), 1);
        let block = file::read(bytes.as_slice(), &entries[0]).unwrap();
        assert_eq!(block.as_ref(), Some(&(series.clone(), data.clone())));
    }
    let cut = &bytes[..bytes.len() - 1];
    let walked = file::open(cut).unwrap();
    assert!(walked.is_damaged);
    assert_eq!((walked.index, walked.times), (opened.index, opened.times));
}

#[test]
fn a_file_of_another_version_or_of_something_else_is_refused_by_its_name() {
    let (bytes, _) = sample_file();
    for (at, with, want) in [
        (0, 1, "this is no file of history"),
        (8, 3, "it has version 2, and this program reads version 1"),
        (12, 9, "this is no file of history"),
    ] {
        let mut other = bytes.clone();
        other[at] ^= with;
        let fault = file::open(other.as_slice()).unwrap_err();
        assert_eq!(fault.to_string(), want);
    }
}
