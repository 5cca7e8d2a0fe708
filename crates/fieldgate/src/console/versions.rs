//! The last versions of the configuration, each a file of its own in the folder of the state.
//!
//! A file is a line of JSON that says whose it is, and behind it the text, byte for byte.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fieldgate_console::{Text, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text::tagged;
use crate::backup;

/// Where they are, in the folder of the state.
const FOLDER: &str = "config-versions";
/// How many are kept.
const VERSIONS_MAX: usize = 20;
/// Bytes of all of them; the newest is kept, were it larger.
const BYTES_MAX: usize = 8 << 20;
const SUFFIX: &str = "version";

/// The versions of one gateway.
pub(super) struct Versions {
    folder: PathBuf,
}

/// The first line of a file.
#[derive(Deserialize, Serialize)]
struct Head {
    at: String,
    user: Option<String>,
}

impl Versions {
    pub(super) fn new(state: &Path) -> Self {
        Self {
            folder: state.join(FOLDER),
        }
    }

    /// Keeps a text as the newest version, unless the newest is the same.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn keep(&self, text: &Text, user: Option<&str>) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let numbers = self.numbers()?;
        let newest = numbers.last().copied();
        if let Some(newest) = newest
            && self.read(newest)?.is_some_and(|old| old == text.text)
        {
            return Ok(());
        }
        let head = Head {
            at: format!("{:.0}", Timestamp::now()),
            user: user.map(str::to_owned),
        };
        let head = serde_json::to_string(&head)?;
        let number = newest.map_or(1, |newest| newest + 1);
        let bytes = format!("{head}\n{}", text.text);
        backup::put(&self.file(number), bytes.as_bytes(), 0o600)?;
        self.prune()
    }

    /// Those that are too many, or too much, go; the oldest first.
    fn prune(&self) -> io::Result<()> {
        let mut bytes = 0;
        for (place, number) in self.numbers()?.into_iter().rev().enumerate() {
            let file = self.file(number);
            bytes += usize::try_from(fs::metadata(&file)?.len()).unwrap_or(usize::MAX);
            if place > 0 && (place >= VERSIONS_MAX || bytes > BYTES_MAX) {
                fs::remove_file(&file)?;
            }
        }
        Ok(())
    }

    /// All of them, the newest first. One that cannot be read is left out.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn list(&self) -> io::Result<Vec<Version>> {
        let mut list = Vec::new();
        for number in self.numbers()?.into_iter().rev() {
            let Some((head, text)) = self.open(number)? else {
                continue;
            };
            let bytes = text.len();
            list.push(Version {
                version: number,
                at: head.at,
                user: head.user,
                bytes,
                tag: tagged(text).tag,
            });
        }
        Ok(list)
    }

    /// The text of a version; none if there is no such one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn read(&self, number: u64) -> io::Result<Option<String>> {
        Ok(self.open(number)?.map(|(_, text)| text))
    }

    fn open(&self, number: u64) -> io::Result<Option<(Head, String)>> {
        let bytes = match fs::read(self.file(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let read = || {
            let whole = String::from_utf8(bytes).ok()?;
            let (head, text) = whole.split_once('\n')?;
            Some((serde_json::from_str(head).ok()?, text.to_owned()))
        };
        Ok(read())
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}.{SUFFIX}"))
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twenty_versions_are_kept_and_never_too_many_bytes() {
        let name = format!("fieldgate-versions-{}", std::process::id());
        let state = std::env::temp_dir().join(name);
        let versions = Versions::new(&state);
        assert_eq!(versions.list().unwrap(), []);
        let text = |number: usize| tagged(format!("# {number}\r\nä: 1 # \u{feff}\n"));
        for number in 0..30 {
            versions.keep(&text(number), Some("ada")).unwrap();
            versions.keep(&text(number), Some("eve")).unwrap();
        }
        let list = versions.list().unwrap();
        assert_eq!(list.len(), VERSIONS_MAX);
        assert!(
            list.iter()
                .all(|version| version.user.as_deref() == Some("ada"))
        );
        assert_eq!((list[0].version, list[19].version), (30, 11));
        assert_eq!(versions.read(30).unwrap(), Some(text(29).text));
        assert_eq!(list[0].tag, text(29).tag);
        assert_eq!(versions.read(1).unwrap(), None);
        fs::write(state.join(FOLDER).join("00000029.version"), "damaged").unwrap();
        assert_eq!(versions.list().unwrap().len(), VERSIONS_MAX - 1);
        let large = tagged("x".repeat(BYTES_MAX / 2));
        versions.keep(&large, None).unwrap();
        versions.keep(&tagged("y".repeat(BYTES_MAX)), None).unwrap();
        assert_eq!(versions.list().unwrap().len(), 1);
        fs::remove_dir_all(&state).unwrap();
    }
}
