//! What the machine says: bytes written, memory, sizes on disk, the file system, and how long it takes to sync.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn field(file: &str, name: &str) -> io::Result<u64> {
    fs::read_to_string(file)?
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .ok_or_else(|| io::Error::other(format!("{file} has no {name}")))
}

/// Bytes that this process has made the page cache write: whole pages, each once between two write-backs. What the
/// file system adds of its own (its journal, inodes) is not in it.
pub fn written() -> io::Result<u64> {
    field("/proc/self/io", "write_bytes:")
}

/// Peak of this process' resident memory in bytes.
pub fn memory_peak() -> io::Result<u64> {
    Ok(field("/proc/self/status", "VmHWM:")? * 1024)
}

/// All files under the folder.
pub fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes that the folder's files occupy, which is less than their length where they have holes. Files that go away
/// meanwhile do not count.
pub fn occupied(dir: &Path) -> io::Result<u64> {
    Ok(files(dir)?
        .iter()
        .filter_map(|file| fs::metadata(file).ok())
        .map(|file| file.blocks() * 512)
        .sum())
}

/// Device and type of the file system that holds the folder.
pub fn file_system(dir: &Path) -> io::Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let best = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
            dir.starts_with(place)
                .then(|| (place.len(), format!("{kind} on {device}")))
        })
        .max_by_key(|(length, _)| *length);
    Ok(best.map_or_else(|| "unknown".into(), |(_, name)| name))
}

/// How long each of `count` fdatasyncs takes after 4 KiB were appended, in nanoseconds.
pub fn sync_times(dir: &Path, count: usize) -> io::Result<Vec<u64>> {
    let path = dir.join("sync");
    let mut file = File::create(&path)?;
    let mut times = vec![];
    for _ in 0..count {
        file.write_all(&[7; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(nanos(start.elapsed()));
    }
    fs::remove_file(path)?;
    Ok(times)
}

pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
