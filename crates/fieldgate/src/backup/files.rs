//! Files: read with a bound, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Reads a file of at most `most` bytes.
///
/// # Errors
///
/// The system's, with the path; and a file that is larger.
pub(super) fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|error| about(path, &error))?;
    if bytes.len() > most {
        let text = format!("{}: larger than {most} bytes", path.display());
        return Err(io::Error::other(text));
    }
    Ok(bytes)
}

/// Replaces a file: who reads it at any moment, or after a loss of power, sees the old or the new one. A file that was
/// there keeps its owner and its mode; a new one belongs to the owner of its folder and has `mode`.
///
/// # Errors
///
/// The system's, with the path.
pub(crate) fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A link stays one.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = beside(path);
    let write = || {
        write_new(&new, path, bytes, mode)?;
        fs::rename(&new, path)?;
        File::open(folder(path))?.sync_all()
    };
    write().map_err(|error| {
        // It may not even be there.
        let _ = fs::remove_file(&new);
        about(path, &error)
    })
}

/// Writes a file that takes the place of another one later, and syncs it.
pub(super) fn write_new(new: &Path, model: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    // A link that another user put there is not followed.
    let mut file = options.write(true).create_new(true).mode(0o600).open(new)?;
    let there = fs::metadata(model).ok().filter(fs::Metadata::is_file);
    let wanted = there.as_ref().map_or(mode, |there| there.mode() & 0o777);
    let owner = match there {
        Some(there) => there,
        None => fs::metadata(folder(model)).or_else(|_| fs::metadata(folder(new)))?,
    };
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) {
        // Only root may give files away. Others keep theirs.
        let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    file.set_permissions(fs::Permissions::from_mode(wanted))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

pub(super) fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
