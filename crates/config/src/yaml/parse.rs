//! Text to tree.
//!
//! A file may come from a stranger, so depth, size and what aliases expand to are bounded.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::collect::{MISTAKES_MAX, MORE};
use super::scalar;
use super::tree::{Entry, Item, Kind, Mark, Node, Pruned};

/// A mapping of thousands of points is some hundred kilobytes.
pub const BYTES_MAX: usize = 4 << 20;
/// The deepest path of the configuration has eight levels.
pub(super) const DEPTH_MAX: usize = 64;
/// Values in a document after the aliases are expanded.
pub(super) const NODES_MAX: usize = 400_000;

/// In the place of what could not be read.
const NOTHING: Node = Node {
    mark: Mark { line: 1, column: 1 },
    kind: Kind::Null,
};

/// A place and what is wrong there.
pub(super) type Fault = (Mark, String);

/// What could be read of a document.
#[derive(Debug)]
pub struct Parsed {
    /// What stands before the first fault that ends the reading. None if that is nothing.
    pub root: Option<Node>,
    /// Whether a fault ended the reading. Containers that it broke off are marked so.
    pub is_cut: bool,
    /// In the order of the file.
    pub faults: Vec<Fault>,
}

/// Reads one document. Of duplicate keys the first one counts and the others are reported; anything worse ends the
/// reading.
pub fn parse(text: &str) -> Parsed {
    let start = Mark { line: 1, column: 1 };
    if text.len() > BYTES_MAX {
        let message = format!("the file is larger than {} MiB", BYTES_MAX >> 20);
        return Parsed {
            root: None,
            is_cut: true,
            faults: vec![(start, message)],
        };
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let taken = match event {
            Ok((event, span)) => builder.take(event, mark(&span.start)),
            Err(error) => Err(explain(error.info(), text, error.marker())),
        };
        if let Err(fault) = taken {
            builder.faults.push(fault);
            return Parsed {
                root: builder.cut(),
                is_cut: true,
                faults: builder.faults,
            };
        }
    }
    let empty = Node {
        mark: start,
        kind: Kind::Null,
    };
    Parsed {
        root: Some(builder.root.unwrap_or(empty)),
        is_cut: false,
        faults: builder.faults,
    }
}

fn mark(marker: &Marker) -> Mark {
    Mark {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// The parser shows where the value before a tab began, or has no word for the tab in an indent.
fn explain(info: &str, text: &str, at: &Marker) -> Fault {
    let line = at.line().max(1);
    let tab = text
        .lines()
        .enumerate()
        .skip(line - 1)
        .take(2)
        .find_map(|(index, line)| {
            let indent = line.len() - line.trim_start().len();
            let column = line.get(..indent)?.find('\t')? + 1;
            Some(Mark {
                line: index + 1,
                column,
            })
        });
    if let Some(mark) = tab {
        return (mark, "a tab in the indent; YAML wants spaces".to_owned());
    }
    match strange_blank(text) {
        Some((mark, blank)) => {
            let text = format!(
                "a blank that is none in the indent ({}, as web pages have them); YAML wants spaces",
                blank.escape_unicode()
            );
            (mark, text)
        }
        None => (mark(at), info.to_owned()),
    }
}

/// The first blank of another kind in an indent: it looks like one, and the parser takes it for a
/// letter.
fn strange_blank(text: &str) -> Option<(Mark, char)> {
    let is_strange = |c: char| c.is_whitespace() && !matches!(c, ' ' | '\t' | '\r');
    text.lines().enumerate().find_map(|(index, line)| {
        let mut indent = line.chars().take_while(|c| c.is_whitespace());
        let column = indent.position(is_strange)? + 1;
        let blank = line.chars().nth(column - 1)?;
        let line = index + 1;
        Some((Mark { line, column }, blank))
    })
}

/// A container that is not closed yet.
struct Open {
    mark: Mark,
    anchor: usize,
    content: Content,
    nodes: usize,
}

enum Content {
    List(Vec<Item>),
    Map {
        entries: Vec<Entry>,
        /// Keys seen so far, to find a duplicate without comparing all pairs.
        seen: BTreeMap<String, Mark>,
        key: Option<Key>,
    },
}

/// A key whose value has not come yet.
struct Key {
    node: Node,
    is_duplicate: bool,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// Anchored nodes with the number of values in each.
    anchors: BTreeMap<usize, (Node, usize)>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    faults: Vec<Fault>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Fault> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((mark, "a second document in one file".to_owned()));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar_kind(&text, style, tag.as_deref()).map_err(|why| (mark, why))?;
                self.count(1, mark)?;
                self.close(Node { mark, kind }, anchor, 1)
            }
            Event::Alias(anchor) => {
                // An alias inside the value that it names finds nothing here: such a value has no end.
                let Some((node, nodes)) = self.anchors.get(&anchor) else {
                    return Err((mark, "an alias to a value that is not complete".to_owned()));
                };
                if self.open.len() + depth(node) > DEPTH_MAX {
                    return Err((mark, format!("nested deeper than {DEPTH_MAX} levels")));
                }
                let (nodes, node) = (*nodes, node.clone());
                self.count(nodes, mark)?;
                self.close(node, 0, nodes)
            }
            Event::SequenceStart(anchor, tag) => {
                container_tag(tag.as_deref(), "seq").map_err(|why| (mark, why))?;
                self.start(mark, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                container_tag(tag.as_deref(), "map").map_err(|why| (mark, why))?;
                let content = Content::Map {
                    entries: Vec::new(),
                    seen: BTreeMap::new(),
                    key: None,
                };
                self.start(mark, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(mark),
        }
    }

    fn count(&mut self, nodes: usize, mark: Mark) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err((
                mark,
                format!("more than {NODES_MAX} values, aliases included"),
            ));
        }
        Ok(())
    }

    fn start(&mut self, mark: Mark, anchor: usize, content: Content) -> Result<(), Fault> {
        self.count(1, mark)?;
        if self.open.len() >= DEPTH_MAX {
            return Err((mark, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open {
            mark,
            anchor,
            content,
            nodes: 1,
        });
        Ok(())
    }

    fn end(&mut self, mark: Mark) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else {
            return Err((mark, "an end without a start".to_owned()));
        };
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node {
            mark: open.mark,
            kind,
        };
        self.close(node, open.anchor, open.nodes)
    }

    /// Closes what is open where the reading broke off, and returns the whole. A second document is none of it.
    fn cut(&mut self) -> Option<Node> {
        if self.documents > 1 {
            return self.root.take();
        }
        let mut inner: Option<Node> = None;
        while let Some(open) = self.open.pop() {
            let mut content = open.content;
            match &mut content {
                Content::List(items) => items.push(Item {
                    value: inner.take().unwrap_or(NOTHING),
                    pruned: true,
                }),
                Content::Map { entries, key, .. } => {
                    if let (Some(key), Some(value)) = (key.take(), inner.take()) {
                        entries.push(Entry {
                            key: key.node,
                            value,
                            pruned: key.is_duplicate.then_some(Pruned::Refused),
                        });
                    }
                    entries.push(Entry {
                        key: NOTHING,
                        value: NOTHING,
                        pruned: Some(Pruned::Cut),
                    });
                }
            }
            let kind = match content {
                Content::List(items) => Kind::List(items),
                Content::Map { entries, .. } => Kind::Map(entries),
            };
            inner = Some(Node {
                mark: open.mark,
                kind,
            });
        }
        inner.or_else(|| self.root.take())
    }

    /// Puts a complete value into the container around it.
    fn close(&mut self, node: Node, anchor: usize, nodes: usize) -> Result<(), Fault> {
        if anchor > 0 {
            // The copy costs memory like any other value.
            self.count(nodes, node.mark)?;
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.nodes += nodes;
        match &mut open.content {
            Content::List(items) => items.push(Item {
                value: node,
                pruned: false,
            }),
            Content::Map { entries, seen, key } => match key.take() {
                None => {
                    if matches!(node.kind, Kind::List(_) | Kind::Map(_)) {
                        return Err((node.mark, format!("{node} cannot be a key")));
                    }
                    let name = match &node.kind {
                        Kind::Text(text) => format!("\"{text}\""),
                        _ => node.to_string(),
                    };
                    let first = seen.get(&name);
                    let is_duplicate = first.is_some();
                    if let Some(first) = first {
                        let message = format!(
                            "the key {node} is already at line {}; a key may be there once",
                            first.line
                        );
                        self.faults.push((node.mark, message));
                        if self.faults.len() >= MISTAKES_MAX {
                            return Err((node.mark, MORE.to_owned()));
                        }
                    } else {
                        seen.insert(name, node.mark);
                    }
                    *key = Some(Key { node, is_duplicate });
                }
                Some(Key {
                    node: key,
                    is_duplicate,
                }) => entries.push(Entry {
                    key,
                    value: node,
                    pruned: is_duplicate.then_some(Pruned::Refused),
                }),
            },
        }
        Ok(())
    }
}

/// Levels of containers in a node. Its depth was bounded when it was built.
fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => {
            1 + items
                .iter()
                .map(|item| depth(&item.value))
                .max()
                .unwrap_or(0)
        }
        Kind::Map(entries) => {
            let deepest = entries.iter().map(|entry| depth(&entry.value)).max();
            1 + deepest.unwrap_or(0)
        }
        _ => 0,
    }
}

fn scalar_kind(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, String> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::resolve(text),
            _ => Kind::Text(text.to_owned()),
        });
    };
    if !tag.is_yaml_core_schema() {
        // A lone "!" only says: not resolved by the schema, so text.
        return if tag.handle.is_empty() && tag.suffix == "!" {
            Ok(Kind::Text(text.to_owned()))
        } else {
            Err(format!("the tag {tag} is not known"))
        };
    }
    let wrong = || format!("{text:?} is no {}", tag.suffix);
    match tag.suffix.as_str() {
        "str" => Ok(Kind::Text(text.to_owned())),
        "int" => scalar::integer(text).map(Kind::Int).ok_or_else(wrong),
        "float" => scalar::float(text).map(Kind::Float).ok_or_else(wrong),
        "bool" | "null" => {
            let kind = scalar::resolve(text);
            match (&kind, tag.suffix.as_str()) {
                (Kind::Bool(_), "bool") | (Kind::Null, "null") => Ok(kind),
                _ => Err(wrong()),
            }
        }
        _ => Err(format!("the tag !!{} is not known", tag.suffix)),
    }
}

fn container_tag(tag: Option<&Tag>, name: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == name) => {
            Err(format!("the tag {tag} is not known here"))
        }
        _ => Ok(()),
    }
}
