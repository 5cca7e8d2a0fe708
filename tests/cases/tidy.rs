//! The rules of the house that no compiler keeps: sizes of files and functions, and which crate may know which.

#[path = "tidy/modules.rs"]
mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use modules::Modules;

const FILE_MAX: usize = 500;
/// Of product code. A test may hold a long table.
const FUNCTION_MAX: usize = 70;
/// Of a document, in characters.
const LINE_MAX: usize = 120;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files of the project, as they are named from its top, with their lines.
fn sources() -> Vec<(String, Vec<String>)> {
    let found = files(&["crates", "tests"], ".rs");
    assert!(found.len() > 100, "{}", found.len());
    found
}

/// The files in some folders whose name ends in `end`.
fn files(folders: &[&str], end: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| top().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(end) {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(top()).unwrap().display().to_string();
                found.push((name, text.lines().map(str::to_owned).collect()));
            }
        }
    }
    found
}

fn is_product(name: &str) -> bool {
    let is_test = ["tests/", "tests.rs", "/fuzz/", "/benches/", "/rtu/model"];
    !is_test.iter().any(|part| name.contains(part))
}

#[test]
fn no_file_is_too_long() {
    let sources = sources();
    let long = sources.iter().filter(|(_, lines)| lines.len() > FILE_MAX);
    let long: Vec<_> = long.map(|(name, lines)| (name, lines.len())).collect();
    assert!(long.is_empty(), "over {FILE_MAX} lines: {long:#?}");
}

#[test]
fn a_module_stands_in_a_file_of_its_name() {
    let sources = sources();
    let names = sources.iter().map(|(name, _)| name.as_str());
    let other: Vec<_> = names.filter(|name| name.ends_with("/mod.rs")).collect();
    assert!(
        other.is_empty(),
        "NAME.rs beside the folder NAME: {other:?}"
    );
}

#[test]
fn no_line_of_a_document_is_too_long() {
    let mut long = Vec::new();
    for (name, lines) in files(&["."], ".md") {
        let mut is_code = false;
        for (at, line) in lines.iter().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            // A row of a table is one line, and a command is copied as a whole.
            let may_be_long = is_code || line.starts_with('|') || line.starts_with("    ");
            if !may_be_long && line.chars().count() > LINE_MAX {
                long.push(format!("{name}:{}", at + 1));
            }
        }
    }
    assert!(long.is_empty(), "over {LINE_MAX} characters: {long:#?}");
}

#[test]
fn no_function_of_the_product_is_too_long() {
    let mut long = Vec::new();
    for (name, lines) in sources().iter().filter(|(name, _)| is_product(name)) {
        // Tests that a file holds stand at its end.
        let end = lines.iter().position(|line| line == "mod tests {");
        let lines = &lines[..end.unwrap_or(lines.len())];
        for (at, line) in lines.iter().enumerate() {
            let body = line.trim_start();
            let indent = &line[..line.len() - body.len()];
            let words: Vec<&str> = body.split_whitespace().take(5).collect();
            let is_function = words.contains(&"fn") && !body.starts_with("//");
            // The formatter puts the end of a body under its beginning, and that of a declaration too.
            let (end, declared) = (format!("{indent}}}"), format!("{indent})"));
            let is_end = |line: &String| {
                *line == end || (line.starts_with(&declared) && line.ends_with(';'))
            };
            let length = lines[at..].iter().position(is_end);
            if is_function
                && !body.ends_with(';')
                && length.is_some_and(|length| length >= FUNCTION_MAX)
            {
                long.push(format!("{name}:{}: {}", at + 1, body));
            }
        }
    }
    assert!(long.is_empty(), "over {FUNCTION_MAX} lines: {long:#?}");
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let sources = sources();
    let mut circles = Vec::new();
    for name in arrows().keys() {
        let folder = format!(
            "crates/{}/src/",
            name.strip_prefix("fieldgate-").unwrap_or(name)
        );
        let files = sources.iter().filter_map(|(name, lines)| {
            let name = name.strip_prefix(&folder)?;
            Some((name, lines.join("\n")))
        });
        let modules = Modules::new(files);
        assert!(!modules.is_empty(), "{folder}");
        let found = modules.circles().into_iter();
        circles.extend(found.map(|circle| format!("{folder}{circle}")));
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// Which crates of the project each of them depends on, tests left out.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(top())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
    let short = |name: &str| name.strip_prefix("fieldgate-").unwrap_or(name).to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let arrows = packages.map(|package| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let own = all.filter(|used| !used["path"].is_null() && used["kind"].is_null());
        let own = own.map(|used| short(used["name"].as_str().unwrap()));
        (short(package["name"].as_str().unwrap()), own.collect())
    });
    arrows
        .filter(|(name, _)| !name.starts_with("test"))
        .collect()
}

#[test]
fn the_table_of_crates_names_all_and_whom_each_knows() {
    let readme = fs::read_to_string(top().join("crates/README.md")).unwrap();
    let section = readme.split("## Who knows whom").nth(1).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|--"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let told: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let (name, knows) = (cells.next().unwrap(), cells.next().unwrap());
            let knows = knows.split(", ").filter(|name| *name != "—");
            (name.to_owned(), knows.map(str::to_owned).collect())
        })
        .collect();
    assert_eq!(told, arrows());
}

#[test]
fn no_bridge_knows_mqtt_or_another_bridge() {
    for (name, knows) in arrows() {
        let is_foreign = |other: &&String| {
            other.starts_with("bridge-")
                || ["mqtt", "broker", "fieldgate"].contains(&other.as_str())
        };
        let foreign: Vec<_> = knows.iter().filter(is_foreign).collect();
        if name.starts_with("bridge") || name == "model" {
            assert!(foreign.is_empty(), "{name}: {foreign:?}");
        }
    }
}
