//! The users file on disk: written as a whole or not at all, and by one command at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use fieldgate_broker::{PasswordHash, Role, User, Users};

use crate::report::Report;

/// What stands at the top of the file.
const HEAD: &str = "\
# Who may connect to the MQTT broker of this gateway, and what for. `fieldgate user` writes this
# file, and keeps no other comments than these. It may be edited by hand too: a running gateway takes
# a change over within two seconds; a file with mistakes changes nothing and is in its log.
#
# console: what the user may do in the web console: view, operate (write to points) or admin; without it nothing.
# tokens: what scripts show to the console to be taken for the user, as SHA-256; `fieldgate token` makes them.
# rules: of those that match a topic, the first that says something about reading or writing decides;
#        what no rule permits is refused. Without `rules` a user may do everything.
#        access is read, write, readwrite or deny; in topic, %c is the client identifier and %u the user name.
";

/// The right to write the file, until it is dropped.
pub struct Locked {
    path: PathBuf,
    /// The folder, since the file is replaced.
    folder: File,
}

impl Locked {
    /// Waits until no other command is at work in the folder.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn new(path: &Path) -> io::Result<Self> {
        // A link stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = File::open(folder).map_err(|error| about(folder, &error))?;
        folder.lock()?;
        Ok(Self { path, folder })
    }

    /// Replaces the file. A reader at any moment, or after a loss of power, sees the old or
    /// the new one. Only its owner may read it; a new file belongs to the owner of its folder.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn write(&self, users: &Users) -> io::Result<()> {
        let text = super::text(users).map_err(io::Error::other)?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = self.path.with_file_name(name);
        let written = self.write_new(&new, &format!("{HEAD}{text}"));
        let replaced = written.and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = replaced {
            // It may not even be there.
            let _ = fs::remove_file(&new);
            return Err(about(&self.path, &error));
        }
        self.folder.sync_all()
    }

    fn write_new(&self, new: &Path, text: &str) -> io::Result<()> {
        // Left behind by a command that died; no other is at work here.
        let _ = fs::remove_file(new);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(new)?;
        let model = fs::metadata(&self.path).or_else(|_| self.folder.metadata())?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
            // Only root may give files away. Others keep theirs.
            let _ = fchown(&file, Some(model.uid()), Some(model.gid()));
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

/// Why the users file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotSet {
    /// It has mistakes.
    #[error("{0}")]
    Mistakes(Report),
    /// The password cannot be one.
    #[error("{0}")]
    Password(String),
    /// The system refuses something.
    #[error("{0}")]
    System(io::Error),
}

/// Reads a users file; one that is not there is empty.
///
/// # Errors
///
/// All its mistakes.
pub fn read_or_new(path: &Path) -> Result<Users, Report> {
    match path.try_exists() {
        Ok(false) => Ok(Users::default()),
        _ => crate::load_users(path),
    }
}

/// Sets the password of a user. One that is new may do everything over MQTT, and, if no other user has a role in the
/// console, everything there.
///
/// # Errors
///
/// A users file with mistakes, and what the system refuses.
pub fn set_password(path: &Path, name: &str, password: &[u8]) -> Result<(), NotSet> {
    let hash = PasswordHash::of(password).map_err(|error| NotSet::Password(error.to_string()))?;
    let locked = Locked::new(path).map_err(NotSet::System)?;
    let mut users = read_or_new(path).map_err(NotSet::Mistakes)?;
    let is_first = users.named.values().all(|user| user.role.is_none());
    let is_new = !users.named.contains_key(name);
    let user = users.named.entry(name.to_owned()).or_default();
    user.password = Some(hash);
    if is_new && is_first {
        user.role = Some(Role::Admin);
    }
    locked.write(&users).map_err(NotSet::System)
}

/// Makes the first user of the console, which may do everything. Returns all users.
///
/// # Errors
///
/// If there is one already, or a user of this name; else those of [`set_password`].
pub fn found(path: &Path, name: &str, password: &[u8]) -> Result<Users, NotSet> {
    super::check_user_name(name).map_err(NotSet::Password)?;
    let hash = PasswordHash::of(password).map_err(|error| NotSet::Password(error.to_string()))?;
    let locked = Locked::new(path).map_err(NotSet::System)?;
    let mut users = read_or_new(path).map_err(NotSet::Mistakes)?;
    if users.named.values().any(|user| user.role.is_some()) {
        return Err(NotSet::Password(
            "the console has a user already".to_owned(),
        ));
    }
    if users.named.contains_key(name) {
        let text = format!("there is a user \"{name}\" already, without a role in the console");
        return Err(NotSet::Password(text));
    }
    let user = User {
        password: Some(hash),
        rules: None,
        role: Some(Role::Admin),
        ..User::default()
    };
    users.named.insert(name.to_owned(), user);
    locked.write(&users).map_err(NotSet::System)?;
    Ok(users)
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
