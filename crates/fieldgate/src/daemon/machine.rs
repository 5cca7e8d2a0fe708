//! What the machine, and the service manager, let this process have.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::sysinfo;

use fieldgate_config::Machine;

/// Finds out. Raises the limit of open files as far as it may.
pub(crate) fn machine() -> Machine {
    Machine {
        memory: memory(Path::new("/sys/fs/cgroup")),
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
fn memory(cgroups: &Path) -> Option<u64> {
    // Not from /proc/meminfo, which a service that sees only processes does not have.
    let machine = sysinfo();
    let unit = u64::from(machine.mem_unit).max(1);
    // It is narrower on machines of 32 bits.
    #[allow(clippy::useless_conversion)]
    let count = u64::from(machine.totalram);
    let total = total(count, unit);
    let own = fs::read_to_string("/proc/self/cgroup").ok();
    let limit = own.and_then(|own| limit_of_group(&own, cgroups));
    total.into_iter().chain(limit).min()
}

fn total(count: u64, unit: u64) -> Option<u64> {
    count.checked_mul(unit).filter(|total| *total > 0)
}

/// The smallest limit of the group and of those that it is in.
fn limit_of_group(own: &str, cgroups: &Path) -> Option<u64> {
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
    fn the_memory_of_the_machine_is_known() {
        assert_eq!(total(3, 4096), Some(12_288));
        assert_eq!(total(u64::MAX, 2), None);
        assert_eq!(total(0, 1), None);
        assert!(machine().memory.is_some_and(|memory| memory > 1 << 20));
        assert!(machine().files.is_some_and(|files| files > 0));
    }

    #[test]
    fn the_smallest_limit_of_the_groups_above_counts() {
        let root = std::env::temp_dir().join(format!("fieldgate-groups-{}", std::process::id()));
        for (own, folder, file) in [
            ("0::/a/b\n", "a", "memory.max"),
            ("0::/a/b\n", "a/b", "memory.max"),
            ("4:memory:/a/b\n0::/\n", "memory/a", "memory.limit_in_bytes"),
        ] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).unwrap();
            assert_eq!(limit_of_group(own, &root), None, "{own}");
            fs::write(folder.join(file), "max\n").unwrap();
            assert_eq!(limit_of_group(own, &root), None, "{own}");
            fs::write(folder.join(file), "300000000\n").unwrap();
            assert_eq!(limit_of_group(own, &root), Some(300_000_000), "{own}");
            fs::remove_dir_all(&root).unwrap();
        }
    }
}
