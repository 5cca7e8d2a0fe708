//! First-boot provisioning: takes what a person has put on the card's FAT partition.
//!
//! `wanted` reads `provision.yaml`, `plan` says what has to change, `apply` changes it below a
//! root, and `redact` takes the passwords out of the file. This module reads and writes the files,
//! and says in a report beside them what became of each. It starts nothing and knows no service:
//! it runs before the network and the gateway are started.

mod apply;
mod inside;
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
use fieldgate_config::users_file::{NotSet, set_password};
use fieldgate_config::yaml::{BYTES_MAX, Node};
use fieldgate_config::{self as config, Report};
pub use report::Line;
use report::{Became, Story};
use wanted::{MqttUser, Wanted};

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
    // Whoever holds the card shall read of a full disk, too.
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

    /// Whoever does not see the endings of names makes `gateway.yaml.txt`, and wonders.
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

    fn take_provision(&mut self, staged: Option<&Path>) -> Result<(), NotSet> {
        let Some(text) = self.new_text(PROVISION) else {
            return Ok(());
        };
        let shown = format!("{FOLDER}/{PROVISION}");
        let Some((wanted, root)) = config::read_document(&shown, &text, &mut self.refused) else {
            self.story.add(PROVISION, Became::Refused);
            return Ok(());
        };
        let wanted: Wanted = wanted;
        let wpa = fs::read_to_string(self.root.join(plan::WPA_FILE)).ok();
        let planned = plan::plan(&wanted, wpa.as_deref());
        let users = self.users_file(&wanted, staged);
        let zone = self.zone(&wanted);
        let mut wrong = |(key, message): (&str, String)| {
            let path: Vec<&str> = key.split('.').collect();
            let mark = root.mark_of(&path);
            self.refused.add(&shown, Some(mark), key, message);
        };
        let (planned, users) = match (planned, users, zone) {
            (Ok(planned), Ok(users), Ok(())) => (planned, users),
            (planned, users, zone) => {
                planned.err().map(&mut wrong);
                users.err().map(&mut wrong);
                zone.err().map(&mut wrong);
                self.story.add(PROVISION, Became::Refused);
                return Ok(());
            }
        };
        for change in &planned.changes {
            apply::apply(&self.root, change).map_err(NotSet::System)?;
        }
        let mut told = planned.told;
        if let (Some(mqtt), Some(file)) = (&wanted.mqtt, users) {
            told.extend(set_user(mqtt, &file)?);
        }
        let kept = self.redacted(&wanted, &text, &root, &mut told)?;
        self.state.set(PROVISION, kept.as_bytes());
        self.story.add(PROVISION, Became::Taken(told));
        Ok(())
    }

    /// The file that the first user of the broker goes into.
    fn users_file(
        &self,
        wanted: &Wanted,
        staged: Option<&Path>,
    ) -> Result<Option<PathBuf>, (&'static str, String)> {
        let Some(mqtt) = &wanted.mqtt else {
            return Ok(None);
        };
        let current = self.root.join(ETC).join(GATEWAY);
        let named = config::files_of_broker(staged.unwrap_or(&current)).map(|files| {
            let mut files = files.into_iter();
            files.find(|(key, ..)| key == "broker.users")
        });
        let file = match named {
            Ok(Some((.., file))) => self.inside(&file).map_err(|why| ("mqtt", why))?,
            Ok(None) => {
                let text = "gateway.yaml names no users file: write `users: users.yaml` below `broker:` there";
                return Err(("mqtt", text.to_owned()));
            }
            Err(_) => {
                let text = "gateway.yaml has mistakes, so nobody knows where the users are";
                return Err(("mqtt", text.to_owned()));
            }
        };
        if mqtt.password.is_none() {
            let users = config::load_users(&file).ok();
            if !users.is_some_and(|users| users.named.contains_key(&mqtt.user.0)) {
                let text = "is needed: there is no such user yet";
                return Err(("mqtt.password", text.to_owned()));
            }
        }
        Ok(Some(file))
    }

    fn zone(&self, wanted: &Wanted) -> Result<(), (&'static str, String)> {
        let zones = self.root.join(ZONES);
        match &wanted.timezone {
            Some(zone) if !zones.join(&zone.0).is_file() => {
                let text = format!("there is no time zone \"{}\" here", zone.0);
                Err(("timezone", text))
            }
            _ => Ok(()),
        }
    }

    /// Takes the passwords out of the file on the card. Returns what is there then.
    fn redacted(
        &self,
        wanted: &Wanted,
        text: &str,
        root: &Node,
        told: &mut Vec<String>,
    ) -> Result<String, NotSet> {
        if !wanted.has_secrets() {
            return Ok(text.to_owned());
        }
        let bare = wanted.without_secrets();
        let says_the_same = |text: &String| {
            let mut report = Report::default();
            let read = config::read_document::<Wanted>(PROVISION, text, &mut report);
            report.is_empty() && read.is_some_and(|(read, _)| read == bare)
        };
        let kept = redact::redact(text, root).filter(says_the_same);
        let kept = kept
            .or_else(|| redact::rewrite(root).filter(says_the_same))
            .unwrap_or_else(|| "version: 1\n".to_owned());
        apply::replace(&self.folder.join(PROVISION), kept.as_bytes(), 0o644, None)
            .map_err(NotSet::System)?;
        told.push(
            "The passwords were taken out of the file, since anybody can read this card. The gateway \
             keeps them. To set another one, write it there again."
                .to_owned(),
        );
        Ok(kept)
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

/// Sets the password of a user, who may do everything if the user is new.
fn set_user(mqtt: &MqttUser, file: &Path) -> Result<Option<String>, NotSet> {
    let Some(password) = &mqtt.password else {
        return Ok(None);
    };
    let name = &mqtt.user.0;
    set_password(file, name, password.0.as_bytes())?;
    Ok(Some(format!(
        "MQTT: the user \"{name}\" has this password now"
    )))
}

/// Text as this system writes it.
fn plain(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.replace("\r\n", "\n")
}

/// A hash for each file that was taken, one on a line.
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
