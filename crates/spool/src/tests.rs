//! The log on a real file system: what was appended comes back, in order, whatever was cut off.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

/// A folder of its own for a test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("fieldgate-spool-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some()).collect();
        paths.sort();
        paths
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn content(log: &Log) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let replayed = log.replay(|_, payload| {
        found.push(payload.to_vec());
        Ok::<_, Error>(())
    });
    replayed.unwrap();
    found
}

fn reopened(folder: &Path) -> Vec<Vec<u8>> {
    content(&Log::open(folder).unwrap())
}

/// Bytes that do not shrink.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(step).collect()
}

#[test]
fn frames_of_any_size_come_back_in_their_order() {
    let folder = Folder::new("order");
    let mut log = Log::open(&folder.0).unwrap();
    let sizes = [
        0, 1, 4_000, 4_001, 300_000, 5, 262_048, 262_049, 9, 700_000, 3,
    ];
    let frames: Vec<_> = (1..)
        .zip(sizes)
        .map(|(seed, len)| noise(len, seed))
        .collect();
    for frame in &frames {
        log.append(frame, [7; STAMP]).unwrap();
    }
    drop(log);
    let log = Log::open(&folder.0).unwrap();
    assert_eq!(content(&log), frames);
    assert_eq!(log.stamp(), Some([7; STAMP]));
}

#[test]
fn what_was_given_back_is_written_over_and_the_files_grow_no_more() {
    let folder = Folder::new("ring");
    let mut log = Log::open(&folder.0).unwrap();
    let mut want = Vec::new();
    for round in 0..600_u64 {
        let frame = noise(if round % 97 == 0 { 300_000 } else { 5_000 }, round);
        log.append(&frame, [0; STAMP]).unwrap();
        want.push(frame);
        while log.segments() > 4 {
            let mut gone = 0;
            log.read_oldest(|_, _| {
                gone += 1;
                Ok::<_, Error>(())
            })
            .unwrap();
            want.drain(..gone);
            log.retire_oldest();
        }
    }
    // The last retirement counts from the next frame on.
    log.append(b"last", [0; STAMP]).unwrap();
    want.push(b"last".to_vec());
    assert_eq!(content(&log), want);
    drop(log);
    assert_eq!(reopened(&folder.0), want);
    let bytes: u64 = folder
        .segments()
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(bytes < 8 * 300_000, "{bytes}");
}

#[test]
fn a_small_log_is_a_small_file_and_a_frame_costs_one_block() {
    let folder = Folder::new("small");
    let mut log = Log::open(&folder.0).unwrap();
    for _ in 0..16 {
        log.append(&[b'x'; 4_000], [0; STAMP]).unwrap();
    }
    let [only] = &folder.segments()[..] else {
        panic!("{:?}", folder.segments());
    };
    assert_eq!(fs::metadata(only).unwrap().len(), 64 * 1024);
}

#[test]
fn a_last_frame_that_is_not_whole_never_was() {
    let folder = Folder::new("torn");
    let frames: Vec<_> = (1..4).map(|seed| noise(9_000, seed)).collect();
    for (cut, spare) in [(1, 0), (4_096, 0), (8_192, 0), (12_287, 1)] {
        let _ = fs::remove_dir_all(&folder.0);
        let mut log = Log::open(&folder.0).unwrap();
        for frame in &frames {
            log.append(frame, [0; STAMP]).unwrap();
        }
        drop(log);
        let path = folder.segments().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        // What a power cut leaves of the last frame's three blocks.
        bytes[24_576 + cut..36_864].fill(0);
        fs::write(&path, &bytes).unwrap();
        let want = if spare == 1 { 3 } else { 2 };
        assert_eq!(reopened(&folder.0), frames[..want], "{cut}");
        let mut log = Log::open(&folder.0).unwrap();
        log.append(b"after", [0; STAMP]).unwrap();
        drop(log);
        assert_eq!(reopened(&folder.0).len(), want + 1, "{cut}");
    }
}

#[test]
fn damage_before_the_last_frame_is_noticed_wherever_it_is() {
    let folder = Folder::new("damage");
    let mut log = Log::open(&folder.0).unwrap();
    for seed in 0..150 {
        log.append(&noise(6_000, seed), [0; STAMP]).unwrap();
    }
    drop(log);
    let want = reopened(&folder.0);
    let mut noticed = 0;
    for path in folder.segments() {
        let good = fs::read(&path).unwrap();
        for at in (0..good.len())
            .step_by(good.len() / 41 + 1)
            .chain([0, 5, 50])
        {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            let opened = Log::open(&folder.0).and_then(|log| {
                let mut found = Vec::new();
                log.replay(|_, payload| {
                    found.push(payload.to_vec());
                    Ok::<_, Error>(())
                })
                .map(|()| found)
            });
            match opened {
                // Padding, what was never used, or the last frame, which a power cut could have cut.
                Ok(found) => assert!(found == want || found == want[..149], "{at}"),
                Err(Error::Damaged(_)) => noticed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(Log::open(&folder.0).is_err() || reopened(&folder.0).len() < 150);
        fs::write(&path, &good).unwrap();
    }
    assert!(noticed > 40, "{noticed}");
}

#[test]
fn a_segment_that_was_damaged_while_the_log_was_open_is_not_given_back() {
    let folder = Folder::new("late");
    let mut log = Log::open(&folder.0).unwrap();
    for seed in 0..100 {
        log.append(&noise(6_000, seed), [0; STAMP]).unwrap();
    }
    assert!(log.segments() > 2);
    let read = |log: &Log| log.read_oldest(|_, _| Ok::<_, Error>(()));
    read(&log).unwrap();
    let path = folder.segments().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[200_100] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(read(&log), Err(Error::Damaged(_))));
}

#[test]
fn one_process_at_a_time_has_it_and_a_file_that_was_removed_is_noticed() {
    let folder = Folder::new("lock");
    let mut log = Log::open(&folder.0).unwrap();
    assert!(matches!(Log::open(&folder.0), Err(Error::InUse)));
    log.append(b"a", [0; STAMP]).unwrap();
    fs::remove_dir_all(&folder.0).unwrap();
    assert!(matches!(log.append(b"b", [0; STAMP]), Err(Error::Io(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_reading_a_frame_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_frame(&bytes);
    }

    #[test]
    fn a_frame_that_was_changed_anywhere_that_counts_is_none(
        payload in prop::collection::vec(any::<u8>(), 0..200), at in 0..296_usize, bit in 0..8_u8,
    ) {
        let place = frame::Place { salt: 1, generation: 2, number: 3, tail: 1, stamp: [4; STAMP] };
        let mut bytes = Vec::new();
        frame::encode(&place, &payload, &mut bytes).unwrap();
        let good = read_frame(&bytes).unwrap();
        prop_assert_eq!(&good.payload, &payload);
        bytes[at] ^= 1 << bit;
        if let Some(found) = read_frame(&bytes) {
            prop_assert_eq!(found, good);
        }
    }
}
