//! Asks RAUC.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use crate::bundle::Bundle;
use crate::download;
use crate::install::{Line, Progress};
use crate::place::Place;
use crate::refusal::Refusal;
use crate::release::Release;
use crate::status::Status;
use crate::store::Store;

/// Bytes of what RAUC complains about that are kept.
const COMPLAINT: u64 = 64 * 1_024;

/// What keeps an update from being looked at or installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// RAUC has no configuration here.
    #[error(
        "this system has no slots to update: it was not made from the image ({0} is not there)"
    )]
    NoSlots(PathBuf),
    /// A program cannot be run.
    #[error("{program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// RAUC does not answer, or not in its usual form.
    #[error("RAUC does not say how the slots are: {0}")]
    Silent(String),
    /// There is no slot of that name.
    #[error("there is no slot {name}; there are: {known}")]
    NoSlot {
        /// What was asked for.
        name: String,
        /// The names of those that are there.
        known: String,
    },
    /// A bundle was not taken.
    #[error("{place}: {refusal}")]
    Refused {
        /// Where it is.
        place: String,
        /// Why.
        refusal: Refusal,
    },
}

/// Looks at bundles and installs them.
#[derive(Clone, Debug)]
pub struct Updater {
    /// RAUC's configuration, which is there only where there are slots.
    config: PathBuf,
    os_release: PathBuf,
    store: Store,
}

impl Default for Updater {
    fn default() -> Self {
        Self {
            config: "/etc/rauc/system.conf".into(),
            os_release: "/etc/os-release".into(),
            store: Store {
                folder: "/data".into(),
            },
        }
    }
}

impl Updater {
    /// What runs, what the slots hold, and what happens next.
    ///
    /// # Errors
    ///
    /// A system without slots; a RAUC that is not there or does not answer.
    pub fn status(&self) -> Result<Status, Error> {
        let output = self.rauc(["status", "--detailed", "--output-format=json"])?;
        if !output.status.success() {
            return Err(Error::Silent(complaint(&output.stderr)));
        }
        let told = String::from_utf8_lossy(&output.stdout);
        Status::of(&told, self.running(), starts_left)
            .map_err(|error| Error::Silent(error.to_string()))
    }

    /// The bundle at `place`, if this system trusts its signature. `compatible` is what it has to be for.
    ///
    /// One that RAUC cannot read from its address is downloaded first, of which `follow` is told.
    ///
    /// # Errors
    ///
    /// A system without slots; [`Error::Refused`] with the reason.
    pub fn look(
        &self,
        place: &Place,
        compatible: Option<&str>,
        follow: impl FnMut(&Progress),
    ) -> Result<Bundle, Error> {
        let Some(url) = place.address() else {
            return self.look_at(place, compatible);
        };
        self.has_slots()?;
        let refused = |refusal| Error::Refused {
            place: place.to_string(),
            refusal,
        };
        if download::is_streamed(url).map_err(refused)? {
            match self.look_at(place, compatible) {
                Err(Error::Refused { refusal, .. }) if !refusal.is_final => {
                    log::info!("{place} is downloaded: {refusal}");
                }
                looked => return looked,
            }
        }
        let stored = download::fetch(url, &self.store, follow).map_err(refused)?;
        self.look_at(&place.stored_as(stored), compatible)
    }

    fn look_at(&self, place: &Place, compatible: Option<&str>) -> Result<Bundle, Error> {
        let output = self.rauc(["info", "--output-format=json", &place.for_rauc()])?;
        let refused = |detail: &str| Error::Refused {
            place: place.to_string(),
            refusal: Refusal::of(detail),
        };
        if !output.status.success() {
            return Err(refused(&complaint(&output.stderr)));
        }
        let told = String::from_utf8_lossy(&output.stdout);
        Bundle::of(place, &told, &self.running(), compatible)
            .map_err(|error| refused(&error.to_string()))
    }

    /// Installs `bundle` into the slot that does not run. Takes minutes, and tells `follow` of each step. The system
    /// that runs is not touched.
    ///
    /// # Errors
    ///
    /// A system without slots; [`Error::Refused`] with the reason.
    pub fn install(&self, bundle: &Bundle, mut follow: impl FnMut(&Progress)) -> Result<(), Error> {
        let mut child = self
            .command(["install", &bundle.place.for_rauc()])?
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(program("rauc"))?;
        let complaints = gather(&mut child);
        let mut last_error = None;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match Line::of(&line) {
                    Line::Progress(progress) => follow(&progress),
                    Line::Error(error) => last_error = Some(error.to_owned()),
                    Line::Other => log::debug!("rauc: {line}"),
                }
            }
        }
        let status = child.wait().map_err(program("rauc"))?;
        let complaints = complaints.and_then(|thread| thread.join().ok());
        if status.success() {
            return Ok(());
        }
        let detail = last_error.filter(|error| !error.is_empty());
        let detail = detail.unwrap_or_else(|| complaint(&complaints.unwrap_or_default()));
        Err(Error::Refused {
            place: bundle.place.to_string(),
            refusal: Refusal::of(&detail),
        })
    }

    /// Has the next start take the system in the slot `name`. It has three starts to come up, or what runs now is
    /// taken again.
    ///
    /// # Errors
    ///
    /// A system without slots, or without that one; [`Error::Refused`] if what it holds is half written.
    pub fn choose(&self, name: &str) -> Result<(), Error> {
        let status = self.status()?;
        let slot = status.slots.iter().find(|slot| slot.name == name);
        let slot = slot.ok_or_else(|| Error::NoSlot {
            name: name.to_owned(),
            known: {
                let names = status.slots.iter().map(|slot| slot.name.as_str());
                names.collect::<Vec<_>>().join(", ")
            },
        })?;
        let refused = |refusal| Error::Refused {
            place: format!("slot {name}"),
            refusal,
        };
        if !slot.is_whole {
            let (reason, remedy) = ("it is half written", "install an update into it");
            let detail = "its last installation did not end".to_owned();
            return Err(refused(Refusal::told(reason, remedy, detail)));
        }
        let which = if slot.is_running { "booted" } else { "other" };
        let output = self.rauc(["status", "mark-active", which])?;
        match output.status.success() {
            true => Ok(()),
            false => Err(refused(Refusal::of(&complaint(&output.stderr)))),
        }
    }

    fn has_slots(&self) -> Result<(), Error> {
        match self.config.exists() {
            true => Ok(()),
            false => Err(Error::NoSlots(self.config.clone())),
        }
    }

    fn running(&self) -> Release {
        let text = std::fs::read_to_string(&self.os_release);
        Release::of_system(&text.unwrap_or_default())
    }

    fn rauc<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Output, Error> {
        self.command(arguments)?.output().map_err(program("rauc"))
    }

    fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Command, Error> {
        self.has_slots()?;
        let mut command = Command::new("rauc");
        // Its words are read.
        command
            .arg("--conf")
            .arg(&self.config)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        Ok(command)
    }
}

fn program(program: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Program { program, source }
}

/// Reads what `child` complains about, so that it never waits for a reader.
fn gather(child: &mut Child) -> Option<thread::JoinHandle<Vec<u8>>> {
    let mut stderr = child.stderr.take()?;
    Some(thread::spawn(move || {
        let mut kept = Vec::new();
        // What cannot be read is not kept; the rest is read and left.
        let _ = stderr.by_ref().take(COMPLAINT).read_to_end(&mut kept);
        let _ = io::copy(&mut stderr, &mut io::sink());
        kept
    }))
}

/// The last line of what a program complained about, without the program's own head.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut words = lines.filter(|line| !line.contains("-Message:"));
    let last = words.next_back().unwrap_or("it says nothing");
    last.strip_prefix("Failed to load bundle: ")
        .unwrap_or(last)
        .to_owned()
}

/// What the boot loader has for the slot `name`; `None` where its variables cannot be read.
fn starts_left(name: &str) -> Option<u32> {
    let variable = format!("BOOT_{name}_LEFT");
    let output = Command::new("fw_printenv")
        .args(["-n", &variable])
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_slots_is_told_so() {
        let updater = Updater {
            config: "/nowhere/system.conf".into(),
            ..Updater::default()
        };
        let told = updater.status().expect_err("no slots").to_string();
        assert!(told.contains("/nowhere/system.conf is not there"), "{told}");
    }

    #[test]
    fn of_a_complaint_the_last_line_is_told_without_messages() {
        for (text, want) in [
            (
                "rauc-Message: 04:32: reading\nFailed to load bundle: signature verification failed\n",
                "signature verification failed",
            ),
            ("(rauc:1): rauc-Message: x\n\n", "it says nothing"),
        ] {
            assert_eq!(complaint(text.as_bytes()), want);
        }
    }
}
