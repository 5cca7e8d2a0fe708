//! The configuration: from files to something that cannot be wrong, or to all their mistakes.
//!
//! `yaml` reads YAML so that every mistake has its place, and knows no key. `source` alone reads files, and
//! [`load_with_files`] those that they name. `gateway_keys` and `unavailable` prepare the trees, `kinds` lets each bridge read its
//! part, `resolve` makes the [`Config`], `expand` writes it down again, `schema` says for editors what can be written,
//! and `diff` what a reload has to do. Which bridges there are is an argument.

mod claims;
pub mod complete;
mod console;
mod diff;
mod document;
pub mod edit;
mod entries;
mod expand;
mod gateway_keys;
mod history;
pub mod kinds;
mod limits;
mod listen;
mod named;
mod owners;
mod report;
mod resolve;
mod schema;
pub mod shipped;
mod source;
mod unavailable;
mod units;
mod uplinks;
mod users;
pub mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldgate_broker::{Network, Takeover, TlsFile, TlsSettings, Users};
use fieldgate_model::{PayloadFormat, Topics};

use claims::Claims;
pub use console::{Console, ConsoleListen};
pub use diff::{Changes, diff};
pub use expand::document;
pub use history::{History, PointNames};
pub use limits::{Limits, Machine};
pub use listen::{Address, Listen};
pub use named::{AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY, NamedFile, named_files};
pub use report::{Diagnostic, Report};
pub use schema::schema;
pub use source::Sources;
pub use users::check_user_name;
pub use users::file as users_file;
pub use users::token::Day;

use crate::kinds::{AnyBus, AnyDevice, Kinds};
use crate::yaml::{Mark, Mistake, Node, read};

/// A configuration without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name of the gateway, a level of its topics.
    pub gateway: String,
    /// Where the broker listens.
    pub listen: Listen,
    /// For the listeners that encrypt.
    pub tls: Option<TlsSettings>,
    /// What the console encrypts with: the files of [`Config::tls`], or the usual ones beside the configuration, which
    /// may not be there yet.
    pub certificate: TlsSettings,
    /// Whether clients without a user get in, where a listener does not say itself.
    pub allow_anonymous: bool,
    /// Networks that are inside this machine, as those of containers are.
    pub local_networks: Vec<Network>,
    /// How often the broker writes to the disk.
    pub store: StoreTimes,
    /// Who may take over the session of a client identifier.
    pub takeover: Takeover,
    /// The bounds on what clients make the broker hold.
    pub limits: Limits,
    /// The web console, if there is one.
    pub console: Option<Console>,
    /// What is kept on the card, if anything is.
    pub history: Option<History>,
    /// The points that only grow, such as the energy that a meter has counted.
    pub counters: PointNames,
    /// Where the users are.
    pub users_file: Option<PathBuf>,
    /// What is there, if it was read at all.
    pub users: Users,
    /// The topics of the gateway.
    pub topics: Topics,
    /// How readings are written.
    pub payload: PayloadFormat,
    /// Whether each point has a topic of its own.
    pub point_topics: bool,
    /// By name.
    pub buses: BTreeMap<String, AnyBus>,
    /// By name, patterns applied.
    pub devices: BTreeMap<String, AnyDevice>,
    /// By name.
    pub uplinks: BTreeMap<String, fieldgate_uplink::Config>,
}

impl Config {
    /// Whether one of the files of [`Config::certificate`] is there.
    pub fn has_certificate(&self) -> bool {
        let files = [&self.certificate.certificate, &self.certificate.key];
        files.into_iter().any(|file| file.exists())
    }
}

/// `broker.store:`; the broker's own times where they are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTimes {
    /// How often is written what an acknowledgement waits for, under load.
    pub commit: Option<Duration>,
    /// How often is written what nothing waits for.
    pub retained: Option<Duration>,
}

impl Config {
    /// Has all buses and devices simulated by this process, and no uplink. Returns the devices that cannot be
    /// simulated, and why; they are no longer there.
    pub fn play(&mut self, kinds: Kinds) -> Vec<(String, String)> {
        self.uplinks.clear();
        kinds.iter().flat_map(|kind| kind.play(self)).collect()
    }

    /// The names of a device's points; none if there is no such device.
    pub fn points(&self, device: &str) -> Vec<&str> {
        let device = self.devices.get(device);
        device
            .map(|device| device.point_names())
            .unwrap_or_default()
    }
}

/// A configuration and the files that it was made from.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Its files.
    pub sources: Sources,
}

/// Reads the file and the device types beside it, but not the files that it names for the broker:
/// a command that looks at a device does not need them.
///
/// # Errors
///
/// All mistakes of all files.
pub fn load(path: &Path, kinds: Kinds) -> Result<Loaded, Report> {
    load_and(path, kinds, |_, _, _| {})
}

/// As [`load`], for a program that runs the broker: the users are read, and certificates and keys must
/// be usable.
///
/// # Errors
///
/// All mistakes of all files.
pub fn load_with_files(path: &Path, kinds: Kinds) -> Result<Loaded, Report> {
    load_and(path, kinds, read_named)
}

/// As [`load_with_files`], with `text` in the place of what the file says.
///
/// # Errors
///
/// All mistakes of all files.
pub fn load_text_with_files(path: &Path, text: &str, kinds: Kinds) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let sources = source::load_text(path, text, &mut report);
    made(path, sources, kinds, report, read_named)
}

/// The names of the device types beside a configuration.
pub fn type_names(path: &Path) -> Vec<String> {
    let folder = path.parent().unwrap_or(Path::new("")).join("types");
    let files = source::list(&folder, &mut Report::default()).into_iter();
    let names = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    names.collect()
}

/// The files of uplinks that are not there. A running gateway waits for them; a person who checks wants to know.
pub fn missing_files(loaded: &Loaded) -> Report {
    let mut report = Report::default();
    uplinks::missing(&loaded.config.uplinks, &loaded.sources.main, &mut report);
    report
}

fn read_named(config: &mut Config, sources: &Sources, report: &mut Report) {
    check_certificates(config, sources, report);
    if let Some(file) = &config.users_file {
        config.users = users::load(file, report).unwrap_or_default();
    }
}

fn check_certificates(config: &Config, sources: &Sources, report: &mut Report) {
    let console = config.console.as_ref();
    let is_asked_for = console.is_some_and(|console| console.listen.https().is_some());
    let checked = match &config.tls {
        Some(tls) => tls.check(),
        // The gateway makes them if both are missing.
        None if is_asked_for && config.has_certificate() => config.certificate.check(),
        None => return,
    };
    let Err(error) = checked else { return };
    let key: &[&str] = match error.what {
        _ if config.tls.is_none() => &["console", "listen", "https"],
        TlsFile::Certificate => &["broker", "tls", "certificate"],
        TlsFile::Key => &["broker", "tls", "key"],
        TlsFile::ClientCa => &["broker", "tls", "client_ca"],
    };
    let main = &sources.main;
    let mark = main.root.mark_of(key);
    let message = format!("{}: {}", error.file.display(), error.cause);
    report.add(&main.name, Some(mark), key.join("."), message);
}

fn load_and(
    path: &Path,
    kinds: Kinds,
    read_files: impl FnOnce(&mut Config, &Sources, &mut Report),
) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let sources = source::load(path, &mut report);
    made(path, sources, kinds, report, read_files)
}

fn made(
    path: &Path,
    sources: Option<Sources>,
    kinds: Kinds,
    mut report: Report,
    read_files: impl FnOnce(&mut Config, &Sources, &mut Report),
) -> Result<Loaded, Report> {
    let Some(sources) = sources else {
        return Err(report);
    };
    let mut config = resolve::resolve(sources.clone(), kinds, &mut report);
    if let Some(config) = &mut config {
        config.users_file = match config.users_file.take() {
            Some(file) => Some(beside(path, &file)),
            None => Some(usual_users_file(path)).filter(|file| file.exists()),
        };
        read_files(config, &sources, &mut report);
    }
    match config {
        Some(config) if report.is_empty() => Ok(Loaded { config, sources }),
        _ => Err(report),
    }
}

/// Reads a text that stands for a file called `name`, without the files that it names and those beside it.
///
/// # Errors
///
/// All its mistakes.
pub fn load_text(name: &str, text: &str, kinds: Kinds) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let main = source::file(name, text, &mut report);
    let sources = main.map(|main| {
        let mut sources = Sources {
            main,
            types: BTreeMap::new(),
            broken: Vec::new(),
        };
        sources.add_shipped(&mut report);
        sources
    });
    let loaded = sources.and_then(|sources| {
        let config = resolve::resolve(sources.clone(), kinds, &mut report)?;
        Some(Loaded { config, sources })
    });
    match loaded {
        Some(loaded) if report.is_empty() => Ok(loaded),
        _ => Err(report),
    }
}

/// Reads a document of another kind with the same care, without its parts that are wrong. Mistakes go into `report`,
/// and [`Node::is_whole`] says of each part whether it had one. `None` if it cannot be read as a whole.
pub fn read_parts<T: serde::de::DeserializeOwned>(
    name: &str,
    text: &str,
    report: &mut Report,
) -> Option<(T, Node)> {
    let mut file = source::file(name, text, report)?;
    if file.is_cut {
        return None;
    }
    let mut mistakes = Vec::new();
    let document = read(&mut file.root, &[], &mut mistakes);
    add(name, mistakes, report);
    Some((document?, file.root))
}

/// Reads a users file.
///
/// # Errors
///
/// All its mistakes.
pub fn load_users(file: &Path) -> Result<Users, Report> {
    let mut report = Report::default();
    match users::load(file, &mut report) {
        Some(users) if report.is_empty() => Ok(users),
        _ => Err(report),
    }
}

/// Where the users are when the configuration at `path` names no file.
pub fn usual_users_file(path: &Path) -> PathBuf {
    beside(path, Path::new("users.yaml"))
}

/// Where a configuration has its users, whatever else may be wrong with it.
///
/// # Errors
///
/// Why the file cannot be read or parsed.
pub fn users_file_of(path: &Path) -> Result<PathBuf, Report> {
    let mut report = Report::default();
    let Some(main) = source::read(path, &mut report) else {
        return Err(report);
    };
    let named = main.root.get(&["broker", "users"]).and_then(Node::text);
    if named.is_none() && main.is_cut {
        return Err(report);
    }
    Ok(match named {
        Some(file) => beside(path, Path::new(file)),
        None => usual_users_file(path),
    })
}

/// The files that a configuration names for the broker, as it names them: key, place, file.
///
/// # Errors
///
/// Why the file cannot be read or parsed.
pub fn files_of_broker(path: &Path) -> Result<Vec<(String, Mark, PathBuf)>, Report> {
    const KEYS: [&[&str]; 4] = [
        &["broker", "users"],
        &["broker", "tls", "certificate"],
        &["broker", "tls", "key"],
        &["broker", "tls", "client_ca"],
    ];
    let mut report = Report::default();
    let Some(main) = source::read(path, &mut report) else {
        return Err(report);
    };
    if main.is_cut {
        return Err(report);
    }
    let found = KEYS.into_iter().filter_map(|key| {
        let file = main.root.get(key).and_then(Node::text)?;
        Some((key.join("."), main.root.mark_of(key), file.into()))
    });
    Ok(found.collect())
}

/// A file that a configuration names.
fn beside(config: &Path, file: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(file)
}

fn add(file: &str, mistakes: Vec<Mistake>, report: &mut Report) {
    for mistake in mistakes {
        report.add(file, Some(mistake.mark), mistake.path, mistake.message);
    }
}
