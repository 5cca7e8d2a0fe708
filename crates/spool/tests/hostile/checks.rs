//! What a log must withstand, for tests and fuzz targets.

use std::fs;
use std::path::PathBuf;

use fieldgate_spool::{Error, Log, STAMP, read_frame};

/// Frames of the sizes that the first half of `data` says, then the bytes changed that its second half
/// names: what is read was written, in its order and without a gap, or damage is told. Only from the end
/// may frames be missing, as after a power cut.
pub(crate) fn damage(data: &[u8]) {
    let _ = read_frame(data);
    let folder = folder();
    let (sizes, spoilt) = data.split_at(data.len() / 2);
    let mut log = Log::open(&folder).unwrap();
    let (mut all, mut gone) = (Vec::new(), 0);
    for (number, size) in (0_u8..).zip(sizes.iter().take(60)) {
        let frame: Vec<u8> = (0..u32::from(*size) * 97)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ number)
            .collect();
        log.append(&frame, [number; STAMP]).unwrap();
        all.push(frame);
        if log.segments() > 2 {
            log.read_oldest(|_, _| {
                gone += 1;
                Ok::<_, Error>(())
            })
            .unwrap();
            log.retire_oldest();
        }
    }
    drop(log);
    spoil(&folder, spoilt);
    let mut found = Vec::new();
    let read = Log::open(&folder).and_then(|log| {
        log.replay(|_, payload| {
            found.push(payload.to_vec());
            Ok::<_, Error>(())
        })
    });
    match read {
        // Retired segments may still be there.
        Ok(()) => {
            let is_run = |from: usize| all[from..].starts_with(&found);
            let (sizes, read) = (lens(&all), lens(&found));
            assert!((0..=gone).any(is_run), "{sizes:?}, {gone} gone: {read:?}");
            assert!(!spoilt.is_empty() || found.len() + gone >= all.len());
        }
        Err(Error::Damaged(_)) => assert!(!spoilt.is_empty()),
        Err(error) => panic!("{error}"),
    }
    fs::remove_dir_all(&folder).unwrap();
}

/// Changes bytes at the places that `changes` names, four bytes each: file, place (2), mask.
fn spoil(folder: &PathBuf, changes: &[u8]) {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some());
    paths.sort();
    for change in changes.chunks_exact(4) {
        let Some(path) = paths.get(usize::from(change[0]) % paths.len().max(1)) else {
            return;
        };
        let mut bytes = fs::read(path).unwrap();
        // Whole blocks, and the beginning of each above all: there the headers are.
        let at = usize::from(change[1]) * 4_096 + usize::from(change[2]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change[3];
        }
        fs::write(path, bytes).unwrap();
    }
}

fn folder() -> PathBuf {
    let thread = std::thread::current().id();
    let name = format!("fieldgate-spool-hostile-{}-{thread:?}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

fn lens(frames: &[Vec<u8>]) -> Vec<usize> {
    frames.iter().map(Vec::len).collect()
}
