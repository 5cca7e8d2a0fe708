//! The ring on a real file system, and its format.

mod thin;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::frame::Place;

const SMALL: u64 = 64 * 1024;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("fieldgate-ring-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bounds(segments: u64) -> Bounds {
    Bounds {
        bytes: segments * SMALL,
        segment: SMALL,
        age: None,
        when_full: WhenFull::DropOldest,
    }
}

/// Records `from..to`, each with bytes that do not shrink.
fn records(from: u64, to: u64) -> Vec<Record> {
    let bytes = |seq: u64| {
        let mut state = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..1_000).map(step).collect()
    };
    let record = |seq| Record {
        seq,
        time: 1_000_000 + seq,
        bytes: bytes(seq),
    };
    (from..to).map(record).collect()
}

fn append(ring: &mut Ring, from: u64, to: u64) {
    let epoch = ring.epoch();
    assert_eq!(ring.append(epoch, &records(from, to)).unwrap(), 0);
}

fn seqs(block: &Block) -> Vec<u64> {
    block.records.iter().map(|record| record.seq).collect()
}

/// All records behind the place that is read next.
fn rest(ring: &mut Ring) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(block) = ring.read(0).unwrap() {
        let wanted = records(block.records[0].seq, block.records.last().unwrap().seq + 1);
        assert_eq!(block.records, wanted);
        all.extend(seqs(&block));
    }
    all
}

#[test]
fn what_is_appended_is_read_in_order_and_what_is_acknowledged_never_again() {
    let folder = Folder::new("order");
    let mut ring = Ring::open(&folder.0, bounds(10)).unwrap();
    let first_epoch = ring.epoch();
    for block in 0..30 {
        append(&mut ring, block * 10, block * 10 + 10);
    }
    assert_eq!(ring.figures().records, 300);
    assert_eq!(ring.figures().oldest, Some(1_000_000));
    let block = ring.read(0).unwrap().unwrap();
    ring.acknowledge(block.number, 10);
    let block = ring.read(0).unwrap().unwrap();
    // A part of a block, and then a little more.
    ring.acknowledge(block.number, 3);
    ring.acknowledge(block.number, 2);
    ring.save().unwrap();
    assert_eq!(ring.figures().records, 285);
    ring.rewind();
    assert_eq!(rest(&mut ring), (15..300).collect::<Vec<_>>());
    drop(ring);
    let mut ring = Ring::open(&folder.0, bounds(10)).unwrap();
    assert!(ring.epoch() > first_epoch);
    assert_eq!(ring.figures().records, 285);
    assert_eq!(rest(&mut ring), (15..300).collect::<Vec<_>>());
    append(&mut ring, 300, 305);
    let block = ring.read(0).unwrap().unwrap();
    assert_eq!(seqs(&block), [300, 301, 302, 303, 304]);
    // Everything before it too.
    ring.acknowledge(block.number, 5);
    assert_eq!(ring.figures().records, 0);
    ring.save().unwrap();
    drop(ring);
    let mut ring = Ring::open(&folder.0, bounds(10)).unwrap();
    assert_eq!((ring.figures().records, rest(&mut ring)), (0, Vec::new()));
}

#[test]
fn files_are_used_again_and_never_exceed_the_bound() {
    let folder = Folder::new("reuse");
    let mut ring = Ring::open(&folder.0, bounds(4)).unwrap();
    for round in 0..200 {
        append(&mut ring, round * 12, round * 12 + 12);
        if round >= 5 {
            let block = ring.read(0).unwrap().unwrap();
            assert_eq!(block.records[0].seq, (round - 5) * 12);
            ring.acknowledge(block.number, 12);
        }
    }
    assert_eq!(ring.figures().full, 0);
    let files = fs::read_dir(&folder.0).unwrap();
    let sizes = files.map(|file| file.unwrap().metadata().unwrap().len());
    let bytes: u64 = sizes.sum();
    assert!(bytes <= 4 * SMALL + 8_192, "{bytes}");
    // Zeros once, then blocks of 12 KiB and cursors.
    assert!(ring.figures().written < 3 * SMALL + 200 * 24_576);
}

#[test]
fn a_full_ring_drops_the_oldest_or_the_newest_counts_it_and_goes_on() {
    for (when_full, name) in [
        (WhenFull::DropOldest, "oldest"),
        (WhenFull::DropNewest, "newest"),
    ] {
        let folder = Folder::new(name);
        let bounds = Bounds {
            when_full,
            ..bounds(2)
        };
        let mut ring = Ring::open(&folder.0, bounds).unwrap();
        let mut refused = 0;
        for block in 0..20 {
            let epoch = ring.epoch();
            refused += ring
                .append(epoch, &records(block * 12, block * 12 + 12))
                .unwrap() as u64;
        }
        let figures = ring.figures();
        assert_eq!(figures.records + figures.full, 240, "{name}");
        assert!(figures.full > 100, "{name}");
        let kept = rest(&mut ring);
        assert_eq!(kept.len() as u64, figures.records, "{name}");
        match when_full {
            WhenFull::DropOldest => {
                assert_eq!(refused, 0);
                assert_eq!(kept, (240 - figures.records..240).collect::<Vec<_>>());
                let (from, to) = figures.lost.unwrap();
                assert_eq!((from, to), (1_000_000, 1_000_000 + figures.full - 1));
            }
            WhenFull::DropNewest => {
                assert_eq!(refused, figures.full);
                assert_eq!(kept, (0..figures.records).collect::<Vec<_>>());
            }
            WhenFull::Thin => unreachable!(),
        }
        // It goes on once there is room.
        let last = ring.lent.back().unwrap().number;
        ring.acknowledge(last, 12);
        append(&mut ring, 1_000, 1_012);
        assert_eq!(
            rest(&mut ring),
            (1_000..1_012).collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[test]
fn what_is_lent_while_its_segment_is_dropped_can_still_be_acknowledged() {
    let folder = Folder::new("lent");
    let mut ring = Ring::open(&folder.0, bounds(2)).unwrap();
    append(&mut ring, 0, 12);
    let block = ring.read(0).unwrap().unwrap();
    for round in 1..20 {
        append(&mut ring, round * 12, round * 12 + 12);
    }
    ring.acknowledge(block.number, 12);
    let first = ring.read(0).unwrap().unwrap();
    assert!(first.number > block.number + 1);
    let figures = ring.figures();
    // The block on loan was acknowledged after it had been counted as dropped.
    assert_eq!(figures.records + figures.full, 240);
}

#[test]
fn a_damaged_block_costs_that_block_wherever_the_byte_is() {
    let folder = Folder::new("damage");
    let mut ring = Ring::open(&folder.0, bounds(4)).unwrap();
    for block in 0..12 {
        append(&mut ring, block * 12, block * 12 + 12);
    }
    drop(ring);
    let mut segments: Vec<_> = fs::read_dir(&folder.0)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    segments.retain(|path| path.to_str().unwrap().contains("ring-0"));
    segments.sort();
    for (segment, path) in segments.iter().enumerate() {
        let good = fs::read(path).unwrap();
        for at in [
            0,
            20,
            60,
            100,
            5_000,
            12_288 + 8,
            12_288 + 90,
            12_288 + 12_000,
        ] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x20;
            fs::write(path, &bytes).unwrap();
            let mut ring = Ring::open(&folder.0, bounds(4)).unwrap();
            let found = rest(&mut ring);
            let block = segment as u64 * 5 + at as u64 / 12_288;
            let want: Vec<_> = (0..144).filter(|seq| seq / 12 != block).collect();
            assert_eq!(found, want, "{path:?} at {at}");
            assert_eq!(ring.figures().damaged, 1, "{path:?} at {at}");
            let (from, to) = ring.figures().lost.unwrap();
            assert!(from <= to && to >= 1_000_000 + block * 12 - 1, "{at}");
            drop(ring);
            fs::write(path, &good).unwrap();
        }
    }
}

#[test]
fn a_lost_cursor_brings_records_again_and_loses_none() {
    let folder = Folder::new("cursor");
    let cursor = folder.0.join("cursor");
    for damage in ["gone", "cut", "both", "one"] {
        let _ = fs::remove_dir_all(&folder.0);
        let mut ring = Ring::open(&folder.0, bounds(6)).unwrap();
        for block in 0..12 {
            append(&mut ring, block * 12, block * 12 + 12);
        }
        for _ in 0..3 {
            let block = ring.read(0).unwrap().unwrap();
            ring.acknowledge(block.number, 12);
            ring.save().unwrap();
        }
        let epoch = ring.epoch();
        drop(ring);
        let mut bytes = fs::read(&cursor).unwrap();
        match damage {
            "gone" => fs::remove_file(&cursor).unwrap(),
            "cut" => fs::write(&cursor, &bytes[..20]).unwrap(),
            "both" => {
                bytes[30] ^= 1;
                bytes[4_096 + 30] ^= 1;
                fs::write(&cursor, &bytes).unwrap();
            }
            _ => {
                let newer = Cursor::decode(&bytes).unwrap().turn
                    > Cursor::decode(&bytes[4_096..]).unwrap().turn;
                bytes[if newer { 30 } else { 4_126 }] ^= 1;
                fs::write(&cursor, &bytes).unwrap();
            }
        }
        let mut ring = Ring::open(&folder.0, bounds(6)).unwrap();
        assert!(ring.epoch() > epoch, "{damage}");
        let from = if damage == "one" { 24 } else { 0 };
        assert_eq!(rest(&mut ring), (from..144).collect::<Vec<_>>(), "{damage}");
    }
}

#[test]
fn records_that_are_too_old_are_left_out_and_counted() {
    let folder = Folder::new("age");
    let bounds = Bounds {
        age: Some(50),
        ..bounds(4)
    };
    let mut ring = Ring::open(&folder.0, bounds).unwrap();
    for block in 0..10 {
        append(&mut ring, block * 12, block * 12 + 12);
    }
    // The blocks that end at 11, 23, 35 and 47 are older than 50 ms now.
    let block = ring.read(1_000_000 + 100).unwrap().unwrap();
    assert_eq!(block.records[0].seq, 48);
    let figures = ring.figures();
    assert_eq!((figures.aged, figures.records), (48, 72));
    assert_eq!(figures.lost, Some((1_000_000, 1_000_047)));
    // Without a clock nothing is too old.
    let unknown = Record {
        seq: 200,
        time: 0,
        bytes: vec![1],
    };
    ring.append(1, std::slice::from_ref(&unknown)).unwrap();
    while let Some(block) = ring.read(1_000_000 + 100).unwrap() {
        if block.records[0] == unknown {
            return;
        }
    }
    panic!("it was left out");
}

#[test]
fn one_process_at_a_time_has_it_and_a_record_that_fits_no_segment_is_refused() {
    let folder = Folder::new("lock");
    let mut ring = Ring::open(&folder.0, bounds(2)).unwrap();
    assert!(matches!(
        Ring::open(&folder.0, bounds(2)),
        Err(Error::InUse)
    ));
    let mut one = records(0, 1);
    one[0].bytes = records(0, 70)
        .into_iter()
        .flat_map(|record| record.bytes)
        .collect();
    assert_eq!(ring.append(1, &one).unwrap(), 1);
    assert_eq!(ring.figures().full, 1);
    append(&mut ring, 1, 2);
    assert_eq!(rest(&mut ring), [1]);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Read,
    Acknowledge(u8),
    Rewind,
    Save,
    /// As after a kill: nothing is saved.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..14_u8).prop_map(Step::Append),
        4 => Just(Step::Read),
        3 => (1..14_u8).prop_map(Step::Acknowledge),
        1 => Just(Step::Rewind),
        1 => Just(Step::Save),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// All records that are neither acknowledged nor dropped come, in order and without a gap; and the count is right.
fn play(folder: &Path, steps: &[Step]) {
    let _ = fs::remove_dir_all(folder);
    let bounds = bounds(5);
    let mut ring = Ring::open(folder, bounds).unwrap();
    let (mut next, mut acked, mut saved) = (0_u64, 0_u64, 0_u64);
    let mut lent: VecDeque<Block> = VecDeque::new();
    let mut expected = 0;
    for step in steps {
        match step {
            Step::Append(count) => {
                append(&mut ring, next, next + u64::from(*count));
                next += u64::from(*count);
            }
            Step::Read => match ring.read(0).unwrap() {
                None => assert!(expected == next || ring.figures().full > 0),
                Some(block) => {
                    let first = block.records[0].seq;
                    assert!(
                        first == expected || ring.figures().full > 0,
                        "{first} {expected}"
                    );
                    assert!(first >= expected);
                    expected = block.records.last().unwrap().seq + 1;
                    lent.push_back(block);
                }
            },
            Step::Acknowledge(count) => {
                let Some(block) = lent.front_mut() else {
                    continue;
                };
                let count = usize::from(*count).min(block.records.len());
                ring.acknowledge(block.number, count);
                acked = block.records[count - 1].seq + 1;
                block.records.drain(..count);
                if block.records.is_empty() {
                    lent.pop_front();
                }
            }
            Step::Rewind => {
                ring.rewind();
                lent.clear();
                expected = acked;
            }
            Step::Save => {
                ring.save().unwrap();
                saved = acked;
            }
            Step::Reopen => {
                let full = ring.figures().full;
                drop(ring);
                ring = Ring::open(folder, bounds).unwrap();
                lent.clear();
                if full > 0 {
                    return;
                }
                let first = ring
                    .read(0)
                    .unwrap()
                    .map_or(next, |block| block.records[0].seq);
                assert!(saved <= first && first <= acked, "{saved} {first} {acked}");
                ring.rewind();
                (acked, saved, expected) = (first, first, first);
            }
        }
        if ring.figures().full == 0 {
            assert_eq!(ring.figures().records, next - acked);
            assert_eq!(ring.figures().damaged, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_happens_nothing_is_lost_and_nothing_comes_that_was_acknowledged(steps in steps()) {
        let folder = Folder::new("steps");
        play(&folder.0, &steps);
    }
}

proptest! {
    #[test]
    fn any_records_come_back(
        records in prop::collection::vec((any::<u16>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..50)), 1..40),
        start in any::<u32>(),
    ) {
        let mut seq = u64::from(start);
        let records: Vec<_> = records.into_iter().map(|(step, time, bytes)| {
            seq += u64::from(step);
            Record { seq, time: time.into(), bytes }
        }).collect();
        let place = Place { salt: 1, generation: 2, number: 3, tail: 1, stamp: [0; STAMP] };
        let mut bytes = Vec::new();
        block::write(place, 7, &records, None, &mut bytes).unwrap();
        prop_assert_eq!(bytes.len() % BLOCK, 0);
        let block = read_block(&bytes).unwrap();
        prop_assert_eq!(block, Block { number: 3, epoch: 7, records });
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), seq in any::<u64>(), time in any::<u64>()) {
        let _ = read_block(&bytes);
        let _ = Cursor::decode(&bytes);
        let _ = record::decode(&bytes, (seq, time));
    }

    #[test]
    fn a_cursor_comes_back_and_a_changed_one_is_none(fields in any::<[u64; 5]>(), small in any::<[u32; 2]>(), at in 0..56_usize, bit in 0..8_u8) {
        let [turn, salt, generation, number, next] = fields;
        let cursor = Cursor { turn, salt, generation, number, skip: small[0], epoch: small[1], next };
        let mut bytes = cursor.encode();
        prop_assert_eq!(Cursor::decode(&bytes), Some(cursor));
        bytes[at] ^= 1_u8 << bit;
        prop_assert_eq!(Cursor::decode(&bytes), None);
    }
}
