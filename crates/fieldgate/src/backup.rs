//! Backups: everything that makes a gateway this gateway, in one file, and back again.
//!
//! The file is an archive (`tar`, packed with gzip) that other programs open too: `backup.json`, the configuration as
//! it is below `config/`, `counts.json`, and, sealed with a password, `sealed`: another archive with the private keys
//! and passwords that the configuration names. `pack` makes it, `restore` takes it back.

mod files;
mod pack;
mod restore;
mod seal;
mod swap;
mod tar;

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args;
use crate::output::print;
use crate::stop::Stop;

pub(crate) use files::put;
pub(crate) use pack::{inside, pack};
pub(crate) use restore::{Refused, Wanted, restore, take_counts};
pub(crate) use swap::{Replacement, finish, replace};

/// Bytes of a backup.
pub(crate) const PACKED_MAX: usize = 4 << 20;
/// Bytes of everything in it.
const UNPACKED_MAX: usize = 32 << 20;
/// What a backup says of itself.
const ABOUT: &str = "backup.json";
/// Where the configuration is in it; its main file is called [`MAIN`] there, whatever it is called outside.
const CONFIG: &str = "config/";
const MAIN: &str = "gateway.yaml";
const TYPES: &str = "types/";
/// Counts of GPIO devices.
const COUNTS: &str = "counts.json";
/// The archive that a password closes.
const SEALED: &str = "sealed";
/// Where GPIO devices keep counts in the folder of the state.
const GPIO: &str = "gpio";
/// More than the longest password and its line end.
const LINE_MAX: u64 = 4096;
/// Where the service keeps its state.
const STATE: &str = "/var/lib/fieldgate";

/// [`ABOUT`].
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct About {
    /// Another number means another layout of the archive.
    format: u32,
    /// When it was made, in UTC.
    pub(crate) made: String,
    /// The version of the program that made it.
    pub(crate) version: String,
    /// The gateway's name.
    pub(crate) gateway: String,
    /// What it does not have, for people.
    #[serde(default)]
    left_out: Vec<String>,
}

/// The layout that this program writes and reads.
const FORMAT: u32 = 1;

/// Carries out `fieldgate backup`.
///
/// # Errors
///
/// What cannot be read or written, and a password that is none.
pub(crate) fn make(args: &args::Backup) -> Result<(), Stop> {
    let state = state(args.place.state.as_deref());
    let config = &args.place.config;
    let password = match args.without_keys {
        true => None,
        false if pack::has_secrets(config)? => Some(password(args.stdin, true)?),
        false => None,
    };
    let packed = pack(config, state.as_deref(), password.as_deref())?;
    put(&args.file, &packed.bytes, 0o600).map_err(Stop::Other)?;
    let (file, size) = (args.file.display(), packed.bytes.len());
    print(&format!("{file}: {} files, {size} bytes\n", packed.files));
    for note in &packed.left_out {
        print(&format!("  without {note}\n"));
    }
    Ok(())
}

/// Carries out `fieldgate restore`.
///
/// # Errors
///
/// Why the backup is not taken; then nothing has changed.
pub(crate) fn take(args: &args::Restore) -> Result<(), Stop> {
    let state = state(args.place.state.as_deref());
    let bytes = files::read(&args.file, PACKED_MAX).map_err(Stop::Other)?;
    let is_sealed = restore::is_sealed(&bytes).map_err(Stop::from)?;
    let password = match is_sealed && !args.without_keys {
        true => Some(password(args.stdin, false)?),
        false => None,
    };
    let wanted = Wanted {
        archive: &bytes,
        password: password.as_deref(),
        without_keys: args.without_keys,
        dry: args.check,
    };
    let done = restore(&wanted, &args.place.config, state.as_deref())?;
    let about = &done.about;
    print(&format!(
        "backup of {} of {}, made by version {}\n",
        about.gateway, about.made, about.version
    ));
    let verb = if args.check {
        "would replace"
    } else {
        "replaced"
    };
    for file in &done.files {
        print(&format!("  {verb} {file}\n"));
    }
    for note in &done.notes {
        print(&format!("  {note}\n"));
    }
    if !args.check {
        print("a running gateway takes it over with `systemctl restart fieldgate`\n");
    }
    Ok(())
}

/// The folder of the state, if there is one.
pub(crate) fn state(given: Option<&Path>) -> Option<PathBuf> {
    let usual = || Path::new(STATE).is_dir().then(|| STATE.into());
    given
        .map(Path::to_owned)
        .or_else(args::state_directory)
        .or_else(usual)
}

/// Asks for the password that closes the keys.
fn password(from_stdin: bool, is_new: bool) -> Result<String, Stop> {
    if from_stdin {
        let mut line = String::new();
        let mut input = io::stdin().lock().take(LINE_MAX);
        input.read_line(&mut line).map_err(Stop::Other)?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        return Ok(line.strip_suffix('\r').unwrap_or(line).to_owned());
    }
    if !io::stdin().is_terminal() {
        let text = "there are private keys: give their password on standard input with --stdin, or leave them out \
                    with --without-keys";
        return Err(Stop::Usage(text.to_owned()));
    }
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(Stop::Other);
    let first = ask("Password of the keys in the backup: ")?;
    if is_new && ask("The same again: ")? != first {
        return Err(Stop::Usage("the two passwords differ".to_owned()));
    }
    Ok(first)
}
