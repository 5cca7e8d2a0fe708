//! Samples, values, commands, and the one place that builds topics and payloads.
//!
//! Pure: no I/O, no clock, no async. Nothing here knows a field bus or an MQTT library; a topic is
//! a string and a payload is bytes. Drivers make [`Sample`]s and take [`Command`]s, the gateway
//! turns them into messages with [`Topics`] and [`payload`].

mod aged;
mod command;
mod decimal;
mod labels;
pub mod payload;
pub mod plain;
mod point;
pub mod text;
mod topic;
mod value;

pub use aged::{Aged, aged, aged_device};
pub use command::{Command, Outcome, parse_command_value, parse_command_values};
pub use decimal::{Decimal, DecimalError};
pub use labels::Labels;
pub use payload::{DeviceState, PayloadFormat};
pub use point::{Point, Quality, Sample};
pub use text::{Encoding, TextError};
pub use topic::{PointTopics, TopicError, Topics, check_name};
pub use value::Value;
