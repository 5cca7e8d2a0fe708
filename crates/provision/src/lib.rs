//! First-boot provisioning: takes what a person has put on the card's FAT partition.
//!
//! `wanted` reads `provision.yaml`, `items` takes one of its items after the other, `plan` says what has to change for
//! one, `apply` changes it below a root, and `redact` takes the passwords out of the file. This module reads and writes
//! the files, and says in a report beside them what became of each. It starts nothing and knows no service: it runs
//! before the network and the gateway are started.

mod apply;
mod inside;
mod items;
mod plan;
mod redact;
mod report;
mod wanted;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fieldgate_config::kinds::Kinds;
use fieldgate_config::users_file::NotSet;
use fieldgate_config::yaml::BYTES_MAX;
use fieldgate_config::{self as config, Report};
pub use plan::CONSOLE_NETWORK;
pub use report::Line;
use report::{Became, Story};

/// The folder on the FAT partition.
const FOLDER: &str = "fieldgate";
const PROVISION: &str = "provision.yaml";
const GATEWAY: &str = "gateway.yaml";
/// The gateway's folder, below the root.
const ETC: &str = "etc/fieldgate";
/// What was taken last, so that it is taken again only when it changes.
const STATE: &str = "etc/fieldgate-provisioned";
const ZONES: &str = "usr/share/zoneinfo";

/// What became of the folder.
#[derive(Debug, Default)]
pub struct Done {
    /// For the journal.
    pub lines: Vec<Line>,
    /// Everything that was refused.
    pub refused: Report,
}

/// Takes what is new from the boot partition that is mounted at `boot`, for the system at `root`. `None` if there is
/// nothing for us.
///
/// # Errors
///
/// That the report could not be written. What else the system refuses is in the report.
pub fn provision(boot: &Path, root: &Path, kinds: Kinds) -> io::Result<Option<Done>> {
    let folder = boot.join(FOLDER);
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut run = Run {
        folder,
        root: root.to_owned(),
        kinds,
        state: State::read(&root.join(STATE)),
        story: Story::default(),
        refused: Report::default(),
    };
    // A full disk, too, is said in the report on the card.
    if let Err(error) = run.take(&root.join(STATE)) {
        run.refused.add(FOLDER, None, "", error.to_string());
    }
    run.tell().map(Some)
}

/// A mapping that waits beside the one of now.
struct Staged {
    path: PathBuf,
    /// As it is on the card.
    text: String,
}

struct Run {
    folder: PathBuf,
    root: PathBuf,
    kinds: Kinds,
    state: State,
    story: Story,
    refused: Report,
}

impl Run {
    fn take(&mut self, state: &Path) -> Result<(), NotSet> {
        self.look_for_strangers();
        // The mapping first: it may name the file that the first user goes into.
        let staged = self.stage_gateway()?;
        self.take_provision(staged.as_ref().map(|staged| staged.path.as_path()))?;
        self.take_gateway(staged)?;
        self.state.write(state).map_err(NotSet::System)
    }

    /// A file that is new or has changed since it was taken; `None` if there is none.
    fn new_text(&mut self, name: &'static str) -> Option<String> {
        let path = self.folder.join(name);
        let shown = format!("{FOLDER}/{name}");
        let mut bytes = Vec::new();
        let limit = BYTES_MAX as u64 + 1;
        let file = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            // A link would lead to a file of the board, of which the report could quote lines.
            Ok(found) if !found.is_file() => Err(io::Error::other("this is no file")),
            Ok(_) => fs::File::open(&path),
            Err(error) => Err(error),
        };
        let read = file.and_then(|file| file.take(limit).read_to_end(&mut bytes));
        if let Err(error) = read {
            self.refused.add(&shown, None, "", error.to_string());
            self.story.add(name, Became::Refused);
            return None;
        }
        if self.state.is_taken(name, &bytes) {
            self.story.add(name, Became::TakenBefore);
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => {
                let message = "not UTF-8 text: save it as UTF-8";
                self.refused.add(&shown, None, "", message);
                self.story.add(name, Became::Refused);
                None
            }
        }
    }

    /// A PC that hides the endings of names makes `gateway.yaml.txt` of `gateway.yaml`.
    fn look_for_strangers(&mut self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().to_lowercase();
            for wanted in [PROVISION, GATEWAY] {
                let stem = wanted.trim_end_matches(".yaml");
                let is_meant = ["yaml.txt", "yml", "txt", "yml.txt"]
                    .iter()
                    .any(|end| name == format!("{stem}.{end}"));
                if is_meant {
                    let shown = format!("{FOLDER}/{}", entry.file_name().to_string_lossy());
                    let message = format!("not read: the name must be {wanted}");
                    self.refused.add(&shown, None, "", message);
                }
            }
        }
    }

    /// Puts a new `gateway.yaml` beside the one of now, where its device types and users are.
    fn stage_gateway(&mut self) -> Result<Option<Staged>, NotSet> {
        let Some(text) = self.new_text(GATEWAY) else {
            return Ok(None);
        };
        let path = self.root.join(ETC).join("gateway.yaml.provision");
        let own = plain(&text);
        apply::replace(&path, own.as_bytes(), 0o640, self.owner()).map_err(NotSet::System)?;
        Ok(Some(Staged { path, text }))
    }

    /// Whom the gateway's folder belongs to; files in it belong to the same.
    fn owner(&self) -> Option<(u32, u32)> {
        let found = fs::metadata(self.root.join(ETC)).ok()?;
        Some((found.uid(), found.gid()))
    }

    /// A file that a mapping names, if it is the gateway's.
    fn inside(&self, named: &Path) -> Result<PathBuf, String> {
        inside::inside(&self.root, Path::new(ETC), named)
    }

    /// Whether a mapping from the card names files that are not the gateway's, which is refused.
    fn names_strangers(&mut self, staged: &Path) -> bool {
        // What cannot be parsed is told by the one who reads all of it.
        let named = config::files_of_broker(staged).unwrap_or_default();
        let mut is_refused = false;
        for (key, mark, file) in named {
            if let Err(why) = self.inside(&file) {
                let shown = format!("{FOLDER}/{GATEWAY}");
                self.refused.add(&shown, Some(mark), key, why);
                is_refused = true;
            }
        }
        is_refused
    }

    /// Checks the staged mapping as the gateway will, and takes it.
    fn take_gateway(&mut self, staged: Option<Staged>) -> Result<(), NotSet> {
        let Some(Staged { path: staged, text }) = staged else {
            return Ok(());
        };
        // Before any of them is read: the report quotes what is wrong in them.
        if self.names_strangers(&staged) {
            self.story.add(GATEWAY, Became::Refused);
            return apply::remove(&staged).map_err(NotSet::System);
        }
        if let Err(report) = config::load_with_files(&staged, self.kinds) {
            let inner = staged.display().to_string();
            for mistake in report.iter() {
                let file = match mistake.file == inner {
                    true => format!("{FOLDER}/{GATEWAY}"),
                    false => mistake.file.clone(),
                };
                let (path, message) = (mistake.path.clone(), mistake.message.clone());
                self.refused.add(&file, mistake.mark, path, message);
            }
            self.story.add(GATEWAY, Became::Refused);
            return apply::remove(&staged).map_err(NotSet::System);
        }
        let place = self.root.join(ETC).join(GATEWAY);
        let mut told = Vec::new();
        if place.exists() {
            let before = place.with_extension("yaml.before");
            fs::rename(&place, &before).map_err(NotSet::System)?;
            told.push("the mapping of before is kept as gateway.yaml.before".to_owned());
        }
        fs::rename(&staged, &place).map_err(NotSet::System)?;
        self.state.set(GATEWAY, text.as_bytes());
        self.story.add(GATEWAY, Became::Taken(told));
        Ok(())
    }

    /// Writes the report beside the files, and the same into the log.
    fn tell(self) -> io::Result<Done> {
        let text = self.story.text(&self.refused);
        let path = self.folder.join("REPORT.txt");
        let is_quiet = self.story.is_quiet() && self.refused.is_empty();
        if !is_quiet && fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            apply::replace(&path, text.as_bytes(), 0o644, None)?;
        }
        Ok(Done {
            lines: self.story.lines(),
            refused: self.refused,
        })
    }
}

/// Text as this system writes it.
fn plain(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.replace("\r\n", "\n")
}

/// A hash for each file and each item that was taken, one on a line.
#[derive(Debug, Default, PartialEq, Eq)]
struct State(Vec<(String, String)>);

impl State {
    /// Without a file, or with one that cannot be read, nothing was taken.
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            let (hash, name) = line.split_once(' ')?;
            Some((name.to_owned(), hash.to_owned()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        if Self::read(path) == *self {
            return Ok(());
        }
        let lines = self.0.iter().map(|(name, hash)| format!("{hash} {name}\n"));
        apply::replace(path, lines.collect::<String>().as_bytes(), 0o644, None)
    }

    fn is_taken(&self, name: &str, bytes: &[u8]) -> bool {
        let hash = hash(bytes);
        self.0.iter().any(|(n, h)| n == name && *h == hash)
    }

    fn set(&mut self, name: &str, bytes: &[u8]) {
        self.0.retain(|(n, _)| n != name);
        self.0.push((name.to_owned(), hash(bytes)));
    }
}

/// FNV-1a: it finds changes, and protects nothing.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}
