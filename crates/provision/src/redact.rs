//! Takes the passwords out of a `provision.yaml` and leaves the rest as its author wrote it. Pure.

use fieldgate_config::yaml::{Mark, Node, to_value};

/// Where passwords are.
const SECRETS: [&[&str]; 2] = [&["wifi", "password"], &["mqtt", "password"]];

/// The places of passwords in these items.
fn secrets<'i>(items: &'i [&str]) -> impl Iterator<Item = &'static [&'static str]> + use<'i> {
    let is_meant = |path: &&[&str]| path.first().is_some_and(|item| items.contains(item));
    SECRETS.into_iter().filter(is_meant)
}

/// Whether there is a password in these items.
pub(crate) fn has_secrets(root: &Node, items: &[&str]) -> bool {
    let mut found = secrets(items).filter_map(|path| root.get(path));
    found.any(|node| node.text().is_some())
}

/// The text without the passwords of these items. Their keys stay, with nothing behind them.
pub(crate) fn redact(text: &str, root: &Node, items: &[&str]) -> Option<String> {
    let mut cuts = Vec::new();
    for path in secrets(items) {
        let Some((value, secret)) = root.get(path).and_then(|node| Some((node, node.text()?)))
        else {
            continue;
        };
        cuts.push(span(text, value.mark, secret)?);
    }
    // From the end on, so that the places before stay right.
    cuts.sort_unstable();
    let mut text = text.to_owned();
    for (start, end) in cuts.into_iter().rev() {
        text.get(start..end)?;
        text.replace_range(start..end, "");
    }
    Some(text)
}

/// The document without the passwords of these items. Written down it has lost its author's comments: that is for
/// passwords that are written in a way that [`redact`] does not find the end of.
pub(crate) fn bare(root: &Node, items: &[&str]) -> serde_yaml::Value {
    let mut value = to_value(root);
    for path in secrets(items) {
        let mut at = Some(&mut value);
        for key in path {
            at = at.and_then(|value| value.get_mut(*key));
        }
        if let Some(found) = at {
            *found = serde_yaml::Value::Null;
        }
    }
    value
}

/// From where to where, in bytes, a scalar stands that begins at `mark` and reads as `secret`.
fn span(text: &str, mark: Mark, secret: &str) -> Option<(usize, usize)> {
    let start = offset(text, mark)?;
    let rest = text.get(start..)?;
    let length = match rest.chars().next()? {
        '"' => quoted(rest, '"', |c| c == '\\')?,
        '\'' => {
            let doubled = rest.get(1..)?.contains("''");
            (!doubled)
                .then(|| quoted(rest, '\'', |_| false))
                .flatten()?
        }
        _ if rest.starts_with(secret) => secret.len(),
        _ => return None,
    };
    Some((start, start + length))
}

/// The length of a quoted scalar with its quotes.
fn quoted(rest: &str, quote: char, escapes: impl Fn(char) -> bool) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if escapes(character) {
            characters.next();
        } else if character == quote {
            return Some(at + quote.len_utf8());
        }
    }
    None
}

/// The byte at a place that counts lines and characters from one.
fn offset(text: &str, mark: Mark) -> Option<usize> {
    let line = text.split_inclusive('\n').nth(mark.line.checked_sub(1)?)?;
    let before: usize = text
        .split_inclusive('\n')
        .take(mark.line - 1)
        .map(str::len)
        .sum();
    // The parser does not count a byte order mark.
    let column = mark.column.checked_sub(1)? + usize::from(line.starts_with('\u{feff}'));
    let (within, _) = line.char_indices().nth(column)?;
    Some(before + within)
}
