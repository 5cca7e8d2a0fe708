//! What the disk under a folder was told to write, the file system's own blocks included.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor, syncfs};

/// The unit of the kernel's figures, in bytes, whatever the disk's own is.
const SECTOR: u64 = 512;

/// Bytes so far, after everything that waits was written.
pub fn written(folder: &Path) -> io::Result<u64> {
    let folder = File::open(folder)?;
    syncfs(&folder)?;
    let disk = folder.metadata()?.dev();
    let file = format!("/sys/dev/block/{}:{}/stat", major(disk), minor(disk));
    let text = fs::read_to_string(&file)?;
    // Documentation/block/stat.rst: the seventh figure is the sectors that were written.
    let sectors = text.split_whitespace().nth(6).and_then(|s| s.parse().ok());
    let sectors: u64 = sectors.ok_or_else(|| io::Error::other(format!("{file}: {text}")))?;
    Ok(sectors * SECTOR)
}
