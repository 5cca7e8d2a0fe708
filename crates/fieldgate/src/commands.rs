//! The commands that end: check, test, simulate. What they print is for a person at a terminal.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fieldgate_bridge::Places;
use fieldgate_bridge::show::counted;
use fieldgate_bridge_modbus::Buses;
use fieldgate_config::yaml::suggestion;
use fieldgate_config::{self as config, Config, Loaded, shipped};

use crate::args;
use crate::history;
use crate::kinds::KINDS;
use crate::output::{print, print_to};
use crate::stop::Stop;
use crate::tools;
use crate::uplinks;

/// Prints why the program ends.
pub(crate) fn complain(stop: &Stop) {
    match stop {
        // Its lines begin with the file, so that an editor finds the place.
        Stop::Config(report) => print_to(&mut io::stderr(), &format!("{report}\n")),
        other => print_to(&mut io::stderr(), &format!("fieldgate: {other}\n")),
    }
}

/// Checks a configuration.
///
/// # Errors
///
/// All its mistakes.
pub(crate) fn check(path: &Path, expand: bool) -> Result<(), Stop> {
    let closed = closed_to_us(path);
    let loaded = match closed.is_empty() {
        true => config::load_with_files(path, KINDS),
        false => config::load(path, KINDS),
    };
    let loaded = loaded.map_err(Stop::Config)?;
    let missing = config::missing_files(&loaded);
    if !missing.is_empty() {
        return Err(Stop::Config(missing));
    }
    let Loaded { config, sources } = loaded;
    for file in &closed {
        let file = file.display();
        let text = format!(
            "{file}: not checked: permission denied; `sudo fieldgate check` reads it, too\n"
        );
        print_to(&mut io::stderr(), &text);
    }
    let summary = summary(&config);
    if expand {
        let text = serde_yaml::to_string(&config::document(&sources))
            .map_err(|error| Stop::Other(io::Error::other(error)))?;
        print(&format!("# {summary}\n{text}"));
    } else {
        let lines = lines(&config).into_iter();
        let lines = lines
            .chain(uplinks::estimate(&config))
            .chain(history::estimate(&config));
        let lines: String = lines.map(|line| format!("    {line}\n")).collect();
        print(&format!("{}: {summary}\n{lines}", path.display()));
    }
    Ok(())
}

/// The files of the broker that this user may not read, as users and keys are the gateway's own.
fn closed_to_us(path: &Path) -> Vec<PathBuf> {
    // What is wrong with the configuration is told by the one who reads all of it.
    let named = config::files_of_broker(path).unwrap_or_default();
    let named = named.into_iter().map(|(.., file)| file);
    let usual = config::users_file_of(path).ok();
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = named.map(|file| folder.join(file)).chain(usual);
    let is_closed = |file: &PathBuf| {
        let opened = std::fs::File::open(file);
        opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let closed: BTreeSet<PathBuf> = files.filter(is_closed).collect();
    closed.into_iter().collect()
}

/// Prints the names of the program's device types, or the file of one.
///
/// # Errors
///
/// If there is no such type.
pub(crate) fn types(name: Option<&str>) -> Result<(), Stop> {
    let Some(name) = name else {
        let width = shipped::names().map(str::len).max().unwrap_or_default();
        for name in shipped::names() {
            let text = shipped::text(name).unwrap_or_default();
            let note = |key: &str| {
                let mut lines = text.lines();
                let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
                value.unwrap_or_default().trim_matches('"').to_owned()
            };
            let (maker, model) = (note("manufacturer"), note("model"));
            print(&format!("{name:width$}  {maker} {model}\n"));
        }
        return Ok(());
    };
    let Some(text) = shipped::text(name) else {
        let names: Vec<&str> = shipped::names().collect();
        let text = format!(
            "there is no device type \"{name}\"{}",
            suggestion(name, &names)
        );
        return Err(Stop::Usage(text));
    };
    print(text);
    Ok(())
}

/// Prints what an editor needs to know of the file.
///
/// # Errors
///
/// None that is known.
pub(crate) fn schema() -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(&config::schema(KINDS));
    let text = text.map_err(|error| Stop::Other(io::Error::other(error)))?;
    print(&format!("{text}\n"));
    Ok(())
}

fn summary(config: &Config) -> String {
    let devices = || config.devices.values();
    let points: usize = devices().map(|device| device.point_names().len()).sum();
    let requests: usize = devices().map(|device| device.requests()).sum();
    let summary = format!(
        "{}, {}, {}",
        counted(devices().count(), "device"),
        counted(points, "point"),
        counted(requests, "planned request")
    );
    match lines(config).len() {
        0 => summary,
        lines => format!("{summary}, {}", counted(lines, "GPIO line")),
    }
}

/// What devices take of the machine.
fn lines(config: &Config) -> Vec<String> {
    let devices = config.devices.values();
    devices.flat_map(|device| device.lines()).collect()
}

/// Polls one device once and shows everything.
///
/// # Errors
///
/// If there is no such device, or not all of it can be read.
pub(crate) async fn test(test: &args::Test) -> Result<(), Stop> {
    let name = test.device.as_str();
    match &test.uplink {
        Some(uplink) if name == "uplink" => return tools::uplink::test(uplink, &test.config).await,
        Some(_) => {
            return Err(Stop::Usage(
                "expected one device, or `uplink` and a name".to_owned(),
            ));
        }
        None => {}
    }
    let config = config::load(&test.config, KINDS)
        .map_err(Stop::Config)?
        .config;
    let Some(device) = config.devices.get(name) else {
        let names: Vec<&String> = config.devices.keys().collect();
        let text = format!("there is no device \"{name}\"{}", suggestion(name, &names));
        return Err(Stop::Usage(text));
    };
    // It is the one bridge whose buses a running gateway lends.
    if let Some(device) = device.of::<Buses>() {
        return tools::probe::test(test, &config, device).await;
    }
    let Some(kind) = KINDS.find(device.kind) else {
        return Ok(());
    };
    let tested = kind.test(&config, device, &mut print).await;
    tested.map_err(Stop::from)
}

/// Serves simulated devices until it is interrupted.
///
/// # Errors
///
/// If an address cannot be listened on.
pub(crate) async fn simulate(path: &Path, listen: Option<SocketAddr>) -> Result<(), Stop> {
    let config = config::load(path, KINDS).map_err(Stop::Config)?.config;
    let mut places = Places::new(listen);
    let mut serving = Vec::new();
    for kind in KINDS.iter() {
        let served = kind.simulate(&config, &mut places, &mut print).await;
        serving.extend(served.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Stop::Usage(format!("--listen: {error}")),
            io::ErrorKind::PermissionDenied => {
                let text = format!(
                    "{error}; ports below 1024 need a privilege: take others with --listen 127.0.0.1:5020, or let the \
                     gateway play all devices itself with `fieldgate run --simulate`"
                );
                Stop::Listen(io::Error::new(error.kind(), text))
            }
            _ => Stop::Listen(error),
        })?);
    }
    if serving.is_empty() {
        let text = "the configuration has no device on a bus, and no serial device with `simulated`; lines of GPIO \
             are simulated by `fieldgate run --simulate`";
        return Err(Stop::Usage(text.to_owned()));
    }
    print("serving; end with Ctrl-C\n");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(Stop::Other)?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.map_err(Stop::Other)?,
        _ = terminate.recv() => {}
    }
    for served in serving {
        served.stop().await;
    }
    Ok(())
}
