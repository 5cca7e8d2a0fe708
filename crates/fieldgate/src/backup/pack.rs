//! Makes a backup.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use fieldgate_bridge_gpio::Folder;
use fieldgate_config::{self as config, NamedFile};
use jiff::Timestamp;

use super::tar::{self, Entry};
use super::{ABOUT, About, CONFIG, COUNTS, FORMAT, MAIN, PACKED_MAX, SEALED, TYPES, files, seal};
use crate::kinds::KINDS;
use crate::stop::Stop;

/// More files than this are not device types.
const TYPES_MAX: usize = 1_000;
/// How a private key begins in a file that may hold a certificate as well.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// A backup.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    /// Files in it.
    pub(crate) files: usize,
    /// What is not in it, and why, for people.
    pub(crate) left_out: Vec<String>,
}

/// Whether a configuration names files that only a password may hold.
///
/// # Errors
///
/// A configuration that cannot be read.
pub(super) fn has_secrets(config: &Path) -> Result<bool, Stop> {
    let mut parts = Parts::default();
    named(config, &mut parts)?;
    Ok(!parts.secret.is_empty())
}

/// What goes into a backup.
#[derive(Default)]
struct Parts {
    open: Vec<Entry>,
    secret: Vec<Entry>,
    left_out: Vec<String>,
}

/// Makes a backup of a configuration and of the counts in the folder `state`. Without a password private keys are left
/// out.
///
/// # Errors
///
/// What cannot be read, and a password that is none.
pub(crate) fn pack(
    path: &Path,
    state: Option<&Path>,
    password: Option<&str>,
) -> Result<Packed, Stop> {
    let mut parts = Parts::default();
    let main = files::read(path, tar::FILE_MAX).map_err(Stop::Other)?;
    parts.open.push(Entry::new(format!("{CONFIG}{MAIN}"), main));
    types(path, &mut parts.open).map_err(Stop::Other)?;
    named(path, &mut parts)?;
    let loaded = config::load(path, KINDS).ok();
    let loaded = loaded.map(|loaded| loaded.config);
    let devices = loaded.iter().flat_map(|config| config.devices.keys());
    if let Some(state) = state {
        match counts(state, devices.map(String::as_str)) {
            Ok(None) => {}
            Ok(Some(text)) => parts.open.push(Entry::new(COUNTS, text)),
            Err(error) => parts
                .left_out
                .push(format!("the counts of GPIO devices: {error}")),
        }
    }
    let now = Timestamp::now();
    let made = u64::try_from(now.as_second()).unwrap_or_default();
    let count = parts.open.len() + parts.secret.len();
    match password {
        Some(password) if !parts.secret.is_empty() => {
            let inner = tar::write(&parts.secret, made).map_err(other)?;
            let sealed = seal::seal(&inner, password).map_err(Stop::Usage)?;
            parts.open.push(Entry::new(SEALED, sealed));
        }
        _ => {
            for secret in &parts.secret {
                let name = secret.name.strip_prefix(CONFIG).unwrap_or(&secret.name);
                let why = "a key or a password, which only a backup with a password holds";
                parts.left_out.push(format!("{name}: {why}"));
            }
        }
    }
    let about = About {
        format: FORMAT,
        made: format!("{now:.0}"),
        version: env!("FIELDGATE_VERSION").to_owned(),
        gateway: loaded.map(|config| config.gateway).unwrap_or_default(),
        left_out: parts.left_out.clone(),
    };
    let about = serde_json::to_vec_pretty(&about).map_err(|error| Stop::Other(error.into()))?;
    parts.open.insert(0, Entry::new(ABOUT, about));
    let archive = tar::write(&parts.open, made).map_err(other)?;
    if archive.len() > super::UNPACKED_MAX {
        return Err(other(format!("more than {} bytes", super::UNPACKED_MAX)));
    }
    let bytes = tar::pack(&archive).map_err(Stop::Other)?;
    if bytes.len() > PACKED_MAX {
        return Err(other(format!(
            "a backup has at most {PACKED_MAX} bytes, and this one has more"
        )));
    }
    Ok(Packed {
        bytes,
        files: count,
        left_out: parts.left_out,
    })
}

fn other(text: String) -> Stop {
    Stop::Other(io::Error::other(text))
}

/// The device types beside a configuration.
fn types(path: &Path, open: &mut Vec<Entry>) -> io::Result<()> {
    for file in type_files(path)? {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let bytes = files::read(&file, tar::FILE_MAX)?;
        open.push(Entry::new(format!("{CONFIG}{TYPES}{name}"), bytes));
    }
    Ok(())
}

/// Their files, by name.
pub(super) fn type_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = files::folder(path).join(TYPES);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| files::about(&folder, &error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?.path();
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".yaml") && !name.starts_with('.') && entry.is_file() {
            found.push(entry);
        }
    }
    found.sort();
    found.truncate(TYPES_MAX);
    Ok(found)
}

/// The files that a configuration names.
fn named(path: &Path, parts: &mut Parts) -> Result<(), Stop> {
    for file in config::named_files(path).map_err(Stop::Config)? {
        let shown = format!("{} ({})", file.path.display(), file.key);
        let Some(own) = inside(path, &file) else {
            let why = "it is not in the folder of the configuration";
            parts.left_out.push(format!("{shown}: {why}"));
            continue;
        };
        let name = format!("{CONFIG}{own}");
        let all = parts.open.iter().chain(&parts.secret);
        if all.into_iter().any(|known| known.name == name) {
            continue;
        }
        let place = files::folder(path).join(&own);
        match files::read(&place, tar::FILE_MAX) {
            Ok(bytes) => {
                let has_key = bytes.windows(PRIVATE.len()).any(|part| part == PRIVATE);
                let entry = Entry::new(name, bytes);
                match file.is_secret || has_key {
                    true => parts.secret.push(entry),
                    false => parts.open.push(entry),
                }
            }
            // A users file comes with the first user.
            Err(error) => parts.left_out.push(format!("{shown}: {error}")),
        }
    }
    Ok(())
}

/// The place of a named file in the folder of the configuration, if it is there.
pub(crate) fn inside(config: &Path, file: &NamedFile) -> Option<String> {
    let folder = files::folder(config);
    let own = match file.path.is_absolute() {
        true => {
            let folder = folder.canonicalize().ok()?;
            file.path.strip_prefix(folder).ok()?
        }
        false => &file.path,
    };
    let mut levels = Vec::new();
    for level in own.components() {
        match level {
            Component::CurDir => {}
            Component::Normal(level) => levels.push(level.to_str()?),
            _ => return None,
        }
    }
    (!levels.is_empty()).then(|| levels.join("/"))
}

/// The counts that are kept for some devices, as text; none if there are none.
fn counts<'d>(state: &Path, devices: impl Iterator<Item = &'d str>) -> io::Result<Option<String>> {
    let scratch = Scratch::new()?;
    let found = Folder::peek(&state.join(super::GPIO), &scratch.0, devices)?;
    match found.is_empty() {
        true => Ok(None),
        false => Ok(Some(serde_json::to_string_pretty(&found)?)),
    }
}

/// A folder that goes again.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let mut random = [0; 16];
        let source = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&source, &mut random)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let name = format!("fieldgate-backup-{:032x}", u128::from_le_bytes(random));
        let path = std::env::temp_dir().join(name);
        // It fails if something is there already.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{}: not removed: {error}", self.0.display());
        }
    }
}
