//! Where counts are kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fieldgate_spool::{Error, Log, STAMP};

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

/// Keeps counts in a folder, as a log that costs a card one block each time. What was saved is on the disk
/// when [`Store::save`] returns, so that a power failure leaves the old counts or the new ones.
///
/// A log that is damaged is set aside, with an error in the journal, and counting begins at zero.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

/// The log of a folder, and what it holds.
#[derive(Debug)]
struct Open {
    log: Log,
    devices: BTreeMap<String, Counts>,
}

/// The log's name in its folder.
const LOG: &str = "counts";
/// From so many segments on the oldest is given back.
const SEGMENTS: usize = 3;

impl Open {
    fn read(path: &Path) -> Result<Self, Error> {
        let log = Log::open(path)?;
        let devices = Self::replay(&log)?;
        Ok(Self { log, devices })
    }

    fn replay(log: &Log) -> Result<BTreeMap<String, Counts>, Error> {
        let mut devices = BTreeMap::new();
        log.replay(|_, payload| {
            let text = |error: serde_json::Error| Error::Damaged(error.to_string());
            let newer: BTreeMap<String, Counts> = serde_json::from_slice(payload).map_err(text)?;
            devices.extend(newer);
            Ok::<_, Error>(())
        })?;
        Ok(devices)
    }

    fn save(&mut self, device: &str, counts: &Counts) -> Result<(), Error> {
        self.devices.insert(device.to_owned(), counts.clone());
        let payload = if self.log.segments() >= SEGMENTS {
            self.log.retire_oldest();
            serde_json::to_vec(&self.devices)
        } else {
            serde_json::to_vec(&BTreeMap::from([(device, counts)]))
        };
        let payload = payload.map_err(io::Error::from)?;
        self.log.append(&payload, [0; STAMP]).map(drop)
    }
}

impl Folder {
    /// A folder, made when something is loaded or saved.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            path: folder.into(),
            open: Mutex::default(),
        }
    }

    /// What a folder holds for some devices, those without counts left out. Another process may be writing there, so
    /// a copy is read, which is made in `scratch`: what is found is what a loss of power now would leave.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn peek<'d>(
        folder: &Path,
        scratch: &Path,
        devices: impl Iterator<Item = &'d str>,
    ) -> io::Result<BTreeMap<String, Counts>> {
        let mut all = match folder.join(LOG).is_dir() {
            true => copied(&folder.join(LOG), scratch)?,
            false => BTreeMap::new(),
        };
        let own = Self::new(folder);
        let mut found = BTreeMap::new();
        for device in devices {
            let counts = match all.remove(device) {
                Some(counts) => counts,
                None => own.load_old(device)?,
            };
            if !counts.is_empty() {
                found.insert(device.to_owned(), counts);
            }
        }
        Ok(found)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Open) -> Result<T, Error>) -> io::Result<T> {
        let mut slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = match slot.take() {
            Some(open) => open,
            None => self.open()?,
        };
        // After a failure the log is opened anew: what is on the disk is not known.
        let done = work(&mut open).map_err(io::Error::other)?;
        *slot = Some(open);
        Ok(done)
    }

    fn open(&self) -> io::Result<Open> {
        fs::create_dir_all(&self.path)?;
        let path = self.path.join(LOG);
        match Open::read(&path) {
            Err(Error::Damaged(detail)) => {
                set_aside(&path, &detail)?;
                Open::read(&path).map_err(io::Error::other)
            }
            other => other.map_err(io::Error::other),
        }
    }

    /// The file of a device of version 0.1.
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
        self.path.join(name + ".json")
    }

    /// What version 0.1 kept for a device.
    fn load_old(&self, device: &str) -> io::Result<Counts> {
        let file = self.file(device);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Counts::new()),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Vec::new(),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&text).or_else(|error| {
            set_aside(&file, &error.to_string())?;
            Ok(Counts::new())
        })
    }
}

/// Files of a log that is copied, and how often that is tried: a log that goes on meanwhile may give a segment back.
const COPIED_MAX: usize = 4 * SEGMENTS;
const COPIES: usize = 3;

/// What the copy of a log holds.
fn copied(log: &Path, scratch: &Path) -> io::Result<BTreeMap<String, Counts>> {
    let read = |place: &Path| -> Result<_, Error> {
        fs::create_dir_all(place)?;
        for entry in fs::read_dir(log)?.take(COPIED_MAX) {
            let entry = entry?;
            fs::copy(entry.path(), place.join(entry.file_name()))?;
        }
        Open::replay(&Log::open(place)?)
    };
    let mut found = Err(Error::Damaged("it was not read".to_owned()));
    for number in 0..COPIES {
        found = read(&scratch.join(format!("{LOG}-{number}")));
        if found.is_ok() {
            break;
        }
    }
    found.map_err(io::Error::other)
}

/// Puts what is damaged out of the way, beside its place; what was put there before goes.
fn set_aside(path: &Path, detail: &str) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    match aside.is_dir() {
        true => fs::remove_dir_all(&aside)?,
        false if aside.exists() => fs::remove_file(&aside)?,
        false => {}
    }
    fs::rename(path, &aside)?;
    let (path, aside) = (path.display(), aside.display());
    log::error!("{path}: {detail}; it is set aside as {aside}, and its counts begin at zero");
    Ok(())
}

impl Store for Folder {
    fn load(&self, device: &str) -> io::Result<Counts> {
        match self.with(|open| Ok(open.devices.get(device).cloned()))? {
            Some(counts) => Ok(counts),
            None => self.load_old(device),
        }
    }

    fn save(&self, device: &str, counts: &Counts) -> io::Result<()> {
        self.with(|open| open.save(device, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for a test, gone at its end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("fieldgate-counts-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn counts(total: u64) -> Counts {
        Counts::from([("water".to_owned(), Kept { total, lost: 7 })])
    }

    #[test]
    fn another_process_sees_the_counts_of_a_folder_that_is_in_use() {
        let place = Place::new("peek");
        let store = Folder::new(place.0.join("gpio"));
        let look = |number: usize| {
            let scratch = place.0.join(format!("scratch-{number}"));
            Folder::peek(
                &place.0.join("gpio"),
                &scratch,
                ["panel", "old", "none"].into_iter(),
            )
        };
        fs::create_dir_all(&place.0).unwrap();
        assert_eq!(look(0).unwrap(), BTreeMap::new());
        for total in 0..5_000 {
            store.save("panel", &counts(total)).unwrap();
        }
        fs::write(
            place.0.join("gpio/old.json"),
            r#"{"water": {"total": 3, "lost": 7}}"#,
        )
        .unwrap();
        let want = [
            ("old".to_owned(), counts(3)),
            ("panel".to_owned(), counts(4_999)),
        ];
        assert_eq!(look(1).unwrap(), want.into());
        store.save("panel", &counts(5_000)).unwrap();
        assert_eq!(look(2).unwrap()["panel"], counts(5_000));
    }

    #[test]
    fn counts_come_back_from_a_folder_that_stays_small() {
        let place = Place::new("back");
        let devices = ["panel", "../panel", "Zähler 1"];
        for total in 0..400 {
            let store = Folder::new(place.0.join("inner"));
            for device in devices {
                let before = match total {
                    0 => Counts::new(),
                    _ => counts(total - 1),
                };
                assert_eq!(store.load(device).unwrap(), before, "{device} {total}");
                store.save(device, &counts(total)).unwrap();
                assert_eq!(
                    store.load(device).unwrap(),
                    counts(total),
                    "{device} {total}"
                );
            }
        }
        let files = fs::read_dir(place.0.join("inner").join(LOG)).unwrap();
        let bytes: u64 = files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 4 * 256 * 1024, "{bytes}");
    }

    #[test]
    fn what_is_damaged_is_set_aside_and_counting_goes_on() {
        let place = Place::new("damaged");
        fs::create_dir_all(&place.0).unwrap();
        let good = "{\"water\":{\"total\":5,\"lost\":0}}";
        for (text, want) in [
            (good, Some(5)),
            ("{\"water\":", None),
            ("", None),
            ("\0\0", None),
        ] {
            let store = Folder::new(&place.0);
            fs::write(store.file("old"), text).unwrap();
            let total = store
                .load("old")
                .unwrap()
                .get("water")
                .map(|kept| kept.total);
            assert_eq!(total, want, "{text}");
        }
        // A folder where a file should be, and a log with a hole.
        fs::create_dir(place.0.join("folder.json")).unwrap();
        let store = Folder::new(&place.0);
        assert_eq!(store.load("folder").unwrap(), Counts::new());
        for total in 0..3 {
            store.save("panel", &counts(total)).unwrap();
        }
        drop(store);
        let file = place.0.join(LOG).join("00000.log");
        let mut bytes = fs::read(&file).unwrap();
        bytes[100] ^= 1;
        fs::write(&file, bytes).unwrap();
        let store = Folder::new(&place.0);
        assert_eq!(store.load("panel").unwrap(), Counts::new());
        store.save("panel", &counts(1)).unwrap();
        assert_eq!(store.load("panel").unwrap(), counts(1));
    }
}
