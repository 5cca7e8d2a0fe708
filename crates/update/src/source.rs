//! Where bundles come from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::place::{self, Place};

/// Where a person may have put a bundle: the partition that every PC can write, and the board's own data.
pub const PLACES: [&str; 3] = ["/boot/firmware/fieldgate", "/boot/firmware", "/data"];

/// Bundles that are looked at in one folder.
const IN_FOLDER: usize = 32;

const ENDING: &str = "raucb";

/// One place that may hold bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A bundle.
    File(PathBuf),
    /// All bundles in a folder, not below it.
    Folder(PathBuf),
    /// `http` or `https`. Of a bundle of the format `verity` RAUC reads the parts that it needs; another one is
    /// downloaded.
    Url(String),
}

impl Source {
    /// What `text` names: an address, a folder, or else a file.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match Path::new(text) {
            _ if place::is_address(text) => Self::Url(text.to_owned()),
            path if path.is_dir() => Self::Folder(path.to_owned()),
            path => Self::File(path.to_owned()),
        }
    }

    /// The bundles there, in the order of their names.
    #[must_use]
    pub fn bundles(&self) -> Vec<Place> {
        let place = |path: &Path| Place::named(path.display().to_string());
        match self {
            Self::Url(url) => vec![Place::named(url)],
            Self::File(path) => vec![place(path)],
            Self::Folder(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
                paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
                paths.sort();
                paths.truncate(IN_FOLDER);
                paths.iter().map(|path| place(path)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_a_folder_or_a_file() {
        let folder = std::env::temp_dir();
        let folder = folder.to_str().expect("UTF-8");
        for (text, want) in [
            (
                "https://updates.example/fieldgate.raucb",
                Source::Url("https://updates.example/fieldgate.raucb".into()),
            ),
            (folder, Source::Folder(folder.into())),
            (
                "/data/fieldgate.raucb",
                Source::File("/data/fieldgate.raucb".into()),
            ),
            ("httpd.raucb", Source::File("httpd.raucb".into())),
        ] {
            assert_eq!(Source::of(text), want);
        }
    }
}
