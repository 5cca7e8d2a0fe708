//! The commands that end: check, test, simulate. What they print is for a person at a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use fieldgate_bridge_modbus::{
    Data, DeviceConfig, Exchange, Load, Order, PointConfig, ReadRequest, THINKS, Transport, decode,
    load, plan, probe,
};
use fieldgate_model::plain::PlainLines;
use fieldgate_model::{Decimal, Value};

use crate::args;
use crate::config::{self, Config, Loaded, Place};
use crate::simulate::Simulator;
use crate::stop::Stop;
use crate::talker::Talker;
use crate::tools::Line;
use crate::yaml::suggestion;

/// Prints why the program ends.
pub(crate) fn complain(stop: &Stop) {
    match stop {
        // Its lines begin with the file, so that an editor finds the place.
        Stop::Config(report) => print_to(&mut io::stderr(), &format!("{report}\n")),
        other => print_to(&mut io::stderr(), &format!("fieldgate: {other}\n")),
    }
}

pub(crate) fn print(text: &str) {
    print_to(&mut io::stdout(), text);
}

/// Names and answers of others are part of the text: no terminal obeys them.
///
/// A reader that has gone (`fieldgate check --expand | head`) is no error.
fn print_to(to: &mut impl io::Write, text: &str) {
    let _ = write!(to, "{}", PlainLines(text)).and_then(|()| to.flush());
}

/// Checks a configuration.
///
/// # Errors
///
/// All its mistakes.
pub(crate) fn check(path: &Path, expand: bool) -> Result<(), Stop> {
    let Loaded { config, sources } = config::load_with_files(path).map_err(Stop::Config)?;
    let summary = summary(&config);
    if expand {
        let text = serde_yaml::to_string(&config::document(&sources))
            .map_err(|error| Stop::Other(io::Error::other(error)))?;
        print(&format!("# {summary}\n{text}"));
    } else {
        let lines = config.gpio.values().flat_map(crate::gpio::listed);
        let lines: String = lines.collect();
        print(&format!("{}: {summary}\n{lines}", path.display()));
    }
    Ok(())
}

fn summary(config: &Config) -> String {
    let points: usize = config.names().map(|name| config.points(name).len()).sum();
    let requests: usize = config
        .devices
        .values()
        .map(|device| {
            let all: Vec<usize> = (0..device.points.len()).collect();
            plan(device, &all, &Default::default()).len()
        })
        .sum();
    let asked: usize = config
        .serial
        .values()
        .map(|device| device.config.requests.len())
        .sum();
    let requests = requests + asked;
    let devices = config.names().count();
    let summary = format!(
        "{}, {}, {}",
        counted(devices, "device"),
        counted(points, "point"),
        counted(requests, "planned request")
    );
    match config.gpio.values().flat_map(crate::gpio::listed).count() {
        0 => summary,
        lines => format!("{summary}, {}", counted(lines, "GPIO line")),
    }
}

/// `1 point`, `2 points`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Polls one device once and shows everything.
///
/// # Errors
///
/// If there is no such device, or not all of it can be read.
pub(crate) async fn test(test: &args::Test) -> Result<(), Stop> {
    let name = test.device.as_str();
    let config = config::load(&test.config).map_err(Stop::Config)?.config;
    if let Some(device) = config.serial.get(name) {
        let Some(script) = &device.simulated else {
            return crate::serial::test(&device.config).await;
        };
        let talker = Talker::start(&device.config, script).map_err(Stop::Other)?;
        let tested = crate::serial::test(&talker.device(&device.config)).await;
        talker.stop().await;
        return tested;
    }
    if let Some(device) = config.gpio.get(name) {
        return crate::gpio::test(device);
    }
    let Some(device) = config.devices.get(name) else {
        let names: Vec<&String> = config.names().collect();
        let text = format!("there is no device \"{name}\"{}", suggestion(name, &names));
        return Err(Stop::Usage(text));
    };
    let mut line = Line::open(&test.config, &config, &device.bus, test.control.as_deref()).await?;
    print(&format!(
        "{name}: unit {} on bus {} ({}), {}\n",
        device.unit,
        device.bus,
        line.way,
        counted(device.points.len(), "point")
    ));
    let read = async |request: &ReadRequest| line.read(device.unit, request).await;
    let exchanges = probe(device, read).await;
    print(&table(device, &exchanges));
    print(&bus_time(&config, device));
    line.close().await?;
    // A refused request whose parts were read lost nothing; its parts count for themselves.
    let failed = |exchange: &&Exchange| exchange.answer.is_err() && !exchange.is_divided;
    match exchanges.iter().filter(failed).count() {
        0 => Ok(()),
        count => Err(Stop::Device(format!(
            "{count} of {} failed",
            counted(exchanges.len(), "request")
        ))),
    }
}

/// What the device, and all devices of its bus, ask of a serial line; empty for other buses.
fn bus_time(config: &Config, device: &DeviceConfig) -> String {
    let Some(bus) = config.buses.get(&device.bus) else {
        return String::new();
    };
    let on_bus = config.devices.values();
    let on_bus: Vec<_> = on_bus.filter(|other| other.bus == device.bus).collect();
    let own = load(&bus.config, [device]);
    let all = load(&bus.config, on_bus.iter().copied());
    let (Some(own), Some(all)) = (own, all) else {
        return String::new();
    };
    let millis = |load: &Load| load.round.as_secs_f64() * 1000.0;
    let percent = |load: &Load| load.share * 100.0;
    let mut text = format!(
        "\nbus time, estimated with units that answer after {} ms: {:.0} ms a round of {}, \
         {:.0} % of the time of bus {}\n",
        THINKS.as_millis(),
        millis(&own),
        counted(own.requests, "request"),
        percent(&own),
        device.bus,
    );
    // Writing to a string does not fail.
    let _ = match on_bus.len() {
        1 => writeln!(text, "it is the only device of the bus"),
        count => writeln!(
            text,
            "all {count} devices of the bus: {:.0} ms a round, {:.0} % of its time",
            millis(&all),
            percent(&all)
        ),
    };
    if all.share > 1.0 {
        let _ = writeln!(
            text,
            "WARNING: the bus cannot keep the periods that its devices ask for; they will be read \
             about {:.1} times more slowly. Use a higher baud rate, longer `poll` periods or fewer points",
            all.share
        );
    }
    text
}

/// Requests with their raw words, and below each the points that it serves.
fn table(device: &DeviceConfig, exchanges: &[Exchange]) -> String {
    let mut text = String::new();
    for exchange in exchanges {
        let request = exchange.request.describe(device.unit);
        let millis = exchange.elapsed.as_secs_f64() * 1000.0;
        // Writing to a string does not fail.
        let _ = match &exchange.answer {
            Ok(data) => writeln!(text, "\n{request}: {millis:.1} ms\n{}", raw(data)),
            Err(error) => {
                // The error names the request, too.
                let named = format!("{request}: ");
                let why = error.strip_prefix(&named).unwrap_or(error);
                let what = match exchange.is_divided {
                    true => "refused, so its points are read apart",
                    false => "FAILED",
                };
                writeln!(text, "\n{request}: {millis:.1} ms: {what}\n    {why}")
            }
        };
        for (index, value) in &exchange.values {
            let Some((name, point)) = device.points.get(*index) else {
                continue;
            };
            let unit = point.unit.as_deref().unwrap_or_default();
            let place = format!("{} {}", point.table.name(), point.address);
            let (value, quality) = match value {
                Ok(value) => (shown(value), "good".to_owned()),
                Err(error) => ("-".to_owned(), format!("bad: {error}")),
            };
            let kind = point.kind.to_string();
            let _ = writeln!(
                text,
                "    {name:<20} {place:<16} {kind:<11} {value:>16} {unit:<6} {quality}"
            );
            if let Some((order, other)) = better_order(point, exchange) {
                let order = format!("{order:?}").to_uppercase();
                let _ = writeln!(
                    text,
                    "      {name} would be {other} with `order: {order}`: are its words the other way round?"
                );
            }
        }
    }
    text
}

/// An order of words in which a float is a number as plants have them, if it is none as it is read.
fn better_order(point: &PointConfig, exchange: &Exchange) -> Option<(Order, Value)> {
    let is_usual = |value: &Value| {
        let size = value.to_decimal().map(|number| number.to_f64().abs());
        size.is_some_and(|size| size == 0.0 || (1e-3..1e7).contains(&size))
    };
    let Ok(Data::Words(words)) = &exchange.answer else {
        return None;
    };
    if !point.kind.is_float() || point.kind.registers() < 2 {
        return None;
    }
    let from = usize::from(point.address.checked_sub(exchange.request.address)?);
    let own = words.get(from..from + usize::from(point.kind.registers()))?;
    let read = |order: Order| {
        let other = PointConfig {
            order,
            ..point.clone()
        };
        decode(&other, &Data::Words(own.to_vec())).ok()
    };
    if read(point.order).is_some_and(|value| is_usual(&value)) {
        return None;
    }
    let order = match point.order {
        Order::Abcd => Order::Cdab,
        Order::Cdab => Order::Abcd,
        Order::Badc => Order::Dcba,
        Order::Dcba => Order::Badc,
    };
    let value =
        read(order).filter(|value| is_usual(value) && value.to_decimal() != Some(Decimal::ZERO))?;
    Some((order, value))
}

pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

/// Words in hexadecimal and bits, eight words or thirty-two bits a line.
fn raw(data: &Data) -> String {
    let (items, width): (Vec<String>, usize) = match data {
        Data::Words(words) => (words.iter().map(|word| format!("{word:04X}")).collect(), 16),
        Data::Bits(bits) => (
            bits.iter().map(|bit| u8::from(*bit).to_string()).collect(),
            32,
        ),
    };
    let lines: Vec<String> = items
        .chunks(width)
        .map(|line| format!("    {}", line.join(" ")))
        .collect();
    lines.join("\n")
}

/// Serves simulated devices until it is interrupted.
///
/// # Errors
///
/// If an address cannot be listened on.
pub(crate) async fn simulate(path: &Path, listen: Option<SocketAddr>) -> Result<(), Stop> {
    let config = config::load(path).map_err(Stop::Config)?.config;
    let mut devices: BTreeMap<&str, Vec<&DeviceConfig>> = BTreeMap::new();
    for device in config.devices.values() {
        devices.entry(&device.bus).or_default().push(device);
    }
    let talkers = talkers(&config)?;
    if devices.is_empty() && talkers.is_empty() {
        let text = "the configuration has no Modbus devices, and no serial device with `simulated`";
        return Err(Stop::Usage(text.to_owned()));
    }
    let mut simulators = Vec::new();
    for (index, (bus, devices)) in devices.iter().enumerate() {
        let Some(found) = config.buses.get(*bus) else {
            return Err(Stop::Usage(format!("there is no bus \"{bus}\"")));
        };
        let place = match (listen, &found.config.transport) {
            (_, Transport::Serial(_)) => Place::Line,
            (Some(first), _) => Place::Listen(next_port(first, index)?),
            (None, _) => own_place(found),
        };
        let simulator = Simulator::start(place, &found.config.transport, devices).await;
        let simulator = simulator.map_err(|error| cannot_serve(place, &error))?;
        let units: Vec<String> = devices
            .iter()
            .map(|device| format!("{} (unit {})", device.name, device.unit))
            .collect();
        print(&format!(
            "bus {bus}: {}: {}\n",
            simulator.transport,
            units.join(", ")
        ));
        simulators.push(simulator);
    }
    print("serving; end with Ctrl-C\n");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(Stop::Other)?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.map_err(Stop::Other)?,
        _ = terminate.recv() => {}
    }
    for simulator in simulators {
        simulator.stop().await;
    }
    for talker in talkers {
        talker.stop().await;
    }
    Ok(())
}

/// The serial instruments of a configuration that say something.
fn talkers(config: &Config) -> Result<Vec<Talker>, Stop> {
    let mut talkers = Vec::new();
    for (name, device) in &config.serial {
        let Some(script) = &device.simulated else {
            continue;
        };
        let talker = Talker::start(&device.config, script).map_err(Stop::Other)?;
        print(&format!("device {name}: {}\n", talker.port));
        talkers.push(talker);
    }
    Ok(talkers)
}

fn next_port(first: SocketAddr, index: usize) -> Result<SocketAddr, Stop> {
    let step = if first.port() == 0 { 0 } else { index };
    let port = u16::try_from(step)
        .ok()
        .and_then(|step| first.port().checked_add(step));
    let port = port.ok_or_else(|| Stop::Usage("--listen: too few ports above it".to_owned()))?;
    Ok(SocketAddr::new(first.ip(), port))
}

/// Where a bus says that its devices are, on this machine.
fn own_place(bus: &config::Bus) -> Place {
    if let Some(place) = bus.simulated {
        return place;
    }
    let address = match &bus.config.transport {
        Transport::Tcp(address) | Transport::RtuOverTcp(address) => address,
        Transport::Serial(_) => return Place::Line,
    };
    Place::Listen(match address.parse::<SocketAddr>() {
        Ok(own) if own.ip().is_loopback() => own,
        // Another machine's address: its port is served here.
        _ => {
            let port = address
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok());
            SocketAddr::from(([0, 0, 0, 0], port.unwrap_or(0)))
        }
    })
}

pub(crate) fn cannot_serve(place: Place, error: &io::Error) -> Stop {
    let text = match place {
        Place::Listen(address) => format!("cannot listen on {address}: {error}"),
        Place::Line => format!("no line to simulate a bus on: {error}"),
    };
    Stop::Listen(io::Error::new(error.kind(), text))
}
