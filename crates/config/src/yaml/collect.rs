//! Reads a value out of a tree and goes on after each mistake, so that all of them are found.
//!
//! serde stops at the first mistake. So the wrong key or element is reported, left out of the
//! tree, and the whole is read again, until it is read or nothing is left to leave out. What is
//! only a consequence of something left out is not reported.

use serde::de::DeserializeOwned;

use super::de::Reader;
use super::error::Problem;
use super::tree::{Kind, Mark, Node, Pruned, Step, cut, path_text};

/// One mistake: where it stands, the path of the value, and what is wrong with it.
pub struct Mistake {
    /// Where it stands.
    pub mark: Mark,
    /// The path of the value.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Keys that are read elsewhere, by the path of their mapping, where `*` is any key. A message
/// about an unknown key lists them too.
pub type Others = &'static [(&'static [&'static str], &'static [&'static str])];

/// Mistakes after which the reading of one file ends: no person reads more of them at once.
pub(super) const MISTAKES_MAX: usize = 100;
/// What stands in the place of the others.
pub(super) const MORE: &str = "there are more mistakes than are shown";
/// Readings of one tree. Consequences cost a reading each and are not reported.
const READINGS_MAX: usize = 1000;

/// Reads the whole tree. Mistakes go into `mistakes`, and what they are about is pruned from the
/// tree; the value is what the rest of it says, or nothing when the rest says nothing.
pub fn read<T: DeserializeOwned>(
    root: &mut Node,
    others: Others,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    for _ in 0..READINGS_MAX {
        let error = match T::deserialize(Reader { node: root }) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let (problem, steps) = error.about(root).into_parts();
        let is_noise = root
            .at(&steps)
            .is_some_and(|node| is_consequence(node, &problem))
            || names_pruned_sibling(root, &problem, &steps);
        if !is_noise {
            mistakes.push(describe(root, others, &problem, &steps));
            if mistakes.len() >= MISTAKES_MAX {
                let mark = mistakes.last().map_or(root.mark, |last| last.mark);
                mistakes.push(Mistake {
                    mark,
                    path: String::new(),
                    message: MORE.to_owned(),
                });
                return None;
            }
        }
        let why = match &problem {
            Problem::UnknownKey { key, expected } => match nearest(key, expected) {
                Some(name) => Pruned::Misspelt(name.to_owned()),
                None => Pruned::Unknown,
            },
            _ => Pruned::Value,
        };
        if !root.prune(&steps, why) {
            return None;
        }
    }
    None
}

/// Whether the problem of a container only comes from an entry that was left out of it.
fn is_consequence(node: &Node, problem: &Problem) -> bool {
    match (&node.kind, problem) {
        (_, Problem::UnknownKey { .. } | Problem::UnknownName { .. } | Problem::Key(_)) => false,
        (Kind::Map(entries), Problem::MissingKey(missing)) => {
            entries.iter().any(|entry| match &entry.pruned {
                Some(Pruned::Value) => entry.key.text() == Some(missing),
                Some(Pruned::Misspelt(meant)) => meant == missing,
                Some(Pruned::Cut) => true,
                _ => false,
            })
        }
        (Kind::Map(entries), _) => entries.iter().any(|entry| {
            matches!(
                entry.pruned,
                Some(Pruned::Value | Pruned::Misspelt(_) | Pruned::Cut)
            )
        }),
        (Kind::List(items), _) => items.iter().any(|item| item.pruned),
        _ => false,
    }
}

/// Whether a message about one key of a mapping speaks of another one that was left out:
/// "input: a register needs its type, `as`" after a wrong `as`.
fn names_pruned_sibling(root: &Node, problem: &Problem, steps: &[Step]) -> bool {
    let (Problem::Custom(message), Some((_, parents))) = (problem, steps.split_last()) else {
        return false;
    };
    let siblings = root.at(parents).map(Node::entries).unwrap_or_default();
    siblings
        .iter()
        .filter_map(|entry| match &entry.pruned {
            Some(Pruned::Value) => entry.key.text(),
            Some(Pruned::Misspelt(meant)) => Some(meant),
            _ => None,
        })
        .any(|key| message.contains(&format!("`{key}`")))
}

fn describe(root: &Node, others: Others, problem: &Problem, steps: &[Step]) -> Mistake {
    let found = root.at(steps);
    let found_text = found.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let mut mark = found.map_or(root.mark, |node| node.mark);
    let message = match problem {
        Problem::UnknownKey { key, expected } => {
            mark = root.key_mark(steps).unwrap_or(mark);
            let others = others_at(root, others, steps);
            let expected: Vec<&str> = expected.iter().chain(others).copied().collect();
            format!("unknown key{}", suggestion(key, &expected))
        }
        Problem::UnknownName { name, expected } => {
            let name_text = cut(&name.escape_debug().to_string());
            format!("unknown name \"{name_text}\"{}", suggestion(name, expected))
        }
        Problem::MissingKey(key) => {
            mark = root.key_mark(steps).unwrap_or(mark);
            format!("the key \"{key}\" is missing")
        }
        Problem::Kind { expected } => {
            let quotes = match found.map(|node| &node.kind) {
                Some(Kind::Bool(_) | Kind::Int(_) | Kind::Float(_)) if expected == "a string" => {
                    " (text that looks like a number or like true and false needs quotes)"
                }
                _ => "",
            };
            format!("expected {}, found {found_text}{quotes}", plain(expected))
        }
        Problem::Value { expected } => {
            format!("invalid value {found_text}; expected {}", plain(expected))
        }
        Problem::Length { length, expected } => {
            format!("{length} elements, expected {}", plain(expected))
        }
        Problem::Key(message) => {
            mark = root.key_mark(steps).unwrap_or(mark);
            message.clone()
        }
        Problem::Custom(message) => {
            mark = match found.map(|node| &node.kind) {
                // What is wrong with a mapping as a whole is shown at the key before it.
                Some(Kind::Map(_) | Kind::List(_) | Kind::Null) => {
                    root.key_mark(steps).unwrap_or(mark)
                }
                _ => mark,
            };
            message.clone()
        }
    };
    Mistake {
        mark,
        path: path_text(root, steps),
        message,
    }
}

/// The keys that others read of the mapping that the last step is in.
fn others_at(root: &Node, others: Others, steps: &[Step]) -> &'static [&'static str] {
    let parents = steps.split_last().map_or(steps, |(_, parents)| parents);
    let mut path = Vec::new();
    let mut node = Some(root);
    for step in parents {
        let Step::Entry(index) = *step else {
            return &[];
        };
        let entry = node.and_then(|node| node.entries().get(index));
        path.push(entry.and_then(|entry| entry.key.text()).unwrap_or_default());
        node = entry.map(|entry| &entry.value);
    }
    let fits = |pattern: &[&str]| {
        pattern.len() == path.len()
            && pattern
                .iter()
                .zip(&path)
                .all(|(want, have)| *want == "*" || want == have)
    };
    let found = others.iter().find(|(pattern, _)| fits(pattern));
    found.map_or(&[], |(_, keys)| keys)
}

/// serde's names for what a reader wants, in the words of a person who writes YAML.
fn plain(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "u128" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "field identifier" => "a key".to_owned(),
        _ if expected.starts_with("struct ") => "a mapping".to_owned(),
        _ => expected.to_owned(),
    }
}

/// `; expected one of …; did you mean "…"?`
pub fn suggestion(name: &str, expected: &[impl AsRef<str>]) -> String {
    let mut text = match expected {
        [] => String::new(),
        [only] => format!("; expected {}", only.as_ref()),
        _ => {
            let names: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
            format!("; expected one of {}", names.join(", "))
        }
    };
    if let Some(nearest) = nearest(name, expected) {
        text.push_str(&format!("; did you mean \"{nearest}\"?"));
    }
    text
}

/// The valid name that a person most likely meant, when one is close enough.
pub(super) fn nearest<'a, S: AsRef<str>>(name: &str, valid: &'a [S]) -> Option<&'a str> {
    if name.len() > 100 {
        return None;
    }
    let name = name.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&name, &other.to_lowercase());
    valid
        .iter()
        .map(|other| (distance(other.as_ref()), other.as_ref()))
        .filter(|(distance, other)| *distance <= other.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
