//! Who has a port, and to whom it belongs, from `/proc` and `/etc/group`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fieldgate_model::plain::Plain;

/// The words for a port that another program has.
pub(super) fn in_use(path: &Path) -> String {
    match other(path) {
        Some(other) => format!("in use by {other}"),
        None => "in use by another program".to_owned(),
    }
}

/// Another process that has the port open: `minicom (process 123)`. `None` if there is none, or
/// none that we may look at.
pub(super) fn other(path: &Path) -> Option<String> {
    let port = fs::canonicalize(path).ok()?;
    let own = std::process::id();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has_it = files
            .flatten()
            .any(|file| fs::read_link(file.path()).ok().as_ref() == Some(&port));
        if has_it && id != own {
            let name = fs::read(process.path().join("comm")).unwrap_or_default();
            // A process names itself: nothing in it may act on a terminal.
            let name = String::from_utf8_lossy(&name);
            return Some(format!("{} (process {id})", Plain(name.trim())));
        }
    }
    None
}

/// The name of the group that may open a port.
pub(super) fn group(path: &Path) -> Option<String> {
    let id = fs::metadata(path).ok()?.gid().to_string();
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut lines = groups.lines().map(|line| line.split(':'));
    let found = lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1) == Some(&id)).then(|| name.to_owned())
    });
    found.filter(|name| name != "root")
}
