//! Markdown, as far as the documents use it.

use std::path::{Path, PathBuf};

pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A document, by its path from the top of the repository.
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
}

pub(crate) fn documents(folders: &[&str]) -> Vec<Document> {
    let mut found = Vec::new();
    for folder in folders {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(top().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "md"))
            .collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let name = match *folder {
                "." => name,
                folder => format!("{folder}/{name}"),
            };
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(Document { name, text });
        }
    }
    assert!(!found.is_empty());
    found
}

/// What the packages have: what a user reads.
pub(crate) fn for_users() -> Vec<Document> {
    documents(&["config", "deploy"])
}

/// A fenced block.
pub(crate) struct Block {
    pub(crate) place: String,
    pub(crate) language: String,
    /// The comment before it.
    pub(crate) mark: String,
    pub(crate) text: String,
}

pub(crate) fn blocks(document: &Document) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut is_open = false;
    let (mut mark, mut indent) = (String::new(), 0);
    for (number, line) in document.text.lines().enumerate() {
        let bare = line.trim_start();
        if let Some(language) = bare.strip_prefix("```") {
            is_open = !is_open;
            indent = line.len() - bare.len();
            if is_open {
                found.push(Block {
                    place: format!("{}:{}", document.name, number + 1),
                    language: language.to_owned(),
                    mark: std::mem::take(&mut mark),
                    text: String::new(),
                });
            }
        } else if is_open {
            let block = found.last_mut().unwrap();
            block.text += line.get(indent..).unwrap_or_default();
            block.text.push('\n');
        } else if let Some(comment) = bare.strip_prefix("<!-- ") {
            mark = comment.trim_end_matches(" -->").to_owned();
        } else if !bare.is_empty() {
            mark.clear();
        }
    }
    assert!(!is_open, "{}: a block has no end", document.name);
    found
}

/// The rows of all tables, each with the first cell of its table's head.
pub(crate) fn rows(text: &str) -> Vec<(String, String)> {
    let (mut found, mut head) = (Vec::new(), None::<String>);
    for line in text.lines() {
        let bare = line.trim();
        let Some(row) = bare.strip_prefix('|') else {
            head = None;
            continue;
        };
        let first = row.split(" |").next().unwrap_or_default().trim().to_owned();
        match &head {
            None => head = Some(first),
            Some(_) if first.starts_with("--") => {}
            Some(head) => found.push((head.clone(), first)),
        }
    }
    found
}

/// What stands between backticks.
pub(crate) fn codes(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The anchor of a heading, as it is made of its text.
pub(crate) fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A path without `..`.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part.as_os_str().to_str() {
            Some("..") => drop(plain.pop()),
            Some(".") => {}
            _ => plain.push(part),
        }
    }
    plain
}
