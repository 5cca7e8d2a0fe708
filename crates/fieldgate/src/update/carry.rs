//! Carries out, as root, what the web console asks for.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::process::Command;

use fieldgate_update::{Bundle, Error, Fit, Place, Progress, Updater};

use super::wish::{Act, Places, State, Told, Uploaded, Wish};
use crate::handover::{self, read, remove};
use crate::network::uptime;

/// Bytes of what is told of a refusal, so that it fits into what is handed over.
const PROBLEM_MAX: usize = 1_000;

/// Does what the daemon asked for, and tells it what became of that.
///
/// # Errors
///
/// What is asked for cannot be read, or nothing can be told.
pub(super) fn carry_out(places: &Places, updater: &Updater) -> io::Result<()> {
    let wish = read::<Wish>(&places.taken());
    remove(&places.taken())?;
    let wish = wish.ok_or_else(|| io::Error::other("what is asked for cannot be read"))?;
    let mut desk = Desk::open(places, updater, wish);
    desk.say()?;
    let done = desk.act();
    desk.told.step = None;
    (desk.told.state, desk.told.problem) = match done {
        Ok(()) => (State::Done, None),
        Err(problem) => (State::Refused, Some(cut(problem))),
    };
    if let Some(problem) = &desk.told.problem {
        log::warn!("{}: {problem}", desk.told.wish.act.name());
    }
    desk.look();
    desk.say()?;
    restart(&desk.told)
}

/// Tells the daemon that what is not done by now will not be: its process has ended.
///
/// # Errors
///
/// It cannot be told.
pub(super) fn settle(places: &Places) -> io::Result<()> {
    match read::<Told>(&places.told()) {
        Some(mut told) if told.state == State::Busy => {
            told.state = State::Refused;
            told.problem = Some("it ended before it was done; try again".to_owned());
            told.step = None;
            handover::say(&places.told(), &told)
        }
        _ => Ok(()),
    }
}

struct Desk<'a> {
    places: &'a Places,
    updater: &'a Updater,
    told: Told,
}

impl<'a> Desk<'a> {
    fn open(places: &'a Places, updater: &'a Updater, wish: Wish) -> Self {
        let before = read::<Told>(&places.told());
        let (status, bundle) = before.map_or((None, None), |told| (told.status, told.bundle));
        let told = Told {
            wish,
            state: State::Busy,
            step: None,
            problem: None,
            status,
            unknown: None,
            bundle: bundle.filter(|_| places.bundle().exists()),
            at: uptime(),
        };
        Self {
            places,
            updater,
            told,
        }
    }

    fn say(&mut self) -> io::Result<()> {
        self.told.at = uptime();
        handover::say(&self.places.told(), &self.told)
    }

    fn look(&mut self) {
        match self.updater.status() {
            Ok(status) => (self.told.status, self.told.unknown) = (Some(status), None),
            Err(error) => {
                self.told.status = None;
                self.told.unknown = Some(cut(error.to_string()));
            }
        }
    }

    fn act(&mut self) -> Result<(), String> {
        match self.told.wish.act.clone() {
            Act::Look | Act::RestartGateway | Act::RestartBoard => Ok(()),
            Act::Check => self.check(),
            Act::Install => self.install(),
            Act::Next(slot) => self.updater.choose(&slot).map_err(told),
        }
    }

    fn check(&mut self) -> Result<(), String> {
        self.told.bundle = None;
        let bundle = opened(&self.places.bundle()).and_then(|file| self.looked(file));
        match bundle {
            Ok(bundle) => {
                let (release, fit) = (bundle.release, bundle.fit);
                self.told.bundle = Some(Uploaded { release, fit });
                Ok(())
            }
            Err(problem) => {
                // It can never be installed.
                let removed = remove(&self.places.bundle());
                removed.map_err(|error| error.to_string())?;
                Err(problem)
            }
        }
    }

    fn looked(&self, file: File) -> Result<Bundle, String> {
        let compatible = self.updater.status().map_err(told)?.compatible;
        let place = Place::opened("the update", file);
        let looked = self.updater.look(&place, Some(&compatible), |_| {});
        match looked.map_err(told)? {
            bundle if bundle.fit == Fit::Foreign => Err(format!(
                "it is for another kind of board, {}, and this is {compatible}",
                bundle.compatible
            )),
            bundle => Ok(bundle),
        }
    }

    fn install(&mut self) -> Result<(), String> {
        let file = opened(&self.places.bundle())?;
        // From here on it is there only for as long as it is installed, however this ends.
        remove(&self.places.bundle()).map_err(|error| error.to_string())?;
        self.told.bundle = None;
        let bundle = self.looked(file)?;
        let updater = self.updater;
        let done = updater.install(&bundle, |step| self.progress(step));
        done.map_err(told)
    }

    fn progress(&mut self, step: &Progress) {
        self.told.step = Some(step.clone());
        // One that is not told is followed by another.
        if let Err(error) = self.say() {
            log::warn!("a step of the installation cannot be told: {error}");
        }
    }
}

/// The bundle that was uploaded, as a file of root: RAUC takes none that another user could write to meanwhile.
fn opened(path: &Path) -> Result<File, String> {
    let missing = |error: io::Error| format!("nothing is uploaded ({error})");
    let file = handover::open(path).map_err(missing)?;
    // Another name of it would be one of a file that is not the daemon's.
    if file.metadata().map_err(missing)?.nlink() != 1 {
        return Err("what is uploaded has another name, too".to_owned());
    }
    let owned = fchown(&file, Some(0), Some(0));
    owned.map_err(|error| error.to_string())?;
    let read_only = std::fs::Permissions::from_mode(0o400);
    let closed = file.set_permissions(read_only);
    closed.map_err(|error| error.to_string())?;
    Ok(file)
}

fn told(error: Error) -> String {
    match error {
        Error::Refused { refusal, .. } => refusal.to_string(),
        other => other.to_string(),
    }
}

fn cut(mut text: String) -> String {
    let end = text.floor_char_boundary(PROBLEM_MAX);
    text.truncate(end);
    text
}

/// Restarts what shall be restarted, once the daemon was told.
fn restart(told: &Told) -> io::Result<()> {
    let arguments: &[&str] = match told.wish.act {
        Act::RestartGateway => &["--no-block", "restart", "fieldgate.service"],
        Act::RestartBoard => &["--no-block", "reboot"],
        _ => return Ok(()),
    };
    let status = Command::new("systemctl").args(arguments).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("systemctl: {status}"))),
    }
}
