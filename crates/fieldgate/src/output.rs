//! What commands write to a terminal.

use std::io;

use fieldgate_model::plain::PlainLines;

/// Writes to standard output.
pub(crate) fn print(text: &str) {
    print_to(&mut io::stdout(), text);
}

/// Names and answers of others are part of the text: no terminal obeys them.
///
/// A reader that has gone (`fieldgate check --expand | head`) is no error.
pub(crate) fn print_to(to: &mut impl io::Write, text: &str) {
    let _ = write!(to, "{}", PlainLines(text)).and_then(|()| to.flush());
}
