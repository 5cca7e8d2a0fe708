//! `test` for devices on a Modbus bus, through the running gateway if there is one.

use std::fmt::Write as _;

use fieldgate_bridge::Tell;
use fieldgate_bridge::show::{counted, shown};
use fieldgate_bridge_modbus::{
    Buses, Data, DeviceConfig, Exchange, Load, Order, PointConfig, ReadRequest, THINKS, decode,
    load, probe,
};
use fieldgate_model::{Decimal, Value};

use super::Line;
use crate::args;
use crate::output::print;
use crate::stop::Stop;
use fieldgate_config::Config;
use fieldgate_config::kinds;

/// Polls one device once and shows everything.
///
/// # Errors
///
/// If not all of it can be read.
pub(crate) async fn test(
    test: &args::Test,
    config: &Config,
    device: &DeviceConfig,
) -> Result<(), Stop> {
    let line = Line::open(&test.config, config, &device.bus, test.control.as_deref()).await?;
    show(line, config, device, &mut print).await
}

/// Polls one device once over `line`, and tells everything.
///
/// # Errors
///
/// If not all of it can be read.
pub(crate) async fn show(
    mut line: Line,
    config: &Config,
    device: &DeviceConfig,
    tell: &mut Tell<'_>,
) -> Result<(), Stop> {
    let name = device.name.as_str();
    tell(&format!(
        "{name}: unit {} on bus {} ({}), {}\n",
        device.unit,
        device.bus,
        line.way,
        counted(device.points.len(), "point")
    ));
    let read = async |request: &ReadRequest| line.read(device.unit, request).await;
    let exchanges = probe(device, read).await;
    tell(&table(device, &exchanges));
    tell(&bus_time(config, device));
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
    let part = kinds::part::<Buses>(config);
    let Some(bus) = part.buses.get(device.bus.as_str()) else {
        return String::new();
    };
    let on_bus = part.devices.into_values();
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
