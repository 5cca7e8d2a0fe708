//! Serial devices: as written, and with everything decided.
//!
//! An entry that was read is right in itself; whether its parts fit each other, such as a point's
//! field and the parser, is told by [`SerialEntry::resolve`], all at once.

mod absence;
mod device;
mod finder;
mod frame;
mod parse;
mod point;
mod write;

pub use absence::Absence;
pub use device::{Offline, RequestConfig, SerialConfig, SerialEntry};
pub use finder::Source;
pub use parse::{ParseConfig, Pattern};
pub use point::{Kind, PointConfig, PointEntry, Reading, Units};
pub use write::WriteConfig;

#[cfg(test)]
mod tests;
