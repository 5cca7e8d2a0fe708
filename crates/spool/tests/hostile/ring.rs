//! What a ring must withstand, for tests and fuzz targets.

use std::fs;
use std::path::PathBuf;

use fieldgate_spool::ring::{Bounds, Record, Ring, WhenFull, read_block, record};

const SEGMENT: u64 = 64 * 1024;

/// `data` as a block and as records; then as the sizes of records and as bytes to change in their files: what is read
/// was written, in its order, and no block is missing that no byte was changed of.
pub(crate) fn block(data: &[u8]) {
    if let Some(block) = read_block(data) {
        assert!(!block.records.is_empty());
    }
    let _ = record::decode(data, (u64::MAX - 3, 1));
    let folder = folder();
    let bounds = Bounds {
        bytes: 4 * SEGMENT,
        segment: SEGMENT,
        age: None,
        when_full: WhenFull::DropOldest,
    };
    let (sizes, changes) = data.split_at(data.len() / 2);
    let mut ring = Ring::open(&folder, bounds).unwrap();
    let mut blocks = Vec::new();
    for (number, sizes) in (0_u64..).zip(sizes.chunks(3).take(12)) {
        let record = |(at, size): (usize, &u8)| Record {
            seq: number * 10 + at as u64,
            time: 1_000 + number,
            bytes: vec![number as u8 ^ 0x5A; usize::from(*size) * 11],
        };
        let records: Vec<_> = sizes.iter().enumerate().map(record).collect();
        assert_eq!(ring.append(1, &records).unwrap(), 0);
        blocks.push(records);
    }
    drop(ring);
    let spoilt = spoil(&folder, changes);
    let mut ring = Ring::open(&folder, bounds).unwrap();
    let mut found = Vec::new();
    while let Some(block) = ring.read(0).unwrap() {
        found.push(block.records);
    }
    let mut rest = blocks.iter();
    for records in &found {
        assert!(
            rest.any(|written| written == records),
            "not written, or out of order"
        );
    }
    if !spoilt {
        assert_eq!(found.len(), blocks.len());
    }
    drop(ring);
    fs::remove_dir_all(&folder).unwrap();
    thinned(&folder, bounds, data);
}

/// A ring that is thinned again and again, whose bytes are changed then: what is read was written, in its order.
fn thinned(folder: &PathBuf, bounds: Bounds, data: &[u8]) {
    let bounds = Bounds {
        bytes: 5 * SEGMENT,
        when_full: WhenFull::Thin,
        ..bounds
    };
    let record = |seq: u64| {
        let size = data.get(seq as usize % data.len().max(1)).copied();
        let byte = |at: usize| (at as u64 ^ seq).wrapping_mul(0x9E37_79B9_7F4A_7C15) as u8;
        Record {
            seq,
            time: 1_000 + seq,
            bytes: (0..usize::from(size.unwrap_or(0)) * 30).map(byte).collect(),
        }
    };
    let mut ring = Ring::open(folder, bounds).unwrap();
    for block in 0..60 {
        let records: Vec<_> = (block * 4..block * 4 + 4).map(record).collect();
        assert_eq!(ring.append(1, &records).unwrap(), 0);
    }
    drop(ring);
    let spoilt = spoil(folder, data);
    let mut ring = Ring::open(folder, bounds).unwrap();
    let (waits, mut found, mut last) = (ring.figures().records, 0, None);
    while let Some(block) = ring.read(0).unwrap() {
        for read in block.records {
            assert!(last.is_none_or(|last| last < read.seq), "out of order");
            assert_eq!(read, record(read.seq));
            last = Some(read.seq);
            found += 1;
        }
    }
    if !spoilt {
        assert_eq!((found, ring.figures().damaged), (waits, 0));
    }
    fs::remove_dir_all(folder).unwrap();
}

/// Changes bytes: file, block, place in it, mask. Whether it changed any.
fn spoil(folder: &PathBuf, changes: &[u8]) -> bool {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
    paths.sort();
    let mut spoilt = false;
    for change in changes.chunks_exact(4) {
        let path = &paths[usize::from(change[0]) % paths.len()];
        let mut bytes = fs::read(path).unwrap();
        let at = usize::from(change[1] % 16) * 4_096 + usize::from(change[2]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change[3];
            spoilt |= change[3] != 0;
        }
        fs::write(path, bytes).unwrap();
    }
    spoilt
}

fn folder() -> PathBuf {
    let thread = std::thread::current().id();
    let name = format!("fieldgate-ring-hostile-{}-{thread:?}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&path);
    path
}
