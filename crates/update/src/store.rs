//! Room for a bundle that has to be downloaded before RAUC can read it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{OFlags, fstatfs, fstatvfs};

use crate::refusal::Refusal;

/// Bytes that stay free beside a bundle, for what the gateway keeps.
const SPARE: u64 = 64 << 20;

/// The kind of a file system that is in memory (`TMPFS_MAGIC` of linux/magic.h).
const TMPFS: i64 = 0x0102_1994;

/// The folder on whose file system bundles are kept while they are installed.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) folder: PathBuf,
}

/// A bundle there, until the last of its clones is dropped.
///
/// It has no name: the file system frees it by itself when neither this process nor RAUC has it open, be that
/// because they are done, because they were killed or because the power failed.
#[derive(Clone, Debug)]
pub(crate) struct Stored(Arc<File>);

impl Store {
    /// An empty file there, and how many bytes it may take.
    ///
    /// # Errors
    ///
    /// There is no such place on a disk of its own.
    pub(crate) fn open(&self) -> Result<(File, u64), Refusal> {
        let room = room(&self.folder)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(flags(OFlags::TMPFILE))
            .open(&self.folder)
            .map_err(|error| unkept(&self.folder, &error))?;
        Ok((file, room))
    }
}

/// How many bytes a bundle may take in a folder, while it is installed from there.
///
/// # Errors
///
/// The folder is not there, or not on a disk of its own.
pub fn room(folder: &Path) -> Result<u64, Refusal> {
    let refused = |error: io::Error| unkept(folder, &error);
    let place = File::open(folder).map_err(refused)?;
    let root = Path::new("/").metadata().map_err(refused)?;
    let own = place.metadata().map_err(refused)?;
    let kind = fstatfs(&place).map_err(|error| refused(error.into()))?;
    // Its width is that of the processor.
    #[allow(clippy::unnecessary_cast)]
    let is_memory = kind.f_type as i64 == TMPFS;
    if is_memory || own.dev() == root.dev() {
        let folder = folder.display();
        return Err(Refusal::told(
            "there is no data partition in this run to keep it on while it is installed",
            "see what the console says of the data partition",
            format!("{folder} is in memory or on the system's own partition"),
        ));
    }
    let room = fstatvfs(&place).map_err(|error| refused(error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    Ok(free.saturating_sub(SPARE))
}

fn unkept(folder: &Path, error: &io::Error) -> Refusal {
    Refusal::told(
        "it cannot be kept on this board while it is installed",
        "see what is wrong with the data partition",
        format!("{}: {error}", folder.display()),
    )
}

impl Stored {
    /// `file` with all that was written to it, for readers only: RAUC takes no bundle that can still be written.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        file.sync_all()?;
        let readable = File::open(path(&file))?;
        Ok(Self(Arc::new(readable)))
    }

    /// One that is on the board already, open for reading. It is gone with this, if its name is.
    pub(crate) fn opened(file: File) -> Self {
        Self(Arc::new(file))
    }

    /// Where other processes find it.
    pub(crate) fn path(&self) -> String {
        path(&self.0)
    }
}

fn path(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// As the standard library takes them.
fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}
