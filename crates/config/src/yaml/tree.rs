//! A YAML document in memory: values, and where in the file each one stands.

use std::fmt;

/// A place in a file. Both numbers count from one, and columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A value and the place where it starts. A value that an alias repeats keeps the place where it
/// was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub mark: Mark,
    /// What it holds.
    pub kind: Kind,
}

/// What a node holds, resolved by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Item>),
    /// A mapping.
    Map(Vec<Entry>),
}

/// One element of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The element.
    pub value: Node,
    /// The element was reported as wrong, and the rest is read without it.
    pub pruned: bool,
}

/// One key of a mapping and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Node,
    /// The value.
    pub value: Node,
    /// Why the rest of the file is read without it.
    pub pruned: Option<Pruned>,
}

/// Why the rest of the file is read without an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// Its value was wrong.
    Value,
    /// Its key is unknown and looks like this other one.
    Misspelt(String),
    /// Its key is unknown.
    Unknown,
    /// It was right, and was read elsewhere.
    Taken,
    /// Nothing in it is to be looked at.
    Refused,
    /// In its place the reading broke off: there may be more keys.
    Cut,
}

/// One step from a node to a value inside it: the index of an entry or of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The index of an entry of a mapping.
    Entry(usize),
    /// The index of an element of a list.
    Item(usize),
}

impl Node {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entries of a mapping, to change them; none for anything else.
    pub fn entries_mut(&mut self) -> &mut [Entry] {
        match &mut self.kind {
            Kind::Map(entries) => entries,
            _ => &mut [],
        }
    }

    /// The entry with this key, to change it, unless it was pruned.
    pub fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries_mut()
            .iter_mut()
            .find(|entry| entry.pruned.is_none() && entry.key.text() == Some(key))
    }

    /// The entry with this key, also when it was pruned.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()
            .iter()
            .find(|entry| entry.key.text() == Some(key))
    }

    /// The node at a path of mapping keys, also when it was pruned.
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |node, key| Some(&node.entry(key)?.value))
    }

    /// Where a message `key.key: what` about the mapping at a path belongs: the place, the whole
    /// path, and the message without the keys that exist.
    pub fn place<'m>(&self, path: &[&str], message: &'m str) -> (Mark, String, &'m str) {
        let mut mark = self.mark_of(path);
        let mut whole = path.join(".");
        let mut node = self.get(path);
        let mut rest = message;
        while let Some((key, tail)) = split_key(rest)
            && let Some(entry) = node.and_then(|node| node.entry(key))
        {
            mark = entry.key.mark;
            whole = format!("{whole}.{key}");
            node = Some(&entry.value);
            rest = tail;
        }
        (mark, whole, rest)
    }

    /// Where the last key of the path stands. When it is absent: where the nearest key that
    /// leads to it stands.
    pub fn mark_of(&self, path: &[&str]) -> Mark {
        let mut node = self;
        let mut mark = self.mark;
        for key in path {
            let Some(entry) = node.entry(key) else { break };
            mark = entry.key.mark;
            node = &entry.value;
        }
        mark
    }

    /// The node that the steps lead to.
    pub fn at(&self, steps: &[Step]) -> Option<&Self> {
        steps.iter().try_fold(self, |node, step| match *step {
            Step::Entry(index) => node.entries().get(index).map(|entry| &entry.value),
            Step::Item(index) => match &node.kind {
                Kind::List(items) => items.get(index).map(|item| &item.value),
                _ => None,
            },
        })
    }

    /// Where the key stands whose value the steps lead to.
    pub fn key_mark(&self, steps: &[Step]) -> Option<Mark> {
        let (Step::Entry(index), parents) = steps.split_last()? else {
            return None;
        };
        let entry = self.at(parents)?.entries().get(*index)?;
        Some(entry.key.mark)
    }

    /// Whether nothing inside it was left out for being wrong.
    pub fn is_whole(&self) -> bool {
        match &self.kind {
            Kind::List(items) => items
                .iter()
                .all(|item| !item.pruned && item.value.is_whole()),
            Kind::Map(entries) => entries.iter().all(|entry| match entry.pruned {
                None => entry.value.is_whole(),
                Some(Pruned::Taken) => true,
                Some(_) => false,
            }),
            _ => true,
        }
    }

    /// Leaves the value that the steps lead to out of all further reading. False when there are
    /// no steps: the whole document cannot be left out.
    pub fn prune(&mut self, steps: &[Step], why: Pruned) -> bool {
        let Some((last, parents)) = steps.split_last() else {
            return false;
        };
        let mut node = self;
        for step in parents {
            let child = match (*step, &mut node.kind) {
                (Step::Entry(index), Kind::Map(entries)) => {
                    entries.get_mut(index).map(|entry| &mut entry.value)
                }
                (Step::Item(index), Kind::List(items)) => {
                    items.get_mut(index).map(|item| &mut item.value)
                }
                _ => None,
            };
            match child {
                Some(child) => node = child,
                None => return false,
            }
        }
        match (*last, &mut node.kind) {
            (Step::Entry(index), Kind::Map(entries)) => match entries.get_mut(index) {
                Some(entry) => entry.pruned.replace(why).is_none(),
                None => false,
            },
            (Step::Item(index), Kind::List(items)) => match items.get_mut(index) {
                Some(item) => !std::mem::replace(&mut item.pruned, true),
                None => false,
            },
            _ => false,
        }
    }
}

/// The path of a value as a person writes it: `devices.plc.units[2]`.
pub fn path_text(root: &Node, steps: &[Step]) -> String {
    let mut text = String::new();
    let mut node = Some(root);
    for step in steps {
        match *step {
            Step::Entry(index) => {
                let entry = node.and_then(|node| node.entries().get(index));
                if !text.is_empty() {
                    text.push('.');
                }
                if let Some(entry) = entry {
                    text.push_str(&short(&entry.key));
                }
                node = entry.map(|entry| &entry.value);
            }
            Step::Item(index) => {
                text.push_str(&format!("[{index}]"));
                node = node.and_then(|node| node.at(&[*step]));
            }
        }
    }
    text
}

/// Splits `key: what` and `key.other: what` behind the first key.
pub(super) fn split_key(message: &str) -> Option<(&str, &str)> {
    let end = message.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let (key, rest) = message.split_at_checked(end)?;
    let rest = rest.strip_prefix(": ").or_else(|| rest.strip_prefix('.'))?;
    (!key.is_empty()).then_some((key, rest))
}

/// A key in a path. A key may be as long as the file, so it is cut.
fn short(key: &Node) -> String {
    let whole = match &key.kind {
        Kind::Text(text) => text.escape_debug().to_string(),
        _ => key.to_string(),
    };
    cut(&whole)
}

/// At most 60 characters of a text from the file.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Names a value in a message: `"abc"`, `300`, `a list`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Null => f.write_str("nothing"),
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Int(value) => write!(f, "{value}"),
            Kind::Float(value) => write!(f, "{value}"),
            Kind::Text(value) => write!(f, "\"{}\"", cut(&value.escape_debug().to_string())),
            Kind::List(_) => f.write_str("a list"),
            Kind::Map(_) => f.write_str("a mapping"),
        }
    }
}
