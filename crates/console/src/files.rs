//! The files of the gateway, as the rest of the program keeps them: the configuration, its versions, backups.

use serde::Serialize;

use crate::later::Later;

/// A mistake in a file, as `fieldgate check` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Whether it is the file that was asked about, and not one beside it.
    pub own: bool,
    /// From 1; none for the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The path of the key.
    pub path: String,
    /// For people.
    pub message: String,
    /// What was most likely meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// Why something was not done with the files. Then nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// There are mistakes.
    Mistakes(Vec<Mistake>),
    /// The file is another one than the editor began with.
    Stale,
    /// There is no such thing.
    Missing,
    /// A password is missing or another one.
    Password(String),
    /// It cannot be taken.
    Refused(String),
    /// The system refuses something.
    Failed(String),
}

/// The text of a file, and what tells it from other versions of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The whole text, byte for byte.
    pub text: String,
    /// Another one whenever the text is another; letters and digits.
    pub tag: String,
}

/// A version of the configuration that was the file once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Counts up.
    pub version: u64,
    /// When it was saved, in UTC.
    pub at: String,
    /// Who saved it; none if it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Bytes.
    pub bytes: usize,
    /// What tells it from others.
    pub tag: String,
}

/// What a reload has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Devices.
    pub added: Vec<String>,
    /// Devices.
    pub changed: Vec<String>,
    /// Devices.
    pub removed: Vec<String>,
    /// Keys whose change needs a restart.
    pub need_restart: Vec<String>,
    /// What did not work, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What can stand at a place of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// Where the word begins that it replaces, in characters of the text.
    pub from: usize,
    /// In the order in which they are shown.
    pub items: Vec<Candidate>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// What is put there.
    pub text: String,
    /// `key` or `value`.
    pub kind: &'static str,
    /// What it means, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The name of its file.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What a backup is, and what was done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The name of the gateway that it is of.
    pub gateway: String,
    /// When it was made, in UTC.
    pub made: String,
    /// The version of the program that made it.
    pub version: String,
    /// Files that it replaces.
    pub files: Vec<String>,
    /// What else a person must know.
    pub notes: Vec<String>,
    /// What the reload after it has done; none if it was only looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
}

/// What shall be done with a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    /// The backup.
    pub archive: Vec<u8>,
    /// Of its keys.
    pub password: Option<String>,
    /// Leave its keys in it.
    pub without_keys: bool,
    /// Only look at it.
    pub check: bool,
}

/// The files of the gateway. What may take long says so by its type.
pub trait Files: Send + Sync {
    /// The configuration as it is on the disk.
    fn read(&self) -> Later<'_, Result<Text, NotDone>>;

    /// The text of the configuration that runs.
    fn running(&self) -> Text;

    /// What is wrong with a text, were it the configuration.
    fn check(&self, text: String) -> Later<'_, Result<Vec<Mistake>, NotDone>>;

    /// Puts a text in the place of the configuration that has this tag. Returns its own.
    fn save(&self, text: String, tag: String, user: String) -> Later<'_, Result<String, NotDone>>;

    /// Has the gateway take over the configuration on the disk.
    fn apply(&self) -> Later<'_, Result<Applied, NotDone>>;

    /// The versions that are kept, the newest first.
    fn versions(&self) -> Later<'_, Result<Vec<Version>, NotDone>>;

    /// The text of one of them.
    fn version(&self, version: u64) -> Later<'_, Result<Text, NotDone>>;

    /// What can stand in a text at a place, in characters.
    fn complete(&self, text: String, place: usize) -> Later<'_, Result<Completion, NotDone>>;

    /// Makes a backup; with private keys if there is a password for them.
    fn backup(&self, password: Option<String>) -> Later<'_, Result<Backup, NotDone>>;

    /// Takes a backup, and has the gateway take it over.
    fn restore(&self, wanted: Restore) -> Later<'_, Result<Restored, NotDone>>;
}
