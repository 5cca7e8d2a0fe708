//! Reads YAML so that every mistake can be shown at its line.
//!
//! `parse` turns text into a tree whose nodes know where they stand, `de` lets any
//! `serde::Deserialize` type read such a tree, and `collect` goes on after a mistake until it has
//! found them all. `shape` finds out what a type reads. Nothing here knows what the gateway's keys mean.

mod collect;
mod de;
mod error;
mod parse;
mod scalar;
mod shape;
mod tree;
mod write;

#[cfg(test)]
mod tests;

pub use collect::{Mistake, Others, read, suggestion};
pub use parse::{BYTES_MAX, parse};
pub use shape::{Shape, shape};
pub use tree::{Entry, Item, Kind, Mark, Node, Pruned, Step, path_text};
pub use write::to_value;
