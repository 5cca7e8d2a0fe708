//! Lists that are read page by page.

use serde::Serialize;

/// Items of one answer, at most.
pub(crate) const LIMIT_MAX: u64 = 500;
/// Items of one answer, if nothing is said.
pub(crate) const LIMIT: u64 = 100;

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// What to ask for next, as `after`; none at the end.
    pub(crate) next: Option<String>,
    /// How many there are, on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<usize>,
}

/// Whether a text holds what is looked for, which is in lower case.
pub(crate) fn has(text: &str, wanted: &str) -> bool {
    wanted.is_empty() || text.to_lowercase().contains(wanted)
}
