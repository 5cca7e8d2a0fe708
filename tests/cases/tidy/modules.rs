//! Which modules of a crate use which, told from the text of their files.
//!
//! What counts: `use`, and paths that begin with `crate`, `self` or `super`. Tests do not.

use std::collections::{BTreeMap, BTreeSet};

/// A module by the names that lead to it from the crate's root, which has none.
type Path = Vec<String>;

/// The modules of one crate.
#[derive(Debug, Default)]
pub struct Modules {
    uses: BTreeMap<Path, BTreeSet<Path>>,
}

impl Modules {
    /// `files` are the crate's sources: their names below `src/`, and their texts.
    pub fn new<'f>(files: impl Iterator<Item = (&'f str, String)>) -> Self {
        let texts: BTreeMap<Path, String> = files
            .filter_map(|(name, text)| Some((path_of(name)?, product(&text))))
            .collect();
        let used = |from: &Path, text: &str| {
            let paths = paths(text).into_iter();
            let used = paths.filter_map(|path| target(&path, from, &texts));
            used.filter(|to| to != from).collect()
        };
        Self {
            uses: texts
                .iter()
                .map(|(from, text)| (from.clone(), used(from, text)))
                .collect(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// Modules beside each other that use each other in a circle, at the first level and at every other.
    pub fn circles(&self) -> Vec<String> {
        let mut found = Vec::new();
        for above in self.uses.keys() {
            let depth = above.len();
            let below = |path: &Path| path.starts_with(above) && path.len() > depth;
            let mut beside: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for (from, all) in self.uses.iter().filter(|(from, _)| below(from)) {
                let used = all.iter().filter(|to| below(to)).map(|to| &*to[depth]);
                let used = used.filter(|to| *to != from[depth]);
                beside.entry(&from[depth]).or_default().extend(used);
            }
            for name in beside.keys() {
                // The first name of a circle tells it.
                let reached = reached(name, &beside);
                let circle: Vec<&str> = reached
                    .iter()
                    .copied()
                    .filter(|other| self::reached(other, &beside).contains(name))
                    .collect();
                if circle.first() == Some(name) {
                    found.push(format!("{}: {}", above.join("::"), circle.join(" ")));
                }
            }
        }
        found
    }
}

/// All that is used by `from`, and by what it uses.
fn reached<'m>(from: &&'m str, uses: &BTreeMap<&'m str, BTreeSet<&'m str>>) -> BTreeSet<&'m str> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![*from];
    while let Some(next) = waiting.pop() {
        let used = uses.get(next).into_iter().flatten();
        waiting.extend(used.filter(|to| found.insert(**to)));
    }
    found
}

/// `None` for a file of tests.
fn path_of(name: &str) -> Option<Path> {
    let name = name.strip_suffix(".rs")?;
    let is_test = name
        .split('/')
        .any(|part| part.ends_with("tests") || part == "testing");
    let parts = name
        .split('/')
        .filter(|part| !["lib", "main"].contains(part));
    (!is_test).then(|| parts.map(str::to_owned).collect())
}

/// The text without its tests, which stand at its end, its comments and the texts in it.
fn product(text: &str) -> String {
    let end = text.find("\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| {
        let code = line.split("//").next().unwrap_or_default();
        let parts = code.split('"').step_by(2);
        parts.collect::<Vec<_>>().join("\"\"")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// All paths in a text that may lead to modules.
fn paths(text: &str) -> Vec<Path> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut before = ' ';
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_start = is_name(first) && !is_name(before) && before != ':';
        let word = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        match word {
            "use" if is_start => {
                let (tree, after) = rest.split_once(';').unwrap_or((rest, ""));
                expand(&tree["use".len()..], &Vec::new(), &mut found);
                (before, rest) = (';', after);
                continue;
            }
            "crate" | "self" | "super" if is_start => {
                let end = rest.find(|c| !is_name(c) && c != ':');
                let path = &rest[..end.unwrap_or(rest.len())];
                found.push(path.split("::").map(str::to_owned).collect());
            }
            _ => {}
        }
        let length = word.len().max(first.len_utf8());
        before = rest[..length].chars().next_back().unwrap_or(' ');
        rest = &rest[length..];
    }
    found
}

/// The paths of a `use` tree.
fn expand(tree: &str, above: &Path, found: &mut Vec<Path>) {
    let tree = tree.trim();
    let names = |part: &str| -> Path {
        let part = part.split(" as ").next().unwrap_or_default();
        let names = part
            .split("::")
            .map(str::trim)
            .filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    let Some((head, body)) = tree.split_once('{') else {
        found.extend((!tree.is_empty()).then(|| [above.clone(), names(tree)].concat()));
        return;
    };
    let above = [above.clone(), names(head)].concat();
    let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
    let mut depth = 0;
    let parts = body.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.for_each(|part| expand(part, &above, found));
}

/// The module that a path leads to, in a file of module `from`.
fn target(path: &[String], from: &Path, all: &BTreeMap<Path, String>) -> Option<Path> {
    let mut rest = path;
    let mut found = from.clone();
    match rest.first()?.as_str() {
        "crate" => {
            found.clear();
            rest = &rest[1..];
        }
        "self" | "super" => {
            while let Some(up @ ("self" | "super")) = rest.first().map(String::as_str) {
                if up == "super" {
                    found.pop();
                }
                rest = &rest[1..];
            }
        }
        name => {
            let child = [from.clone(), vec![name.to_owned()]].concat();
            all.get(&child)?;
        }
    }
    for name in rest {
        found.push(name.clone());
        if !all.contains_key(&found) {
            found.pop();
            break;
        }
    }
    Some(found)
}

#[test]
fn a_circle_is_told_and_neither_tests_nor_comments_make_one() {
    for (what, one, other, want) in [
        (
            "both ways",
            "use crate::b::X;",
            "use super::a;",
            vec![": a b"],
        ),
        (
            "a tree",
            "use std::{fmt, io};\nuse crate::{b::{self, Y}, c};",
            "fn f() { crate::a::g() }",
            vec![": a b"],
        ),
        ("one way", "use crate::b::X;", "", vec![]),
        (
            "a comment",
            "use crate::b::X;",
            "// crate::a\n/// [`crate::a`]",
            vec![],
        ),
        ("a text", "use crate::b::X;", "f(\"crate::a\")", vec![]),
        (
            "tests",
            "use crate::b::X;",
            "\nmod tests {\n    use crate::a;\n}",
            vec![],
        ),
        (
            "another name",
            "use crate::b::X;",
            "use notcrate::a;",
            vec![],
        ),
    ] {
        let files = [
            ("lib.rs", ""),
            ("a.rs", one),
            ("b.rs", other),
            ("c/tests.rs", "use crate::a;"),
        ];
        let files = files.map(|(name, text)| (name, text.to_owned()));
        assert_eq!(Modules::new(files.into_iter()).circles(), want, "{what}");
    }
}

#[test]
fn modules_below_one_may_make_a_circle_too() {
    let files = [
        ("lib.rs", ""),
        ("n.rs", "use self::a::X;"),
        ("n/a.rs", "use super::b::X;"),
        ("n/b.rs", "use crate::n::a;"),
        ("n/c.rs", "use super::Y;"),
    ];
    let files = files.map(|(name, text)| (name, text.to_owned()));
    assert_eq!(Modules::new(files.into_iter()).circles(), ["n: a b"]);
}
