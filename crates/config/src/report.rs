//! Mistakes in the configuration, as a person reads them.

use std::collections::BTreeSet;
use std::fmt;

use fieldgate_model::plain::Plain;

use crate::yaml::Mark;

/// One mistake: `gateway.yaml:12:5: devices.plc.unit: expected …`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file as it was named on the command line.
    pub file: String,
    /// `None` when the file could not be read at all.
    pub mark: Option<Mark>,
    /// The path of the key; empty for the whole file.
    pub path: String,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(mark) = self.mark {
            write!(f, "{}:{}:", mark.line, mark.column)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", Plain(&self.path))?;
        }
        // It may quote the file, and a mistake is one line.
        write!(f, " {}", Plain(&self.message))
    }
}

/// All mistakes of a configuration, each once, in the order of files and lines.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    found: BTreeSet<Diagnostic>,
}

impl Report {
    /// Adds a mistake; the same one twice is one.
    pub fn add(
        &mut self,
        file: &str,
        mark: Option<Mark>,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.found.insert(Diagnostic {
            file: file.to_owned(),
            mark,
            path: path.into(),
            message: message.into(),
        });
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.found {
            writeln!(f, "{diagnostic}")?;
        }
        match self.found.len() {
            1 => write!(f, "1 mistake"),
            count => write!(f, "{count} mistakes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_that_quotes_a_line_break_is_still_one_line() {
        let mut report = Report::default();
        report.add("f.yaml", None, "mqtt.topic", "no place for \"a\nb\u{1b}°\"");
        let want = "f.yaml: mqtt.topic: no place for \"a\\nb\\u{1b}°\"\n1 mistake";
        assert_eq!(report.to_string(), want);
    }
}
