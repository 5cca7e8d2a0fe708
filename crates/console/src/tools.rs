//! What a person at the cabinet has done on a bus: tests, scans, raw reads, as the rest of the program does them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::later::Later;

/// What a job tells while it works.
pub trait Told: Send + Sync {
    /// A part of its text.
    fn text(&self, text: &str);

    /// How far it is: so much of so much.
    fn progress(&self, done: usize, all: usize);

    /// A unit that a scan has found.
    fn found(&self, unit: Found);
}

/// A unit of a bus that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its number.
    pub unit: u8,
    /// Whether it is understood, and not only something that is there.
    pub understood: bool,
    /// What it says of itself, for people.
    pub text: String,
    /// The device that the configuration has for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// What is scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The bus.
    pub bus: String,
    /// Such as `1-20,100`.
    pub units: String,
    /// How long a unit may take to answer, in milliseconds.
    pub timeout_ms: u32,
}

/// What is read.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RawRead {
    /// The unit.
    pub unit: u8,
    /// `coil`, `discrete`, `input` or `holding`.
    pub table: String,
    /// The first one, from 0.
    pub address: u16,
    /// How many.
    pub count: u16,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Raw {
    /// Registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<u16>>,
    /// Bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<Vec<bool>>,
    /// The same as a table, for people.
    pub text: String,
}

/// A device for the configuration.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Its name.
    pub name: String,
    /// Its bus.
    pub bus: String,
    /// Its unit.
    pub unit: u8,
    /// Its type.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// Why a tool does not do it, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unable {
    /// There is no such bus or device.
    Missing(String),
    /// It makes no sense, or cannot be done here.
    Refused(String),
    /// The device did not answer, or refused.
    Device(String),
}

/// The tools.
pub trait Tools: Send + Sync {
    /// Asks a device once for everything, and tells requests, raw words and values.
    fn test<'a>(&'a self, device: &'a str, told: Arc<dyn Told>) -> Later<'a, Result<(), Unable>>;

    /// Asks which units of a bus answer.
    fn scan<'a>(&'a self, scan: &'a Scan, told: Arc<dyn Told>) -> Later<'a, Result<(), Unable>>;

    /// Reads registers or bits of a unit.
    fn read<'a>(&'a self, bus: &'a str, read: &'a RawRead) -> Later<'a, Result<Raw, Unable>>;

    /// The names of the device types that there are.
    fn types(&self) -> Later<'_, Vec<String>>;

    /// A text of the configuration with devices added.
    fn add(&self, text: String, devices: Vec<NewDevice>) -> Later<'_, Result<String, Unable>>;
}
