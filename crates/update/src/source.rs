//! Where bundles come from.

use std::fs;
use std::path::{Path, PathBuf};

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
    /// `http` or `https`. RAUC reads the parts that it needs, so that nothing is stored.
    Url(String),
}

impl Source {
    /// What `text` names: an address, a folder, or else a file.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        match Path::new(text) {
            _ if is_url => Self::Url(text.to_owned()),
            path if path.is_dir() => Self::Folder(path.to_owned()),
            path => Self::File(path.to_owned()),
        }
    }

    /// The bundles there, as RAUC takes them, in the order of their names.
    #[must_use]
    pub fn bundles(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        match self {
            Self::Url(url) => vec![url.clone()],
            Self::File(path) => vec![text(path)],
            Self::Folder(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
                paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
                paths.sort();
                paths.truncate(IN_FOLDER);
                paths.iter().map(|path| text(path)).collect()
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
