//! One look at a meter, for people: who it is, all its records, and what its points show.

use std::time::Duration;

use fieldgate_model::Value;
use fieldgate_model::plain::Plain;
use tokio::time::Instant;

use crate::app::{Header, Record, medium_name};
use crate::bus::{MbusBusHandle, MbusError};
use crate::config::{MbusConfig, Source};
use crate::exchange::Readout;
use crate::point::{self, Unusable};

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What the meter told.
    pub readout: Readout,
    /// How long it took, waiting for the line included.
    pub elapsed: Duration,
    /// The points, by index, and what they hold.
    pub values: Vec<(usize, Result<Value, Unusable>)>,
}

/// Reads a meter once, and takes its points.
///
/// # Errors
///
/// If it does not answer; see [`MbusError`].
pub async fn probe(config: &MbusConfig, bus: &MbusBusHandle) -> Result<Probe, MbusError> {
    let begun = Instant::now();
    let readout = bus.read(config.address, config.telegrams).await?;
    let points = config.points.iter().enumerate();
    let values = points
        .map(|(index, (_, point))| (index, point::value(point, &readout)))
        .collect();
    Ok(Probe {
        elapsed: begun.elapsed(),
        values,
        readout,
    })
}

impl Probe {
    /// Who the meter is, its records, and the points, one line each.
    pub fn lines(&self, config: &MbusConfig) -> Vec<String> {
        let mut lines = vec![format!(
            "{}: {} in {} ms",
            config.address,
            who(self.readout.header.as_ref()),
            self.elapsed.as_millis()
        )];
        for (number, record) in self.readout.records.iter().enumerate() {
            lines.push(format!("  {number}: {}", describe(record)));
        }
        if !self.readout.own.is_empty() {
            lines.push(format!(
                "  the maker's own data: {}",
                Value::Bytes(self.readout.own.clone())
            ));
        }
        if self.readout.more {
            let telegrams = self.readout.telegrams;
            lines.push(format!(
                "  the meter has more than {telegrams} telegrams: raise `telegrams`"
            ));
        }
        if let Some(why) = self.readout.broken {
            lines.push(format!("  the records end early: {why}"));
        }
        for (index, value) in &self.values {
            let Some((name, point)) = config.points.get(*index) else {
                continue;
            };
            let unit = point.unit.as_deref().unwrap_or_default();
            let from = match point.source {
                Source::Record(number) => format!(" (record {number})"),
                Source::Header(_) | Source::Like(_) => String::new(),
            };
            lines.push(match value {
                Ok(value) => format!("{name}: {value} {unit}{from}")
                    .trim_end()
                    .to_owned(),
                Err(why) => format!("{name}: {why}{from}"),
            });
        }
        lines
    }
}

/// Who a meter is, for people.
pub(crate) fn who(header: Option<&Header>) -> String {
    let Some(header) = header else {
        return "a meter without a header".to_owned();
    };
    let id = header.id.as_deref().unwrap_or("no number");
    let maker = header.manufacturer.as_deref().unwrap_or("unknown maker");
    let medium = header.medium.map_or("unknown medium", medium_name);
    let version = match header.version {
        Some(version) => format!("version {version}, "),
        None => String::new(),
    };
    format!(
        "{id}, {maker}, {version}{medium}, access {}, status {:#04x}",
        header.access, header.status
    )
}

/// A record for people: `energy, storage 1: 33361000 Wh`.
pub fn describe(record: &Record) -> String {
    let mut text = record.meaning.quantity.to_string();
    for qualifier in &record.meaning.qualifiers {
        text.push(' ');
        text.push_str(qualifier);
    }
    for (name, number) in [
        ("storage", record.storage),
        ("tariff", record.tariff.into()),
        ("subunit", record.subunit.into()),
    ] {
        if number > 0 {
            text.push_str(&format!(", {name} {number}"));
        }
    }
    if record.function != crate::app::Function::Instantaneous {
        text.push_str(&format!(", {}", record.function.name()));
    }
    match &record.value {
        Ok(value) => text.push_str(&format!(": {value}")),
        Err(why) => text.push_str(&format!(": {why}")),
    }
    if let (Some(unit), Ok(_)) = (&record.meaning.unit, &record.value) {
        text.push_str(&format!(" {unit}"));
    }
    // By these bytes it can be chosen where no name tells it from another.
    let vif = Value::Bytes(record.vib.clone());
    format!("{} (vif {vif})", Plain(text))
}
