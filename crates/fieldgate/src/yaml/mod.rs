//! Reads YAML so that every mistake can be shown at its line.
//!
//! `parse` turns text into a tree whose nodes know where they stand, `de` lets any
//! `serde::Deserialize` type read such a tree, and `collect` goes on after a mistake until it has
//! found them all. Nothing here knows what the gateway's keys mean.

mod collect;
mod de;
mod error;
mod parse;
mod scalar;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use collect::read;
pub(crate) use parse::parse;
pub(crate) use tree::{Entry, Kind, Mark, Node, Step, path_text};
