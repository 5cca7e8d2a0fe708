//! Files by which the daemon, which may do little, asks a unit of root for something, and by which it is told what
//! became of that.
//!
//! The daemon [`put`]s what it asks for into its own folder; the unit is started by that, [`take`]s it into a folder of
//! root, carries it out, and [`write`]s there what became of it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// Bytes of a file that is exchanged.
const BYTES_MAX: u64 = 4_096;

/// Reads what the other side wrote; `None` if it is not there, too long, no file, or not as it should be.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read_bytes(path).ok()?).ok()
}

/// The bytes of what the other side wrote.
///
/// # Errors
///
/// It is not there, too long, or no file.
pub(crate) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if file.metadata()?.len() > BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file in a folder of the other side, for reading.
///
/// # Errors
///
/// It is not there, or no file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // The folder is the daemon's, and root reads it: no link, and nothing that waits.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = fs::OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(ErrorKind::InvalidData.into()),
    }
}

/// Replaces a file in the daemon's folder, which root's unit looks for.
///
/// # Errors
///
/// What the system refuses.
pub(crate) fn put(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

/// Takes what the daemon asks for out of its folder: the unit starts as long as there is something.
///
/// # Errors
///
/// What is there is no text of a file; it is away then too.
pub(crate) fn take(from: &Path, to: &Path) -> io::Result<()> {
    let asked = read_bytes(from);
    match fs::symlink_metadata(from)?.is_dir() {
        true => fs::remove_dir_all(from)?,
        false => fs::remove_file(from)?,
    }
    let asked = String::from_utf8(asked?).map_err(io::Error::other)?;
    write(to, &asked)
}

/// Tells the daemon something.
///
/// # Errors
///
/// What the system refuses.
pub(crate) fn say(path: &Path, what: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(what).map_err(io::Error::other)?;
    write(path, &text)
}

/// Writes a file that is there as a whole or not at all, also after a power failure.
///
/// # Errors
///
/// What the system refuses.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("tmp");
    remove(&unfinished)?;
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

/// Removes a file, if it is there.
///
/// # Errors
///
/// What the system refuses.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_folder_may_hold_anything_which_is_taken_away_and_not_followed() {
        let folder = std::env::temp_dir().join(format!("handover-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("asked"), folder.join("root/asked"));
        std::os::unix::fs::symlink("/etc/hostname", &from).unwrap();
        assert!(take(&from, &to).is_err());
        fs::create_dir_all(from.join("deep")).unwrap();
        assert!(take(&from, &to).is_err());
        for (bytes, is_taken) in [
            (vec![b'0'; 5_000], false),
            (vec![0xff; 4], false),
            (b"text".to_vec(), true),
        ] {
            fs::write(&from, bytes).unwrap();
            assert_eq!(take(&from, &to).is_ok(), is_taken);
            assert_eq!(to.exists(), is_taken);
            assert!(!from.exists());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
