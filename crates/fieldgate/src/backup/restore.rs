//! Takes a backup back: everything is looked at before anything is replaced, and then all of it is.
//!
//! The new files are made ready beside the old ones, checked there as `check` does, and moved by `swap`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use fieldgate_bridge_gpio::count_store::{Counts, Folder, Store};
use fieldgate_config::{self as config, Report};

use super::swap::{self, FILES, NEW, clear, finish, sync_all};
use super::tar::{self, Entry};
use super::{ABOUT, About, CONFIG, COUNTS, FORMAT, GPIO, MAIN, SEALED, TYPES, UNPACKED_MAX};
use super::{files, pack, seal};
use crate::kinds::KINDS;
use crate::stop::Stop;

/// Where restored counts are made ready, where they wait for the next start, and where those of before stay then.
const GPIO_NEW: &str = "gpio.restore";
const GPIO_READY: &str = "gpio.restored";
const GPIO_OLD: &str = "gpio.before-restore";

/// What is to be taken.
pub(crate) struct Wanted<'w> {
    pub(crate) archive: &'w [u8],
    pub(crate) password: Option<&'w str>,
    /// Keys that are in it stay there.
    pub(crate) without_keys: bool,
    /// Only look.
    pub(crate) dry: bool,
}

/// What was taken.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) about: About,
    /// Files that were replaced.
    pub(crate) files: Vec<String>,
    /// What else a person must know.
    pub(crate) notes: Vec<String>,
}

/// Why a backup is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It is none, or hostile.
    #[error("this is no backup that can be taken: {0}")]
    Archive(String),
    /// Its password is missing or another one.
    #[error("{0}")]
    Password(String),
    /// What is in it has mistakes.
    #[error("{0}")]
    Config(Report),
    /// The system refuses something.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Config(report) => Self::Config(report),
            Refused::System(error) => Self::Other(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

/// Whether a backup has something that only its password opens.
///
/// # Errors
///
/// [`Refused::Archive`].
pub(super) fn is_sealed(archive: &[u8]) -> Result<bool, Refused> {
    let files = open(archive)?;
    Ok(files.iter().any(|file| file.name == SEALED))
}

fn open(archive: &[u8]) -> Result<Vec<Entry>, Refused> {
    let bytes = tar::unpack(archive, UNPACKED_MAX).map_err(Refused::Archive)?;
    tar::read(&bytes).map_err(Refused::Archive)
}

/// A backup, opened.
struct Opened {
    about: About,
    /// By their place in the folder of the configuration; with whether they are secret.
    files: BTreeMap<String, (Vec<u8>, bool)>,
    counts: BTreeMap<String, Counts>,
    has_keys_left: bool,
}

/// Takes a backup to the place of the configuration `config`, and its counts to the folder `state`.
///
/// # Errors
///
/// Why not; then nothing has changed.
pub(crate) fn restore(
    wanted: &Wanted<'_>,
    config: &Path,
    state: Option<&Path>,
) -> Result<Restored, Refused> {
    let opened = unseal(wanted)?;
    let folder = files::folder(config);
    let lock = File::open(folder).map_err(|error| files::about(folder, &error))?;
    lock.lock()?;
    finish(config)?;
    let new = folder.join(NEW);
    clear(&new)?;
    let prepared = prepare(&opened, config, &new);
    let commit = prepared.and_then(|moved| {
        if wanted.dry {
            return Ok(moved);
        }
        if let Some(state) = state.filter(|_| !opened.counts.is_empty()) {
            stage_counts(state, &opened.counts)?;
        }
        swap::commit(config, &lock, &moved)?;
        Ok(moved)
    });
    let cleared = clear(&new);
    let moved = commit?;
    cleared?;
    Ok(Restored {
        notes: notes(&opened, state),
        about: opened.about,
        files: moved,
    })
}

fn notes(opened: &Opened, state: Option<&Path>) -> Vec<String> {
    let mut notes = Vec::new();
    if opened.has_keys_left {
        notes.push("keys and passwords of the backup were left in it".to_owned());
    }
    notes.extend(
        opened
            .about
            .left_out
            .iter()
            .map(|note| format!("the backup has not: {note}")),
    );
    match (opened.counts.is_empty(), state) {
        (true, _) => {}
        (false, Some(_)) => notes.push("the counts of GPIO devices hold from the next start on".to_owned()),
        (false, None) => notes.push(
            "the counts of GPIO devices were left in the backup: the folder of the state is not known (--state)"
                .to_owned(),
        ),
    }
    notes
}

/// Opens a backup with its password.
fn unseal(wanted: &Wanted<'_>) -> Result<Opened, Refused> {
    let mut about = None;
    let mut opened = Opened {
        about: About::default(),
        files: BTreeMap::new(),
        counts: BTreeMap::new(),
        has_keys_left: false,
    };
    let wrong =
        |name: &str, error: &dyn std::fmt::Display| Refused::Archive(format!("{name}: {error}"));
    for file in open(wanted.archive)? {
        match file.name.as_str() {
            ABOUT => {
                let read = serde_json::from_slice::<About>(&file.bytes);
                about = Some(read.map_err(|error| wrong(ABOUT, &error))?);
            }
            COUNTS => {
                let read = serde_json::from_slice(&file.bytes);
                opened.counts = read.map_err(|error| wrong(COUNTS, &error))?;
            }
            SEALED if wanted.without_keys => opened.has_keys_left = true,
            SEALED => {
                let password = wanted.password.filter(|password| !password.is_empty());
                let password = password.ok_or_else(|| {
                    let text = "the keys in the backup have a password; give it, or leave them out";
                    Refused::Password(text.to_owned())
                })?;
                let inner = seal::open(&file.bytes, password).map_err(Refused::Password)?;
                for file in tar::read(&inner).map_err(Refused::Archive)? {
                    keep(&mut opened, file, true)?;
                }
            }
            _ => keep(&mut opened, file, false)?,
        }
    }
    opened.about = about.ok_or_else(|| Refused::Archive(format!("it has no {ABOUT}")))?;
    if opened.about.format != FORMAT {
        return Err(Refused::Archive(format!(
            "its format is {}, and this program knows {FORMAT}; it was made by version {}",
            opened.about.format, opened.about.version
        )));
    }
    if !opened.files.contains_key(MAIN) {
        return Err(Refused::Archive(format!("it has no {CONFIG}{MAIN}")));
    }
    Ok(opened)
}

fn keep(opened: &mut Opened, file: Entry, is_secret: bool) -> Result<(), Refused> {
    let Some(place) = file.name.strip_prefix(CONFIG) else {
        return Err(Refused::Archive(format!("{}: what is that?", file.name)));
    };
    let old = opened
        .files
        .insert(place.to_owned(), (file.bytes, is_secret));
    match old {
        None => Ok(()),
        Some(_) => Err(Refused::Archive(format!("{place}: there are two of it"))),
    }
}

/// Makes the files ready, together with those that stay, and checks them. Returns those that are moved.
fn prepare(opened: &Opened, config: &Path, new: &Path) -> Result<Vec<String>, Refused> {
    let folder = files::folder(config);
    let main = config.file_name().unwrap_or_default().to_string_lossy();
    let ready = new.join(FILES);
    fs::DirBuilder::new().mode(0o700).create(new)?;
    fs::create_dir(&ready)?;
    let mut moved = Vec::new();
    for (place, (bytes, is_secret)) in &opened.files {
        let place = if place == MAIN {
            &*main
        } else {
            place.as_str()
        };
        let path = ready.join(place);
        fs::create_dir_all(files::folder(&path))?;
        let is_private = *is_secret || place.ends_with("users.yaml");
        let mode = if is_private { 0o600 } else { 0o640 };
        files::write_new(&path, &folder.join(place), bytes, mode)?;
        moved.push(place.to_owned());
    }
    // The main file goes last: until then a reader finds the old configuration.
    moved.sort_by_key(|place| (*place == main, place.clone()));
    let staged = ready.join(&*main);
    let named = config::named_files(&staged).map_err(|report| told(&report, &ready, config))?;
    let own: BTreeSet<String> = named
        .iter()
        .filter_map(|file| pack::inside(config, file))
        .collect();
    for place in &moved {
        let is_type = place
            .strip_prefix(TYPES)
            .is_some_and(|name| name.ends_with(".yaml") && !name.contains('/'));
        if *place != main && !is_type && !own.contains(place) {
            let text = format!("{CONFIG}{place}: its configuration names no such file");
            return Err(Refused::Archive(text));
        }
        stays_inside(folder, place)?;
    }
    complete(&ready, config, &own)?;
    config::load_with_files(&staged, KINDS).map_err(|report| told(&report, &ready, config))?;
    Ok(moved)
}

/// Whether the place of a file is in the folder, links included.
fn stays_inside(folder: &Path, place: &str) -> Result<(), Refused> {
    let top = folder.canonicalize()?;
    let path = folder.join(place);
    let mut parent = files::folder(&path);
    // What is not there yet leads nowhere.
    while !parent.exists() {
        parent = files::folder(parent);
    }
    match parent.canonicalize()?.starts_with(top) {
        true => Ok(()),
        false => Err(Refused::Archive(format!("{place}: a link leads elsewhere"))),
    }
}

/// Puts those files beside the new ones that stay, so that they can be checked together.
fn complete(ready: &Path, config: &Path, own: &BTreeSet<String>) -> Result<(), Refused> {
    let folder = files::folder(config);
    let types = pack::type_files(config)?;
    let types = types
        .iter()
        .filter_map(|path| path.strip_prefix(folder).ok());
    let all = types
        .map(Path::to_owned)
        .chain(own.iter().map(PathBuf::from));
    for place in all {
        let (old, copy) = (folder.join(&place), ready.join(&place));
        if copy.exists() || !old.is_file() {
            continue;
        }
        fs::create_dir_all(files::folder(&copy))?;
        let bytes = files::read(&old, tar::FILE_MAX)?;
        files::write_new(&copy, &old, &bytes, 0o600)?;
    }
    Ok(())
}

/// Mistakes, in the places where the files will be.
fn told(report: &Report, ready: &Path, config: &Path) -> Refused {
    let (from, to) = (
        ready.display().to_string(),
        files::folder(config).display().to_string(),
    );
    let mut moved = Report::default();
    for found in report.iter() {
        moved.add(
            &found.file.replace(&from, &to),
            found.mark,
            found.path.clone(),
            found.message.replace(&from, &to),
        );
    }
    Refused::Config(moved)
}

/// Makes counts ready for the next start.
fn stage_counts(state: &Path, counts: &BTreeMap<String, Counts>) -> io::Result<()> {
    let new = state.join(GPIO_NEW);
    clear(&new)?;
    {
        let store = Folder::new(&new);
        for (device, counts) in counts {
            store.save(device, counts)?;
        }
    }
    let owner = fs::metadata(state)?;
    give(&new, owner.uid(), owner.gid())?;
    sync_all(&new)?;
    let ready = state.join(GPIO_READY);
    clear(&ready)?;
    fs::rename(&new, &ready)?;
    File::open(state)?.sync_all()
}

/// Gives a folder and what is in it to the owner of the state: a restore may be root's.
fn give(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let own = fs::metadata(path)?;
    if (own.uid(), own.gid()) != (user, group) {
        chown(path, Some(user), Some(group))?;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user, group)?;
        }
    }
    Ok(())
}

/// Takes over restored counts, if there are any; to be called before devices count.
///
/// # Errors
///
/// The system's.
pub(crate) fn take_counts(state: &Path) -> io::Result<()> {
    let ready = state.join(GPIO_READY);
    if !ready.is_dir() {
        return Ok(());
    }
    let (own, old) = (state.join(GPIO), state.join(GPIO_OLD));
    if own.exists() {
        clear(&old)?;
        fs::rename(&own, &old)?;
    }
    fs::rename(&ready, &own)?;
    File::open(state)?.sync_all()?;
    log::info!(
        "the counts of GPIO devices are those of a backup; those of before are in {}",
        old.display()
    );
    Ok(())
}
