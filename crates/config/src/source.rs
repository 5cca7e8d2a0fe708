//! The files of a configuration: the main file, `types/*.yaml` beside it, and the types of the program that it names.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use super::report::Report;
use super::shipped;
use crate::yaml::{BYTES_MAX, Mark, Node, parse};

/// One file, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// As messages name it.
    pub name: String,
    pub root: Node,
    /// The rest of it could not be parsed, and that has been reported.
    pub is_cut: bool,
}

/// All files of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// The main file.
    pub main: File,
    /// By the name of the type: the name of the file without `.yaml`.
    pub types: BTreeMap<String, File>,
    /// The types whose files could not be parsed. They are there, and nothing is known of them.
    pub broken: Vec<String>,
}

/// More files than this are not device types.
const TYPES_MAX: usize = 1000;

/// Reads and parses the files. A type file that cannot be parsed is reported and left out, and so
/// is a reference to it later.
pub(crate) fn load(path: &Path, report: &mut Report) -> Option<Sources> {
    let main = read(path, report);
    with_types(main, path, report)
}

/// The same with a text in the place of what the main file says.
pub(crate) fn load_text(path: &Path, text: &str, report: &mut Report) -> Option<Sources> {
    let main = file(&path.display().to_string(), text, report);
    with_types(main, path, report)
}

fn with_types(main: Option<File>, path: &Path, report: &mut Report) -> Option<Sources> {
    let mut types = BTreeMap::new();
    let mut broken = Vec::new();
    let folder = path.parent().unwrap_or(Path::new("")).join("types");
    for path in list(&folder, report) {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        match read(&path, report) {
            Some(file) => {
                types.insert(name.to_owned(), file);
            }
            None => broken.push(name.to_owned()),
        }
    }
    let mut sources = Sources {
        main: main?,
        types,
        broken,
    };
    sources.add_shipped(report);
    Some(sources)
}

/// The type files of a folder, by name. No folder is as good as an empty one.
pub(crate) fn list(folder: &Path, report: &mut Report) -> Vec<std::path::PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            report.add(&folder.display().to_string(), None, "", error.to_string());
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => report.add(&folder.display().to_string(), None, "", error.to_string()),
        }
    }
    paths.sort();
    let mut types = Vec::new();
    for path in paths {
        // Editors leave `.em3.yaml.swp` and `em3.yaml~` beside the file.
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        match path.extension().and_then(|end| end.to_str()) {
            Some("yaml") if !hidden => types.push(path),
            Some("yml") if !hidden => {
                let message = "the name of a device type's file ends in .yaml";
                report.add(&path.display().to_string(), None, "", message);
            }
            _ => {}
        }
    }
    if types.len() > TYPES_MAX {
        let message = format!("more than {TYPES_MAX} files");
        report.add(&folder.display().to_string(), None, "", message);
        types.truncate(TYPES_MAX);
    }
    types
}

/// Reads and parses one file.
pub(crate) fn read(path: &Path, report: &mut Report) -> Option<File> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the parser sees that it is too much.
    let limit = BYTES_MAX as u64 + 1;
    let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        report.add(&name, None, "", error.to_string());
        return None;
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let mark = end_of(&String::from_utf8_lossy(good));
            report.add(&name, Some(mark), "", "not UTF-8 text");
            return None;
        }
    };
    file(&name, text, report)
}

/// Parses a text that stands for a file.
pub(crate) fn file(name: &str, text: &str, report: &mut Report) -> Option<File> {
    let parsed = parse(text);
    for (mark, message) in parsed.faults {
        report.add(name, Some(mark), "", message);
    }
    Some(File {
        name: name.to_owned(),
        root: parsed.root?,
        is_cut: parsed.is_cut,
    })
}

/// Where the next character after a text would stand.
fn end_of(text: &str) -> Mark {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Mark {
        line: text.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}

impl Sources {
    /// Adds the types of the program that devices name, unless the file or its folder has one of that name.
    pub(crate) fn add_shipped(&mut self, report: &mut Report) {
        let devices = self.main.root.get(&["devices"]);
        let devices = devices.map(Node::entries).unwrap_or_default().iter();
        let named = devices.filter_map(|device| device.value.get(&["type"])?.text());
        let is_here = |name: &str| {
            self.device_type(name).is_some() || self.broken.iter().any(|broken| broken == name)
        };
        let mut wanted: Vec<&str> = named.filter(|name| !is_here(name)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let found = wanted.into_iter().filter_map(|name| {
            let file = file(
                &format!("types/{name}.yaml (built in)"),
                shipped::text(name)?,
                report,
            );
            Some((name.to_owned(), file?))
        });
        let found: Vec<_> = found.collect();
        self.types.extend(found);
    }

    /// The tree of a device type, from the main file or from its own.
    pub fn device_type(&self, name: &str) -> Option<&Node> {
        let inline = self.main.root.get(&["types", name]);
        inline.or_else(|| self.types.get(name).map(|file| &file.root))
    }
}
