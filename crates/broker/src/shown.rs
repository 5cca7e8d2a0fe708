//! Names that clients chose, for the log.

/// Characters of a name that are shown.
const SHOWN: usize = 64;

/// A name in quotes, short, and without anything that acts on a terminal.
pub(crate) fn shown(name: &str) -> String {
    let mut characters = name.chars();
    let short: String = characters.by_ref().take(SHOWN).collect();
    match characters.next() {
        None => format!("{short:?}"),
        Some(_) => format!("{short:?}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_name_is_cut_and_escaped() {
        for (name, want) in [
            ("pump", "\"pump\"".to_owned()),
            ("a\u{1b}[31m\n", "\"a\\u{1b}[31m\\n\"".to_owned()),
            (&"x".repeat(65), format!("\"{}\"…", "x".repeat(64))),
        ] {
            assert_eq!(shown(name), want);
        }
    }
}
