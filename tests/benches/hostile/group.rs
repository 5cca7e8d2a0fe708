//! A control group (version 2) that bounds the gateway's memory, without swap.

use std::path::{Path, PathBuf};
use std::{fs, io, process, thread, time::Duration};

/// Removed when it is dropped; its processes must have ended.
pub struct Group(PathBuf);

impl Group {
    /// A group with `bytes` of memory.
    ///
    /// # Errors
    /// When this machine has no version 2 with a memory controller, or none may be made here.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if !controllers.split_whitespace().any(|name| name == "memory") {
            let text = "control groups of version 2 have no memory controller on this machine";
            return Err(io::Error::other(text));
        }
        let folder = root.join(format!("fieldgate-hostile-{}", process::id()));
        fs::create_dir(&folder)?;
        let this = Self(folder);
        fs::write(this.0.join("memory.max"), bytes.to_string())?;
        // Absent where the kernel counts no swap.
        if this.0.join("memory.swap.max").exists() {
            fs::write(this.0.join("memory.swap.max"), "0")?;
        }
        Ok(this)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Processes that the kernel has killed in it so far.
    pub fn killed(&self) -> u64 {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
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
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
