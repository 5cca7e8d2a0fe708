//! The change filter: which readings are worth publishing. Pure; the caller says what time it is.

use std::time::{Duration, Instant};

use crate::{Deadband, Publish};
use fieldgate_model::{Quality, Sample, Value};

/// When the readings of one point are published.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rule {
    /// All, or changes only.
    pub publish: Publish,
    /// How far a number must move; absent: any change counts. Texts, switches and bytes change
    /// when they are not equal.
    pub deadband: Option<Deadband>,
    /// After what time the first unchanged reading is published again; absent: never.
    pub heartbeat: Option<Duration>,
}

/// The change filter of one device.
#[derive(Debug)]
pub struct Filter {
    points: Vec<State>,
}

#[derive(Debug)]
struct State {
    rule: Rule,
    /// The newest reading, published or not.
    newest: Option<Sample>,
    /// What was published last, and when.
    published: Option<(Option<Value>, Quality, Instant)>,
}
