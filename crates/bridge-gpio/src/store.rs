//! Where counts are kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A count as it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Kept {
    /// All pulses.
    pub total: u64,
    /// Those of them that are known only by their numbers.
    pub lost: u64,
}

/// The counts of one device, by the names of their points.
pub type Counts = BTreeMap<String, Kept>;

/// Keeps counts. Calls may take as long as a card takes to write.
pub trait Store: Debug + Send + Sync + 'static {
    /// What was kept for a device; nothing if it is new.
    ///
    /// # Errors
    ///
    /// If what was kept cannot be read.
    fn load(&self, device: &str) -> io::Result<Counts>;

    /// Keeps the counts of a device in the place of older ones.
    ///
    /// # Errors
    ///
    /// If they could not be kept; the older ones are still there.
    fn save(&self, device: &str, counts: &Counts) -> io::Result<()>;
}

/// Keeps counts while the process lives.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Counts>>);

impl Store for Memory {
    fn load(&self, device: &str) -> io::Result<Counts> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.get(device).cloned().unwrap_or_default())
    }

    fn save(&self, device: &str, counts: &Counts) -> io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(device.to_owned(), counts.clone());
        Ok(())
    }
}

/// Keeps counts in a folder, one file for each device. A file is replaced as a whole and is on the
/// disk when [`Store::save`] returns, so that a power failure leaves the old one or the new one.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder, made when something is saved.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    fn file(&self, device: &str) -> PathBuf {
        let mut name = String::new();
        for byte in device.bytes() {
            // Writing to a string does not fail.
            let _ = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    write!(name, "{}", char::from(byte))
                }
                other => write!(name, "%{other:02x}"),
            };
        }
        self.0.join(name + ".json")
    }
}

impl Store for Folder {
    fn load(&self, device: &str) -> io::Result<Counts> {
        match fs::read(self.file(device)) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Counts::new()),
            Err(error) => Err(error),
        }
    }

    fn save(&self, device: &str, counts: &Counts) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let file = self.file(device);
        let new = file.with_extension("new");
        let mut written = File::create(&new)?;
        written.write_all(&serde_json::to_vec(counts)?)?;
        written.sync_all()?;
        fs::rename(&new, &file)?;
        File::open(&self.0)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_from_a_folder_and_a_broken_file_is_told() {
        let folder = std::env::temp_dir().join(format!("fieldgate-counts-{}", std::process::id()));
        let store = Folder::new(folder.join("inner"));
        for device in ["panel", "../panel", "Zähler 1"] {
            assert_eq!(store.load(device).unwrap(), Counts::new(), "{device}");
            let kept = Kept {
                total: u64::MAX,
                lost: device.len() as u64,
            };
            let counts = Counts::from([("water".to_owned(), kept)]);
            store.save(device, &counts).unwrap();
            assert_eq!(store.load(device).unwrap(), counts, "{device}");
        }
        assert_eq!(fs::read_dir(folder.join("inner")).unwrap().count(), 3);
        fs::write(store.file("panel"), "{\"water\":").unwrap();
        assert!(store.load("panel").is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
