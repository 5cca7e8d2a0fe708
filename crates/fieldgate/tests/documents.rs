//! What the documents say is so: their YAML is accepted, their keys exist, their links lead somewhere, also where the
//! packages put them, their commands have the options that they use, and the messages that they quote are ours.
//!
//! A YAML block is complete, or begins with a top-level key of `gateway.yaml`. Others are marked by a comment in the
//! line before: `<!-- users.yaml -->`, `<!-- types/NAME.yaml -->`, `<!-- below uplinks.NAME -->`, `<!-- of PROGRAM -->`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether it went well, and what it printed.
fn fieldgate(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout) + &text(output.stderr),
    )
}

/// A document, by its path from the top of the repository.
struct Document {
    name: String,
    text: String,
}

fn documents(folders: &[&str]) -> Vec<Document> {
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
fn for_users() -> Vec<Document> {
    documents(&["config", "deploy"])
}

/// A fenced block.
struct Block {
    place: String,
    language: String,
    /// The comment before it.
    mark: String,
    text: String,
}

fn blocks(document: &Document) -> Vec<Block> {
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
fn rows(text: &str) -> Vec<(String, String)> {
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
fn codes(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A folder with everything that examples name; it goes when this goes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("fieldgate-documents-{}", std::process::id()));
        std::fs::create_dir_all(path.join("types")).unwrap();
        let folder = Self(path);
        let identity = rcgen::generate_simple_self_signed(["plant7".to_owned()]).unwrap();
        for name in [
            "broker.pem",
            "ca.pem",
            "AmazonRootCA1.pem",
            "plant7.pem.crt",
            "plant7.pem",
        ] {
            folder.write(name, &identity.cert.pem());
        }
        for name in ["broker.key", "plant7.private.pem.key", "plant7.key"] {
            folder.write(name, &identity.signing_key.serialize_pem());
        }
        folder.write("cloud.pw", "secret\n");
        folder.write("users.yaml", "users: {}\n");
        folder
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Checks a text as `gateway.yaml`; what it needs and does not have is added.
    fn check(&self, text: &str) -> Result<(), String> {
        let value: serde_yaml::Value =
            serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let mut text = text.to_owned();
        let devices = value
            .get("devices")
            .and_then(|devices| devices.as_mapping());
        let mut buses = BTreeMap::new();
        for device in devices.into_iter().flat_map(|devices| devices.values()) {
            let Some(bus) = device.get("bus").and_then(|bus| bus.as_str()) else {
                continue;
            };
            let is_mbus = device.get("address").is_some() || device.get("secondary").is_some();
            let is_all = device.get("unit").and_then(serde_yaml::Value::as_u64) == Some(0);
            let kind = match (is_mbus, is_all) {
                (true, _) => "{protocol: mbus, tcp: \"192.0.2.1:10001\"}",
                (_, true) => "{tcp: \"192.0.2.1:502\", modbus: rtu}",
                _ => "{tcp: \"192.0.2.1:502\"}",
            };
            if value
                .get("buses")
                .and_then(|buses| buses.get(bus))
                .is_none()
            {
                buses.insert(bus.to_owned(), kind);
            }
        }
        if !buses.is_empty() {
            assert!(value.get("buses").is_none(), "a part of the buses is there");
            text += "\nbuses:\n";
            for (name, bus) in buses {
                text += &format!("  {name}: {bus}\n");
            }
        }
        if value.get("version").is_none() {
            text = format!("version: 1\n{text}");
        }
        let file = self.write("gateway.yaml", &text);
        match fieldgate(&["check", &file]) {
            (true, _) => Ok(()),
            (false, said) => Err(said),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The hash of a password, in the place of one that is cut short.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$NDVzYWx0c2FsdA$\
                    1l0Hq3Cw0mI3o0S1nV9m1E0qkC2lqF0sZf4w0b1m2nY";

fn check_block(folder: &Folder, block: &Block) -> Result<(), String> {
    let text = &block.text;
    let first = text.lines().next().unwrap_or_default();
    let own = first
        .strip_prefix("# ")
        .filter(|name| name.starts_with("types/"));
    let mark = own.unwrap_or(&block.mark);
    if mark.starts_with("of ") {
        let read = serde_yaml::from_str::<serde_yaml::Value>(text);
        return read.map(|_| ()).map_err(|error| error.to_string());
    }
    if mark == "users.yaml" {
        let whole = text.split_whitespace().fold(text.clone(), |text, word| {
            let is_hash = word.starts_with("$argon2id$") && word.ends_with("...");
            if is_hash {
                text.replace(word, HASH)
            } else {
                text
            }
        });
        let file = folder.write("examples.yaml", &whole);
        let (is_good, said) = fieldgate(&["user", "list", "--file", &file]);
        return if is_good { Ok(()) } else { Err(said) };
    }
    if let Some(name) = mark.strip_prefix("types/") {
        folder.write(mark, text);
        let name = name.trim_end_matches(".yaml");
        let (bus, device) = match text.contains("protocol: mbus") {
            true => ("protocol: mbus, tcp: \"192.0.2.1:10001\"", "address: 1"),
            false => ("tcp: \"192.0.2.1:502\"", "unit: 1"),
        };
        let text = format!(
            "buses: {{b: {{{bus}}}}}\ndevices: {{d: {{type: {name}, bus: b, {device}}}}}\n"
        );
        return folder.check(&text);
    }
    if let Some(name) = mark.strip_prefix("below uplinks.") {
        return folder.check(&format!("uplinks:\n  {name}:\n{text}"));
    }
    folder.check(text)
}

#[test]
fn every_yaml_block_is_accepted() {
    let folder = Folder::new();
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
    assert!(count > 50, "{count} blocks");
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

/// The anchor of a heading, as it is made of its text.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
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
            let has_parts = ["user", "update", "uplink"].contains(&path.join("").as_str());
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
