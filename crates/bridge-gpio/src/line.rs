//! The seam between a device and the owner of its lines. It knows levels as the mapping means them:
//! `active_low` has been applied.

use std::fmt::Debug;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::config::{Drive, Edge, LineConfig, LineRef, PwmConfig};

/// Why a line could not be had, read or set; a sentence for people that names the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LineError(pub String);

/// Opens lines. All calls end at once, apart from chips behind a slow bus (I2C: milliseconds).
pub trait Backend: Debug + Send + Sync + 'static {
    /// Takes a line as an input whose edges are reported. `owner` names us to other programs.
    ///
    /// # Errors
    ///
    /// If there is no such line, or another program has it: then that program is named.
    fn input(
        &self,
        chip: Option<&str>,
        line: &LineConfig,
        edge: Edge,
        owner: &str,
    ) -> Result<Box<dyn InputLine>, LineError>;

    /// Takes a line as an output. Without `level` it stays as it is, in direction too, until it
    /// is set.
    ///
    /// # Errors
    ///
    /// As [`Backend::input`].
    fn output(
        &self,
        chip: Option<&str>,
        line: &LineConfig,
        drive: Drive,
        level: Option<bool>,
        owner: &str,
    ) -> Result<Box<dyn OutputLine>, LineError>;

    /// Takes a PWM channel and sets its duty (0 to 1): taking one without setting it is not
    /// possible everywhere.
    ///
    /// # Errors
    ///
    /// If there is no such channel.
    fn pwm(&self, pwm: &PwmConfig, duty: f64) -> Result<Box<dyn PwmLine>, LineError>;

    /// Looks at a line without taking it.
    ///
    /// # Errors
    ///
    /// If there is no such line.
    fn look(&self, chip: Option<&str>, line: &LineRef) -> Result<LineInfo, LineError>;

    /// The clock of [`EdgeEvent::at`], monotonic.
    fn now(&self) -> Duration;
}

/// An input that is ours.
pub trait InputLine: Debug + Send {
    /// Appends edges that have happened, at least one and at most `max`, or registers to be woken.
    ///
    /// # Errors
    ///
    /// If the line is gone.
    fn poll_edges(
        &mut self,
        context: &mut Context<'_>,
        max: usize,
        out: &mut Vec<EdgeEvent>,
    ) -> Poll<Result<(), LineError>>;

    /// Its level now.
    ///
    /// # Errors
    ///
    /// If the line is gone.
    fn level(&self) -> Result<bool, LineError>;
}

/// An output that is ours.
pub trait OutputLine: Debug + Send {
    /// Switches it.
    ///
    /// # Errors
    ///
    /// If the line is gone.
    fn set(&mut self, level: bool) -> Result<(), LineError>;

    /// Its level, read back from the pin where the hardware can.
    ///
    /// # Errors
    ///
    /// If the line is gone.
    fn level(&self) -> Result<bool, LineError>;
}

/// A PWM channel that is ours. What it does after it is dropped is up to it; set it before.
pub trait PwmLine: Debug + Send {
    /// Sets the duty, 0 to 1.
    ///
    /// # Errors
    ///
    /// If the channel refuses.
    fn set(&mut self, duty: f64) -> Result<(), LineError>;
}

/// An edge that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeEvent {
    /// The level after it.
    pub level: bool,
    /// The number of this edge among those of its line, from 1 on; what is missing was lost.
    pub sequence: u32,
    /// When it happened, by [`Backend::now`].
    pub at: Duration,
}

/// What can be known of a line without taking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// The label of its chip.
    pub chip: String,
    /// Its number there.
    pub offset: u32,
    /// Its name; may be empty.
    pub name: String,
    /// Whether it is an output at present.
    pub is_output: bool,
    /// Its user, if it has one.
    pub consumer: Option<String>,
}
