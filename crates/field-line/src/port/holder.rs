//! Who has a port, to whom it belongs, and which others there are: from `/proc`, `/etc/group` and `/dev/serial`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fieldgate_model::plain::Plain;

/// The words for a port that another program has.
pub(super) fn in_use(path: &Path) -> String {
    let other = other(path).unwrap_or_else(|| "another program".to_owned());
    let shown = path.display();
    format!("{shown} is in use by {other}; stop it, or give it another port")
}

/// The words for the adapters that are there, by names that stay.
pub(super) fn present() -> String {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.path().display().to_string())
            .collect();
        names.sort();
        names
    };
    let mut found = names("/dev/serial/by-id");
    if found.is_empty() {
        found = names("/dev/serial/by-path");
    }
    if found.is_empty() {
        "is the adapter plugged in? There is no USB serial adapter at all".into()
    } else {
        format!("is the adapter plugged in? There are {}", found.join(", "))
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
    let id = fs::metadata(path).ok()?.gid();
    let groups = fs::read_to_string("/etc/group").ok()?;
    group_name(&groups, id).filter(|name| name != "root")
}

/// The name of a group in the text of `/etc/group`.
fn group_name(groups: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(&id)).then(|| name.to_owned())
    })
}

#[test]
fn a_group_is_found_by_its_number() {
    let groups = "root:x:0:\ndialout:x:20:pi\nbroken\nuucp:x:14:";
    for (id, want) in [(20, Some("dialout")), (14, Some("uucp")), (99, None)] {
        assert_eq!(group_name(groups, id).as_deref(), want);
    }
}
