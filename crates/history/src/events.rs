//! What happened beside readings: devices that come and go, commands, starts, steps of the clock.
//!
//! `blocks` codes events, `budget` says how many of them are kept: both pure. `store` appends them to files, and
//! removes the oldest. All texts that are kept are short and without control characters, whoever chose them.

pub mod blocks;
pub(crate) mod budget;
mod command;
pub(crate) mod intake;
pub(crate) mod store;

use std::fmt::Write as _;

use jiff::Timestamp;

/// Bytes of a text at most.
pub const TEXT_MAX: usize = 240;
/// What stands for the rest of a text that was cut.
const CUT: &str = "…";

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The gateway was started.
    Started,
    /// The same, and the run before was not ended in order.
    StartedAgain,
    /// The gateway was stopped in order.
    Stopped,
    /// The configuration was read again; `text` says what has changed.
    Reloaded,
    /// The device answers.
    Online,
    /// The device does not; `text` says why.
    Offline,
    /// The point `name` cannot be read although its device answers; `text` says why.
    Bad,
    /// The point `name` can be read again.
    Good,
    /// The point `name` got `value`; `by` says from whom, and `text` what was read back.
    Command,
    /// The same was refused or failed; `text` says why.
    CommandFailed,
    /// The line `name` is connected again.
    BusUp,
    /// The line `name` cannot be opened; `text` says why.
    BusDown,
    /// The uplink `name` is connected.
    UplinkUp,
    /// The uplink `name` is not; `text` says why.
    UplinkDown,
    /// Something that knows the time has set the clock for the first time since the start.
    ClockSet,
    /// The clock was set forward by `value` seconds; back if that is negative.
    ClockStep,
    /// `value` places in files of history were found damaged.
    Damaged,
}

/// All kinds with their numbers in files, which stay what they are, and their names.
const KINDS: [(Kind, u64, &str); 17] = [
    (Kind::Started, 1, "started"),
    (Kind::StartedAgain, 2, "started_again"),
    (Kind::Stopped, 3, "stopped"),
    (Kind::Reloaded, 4, "reloaded"),
    (Kind::Online, 5, "online"),
    (Kind::Offline, 6, "offline"),
    (Kind::Bad, 7, "bad"),
    (Kind::Good, 8, "good"),
    (Kind::Command, 9, "command"),
    (Kind::CommandFailed, 10, "command_failed"),
    (Kind::BusUp, 11, "bus_up"),
    (Kind::BusDown, 12, "bus_down"),
    (Kind::UplinkUp, 13, "uplink_up"),
    (Kind::UplinkDown, 14, "uplink_down"),
    (Kind::ClockSet, 15, "clock_set"),
    (Kind::ClockStep, 16, "clock_step"),
    (Kind::Damaged, 17, "damaged"),
];

impl Kind {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.into_iter().map(|(kind, ..)| kind)
    }

    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        let mut kinds = KINDS.iter();
        let found = kinds.find(|(kind, ..)| *kind == self);
        found.map_or("", |(.., name)| name)
    }

    /// The kind of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        let mut kinds = KINDS.iter();
        let found = kinds.find(|(.., known)| *known == name);
        found.map(|(kind, ..)| *kind)
    }

    fn number(self) -> u64 {
        let mut kinds = KINDS.iter();
        let found = kinds.find(|(kind, ..)| *kind == self);
        found.map_or(0, |(_, number, _)| *number)
    }

    fn of_number(number: u64) -> Option<Self> {
        let mut kinds = KINDS.iter();
        let found = kinds.find(|(_, known, _)| *known == number);
        found.map(|(kind, ..)| *kind)
    }
}

/// Something that happened. Texts that say nothing are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What.
    pub kind: Kind,
    /// The device; empty for the gateway itself.
    pub device: String,
    /// The point, bus or uplink.
    pub name: String,
    /// A value, as text.
    pub value: String,
    /// Why, or what became of it, for people.
    pub text: String,
    /// Who wanted it.
    pub by: String,
    /// How many of the kind were left out right before, as there were too many.
    pub left_out: u64,
    /// Whether the time can be relied on.
    pub is_clock_set: bool,
}

impl Event {
    /// One of which nothing more is known.
    pub fn new(kind: Kind, at: Timestamp) -> Self {
        Self {
            at: at.as_microsecond(),
            kind,
            device: String::new(),
            name: String::new(),
            value: String::new(),
            text: String::new(),
            by: String::new(),
            left_out: 0,
            is_clock_set: true,
        }
    }

    /// The same of a device.
    #[must_use]
    pub fn of(self, device: &str) -> Self {
        let device = device.to_owned();
        Self { device, ..self }
    }

    /// The same of a point, bus or uplink.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let name = name.to_owned();
        Self { name, ..self }
    }

    /// The same with a value.
    #[must_use]
    pub fn with(self, value: &str) -> Self {
        let value = value.to_owned();
        Self { value, ..self }
    }

    /// The same with why, or what became of it.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        let text = text.to_owned();
        Self { text, ..self }
    }

    /// The same with who wanted it.
    #[must_use]
    pub fn by(self, who: &str) -> Self {
        let by = who.to_owned();
        Self { by, ..self }
    }

    /// The same with all texts bounded, whoever chose them.
    pub(crate) fn bounded(self) -> Self {
        let Self {
            device,
            name,
            value,
            text,
            by,
            ..
        } = &self;
        let [device, name, value, text, by] = [device, name, value, text, by].map(|t| bounded(t));
        Self {
            device,
            name,
            value,
            text,
            by,
            ..self
        }
    }

    /// When, in milliseconds since 1970.
    pub fn millisecond(&self) -> i64 {
        self.at.div_euclid(1_000)
    }
}

/// A text that acts on no terminal and no page, and has [`TEXT_MAX`] bytes at most.
fn bounded(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let before = out.len();
        if acts(c) {
            // Writing to a text does not fail.
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
        if out.len() > TEXT_MAX {
            out.truncate(before);
            while out.len() > TEXT_MAX - CUT.len() {
                out.pop();
            }
            out.push_str(CUT);
            break;
        }
    }
    out
}

/// Control characters, ends of lines, and what changes the direction of text.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_kinds_are_each_there_once() {
        for kind in Kind::all() {
            assert_eq!(Kind::of_name(kind.name()), Some(kind));
            assert_eq!(Kind::of_number(kind.number()), Some(kind));
        }
    }

    #[test]
    fn texts_are_cut_and_act_on_nothing() {
        let long = "x".repeat(TEXT_MAX);
        let wide = "ä".repeat(TEXT_MAX);
        let cut = format!("{}…", "x".repeat(TEXT_MAX - 3));
        for (text, want) in [
            ("no answer within 300 ms", "no answer within 300 ms"),
            ("a\r\nb\t\u{1b}[2J\0", "a\\r\\nb\\t\\u{1b}[2J\\u{0}"),
            ("abc\u{202e}cba", "abc\\u{202e}cba"),
            ("Überlauf ≥ 3 \\n", "Überlauf ≥ 3 \\n"),
            (&long, &long),
            (&format!("{long}y"), &cut),
            (&wide, &format!("{}…", "ä".repeat(118))),
        ] {
            let found = bounded(text);
            assert_eq!(found, *want, "{text:?}");
            assert_eq!(bounded(&found), found, "once more");
        }
    }
}
