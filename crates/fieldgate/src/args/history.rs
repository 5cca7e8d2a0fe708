//! `fieldgate history`.

use clap::{Args, Subcommand};
use fieldgate_history::Kind;

use super::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum History {
    /// Write the readings that are kept: as comma-separated values, JSON lines, Parquet or line protocol.
    ///
    /// The gateway goes on meanwhile. Times are in UTC, numbers exact.
    Export(Export),
    /// Write what counters counted in each day, month or hour, as comma-separated values.
    ///
    /// Counters are the points with `counter: true`. Days are those of the board's time zone.
    Counters(Counters),
    /// Write what happened: devices that came and went, commands, starts, steps of the clock.
    ///
    /// Comma-separated values, the oldest first. Times are in UTC.
    Events(Events),
    /// Show since when there are readings, and how much room they take.
    Status(Place),
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// From when on: a date such as 2026-11-27, a time such as 2026-11-27T08:00:00Z, or how long ago, such as 24h or 31d.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) from: String,
    /// What to write: comma-separated values, JSON lines, Parquet, or InfluxDB's line protocol.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "csv")]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Events {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only this device. Without it, all, and what concerns the gateway itself.
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
    /// Only this kind, such as offline or command. May be given several times. Without it, all.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub(crate) kind: Vec<Kind>,
    /// From when on: a date such as 2026-11-27, a time such as 2026-11-27T08:00:00Z, or how long ago, such as 24h or 31d.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) from: String,
    /// Until when, likewise. Without it, until now.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::of_name(name).ok_or_else(|| {
        let known: Vec<_> = Kind::all().map(Kind::name).collect();
        format!("expected one of: {}", known.join(", "))
    })
}

#[derive(Args, Debug)]
pub(crate) struct Counters {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// How long each line is: hour, day or month.
    #[arg(long, value_enum, value_name = "SPAN", default_value = "day")]
    pub(crate) by: By,
    /// From when on: a date such as 2026-11-01, a time such as 2026-11-27T08:00:00Z, or how long ago, such as 24h or 31d.
    #[arg(long, value_name = "TIME", default_value = "31d")]
    pub(crate) from: String,
}

/// Which points, and until when.
#[derive(Args, Debug)]
pub(crate) struct Chosen {
    /// Only this device. Without it, all.
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
    /// Only this point. May be given several times. Without it, all.
    #[arg(long, value_name = "NAME")]
    pub(crate) point: Vec<String>,
    /// Until when, as in --from. Without it, until now.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    Csv,
    Jsonl,
    Parquet,
    Line,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum By {
    Hour,
    Day,
    Month,
}
