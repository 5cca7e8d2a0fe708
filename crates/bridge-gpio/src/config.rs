//! GPIO devices: as written, and with everything decided.
//!
//! An entry that was read is right in itself; whether its points fit each other, such as interlocks
//! that name outputs, is told by [`GpioEntry::resolve`], all at once.

mod device;
mod line;
mod names;
mod point;

pub use device::{GpioConfig, GpioEntry, Offline};
pub use line::{Drive, Edge, LineConfig, LineRef, Pull};
pub use point::{CountConfig, Kind, OutConfig, PointConfig, PointEntry, PwmConfig, RateConfig};

/// Parts that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The keys that lead to it, from the device on.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// If it is an unknown name: what names there are.
    pub known: Option<(String, Vec<String>)>,
}

impl Fault {
    fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self {
            path: path.iter().map(|key| (*key).to_owned()).collect(),
            message: message.into(),
            known: None,
        }
    }
}

#[cfg(test)]
mod tests;
