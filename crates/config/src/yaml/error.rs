//! What serde says about a value, kept in parts so that a message can be made of it.

use std::fmt;

use serde::de;

use super::tree::{Node, Step, split_key};

/// A mistake and the way to the node that it is about.
#[derive(Debug)]
pub(super) struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    problem: Problem,
    /// From the innermost node outwards, once the node is known.
    steps: Vec<Step>,
    located: bool,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Problem {
    UnknownKey {
        key: String,
        expected: &'static [&'static str],
    },
    UnknownName {
        name: String,
        expected: &'static [&'static str],
    },
    MissingKey(&'static str),
    /// The value is of another kind than the reader takes.
    Kind {
        expected: String,
    },
    /// The kind fits and the value does not.
    Value {
        expected: String,
    },
    Length {
        length: usize,
        expected: String,
    },
    /// About a key and not about its value.
    Key(String),
    Custom(String),
}

impl Error {
    pub(super) fn new(problem: Problem) -> Self {
        Self {
            inner: Box::new(Inner {
                problem,
                steps: Vec::new(),
                located: false,
            }),
        }
    }

    /// The error is about the node that was being read, unless an inner node claimed it before.
    pub(super) fn about(mut self, node: &Node) -> Self {
        if !self.inner.located {
            self.inner.located = true;
            self.descend(node);
        }
        self
    }

    /// The error is about a key. The steps lead to its value, so the message names the key.
    pub(super) fn about_key(mut self, key: &Node) -> Self {
        let message = match &self.inner.problem {
            Problem::Kind { expected } | Problem::Value { expected } => {
                let expected = match expected.as_str() {
                    "a string" | "field identifier" => "text (quotes make it text)",
                    other => other,
                };
                format!("invalid key {key}; expected {expected}")
            }
            Problem::Custom(message) => message.clone(),
            _ => {
                self.inner.located = true;
                return self;
            }
        };
        self.inner.problem = Problem::Key(message);
        self.inner.located = true;
        self
    }

    /// Adds the step that led from a container to the node that the error is about.
    pub(super) fn via(mut self, step: Step) -> Self {
        self.inner.steps.push(step);
        self
    }

    /// The problem, and the steps from the root.
    pub(super) fn into_parts(self) -> (Problem, Vec<Step>) {
        let Inner {
            problem, mut steps, ..
        } = *self.inner;
        steps.reverse();
        (problem, steps)
    }

    /// A message `key: what` that a mapping's reader wrote is about the value of that key.
    fn descend(&mut self, mut node: &Node) {
        let mut outwards = Vec::new();
        while let Problem::Custom(message) = &mut self.inner.problem {
            let Some((key, rest)) = split_key(message) else {
                break;
            };
            let entries = node.entries().iter().enumerate();
            let mut named = entries.filter(|(_, entry)| entry.pruned.is_none());
            let Some((index, entry)) =
                named.find(|(_, entry)| entry.key.text().is_some_and(|text| text == key))
            else {
                break;
            };
            *message = rest.to_owned();
            outwards.push(Step::Entry(index));
            node = &entry.value;
        }
        outwards.reverse();
        self.inner.steps.splice(0..0, outwards);
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.inner.problem)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Custom(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Problem::Kind {
            expected: expected.to_string(),
        })
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Problem::Value {
            expected: expected.to_string(),
        })
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(Problem::Length {
            length,
            expected: expected.to_string(),
        })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownName {
            name: variant.to_owned(),
            expected,
        })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownKey {
            key: field.to_owned(),
            expected,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::MissingKey(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Problem::Custom(format!("{field}: duplicate key")))
    }
}
