//! Carries changes out below a root, each as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::plan::Change;

/// Carries out one change.
///
/// # Errors
///
/// The system's, with the path.
pub(crate) fn apply(root: &Path, change: &Change) -> io::Result<()> {
    match change {
        Change::Write { path, mode, text } => {
            let path = root.join(path);
            replace(&path, text.as_bytes(), *mode, None)
        }
        Change::Link { path, target } => {
            let path = root.join(path);
            let new = beside(&path);
            let made = folder_of(&path)
                .and_then(|_| remove(&new))
                .and_then(|()| symlink(target, &new))
                .and_then(|()| fs::rename(&new, &path));
            made.map_err(|error| about(&path, &error))
        }
        Change::Remove { path } => {
            let path = root.join(path);
            remove(&path).map_err(|error| about(&path, &error))
        }
        Change::RemoveConsole { folder } => {
            let folder = root.join(folder);
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let own = entries.filter(|entry| {
                let name = entry.file_name();
                name.to_string_lossy().starts_with(crate::CONSOLE_NETWORK)
            });
            for path in own.map(|entry| entry.path()) {
                remove(&path).map_err(|error| about(&path, &error))?;
            }
            Ok(())
        }
        // Of a root that is not the running one, the file has to do.
        Change::HostName(_) if root != Path::new("/") => Ok(()),
        Change::HostName(name) => {
            if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
                log::warn!("the host name holds from the next start on: {error}");
            }
            Ok(())
        }
    }
}

/// Replaces a file: a reader at any moment, or after a loss of power, sees the old or the
/// new one. Its folder is made if it is missing; `owner` is a user and a group by number.
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let new = beside(path);
    let write = || {
        let folder = folder_of(path)?;
        remove(&new)?;
        // A link that another program put there is not followed.
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        if let Some((user, group)) = owner {
            chown(&new, Some(user), Some(group))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        folder.sync_all()
    };
    write().map_err(|error| about(path, &error))
}

fn folder_of(path: &Path) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o755).create(folder)?;
    File::open(folder)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Removes a file; one that is not there is as good.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
