//! `write:` of a point.

use std::time::Duration;

use fieldgate_bridge::Period;
use fieldgate_model::Decimal;
use serde::Deserialize;

use super::parse::Pattern;
use crate::template::Template;

/// How a point is set.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteConfig {
    /// What is sent.
    pub send: Template,
    /// What answers it; absent: nothing, and it is done when it is sent. A capture `value` is
    /// compared with what was sent.
    pub answer: Option<Pattern>,
    /// What the device says when it refuses.
    pub refused: Option<Pattern>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The least value.
    pub min: Option<Decimal>,
    /// The greatest value.
    pub max: Option<Decimal>,
    /// What a text may hold besides letters, digits and blanks.
    pub signs: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWrite {
    send: Template,
    answer: Option<Pattern>,
    refused: Option<Pattern>,
    timeout: Option<Period>,
    min: Option<Decimal>,
    max: Option<Decimal>,
    signs: Option<String>,
}

/// What texts need and no instrument takes for a command of its own.
const SIGNS: &str = "+-._";

const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

impl RawWrite {
    pub(super) fn check(&self) -> Result<(), String> {
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(format!("write.min: {min} is above max {max}"));
        }
        if self
            .timeout
            .is_some_and(|timeout| timeout.get() > TIMEOUT_MAX)
        {
            return Err("write.timeout: must be at most 60s".into());
        }
        if self.refused.is_some() && self.answer.is_none() {
            return Err("write.refused: needs `answer`; without it nothing is waited for".into());
        }
        if self.timeout.is_some() && self.answer.is_none() {
            return Err("write.timeout: needs `answer`; without it nothing is waited for".into());
        }
        if let Some(sign) = self
            .signs
            .iter()
            .flat_map(|signs| signs.chars())
            .find(|sign| !sign.is_ascii_punctuation())
        {
            return Err(format!(
                "write.signs: {sign:?} is none of the signs of ASCII; letters, digits and blanks are allowed without it"
            ));
        }
        if self.signs.is_some() && !self.send.has_value() {
            return Err("write.signs: needs {value} in `send`".into());
        }
        Ok(())
    }

    pub(super) fn resolve(&self) -> WriteConfig {
        WriteConfig {
            send: self.send.clone(),
            answer: self.answer.clone(),
            refused: self.refused.clone(),
            timeout: self.timeout.map_or(TIMEOUT, Period::get),
            min: self.min,
            max: self.max,
            signs: self.signs.clone().unwrap_or_else(|| SIGNS.to_owned()),
        }
    }
}
