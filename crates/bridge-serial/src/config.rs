//! Serial devices: as written, and with everything decided.
//!
//! An entry that was read is right in itself; whether its parts fit each other, such as a point's
//! field and the parser, is told by [`SerialEntry::resolve`], all at once.

mod absence;
mod device;
mod finder;
mod frame;
mod names;
mod parse;
mod point;
mod port;
mod write;

pub use absence::Absence;
pub use device::{Offline, RequestConfig, SerialConfig, SerialEntry};
pub use finder::Source;
pub use parse::{ParseConfig, Pattern};
pub use point::{Kind, PointConfig, PointEntry, Reading, Units};
pub use port::{Flow, Parity, PortConfig};
pub use write::WriteConfig;

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

    fn unknown(path: &[&str], what: &str, name: &str, known: Vec<String>) -> Self {
        Self {
            known: Some((name.to_owned(), known)),
            ..Self::new(path, format!("unknown {what} \"{}\"", name.escape_debug()))
        }
    }
}

#[cfg(test)]
mod tests;
