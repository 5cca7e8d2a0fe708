//! The files that a configuration names, whatever else may be wrong with it.

use std::path::{Path, PathBuf};

use crate::report::Report;
use crate::source;
use crate::yaml::{Mark, Node};

/// A file that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The path of the key, such as `broker.tls.key`.
    pub key: String,
    /// Where it stands.
    pub mark: Mark,
    /// The file, as it is named.
    pub path: PathBuf,
    /// Whether it gives access: a key, a password.
    pub is_secret: bool,
}

/// Where the certificate of the gateway is while its configuration names no other, beside the configuration.
pub const CERTIFICATE: &str = "broker.pem";
/// The key of [`CERTIFICATE`].
pub const KEY: &str = "broker.key";
/// An authority of the gateway's own, which has signed [`CERTIFICATE`].
pub const AUTHORITY: &str = "ca.pem";
/// The key of [`AUTHORITY`].
pub const AUTHORITY_KEY: &str = "ca.key";

/// Keys below `broker`, and whether their files are secret.
const OF_BROKER: [(&[&str], bool); 4] = [
    (&["users"], false),
    (&["tls", "certificate"], false),
    (&["tls", "key"], true),
    (&["tls", "client_ca"], false),
];
/// Files that need no key in the configuration, and whether they are secret.
const USUAL: [(&str, bool); 4] = [
    (CERTIFICATE, false),
    (KEY, true),
    (AUTHORITY, false),
    (AUTHORITY_KEY, true),
];
/// Keys of an uplink.
const OF_UPLINK: [(&[&str], bool); 6] = [
    (&["ca"], false),
    (&["certificate"], false),
    (&["key"], true),
    (&["password_file"], true),
    (&["token_file"], true),
    (&["credentials"], true),
];

/// The files that a configuration names for the broker and for uplinks, and, where they are there, the usual ones of its
/// certificate and of its own authority.
///
/// # Errors
///
/// Why the configuration cannot be read or parsed.
pub fn named_files(path: &Path) -> Result<Vec<NamedFile>, Report> {
    let mut report = Report::default();
    let main = source::read(path, &mut report);
    let Some(main) = main.filter(|main| !main.is_cut) else {
        return Err(report);
    };
    let mut found = Vec::new();
    if let Some(broker) = main.root.get(&["broker"]) {
        collect(broker, "broker", &OF_BROKER, &mut found);
    }
    let uplinks = main.root.get(&["uplinks"]).map(Node::entries);
    for uplink in uplinks.into_iter().flatten() {
        let name = uplink.key.text().unwrap_or_default();
        collect(
            &uplink.value,
            &format!("uplinks.{name}"),
            &OF_UPLINK,
            &mut found,
        );
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    for (file, is_secret) in USUAL {
        if folder.join(file).is_file() {
            found.push(NamedFile {
                key: "certificate".to_owned(),
                mark: Mark::default(),
                path: file.into(),
                is_secret,
            });
        }
    }
    Ok(found)
}

fn collect(part: &Node, of: &str, keys: &[(&[&str], bool)], found: &mut Vec<NamedFile>) {
    for (key, is_secret) in keys {
        if let Some(file) = part.get(key).and_then(Node::text) {
            found.push(NamedFile {
                key: format!("{of}.{}", key.join(".")),
                mark: part.mark_of(key),
                path: file.into(),
                is_secret: *is_secret,
            });
        }
    }
}
