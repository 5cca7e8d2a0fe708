//! Thinning: what stays keeps its shape and its order, whatever happens in between.

use std::collections::BTreeMap;

use super::*;
use crate::segment::WRITES;

fn thin(segments: u64) -> Bounds {
    Bounds {
        when_full: WhenFull::Thin,
        ..bounds(segments)
    }
}

fn open(folder: &Path, segments: u64) -> Ring {
    let mut ring = Ring::open(folder, thin(segments)).unwrap();
    ring.set_key(|bytes| bytes.get(..1).unwrap_or_default());
    ring
}

/// Which topic a record is of: three, of which the last is rare.
fn topic(seq: u64) -> u8 {
    match seq % 10 {
        9 => 2,
        rest => (rest % 2) as u8,
    }
}

/// A record of a length by chance.
fn record(seq: u64) -> Record {
    let len = 200 + seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize % 1_500;
    let mut bytes = vec![topic(seq)];
    bytes.extend(crate::tests::noise(len, seq));
    Record {
        seq,
        time: 1_000_000 + seq,
        bytes,
    }
}

fn put(ring: &mut Ring, seqs: std::ops::Range<u64>) -> Result<usize, Error> {
    let epoch = ring.epoch();
    ring.append(epoch, &seqs.map(record).collect::<Vec<_>>())
}

/// All that is read, and whether it is what was appended, in its order.
fn all(ring: &mut Ring) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    while let Some(block) = ring.read(0).unwrap() {
        for read in block.records {
            assert_eq!(read, record(read.seq));
            assert!(found.last().is_none_or(|last| *last < read.seq));
            found.push(read.seq);
        }
    }
    found
}

/// What a ring would have that is opened on the same files after a kill.
fn after_kill(folder: &Path) -> Vec<u64> {
    let copy = folder.with_extension("copy");
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let mut ring = open(&copy, 6);
    let found = all(&mut ring);
    let figures = ring.figures();
    assert_eq!((figures.damaged, figures.records), (0, found.len() as u64));
    fs::remove_dir_all(&copy).unwrap();
    found
}

/// Of `before` the newest are all in `after`, and of the others of each topic no long row is gone.
fn assert_shape(before: &[u64], after: &[u64], untouched: usize, row: usize) {
    let mut gone: BTreeMap<u8, usize> = BTreeMap::new();
    for (place, seq) in before.iter().enumerate() {
        let is_there = after.binary_search(seq).is_ok();
        let gone = gone.entry(topic(*seq)).or_default();
        *gone = if is_there { 0 } else { *gone + 1 };
        assert!(*gone <= row, "{gone} gone in a row before {seq}");
        assert!(
            is_there || place + untouched < before.len(),
            "{seq}, one of the newest"
        );
    }
}

#[test]
fn a_long_outage_keeps_its_shape_dense_at_its_end_and_the_same_for_each_topic() {
    let folder = Folder::new("shape");
    let mut ring = open(&folder.0, 16);
    for block in 0..1_000 {
        assert_eq!(put(&mut ring, block * 10..block * 10 + 10).unwrap(), 0);
    }
    let figures = ring.figures();
    assert_eq!(figures.records + figures.full, 10_000);
    let (from, to) = figures.lost.unwrap();
    assert!(from < 1_000_050 && to < 1_010_000 - 300, "{from} {to}");
    let found = all(&mut ring);
    assert_eq!(found.len() as u64, figures.records);
    assert_eq!(ring.figures().damaged, 0);
    // Fifteen segments of records of 0.95 kB on average.
    assert!(found.len() > 700, "{}", found.len());
    for topic in 0..3 {
        let seqs: Vec<u64> = found
            .iter()
            .copied()
            .filter(|seq| self::topic(*seq) == topic)
            .collect();
        let part = seqs.len() as f64 / found.len() as f64;
        let want = [0.5, 0.4, 0.1][usize::from(topic)];
        assert!((part - want).abs() < 0.05, "{topic}: {part}");
        // The newest are all there, and the further back, the fewer; but no part of the time is without any.
        let step = seqs.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(step.max() < Some(3_000), "{topic}: {seqs:?}");
        let in_quarter = |quarter: u64| seqs.iter().filter(|seq| *seq / 2_500 == quarter).count();
        let quarters = [0, 1, 2, 3].map(in_quarter);
        assert!(quarters.is_sorted(), "{topic}: {quarters:?}");
    }
    let newest = found.iter().rev().zip((0..10_000).rev());
    assert!(newest.take(300).all(|(found, want)| *found == want));
    let files = fs::read_dir(&folder.0).unwrap();
    let bytes: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 16 * SMALL + 8_192, "{bytes}");
    // What is written beside the new messages is about as much again.
    let taken = 1_000 * 12_288;
    assert!(
        ring.figures().written < 3 * taken,
        "{}",
        ring.figures().written
    );
}

#[test]
fn what_is_lent_stays_as_it_is_and_can_be_acknowledged_while_the_ring_is_thinned() {
    let folder = Folder::new("thin-lent");
    let mut ring = open(&folder.0, 6);
    for block in 0..4 {
        put(&mut ring, block * 10..block * 10 + 10).unwrap();
    }
    let lent: Vec<Block> = (0..3).map(|_| ring.read(0).unwrap().unwrap()).collect();
    ring.acknowledge(lent[0].number, 10);
    ring.acknowledge(lent[1].number, 4);
    for block in 4..60 {
        put(&mut ring, block * 10..block * 10 + 10).unwrap();
    }
    assert!(ring.figures().full > 0);
    let found = after_kill(&folder.0);
    assert_eq!(found[..16], (14..30).collect::<Vec<_>>());
    let before = ring.figures();
    ring.acknowledge(lent[1].number, 6);
    ring.acknowledge(lent[2].number, 10);
    assert_eq!(ring.figures().records, before.records - 16);
    assert_eq!(all(&mut ring), found[16..]);
    ring.rewind();
    assert_eq!(all(&mut ring), found[16..]);
    assert_eq!(ring.figures().damaged, 0);
}

#[test]
fn a_ring_that_was_full_under_another_policy_and_one_too_small_for_thinning_go_on() {
    for (first, segments) in [(bounds(6), 6), (thin(2), 2), (thin(3), 3)] {
        let folder = Folder::new("thin-other");
        let mut ring = Ring::open(&folder.0, first).unwrap();
        for block in 0..100 {
            put(&mut ring, block * 10..block * 10 + 10).unwrap();
        }
        ring.set_bounds(thin(segments));
        for block in 100..200 {
            assert_eq!(put(&mut ring, block * 10..block * 10 + 10).unwrap(), 0);
        }
        let figures = ring.figures();
        assert_eq!(figures.records + figures.full, 2_000);
        // And back.
        ring.set_bounds(bounds(segments));
        for block in 200..300 {
            assert_eq!(put(&mut ring, block * 10..block * 10 + 10).unwrap(), 0);
        }
        let figures = ring.figures();
        assert_eq!(figures.records + figures.full, 3_000);
        let found = all(&mut ring);
        assert_eq!(
            (found.len() as u64, ring.figures().damaged),
            (figures.records, 0)
        );
        assert_eq!(found.last(), Some(&2_999));
    }
}

#[test]
fn damage_in_a_thinned_ring_costs_the_block_wherever_it_is() {
    let folder = Folder::new("thin-damage");
    let mut ring = open(&folder.0, 6);
    for block in 0..60 {
        put(&mut ring, block * 10..block * 10 + 10).unwrap();
    }
    drop(ring);
    let want = after_kill(&folder.0);
    let entries = fs::read_dir(&folder.0).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if !path.to_str().unwrap().contains("ring-0") {
            continue;
        }
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(BLOCK) {
            let mut bytes = good.clone();
            bytes[at + 20] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let mut ring = open(&folder.0, 6);
            let found = all(&mut ring);
            let missing = want
                .iter()
                .filter(|seq| found.binary_search(seq).is_err())
                .count();
            assert!(missing <= 80, "{path:?} at {at}: {missing}");
            assert!(missing == 0 || ring.figures().damaged > 0);
            drop(ring);
            fs::write(&path, &good).unwrap();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Read,
    Acknowledge(u8),
    Rewind,
    /// Killed in an append: at one of its writings, half of which is done.
    Kill(u8, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (5..25_u8).prop_map(Step::Append),
        2 => Just(Step::Read),
        2 => (1..25_u8).prop_map(Step::Acknowledge),
        1 => Just(Step::Rewind),
        6 => (5..25_u8, 0..25_u32).prop_map(|(count, writes)| Step::Kill(count, writes)),
    ];
    prop::collection::vec(step, 20..120)
}

/// What is left of an append that was cut off: everything as before, or thinned; and all of what came, or nothing.
fn killed(folder: &Path, ring: Ring, new: std::ops::Range<u64>, writes: u32) -> (Ring, bool) {
    let before = after_kill(folder);
    let mut ring = ring;
    WRITES.set(Some(writes));
    let done = put(&mut ring, new.clone());
    WRITES.set(None);
    drop(ring);
    let mut after = after_kill(folder);
    let is_done = after.last() == Some(&(new.end - 1));
    assert!(is_done || done.is_err());
    if is_done {
        assert!(after.ends_with(&new.clone().collect::<Vec<_>>()));
        after.truncate(after.len() - (new.end - new.start) as usize);
    }
    assert!(
        after.iter().all(|seq| before.binary_search(seq).is_ok()),
        "{before:?} {after:?}"
    );
    assert_shape(&before, &after, 60, 8);
    (open(folder, 6), is_done)
}

fn play(folder: &Path, steps: &[Step]) {
    let mut ring = open(folder, 6);
    let (mut next, mut acked, mut taken) = (0_u64, 0_u64, 0_u64);
    let mut lent: VecDeque<Block> = VecDeque::new();
    for step in steps {
        match step {
            Step::Append(count) => {
                let new = next..next + u64::from(*count);
                assert_eq!(put(&mut ring, new.clone()).unwrap(), 0);
                taken += new.end - new.start;
                next = new.end;
            }
            Step::Read if lent.len() < 2 => lent.extend(ring.read(0).unwrap()),
            Step::Read => {}
            Step::Acknowledge(count) => {
                let Some(block) = lent.front_mut() else {
                    continue;
                };
                let count = usize::from(*count).min(block.records.len());
                ring.acknowledge(block.number, count);
                acked += count as u64;
                block.records.drain(..count);
                if block.records.is_empty() {
                    lent.pop_front();
                }
            }
            Step::Rewind => {
                ring.rewind();
                lent.clear();
            }
            Step::Kill(count, writes) => {
                ring.save().unwrap();
                let new = next..next + u64::from(*count);
                next = new.end;
                (ring, _) = killed(folder, ring, new, *writes);
                lent.clear();
                (taken, acked) = (ring.figures().records, 0);
            }
        }
        let figures = ring.figures();
        assert_eq!(figures.records + figures.full + acked, taken);
        assert_eq!(figures.damaged, 0);
    }
    ring.rewind();
    let left = ring.figures().records;
    assert_eq!(all(&mut ring).len() as u64, left);
    assert_eq!(ring.figures().damaged, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn a_kill_at_any_writing_loses_only_what_was_to_go(steps in steps()) {
        let folder = Folder::new("thin-steps");
        play(&folder.0, &steps);
    }
}
