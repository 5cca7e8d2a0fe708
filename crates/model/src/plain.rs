//! Text of others, such as names and answers, in a form that people can safely look at.
//!
//! A terminal obeys control characters, and some characters of Unicode change the order in which
//! other text is shown. Here each of them becomes what it is called: `\n`, `\u{1b}`.

use std::collections::VecDeque;
use std::fmt::{self, Display, Write};

/// Whether a character acts on a terminal or on the text around it, or is not seen at all.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Marks, embeddings, overrides and isolates of text that is written right to left.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Ends of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Nothing to see: blanks without a width, annotations, tags.
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Shows something with every hidden character escaped.
#[derive(Clone, Copy, Debug)]
pub struct Plain<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            Escape {
                to: f,
                lines: false
            },
            "{}",
            self.0
        )
    }
}

/// As [`Plain`], and lines stay lines: for text of several lines that is our own.
#[derive(Clone, Copy, Debug)]
pub struct PlainLines<T>(pub T);

impl<T: Display> Display for PlainLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape { to: f, lines: true }, "{}", self.0)
    }
}

/// Text with every hidden character escaped, of at most `max` characters. Of longer text the
/// beginning and the end are left, with `…` between: what is wrong often stands at the end.
pub fn shortened(text: impl Display, max: usize) -> String {
    let tail = max / 4;
    let mut ends = Ends {
        head: String::new(),
        left: max.saturating_sub(tail + 1),
        tail: VecDeque::new(),
        room: tail + 1,
        is_cut: false,
    };
    // Neither fails: they write to memory.
    let _ = write!(
        Escape {
            to: &mut ends,
            lines: false
        },
        "{text}"
    );
    ends.finish()
}

struct Escape<W> {
    to: W,
    lines: bool,
}

impl<W: Write> Write for Escape<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let acts = |c: char| is_hidden(c) && !(self.lines && c == '\n');
        let mut rest = text;
        while let Some(at) = rest.find(acts) {
            let (before, after) = rest.split_at(at);
            self.to.write_str(before)?;
            let mut chars = after.chars();
            if let Some(hidden) = chars.next() {
                write!(self.to, "{}", hidden.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.to.write_str(rest)
    }
}

/// Keeps the beginning and the end of what is written, whatever its length.
struct Ends {
    head: String,
    /// Characters that the beginning still takes.
    left: usize,
    tail: VecDeque<char>,
    /// Characters of the end, and one for the sign that something is missing.
    room: usize,
    is_cut: bool,
}

impl Ends {
    fn finish(mut self) -> String {
        if self.is_cut {
            self.head.push('…');
            self.tail.pop_front();
        }
        self.head.extend(self.tail);
        self.head
    }
}

impl Write for Ends {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left > 0 {
                self.left -= 1;
                self.head.push(c);
                continue;
            }
            if self.tail.len() >= self.room {
                self.tail.pop_front();
                self.is_cut = true;
            }
            self.tail.push_back(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_by_its_name() {
        for (text, want) in [
            ("plain Ünïcode 試 🙂", "plain Ünïcode 試 🙂"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("a\nb\tc\r\0", "a\\nb\\tc\\r\\u{0}"),
            ("del\u{7f} c1\u{9b}2J", "del\\u{7f} c1\\u{9b}2J"),
            ("gnp.\u{202e}exe", "gnp.\\u{202e}exe"),
            ("\u{2066}x\u{2069}\u{200f}", "\\u{2066}x\\u{2069}\\u{200f}"),
            ("line\u{2028}\u{2029}", "line\\u{2028}\\u{2029}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ] {
            assert_eq!(Plain(text).to_string(), want);
        }
        assert_eq!(PlainLines("a\nb\u{1b}").to_string(), "a\nb\\u{1b}");
    }

    #[test]
    fn long_text_keeps_its_beginning_and_its_end_and_has_an_end() {
        for (length, max, want) in [
            (8, 8, "01234567"),
            (9, 8, "01234…78"),
            (10, 8, "01234…89"),
            (3, 8, "012"),
            (0, 8, ""),
            (10, 1, "…"),
        ] {
            let text: String = ('0'..='9').take(length).collect();
            assert_eq!(shortened(&text, max), want, "{length} of {max}");
        }
        let flood = "\u{1b}".repeat(65_000);
        let text = shortened(format_args!("client {flood}: refused"), 512);
        assert_eq!(text.chars().count(), 512);
        assert!(
            text.starts_with("client \\u{1b}") && text.ends_with(": refused"),
            "{text}"
        );
    }
}
