//! Replaces several files of the configuration's folder: all of them or none, whenever the power fails.
//!
//! The new files are made ready in a folder beside the old ones, `.restore`. Then the folder gets the name `.restored`,
//! which is the moment that counts: after it this program moves the files to their places, or, after a loss of power,
//! the next start of the gateway does.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::{files, tar};

/// Where files are made ready, and what it is called when they are.
pub(super) const NEW: &str = ".restore";
const READY: &str = ".restored";
/// Below it, the files; beside them, the list of those that are moved.
pub(super) const FILES: &str = "files";
const LIST: &str = "list";
/// Permissions of those who are neither owner nor in the group.
const OTHERS: u32 = 0o007;

/// A file that takes the place of another one, or is new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replacement<'r> {
    /// Its place in the folder of the configuration, such as `tls/own.key`.
    pub(crate) place: &'r str,
    /// What it holds.
    pub(crate) bytes: &'r [u8],
    /// Its permission bits if it is new.
    pub(crate) mode: u32,
}

/// Replaces files in the folder of a configuration. Files that were there keep their owners and modes; but what shall be
/// closed to others is closed.
///
/// # Errors
///
/// The system's. Then nothing has changed, or the next start of the gateway replaces the rest.
pub(crate) fn replace(config: &Path, all: &[Replacement<'_>]) -> io::Result<()> {
    let folder = files::folder(config);
    let lock = File::open(folder).map_err(|error| files::about(folder, &error))?;
    lock.lock()?;
    finish(config)?;
    let new = folder.join(NEW);
    clear(&new)?;
    let ready = new.join(FILES);
    let stage = || {
        DirBuilder::new().mode(0o700).create(&new)?;
        fs::create_dir(&ready)?;
        for one in all {
            let path = ready.join(one.place);
            fs::create_dir_all(files::folder(&path))?;
            files::write_new(&path, &folder.join(one.place), one.bytes, one.mode)?;
            let found = fs::metadata(&path)?.permissions().mode();
            if one.mode & OTHERS == 0 {
                fs::set_permissions(&path, Permissions::from_mode(found & !OTHERS & 0o777))?;
            }
        }
        let places: Vec<String> = all.iter().map(|one| one.place.to_owned()).collect();
        commit(config, &lock, &places)
    };
    let done = stage();
    let cleared = clear(&new);
    done.and(cleared)
}

/// Moves files that are ready to these places. `lock` is the folder.
pub(super) fn commit(config: &Path, lock: &File, places: &[String]) -> io::Result<()> {
    let folder = files::folder(config);
    let new = folder.join(NEW);
    let list = serde_json::to_vec(places).map_err(io::Error::from)?;
    files::write_new(&new.join(LIST), config, &list, 0o600)?;
    sync_all(&new)?;
    fs::rename(&new, folder.join(READY))?;
    lock.sync_all()?;
    finish(config)
}

/// Moves files to their places that were made ready before, if there are any.
///
/// # Errors
///
/// The system's. The rest is moved the next time.
pub(crate) fn finish(config: &Path) -> io::Result<()> {
    let folder = files::folder(config);
    let ready = folder.join(READY);
    if !ready.is_dir() {
        return Ok(());
    }
    let list = files::read(&ready.join(LIST), tar::FILE_MAX)?;
    let list: Vec<String> = serde_json::from_slice(&list)?;
    for place in &list {
        let (from, to) = (ready.join(FILES).join(place), folder.join(place));
        if from.exists() {
            fs::create_dir_all(files::folder(&to))?;
            fs::rename(&from, &to).map_err(|error| files::about(&to, &error))?;
            File::open(files::folder(&to))?.sync_all()?;
        }
    }
    fs::remove_dir_all(&ready)?;
    log::info!("files were replaced: {}", list.join(", "));
    Ok(())
}

/// Removes a folder; one that is not there is as good.
pub(super) fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files::about(path, &error)),
        _ => Ok(()),
    }
}

/// Syncs a folder and what is below it; the files were.
pub(super) fn sync_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?.path();
        if entry.is_dir() {
            sync_all(&entry)?;
        }
    }
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("fieldgate-swap-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn what_is_new_has_its_mode_and_what_was_there_keeps_its_own() {
        let folder = folder("modes");
        let config = folder.join("gateway.yaml");
        fs::write(folder.join("a.pem"), "old").unwrap();
        fs::write(folder.join("b.key"), "old").unwrap();
        for name in ["a.pem", "b.key"] {
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o644)).unwrap();
        }
        let one = |place, bytes, mode| Replacement { place, bytes, mode };
        let all = [
            one("a.pem", b"new", 0o604),
            one("b.key", b"new", 0o600),
            one("tls/a.key", b"key", 0o600),
        ];
        replace(&config, &all).unwrap();
        for (name, want, mode) in [
            ("a.pem", "new", 0o644),
            ("b.key", "new", 0o640),
            ("tls/a.key", "key", 0o600),
        ] {
            let path = folder.join(name);
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!((text(&path).as_str(), found), (want, mode), "{name}");
        }
        let left = fs::read_dir(&folder).unwrap().count();
        assert_eq!(left, 3, "nothing but the files is left");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_was_ready_when_the_power_failed_is_moved_at_the_next_start_however_far_it_came() {
        for moved in 0..=2 {
            let folder = folder("power");
            let config = folder.join("gateway.yaml");
            let files = folder.join(READY).join(FILES);
            fs::create_dir_all(&files).unwrap();
            fs::write(folder.join(READY).join(LIST), r#"["a.pem", "a.key"]"#).unwrap();
            for (number, name) in ["a.pem", "a.key"].into_iter().enumerate() {
                fs::write(folder.join(name), "old").unwrap();
                let place = if number < moved { &folder } else { &files };
                fs::write(place.join(name), "new").unwrap();
            }
            finish(&config).unwrap();
            let found = ["a.pem", "a.key"].map(|name| text(&folder.join(name)));
            assert_eq!(found, ["new", "new"], "{moved} were moved");
            assert!(!folder.join(READY).exists());
            finish(&config).unwrap();
            fs::remove_dir_all(&folder).unwrap();
        }
    }

    #[test]
    fn what_was_not_ready_yet_changes_nothing() {
        let folder = folder("early");
        let config = folder.join("gateway.yaml");
        fs::create_dir_all(folder.join(NEW).join(FILES)).unwrap();
        fs::write(folder.join(NEW).join(FILES).join("a.pem"), "half").unwrap();
        fs::write(folder.join("a.pem"), "old").unwrap();
        finish(&config).unwrap();
        assert_eq!(text(&folder.join("a.pem")), "old");
        let new = Replacement {
            place: "a.pem",
            bytes: b"new",
            mode: 0o600,
        };
        replace(&config, &[new]).unwrap();
        assert_eq!(text(&folder.join("a.pem")), "new");
        assert!(!folder.join(NEW).exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
