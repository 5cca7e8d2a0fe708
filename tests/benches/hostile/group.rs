//! A control group that bounds the gateway's memory, without swap.

use std::path::{Path, PathBuf};
use std::{fs, io, process, thread, time::Duration};

/// The files of a version of control groups.
struct Files {
    /// Where its hierarchy begins.
    root: &'static str,
    limit: &'static str,
    /// The limit that holds with swap, and what makes it allow none. Absent where the kernel counts no swap.
    swap: &'static str,
    no_swap: fn(u64) -> u64,
    /// Has a line `oom_kill COUNT`.
    events: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        swap: "memory.swap.max",
        no_swap: |_| 0,
        events: "memory.events",
    },
    Files {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        swap: "memory.memsw.limit_in_bytes",
        no_swap: |limit| limit,
        events: "memory.oom_control",
    },
];

/// Removed when it is dropped; its processes must have ended.
pub struct Group {
    folder: PathBuf,
    files: &'static Files,
}

impl Group {
    /// A group with `bytes` of memory.
    ///
    /// # Errors
    /// When this machine has no memory controller, or none may be made here.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let is_there = |files: &&Files| match files.limit {
            // Version 2 lists its controllers; its root has no limit of its own.
            "memory.max" => fs::read_to_string(Path::new(files.root).join("cgroup.controllers"))
                .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory")),
            limit => Path::new(files.root).join(limit).exists(),
        };
        let files = VERSIONS.iter().find(is_there);
        let files = files.ok_or_else(|| {
            io::Error::other("control groups have no memory controller on this machine")
        })?;
        let folder = Path::new(files.root).join(format!("fieldgate-hostile-{}", process::id()));
        fs::create_dir(&folder)?;
        let this = Self { folder, files };
        fs::write(this.folder.join(files.limit), bytes.to_string())?;
        let swap = this.folder.join(files.swap);
        if swap.exists() {
            fs::write(swap, (files.no_swap)(bytes).to_string())?;
        }
        Ok(this)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Processes that the kernel has killed in it so far.
    pub fn killed(&self) -> u64 {
        let events = fs::read_to_string(self.folder.join(self.files.events)).unwrap_or_default();
        let line = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel takes a moment to let go of a process that has ended.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
