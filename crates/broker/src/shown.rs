//! Names that clients chose, for the log.

use std::fmt;

/// Characters of a name that are shown.
const SHOWN: usize = 64;

/// A name that is short, and without anything that acts on a terminal. In a sentence it stands in quotes.
#[derive(Debug)]
pub(crate) struct Shown(String);

pub(crate) fn shown(name: &str) -> Shown {
    let mut characters = name.chars();
    let short: String = characters.by_ref().take(SHOWN).collect();
    let short = short.escape_debug().to_string();
    match characters.next() {
        None => Shown(short),
        Some(_) => Shown(short + "…"),
    }
}

impl Shown {
    /// For a field of its own.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_name_is_cut_and_escaped() {
        for (name, want) in [
            ("pump", "pump".to_owned()),
            ("a\u{1b}[31m\n\"", "a\\u{1b}[31m\\n\\\"".to_owned()),
            (&"x".repeat(65), format!("{}…", "x".repeat(64))),
        ] {
            assert_eq!(shown(name).as_str(), want);
            assert_eq!(shown(name).to_string(), format!("\"{want}\""));
        }
    }
}
