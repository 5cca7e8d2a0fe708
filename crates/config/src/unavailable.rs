//! Keys that the specification of the file names and this version does not have yet.
//!
//! They get their own words: a person who follows the specification has not mistyped anything.

use super::report::Report;
use super::source::File;
use crate::yaml::{Kind, Node, Pruned, Step, path_text};

/// A path of keys; a value that alone is meant, or any.
const ABSENT: &[(&[&str], Option<&str>)] = &[
    (&["mqtt", "discovery"], None),
    (&["mqtt", "payload"], Some("sparkplug")),
];

/// Reports such keys and leaves them out.
pub(crate) fn refuse(file: &mut File, report: &mut Report) {
    let mut found = Vec::new();
    for (path, value) in ABSENT {
        search(&file.root, path, *value, &mut Vec::new(), &mut |steps| {
            found.push(steps.to_vec());
        });
    }
    for steps in found {
        if !file.root.prune(&steps, Pruned::Refused) {
            continue;
        }
        let mark = file.root.key_mark(&steps);
        let path = path_text(&file.root, &steps);
        let value = match file.root.at(&steps).map(|node| &node.kind) {
            Some(Kind::Text(value)) if value == "sparkplug" => {
                format!("\"{value}\" is ")
            }
            _ => String::new(),
        };
        let message = format!("{value}not available in this version");
        report.add(&file.name, mark, path, message);
    }
}

fn search(
    node: &Node,
    path: &[&str],
    value: Option<&str>,
    steps: &mut Vec<Step>,
    found: &mut impl FnMut(&[Step]),
) {
    let Some((first, rest)) = path.split_first() else {
        if value.is_none_or(|value| node.text() == Some(value)) {
            found(steps);
        }
        return;
    };
    for (index, entry) in node.entries().iter().enumerate() {
        if entry.key.text() == Some(first) {
            steps.push(Step::Entry(index));
            search(&entry.value, rest, value, steps, found);
            steps.pop();
        }
    }
}
