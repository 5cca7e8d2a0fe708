//! What the documents say is so: their YAML is accepted, their keys exist, their links lead somewhere, also where the
//! packages put them, their commands have the options that they use, and the messages that they quote are ours.
//!
//! A YAML block is complete, or begins with a top-level key of `gateway.yaml`. Others are marked by a comment in the
//! line before: `<!-- users.yaml -->`, `<!-- types/NAME.yaml -->`, `<!-- below uplinks.NAME -->`, `<!-- of PROGRAM -->`.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy allows them in test functions, not in what those call"
)]

mod examples;
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use examples::{Folder, check_block, fieldgate};
use markdown::{Block, Document, anchor, blocks, codes, documents, for_users, plain, rows, top};

#[test]
fn every_yaml_block_is_accepted() {
    let folder = Folder::new("blocks");
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in for_users().into_iter().chain(documents(&["."])) {
        for block in blocks(&document) {
            if block.language == "yaml" {
                count += 1;
                if let Err(said) = check_block(&folder, &block) {
                    wrong.push(format!("{}: {said}", block.place));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 50, "{count} blocks");
}

/// The file of which `config/README.md` shows the mistakes.
const WRONG: &str = "version: 1
buses:
  rs485:
    # The line of the PLC.
    serial:
      port: /dev/ttyUSB0
devices:
  plc:
    bus: rs485
    points:
      level: {input: 0, as: u17}
    unit: 1
  scale:
    # On the same port by mistake.
    serial: {port: /dev/ttyUSB0}
    points: {weight: {}}
";

#[test]
fn what_is_quoted_of_a_check_appears_and_the_compose_file_is_the_quoted_one() {
    let folder = Folder::new("quoted");
    let file = folder.write("quoted.yaml", WRONG);
    let (is_good, said) = fieldgate(&["check", &file]);
    assert!(!is_good);
    let said = said.replace(&file, "gateway.yaml");
    let text = std::fs::read_to_string(top().join("config/README.md")).unwrap();
    let quoted: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("gateway.yaml:"))
        .collect();
    assert_eq!(quoted.len(), 2);
    for line in quoted {
        let mut rest = said.as_str();
        for part in line.split('…') {
            let at = rest
                .find(part)
                .unwrap_or_else(|| panic!("no {part:?} in {said}"));
            rest = rest.get(at + part.len()..).unwrap();
        }
    }

    let file = std::fs::read_to_string(top().join("deploy/container/compose.yaml")).unwrap();
    let text = std::fs::read_to_string(top().join("deploy/containers.md")).unwrap();
    assert!(text.contains(&format!("```yaml\n{file}```")));
}

/// All keys that `gateway.yaml` can have, as the schema names them.
fn keys_of_schema() -> BTreeSet<String> {
    fn collect(value: &Value, keys: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::Object(properties)) = map.get("properties") {
                    keys.extend(properties.keys().cloned());
                }
                map.values().for_each(|value| collect(value, keys));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, keys)),
            _ => {}
        }
    }
    let (_, schema) = fieldgate(&["schema"]);
    let mut keys = BTreeSet::new();
    collect(&serde_json::from_str(&schema).unwrap(), &mut keys);
    assert!(keys.len() > 150, "{} keys", keys.len());
    keys
}

/// The words of which names are made.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

#[test]
fn every_key_is_in_a_document_and_every_documented_key_exists() {
    let keys = keys_of_schema();
    let mut named = BTreeSet::new();
    let mut unknown = Vec::new();
    for document in documents(&["config"]) {
        for block in blocks(&document)
            .iter()
            .filter(|block| block.language == "yaml")
        {
            named.extend(words(&block.text).map(str::to_owned));
        }
        for line in document.text.lines() {
            named.extend(codes(line).into_iter().flat_map(words).map(str::to_owned));
        }
        for (head, first) in rows(&document.text) {
            if head != "key" {
                continue;
            }
            for code in codes(&first) {
                let name = code.split([':', ' ', '{']).next().unwrap_or_default();
                let parts = name
                    .split('.')
                    .filter(|part| !part.is_empty() && *part != "NAME");
                for part in parts.filter(|part| !keys.contains(*part)) {
                    unknown.push(format!("{}: {code}: {part}", document.name));
                }
            }
        }
    }
    let missing: Vec<&String> = keys.iter().filter(|key| !named.contains(*key)).collect();
    assert!(missing.is_empty(), "no document has {missing:?}");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// The files that `MANIFEST` puts below the documents' folder of all systems.
fn installed() -> BTreeSet<PathBuf> {
    let manifest = std::fs::read_to_string(top().join("deploy/MANIFEST")).unwrap();
    let mut found = BTreeSet::new();
    for line in manifest.lines().filter(|line| !line.starts_with('#')) {
        let mut cells = line.split('|').map(str::trim);
        let (Some(from), Some(to)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Some(to) = to.strip_prefix("/usr/share/doc/fieldgate/") else {
            continue;
        };
        assert!(cells.all(|cell| cell == "yes"), "{line}");
        let from = plain(&Path::new("deploy").join(from));
        let end = from.extension().unwrap().to_owned();
        for entry in std::fs::read_dir(top().join(from.parent().unwrap())).unwrap() {
            let path = entry.unwrap().path();
            if path.extension() == Some(&end) {
                found.insert(Path::new(to).join(path.file_name().unwrap()));
            }
        }
    }
    assert!(found.contains(Path::new("config/README.md")), "{found:?}");
    found
}

#[test]
fn every_link_leads_somewhere_also_in_the_packages() {
    let installed = installed();
    let mut dead = Vec::new();
    let folders = [
        ".",
        "config",
        "deploy",
        "deploy/image",
        "crates",
        "yocto-layer",
        "tests/benches",
    ];
    for document in documents(&folders) {
        let folder = Path::new(&document.name).parent().unwrap();
        let is_installed = installed.contains(Path::new(&document.name));
        for part in document.text.split("](").skip(1) {
            let Some((target, _)) = part.split_once(')') else {
                continue;
            };
            if target.contains("://") || target.contains(' ') {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => PathBuf::from(&document.name),
                file => plain(&folder.join(file)),
            };
            let place = format!("{}: {target}", document.name);
            if !top().join(&path).exists() {
                dead.push(place);
            } else if is_installed && !installed.contains(&path) {
                dead.push(format!("{place} is not in the package"));
            } else if !heading.is_empty() {
                let text = std::fs::read_to_string(top().join(&path)).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                if !headings.any(|line| anchor(line) == heading) {
                    dead.push(format!("{place}: no such heading"));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// The lines of commands and the inline ones.
fn commands(document: &Document) -> Vec<String> {
    let is_shell = |block: &Block| ["sh", ""].contains(&block.language.as_str());
    let all = blocks(document);
    let lines = all.iter().filter(|block| is_shell(block));
    let lines = lines.flat_map(|block| block.text.lines());
    let inline = document.text.lines().flat_map(codes);
    let whole = lines.chain(inline).map(|line| {
        let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
        line.split(" # ").next().unwrap_or_default().to_owned()
    });
    whole
        .filter(|line| line.starts_with("fieldgate "))
        .collect()
}

#[test]
fn every_command_exists_with_its_options() {
    let mut helps: BTreeMap<Vec<String>, (bool, String)> = BTreeMap::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in for_users().into_iter().chain(documents(&["."])) {
        for command in commands(&document) {
            let mut words = command.split_whitespace().skip(1).peekable();
            let mut path: Vec<String> = Vec::new();
            let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
            path.extend(words.next_if(is_name).map(str::to_owned));
            let has_parts =
                ["user", "update", "uplink", "history"].contains(&path.join("").as_str());
            if has_parts {
                path.extend(words.next_if(is_name).map(str::to_owned));
            }
            let help = helps.entry(path.clone()).or_insert_with(|| {
                let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
                arguments.push("--help");
                fieldgate(&arguments)
            });
            count += 1;
            if !help.0 {
                wrong.push(format!("{}: {command}: {}", document.name, help.1));
            }
            for option in words.filter(|word| word.starts_with("--")) {
                let option = option.trim_end_matches([',', '.', ')', ';']);
                if !help
                    .1
                    .contains(option.split('=').next().unwrap_or_default())
                {
                    wrong.push(format!("{}: {command}: no {option}", document.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "{count} commands");
}

/// All sources of the product, with strings that go over several lines put together.
fn sources() -> String {
    fn collect(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    for entry in std::fs::read_dir(top().join("crates")).unwrap() {
        let source = entry.unwrap().path().join("src");
        if source.is_dir() {
            collect(&source, &mut text);
        }
    }
    let mut whole = String::new();
    for part in text.split("\\\n") {
        whole.push_str(if whole.is_empty() {
            part
        } else {
            part.trim_start()
        });
    }
    whole.replace("\\\"", "\"")
}

#[test]
fn every_quoted_message_is_one_of_ours() {
    const HEADS: [&str; 5] = [
        "message",
        "the message says",
        "the log says",
        "the device's `$state`, or the log",
        "what you see",
    ];
    let sources = sources();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in for_users() {
        for (head, first) in rows(&document.text) {
            let is_meant = HEADS.contains(&head.as_str());
            // Values and names stand in the place of others: most of a message has to be there.
            for code in codes(&first).into_iter().filter(|_| is_meant) {
                let words: Vec<&str> = code.split_whitespace().collect();
                let wanted = (words.len() / 3).clamp(1, 5);
                count += 1;
                if !words
                    .windows(wanted)
                    .any(|part| sources.contains(&part.join(" ")))
                {
                    wrong.push(format!("{}: {code}", document.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 60, "{count} messages");
}
