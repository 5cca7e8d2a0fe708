//! The kernel's GPIO simulator: chips whose lines a test moves and watches from the other side.
//!
//! Source: the kernel's `Documentation/admin-guide/gpio/gpio-sim.rst`.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const CONFIGURED: &str = "/sys/kernel/config/gpio-sim";

/// A chip with one bank of lines; it goes when this goes.
pub struct SimulatedChip {
    folder: PathBuf,
    lines: PathBuf,
}

impl SimulatedChip {
    /// Makes a chip with this label, whose lines have these names.
    pub fn new(label: &str, names: &[&str]) -> Self {
        Self::with_hog(label, names, None)
    }

    /// As [`Self::new`], with a line, by offset, that the kernel itself holds under a name.
    pub fn with_hog(label: &str, names: &[&str], hog: Option<(usize, &str)>) -> Self {
        let folder = Path::new(CONFIGURED).join(label);
        let bank = folder.join("bank");
        fs::create_dir_all(&bank).expect("gpio-sim: `tests/vm/run` runs this where it is");
        set(&bank.join("num_lines"), &names.len().to_string());
        set(&bank.join("label"), label);
        for (offset, name) in names.iter().enumerate() {
            let line = bank.join(format!("line{offset}"));
            fs::create_dir(&line).expect("a line");
            set(&line.join("name"), name);
            if let Some((_, owner)) = hog.filter(|(held, _)| *held == offset) {
                let hog = line.join("hog");
                fs::create_dir(&hog).expect("a hog");
                set(&hog.join("name"), owner);
                set(&hog.join("direction"), "input");
            }
        }
        set(&folder.join("live"), "1");
        let device = get(&folder.join("dev_name"));
        let chip = get(&bank.join("chip_name"));
        let lines = Path::new("/sys/devices/platform").join(device).join(chip);
        Self { folder, lines }
    }

    /// Pulls a line up or down from outside, as a contact does.
    pub fn pull(&self, offset: usize, up: bool) {
        let pull = if up { "pull-up" } else { "pull-down" };
        set(&self.line(offset).join("pull"), pull);
    }

    /// As [`Self::pull`], for many times: the way to the line stays open.
    pub fn contact(&self, offset: usize) -> Contact {
        let pull = File::options()
            .write(true)
            .open(self.line(offset).join("pull"));
        Contact(pull.expect("a line"))
    }

    /// The level that one measures at the line.
    pub fn level(&self, offset: usize) -> bool {
        get(&self.line(offset).join("value")) == "1"
    }

    /// Whether a contact or the gateway's request pulls the line up.
    pub fn is_pulled_up(&self, offset: usize) -> bool {
        get(&self.line(offset).join("pull")) == "pull-up"
    }

    fn line(&self, offset: usize) -> PathBuf {
        self.lines.join(format!("sim_gpio{offset}"))
    }
}

/// A contact at a line.
pub struct Contact(File);

impl Contact {
    pub fn pull(&self, up: bool) {
        let pull: &[u8] = if up { b"pull-up" } else { b"pull-down" };
        let written = self.0.write_at(pull, 0);
        assert_eq!(written.expect("a line"), pull.len());
    }
}

impl Drop for SimulatedChip {
    fn drop(&mut self) {
        set(&self.folder.join("live"), "0");
        remove(&self.folder);
    }
}

/// Removes a tree of the configuration: its attributes are not for removal.
fn remove(folder: &Path) {
    let entries = fs::read_dir(folder).expect("a folder of the configuration");
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    fs::remove_dir(folder).expect("a folder of the configuration goes");
}

fn set(attribute: &Path, value: &str) {
    fs::write(attribute, value).unwrap_or_else(|error| panic!("{}: {error}", attribute.display()));
}

fn get(attribute: &Path) -> String {
    let text = fs::read_to_string(attribute);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", attribute.display()));
    text.trim().to_owned()
}
