//! What the machine, and the service manager, let this process have.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Machine;

/// Finds out. Raises the limit of open files as far as it may.
pub(crate) fn machine() -> Machine {
    Machine {
        memory: memory(Path::new("/proc/meminfo"), Path::new("/sys/fs/cgroup")),
        files: files(),
    }
}

fn files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    }
}

/// The memory of the machine, or the limit of this process's control group if that is less, in bytes.
fn memory(meminfo: &Path, cgroups: &Path) -> Option<u64> {
    let text = fs::read_to_string(meminfo).ok();
    let total = text.as_deref().and_then(total);
    let limit = limit_of_group(cgroups);
    total.into_iter().chain(limit).min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest limit of the group and of those that it is in.
fn limit_of_group(cgroups: &Path) -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    // Version 2 of control groups: one line, "0::/path". Version 1 names the memory controller.
    let (root, path) = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some((cgroups.to_owned(), path)),
            "memory" => Some((cgroups.join("memory"), path)),
            _ => None,
        }
    })?;
    let folder = root.join(path.trim_start_matches('/'));
    let folders = folder
        .ancestors()
        .take_while(|folder| folder.starts_with(&root));
    let limits = folders.filter_map(|folder| {
        let files = ["memory.max", "memory.limit_in_bytes"].map(|name| folder.join(name));
        let text = files
            .iter()
            .find_map(|file| fs::read_to_string(file).ok())?;
        text.trim().parse().ok() // "max" is no limit.
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_or_unknown() {
        for (text, want) in [
            ("MemTotal:        1000 kB\nMemFree: 5 kB\n", Some(1_024_000)),
            ("MemFree: 5 kB\n", None),
            ("MemTotal: many kB\n", None),
            ("", None),
        ] {
            assert_eq!(total(text), want, "{text:?}");
        }
        assert!(machine().memory.is_some_and(|memory| memory > 1 << 20));
    }
}
