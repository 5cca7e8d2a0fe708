//! `fieldgate update`: what is told of bundles and slots, and an installation from the command line; and what the web
//! console asks for.

mod carry;
pub(crate) mod wish;

use std::path::Path;
use std::process::Command;

use fieldgate_update::{Bundle, Error, Fit, PLACES, Progress, Source, Status, Updater};
use serde::Serialize;

use crate::args::{self, InstallUpdate, NextSlot, Shown};
use crate::handover;
use crate::output::print;
use crate::stop::Stop;
use wish::Places;

/// Carries out `fieldgate update ...`.
///
/// # Errors
///
/// A system without slots, a bundle that is refused, and what the system refuses.
pub(crate) fn act(command: &args::Update) -> Result<(), Stop> {
    let updater = Updater::default();
    let places = Places::new(Path::new("/"));
    match command {
        args::Update::Status(shown) => status(&updater, shown),
        args::Update::Check(check) => self::check(&updater, check.source.as_deref()),
        args::Update::Install(install) => self::install(&updater, install),
        args::Update::Next(next) => self::next(&updater, next),
        args::Update::Take => handover::take(&places.asked(), &places.taken()).map_err(Stop::Other),
        args::Update::Act => carry::carry_out(&places, &updater).map_err(Stop::Other),
        args::Update::Settle => carry::settle(&places).map_err(Stop::Other),
    }
}

fn stop(error: Error) -> Stop {
    match error {
        Error::Refused { .. } => Stop::Device(error.to_string()),
        Error::NoSlot { .. } => Stop::Usage(error.to_string()),
        Error::NoSlots(_) => Stop::Usage(format!(
            "{error}; a package is updated with the system's own tools"
        )),
        other => Stop::Other(std::io::Error::other(other.to_string())),
    }
}

fn next(updater: &Updater, next: &NextSlot) -> Result<(), Stop> {
    let name = next.slot.to_ascii_uppercase();
    updater.choose(&name).map_err(stop)?;
    status(updater, &Shown { json: false })
}

fn status(updater: &Updater, shown: &Shown) -> Result<(), Stop> {
    let status = updater.status().map_err(stop)?;
    match shown.json {
        true => say(&status),
        false => print(&described(&status)),
    }
    Ok(())
}

/// One line of JSON, for programs.
fn say(what: &impl Serialize) {
    if let Ok(line) = serde_json::to_string(what) {
        print(&format!("{line}\n"));
    }
}

fn described(status: &Status) -> String {
    let mut text = format!("running: {}\n", status.running);
    for slot in &status.slots {
        let version = slot.version.as_deref().unwrap_or("as the card came");
        let running = if slot.is_running { ", runs now" } else { "" };
        let good = if slot.is_good { "" } else { ", not good" };
        let installed = slot.installed.as_ref();
        let installed = installed.map_or(String::new(), |time| format!(", installed {time}"));
        text += &format!("slot {}: {version}{installed}{running}{good}\n", slot.name);
    }
    text + &format!("next: {}\n", status.outlook)
}

/// Everything that can be installed from `source`, or from where a person may have put a bundle.
fn found(
    updater: &Updater,
    source: Option<&str>,
    is_json: bool,
) -> Result<Vec<Result<Bundle, Error>>, Stop> {
    let compatible = updater.status().map_err(stop)?.compatible;
    let sources = match source {
        Some(text) => vec![Source::of(text)],
        None => PLACES.map(|place| Source::Folder(place.into())).to_vec(),
    };
    let places = sources.iter().flat_map(Source::bundles);
    let found: Vec<_> = places
        .map(|place| updater.look(&place, Some(&compatible), |step| show(step, is_json)))
        .collect();
    if found.is_empty() {
        let looked = source.map_or_else(|| PLACES.join(", "), str::to_owned);
        return Err(Stop::Usage(format!(
            "no bundle (NAME.raucb) in {looked}; name a file, a folder or an https address"
        )));
    }
    Ok(found)
}

fn check(updater: &Updater, source: Option<&str>) -> Result<(), Stop> {
    let mut refused = Vec::new();
    for bundle in found(updater, source, false)? {
        match bundle {
            Ok(bundle) => print(&told(&bundle)),
            Err(error) => refused.push(error),
        }
    }
    let last = refused.pop();
    for error in refused {
        print(&format!("{error}\n"));
    }
    last.map_or(Ok(()), |error| Err(stop(error)))
}

fn told(bundle: &Bundle) -> String {
    let (place, release, fit) = (&bundle.place, &bundle.release, bundle.fit.words());
    format!("{place}: {release}, {fit}; its signature is good\n")
}

fn install(updater: &Updater, install: &InstallUpdate) -> Result<(), Stop> {
    let is_json = install.shown.json;
    let bundle = newest(found(updater, install.source.as_deref(), is_json)?)?;
    if !is_json {
        print(&told(&bundle));
    }
    updater
        .install(&bundle, |progress| show(progress, is_json))
        .map_err(stop)?;
    status(updater, &install.shown)?;
    if install.restart {
        restart()
    } else {
        if !is_json {
            print("restart when it suits: `systemctl reboot`\n");
        }
        Ok(())
    }
}

fn show(progress: &Progress, is_json: bool) {
    if is_json {
        say(progress);
    } else {
        print(&format!("{:3} % {}\n", progress.percent, progress.step));
    }
}

/// The bundle of the highest version for this board.
fn newest(found: Vec<Result<Bundle, Error>>) -> Result<Bundle, Stop> {
    let mut refused = None;
    let mut fitting = Vec::new();
    for bundle in found {
        match bundle {
            Ok(bundle) if bundle.fit == Fit::Foreign => {
                let (place, kind) = (&bundle.place, &bundle.compatible);
                refused = Some(Stop::Device(format!(
                    "{place}: it is for another kind of board, {kind}"
                )));
            }
            Ok(bundle) => fitting.push(bundle),
            Err(error) => refused = Some(stop(error)),
        }
    }
    let newest = fitting
        .into_iter()
        .max_by(|one, other| one.release.compare(&other.release));
    newest.ok_or_else(|| refused.unwrap_or_else(|| Stop::Usage("no bundle".to_owned())))
}

fn restart() -> Result<(), Stop> {
    let status = Command::new("systemctl").arg("reboot").status();
    match status.map_err(Stop::Other)? {
        done if done.success() => Ok(()),
        failed => Err(Stop::Other(std::io::Error::other(format!(
            "systemctl reboot: {failed}"
        )))),
    }
}
