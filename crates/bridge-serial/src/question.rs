//! What a device was asked, and which frames can be the answer to it. Pure.

use std::sync::{Arc, Mutex, PoisonError};

use fieldgate_bridge::late::{Asked, Owed, Verdict};
use tokio::time::Instant;

use crate::bytes::text;
use crate::config::{ParseConfig, Pattern, SerialConfig, WriteConfig};
use crate::parse::Parser;
use crate::point;

/// A request or a command that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    config: Arc<SerialConfig>,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A request, by its index.
    Request(usize),
    /// A command, by the index of its point.
    Command(usize),
}

/// What a device owes. It outlives the connection: an adapter that was plugged in again, or a
/// serial server, may still bring an old answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debts(Arc<Mutex<Owed<Question>>>);

impl Debts {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Owed<Question>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.with(|owed| owed.is_clear())
    }

    /// Says what a frame is. An instrument may say the same twice, such as a weight that does not
    /// move: that is no repetition.
    pub(crate) fn judge(&self, current: Option<&Question>, frame: &[u8]) -> Verdict {
        let now = Instant::now();
        self.with(|owed| {
            owed.sent(now);
            owed.judge(current, frame, now)
        })
    }

    /// A question leaves.
    pub(crate) fn sent(&self) {
        self.with(|owed| owed.sent(Instant::now()));
    }

    /// So many frames that answer a question have not come in time.
    pub(crate) fn gave_up(&self, question: &Question, frames: usize) {
        self.with(|owed| {
            for _ in 0..frames {
                owed.gave_up(question.clone());
            }
        });
    }
}

impl Question {
    pub(crate) fn request(config: &Arc<SerialConfig>, index: usize) -> Self {
        Self {
            config: Arc::clone(config),
            what: What::Request(index),
        }
    }

    pub(crate) fn command(config: &Arc<SerialConfig>, point: usize) -> Self {
        Self {
            config: Arc::clone(config),
            what: What::Command(point),
        }
    }

    fn parse(&self) -> Option<&ParseConfig> {
        match self.what {
            What::Request(index) => self.config.requests.get(index).map(|own| &own.parse),
            What::Command(_) => None,
        }
    }

    fn rule(&self) -> Option<&WriteConfig> {
        match self.what {
            What::Request(_) => None,
            What::Command(point) => self.config.points.get(point)?.1.write.as_ref(),
        }
    }

    /// Whether a frame answers it, other than by a refusal.
    pub(crate) fn is_answered(&self, frame: &[u8]) -> bool {
        let What::Request(index) = self.what else {
            let answer = self.rule().and_then(|rule| rule.answer.as_ref());
            return answer.is_some_and(|answer| answer.0.is_match(&text(frame)));
        };
        let Some(request) = self.config.requests.get(index) else {
            return false;
        };
        // Any text would do for an answer, also what a line echoes.
        if request.parse.parser == Parser::Text && is_echo(&self.config, frame) {
            return false;
        }
        let Ok(record) = request.parse.parse(frame) else {
            return false;
        };
        let mut points = self.config.points.iter().map(|(_, point)| point);
        request.frames > 1
            || points.any(|point| {
                point.request == Some(index)
                    && point::read(point, &record, request.parse.numbers).is_some()
            })
    }

    /// Whether a frame refuses something. Refusals do not say what: they may answer anything that
    /// the device was asked.
    pub(crate) fn is_refused(&self, frame: &[u8]) -> bool {
        let line = text(frame);
        refusals(&self.config).any(|refused| refused.0.is_match(&line))
    }
}

/// Whether a frame is a request as it was sent.
fn is_echo(config: &SerialConfig, frame: &[u8]) -> bool {
    let mut sent = config.requests.iter().map(|request| &request.send);
    sent.any(|sent| sent.trim_ascii() == frame.trim_ascii())
}

fn refusals(config: &SerialConfig) -> impl Iterator<Item = &Pattern> {
    let commands = config.points.iter().filter_map(|(_, point)| {
        let rule = point.write.as_ref()?;
        rule.refused.as_ref()
    });
    let requests = config.requests.iter();
    commands.chain(requests.filter_map(|request| request.refused.as_ref()))
}

/// Whether a parser takes what was not meant for it: a text is any frame.
fn takes_anything(parse: &ParseConfig) -> bool {
    match parse.parser {
        Parser::Text
        | Parser::Columns { .. }
        | Parser::Fixed(_)
        | Parser::Binary { hex: false, .. } => true,
        Parser::Regex(_) | Parser::Json | Parser::Nmea | Parser::Binary { hex: true, .. } => false,
    }
}

impl Asked for Question {
    fn accepts(&self, frame: &[u8]) -> bool {
        self.is_answered(frame) || self.is_refused(frame)
    }

    fn is_like(&self, earlier: &Self) -> bool {
        match (self.parse(), earlier.parse()) {
            (Some(own), Some(other)) => {
                own == other || takes_anything(own) || takes_anything(other)
            }
            (Some(parse), None) => takes_anything(parse),
            (None, Some(parse)) => takes_anything(parse) || refusals(&self.config).next().is_some(),
            (None, None) => true,
        }
    }
}
