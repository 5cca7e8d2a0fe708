//! Who is let in: hands users and rules to the broker, again whenever their file has changed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fieldgate_broker::{Broker, Users};
use fieldgate_config::{self as config, Config, Report};

use crate::console::Known;
use fieldgate_journal::ANSWER;

/// What the broker was told last, and where from.
pub(crate) struct Access {
    allow_anonymous: bool,
    /// Others than programs on this machine can connect at all.
    is_on_network: bool,
    users: Users,
    file: Option<PathBuf>,
    /// Where the file is looked for while there is none.
    usual: PathBuf,
    /// The state of the file that was read last; `None` before the first look.
    seen: Option<Stamp>,
    /// The same, for the console.
    known: Known,
}

/// What changes when a file does. `None` for a file that is not there or not to be seen.
type Stamp = Option<(u64, i64, i64, u64)>;

impl Access {
    /// For the configuration that is at `path`.
    pub(crate) fn new(config: &Config, path: &Path) -> Self {
        let usual = config::usual_users_file(path);
        let is_on_network = |console: &config::Console| console.listen.is_on_network();
        let known = Known::new(
            usual.clone(),
            config.console.as_ref().is_some_and(is_on_network),
        );
        known.set(&config.users, config.users_file.as_ref());
        Self {
            known,
            allow_anonymous: config.allow_anonymous,
            // A change of the listeners needs a restart.
            is_on_network: config.listen.is_on_network(),
            users: config.users.clone(),
            file: config.users_file.clone(),
            usual,
            // The file may have changed since it was read, so it is read again once.
            seen: None,
        }
    }

    /// The users, for the console.
    pub(crate) fn known(&self) -> Known {
        self.known.clone()
    }

    /// Takes over what a configuration that was read anew says. Returns whether it is new.
    pub(crate) fn change(&mut self, config: &Config, broker: &Broker) -> bool {
        self.file.clone_from(&config.users_file);
        self.seen = None;
        let opened = self.allow_anonymous != config.allow_anonymous;
        self.allow_anonymous = config.allow_anonymous;
        self.take_over(config.users.clone(), opened, broker)
    }

    /// Looks whether the users file has changed, and takes over what it says now. A file with
    /// mistakes changes nothing.
    pub(crate) async fn look(&mut self, broker: &Broker) {
        let file = self.file.clone().unwrap_or_else(|| self.usual.clone());
        let (seen, is_new) = (self.seen, self.file.is_none());
        let looked = tokio::task::spawn_blocking(move || {
            let stamp = stamp(&file);
            // The usual file may be missing: then there are no users.
            let is_missing = is_new && stamp.is_none();
            let is_due = seen != Some(stamp) && !is_missing;
            is_due.then(|| (stamp, config::load_users(&file)))
        });
        match looked.await {
            Ok(None) => {}
            Ok(Some((stamp, read))) => {
                self.seen = Some(stamp);
                self.file.get_or_insert_with(|| self.usual.clone());
                self.consider(read, broker);
            }
            Err(error) => log::error!("the users could not be read: {error}"),
        }
    }

    fn consider(&mut self, read: Result<Users, Report>, broker: &Broker) {
        match read {
            Ok(users) => {
                self.take_over(users, false, broker);
            }
            Err(report) => {
                log::error!("the users file has mistakes and changes nothing");
                for diagnostic in report.iter() {
                    log::error!(target: ANSWER, "{diagnostic}");
                }
            }
        }
    }

    fn take_over(&mut self, users: Users, opened: bool, broker: &Broker) -> bool {
        self.known.set(&users, self.file.as_ref());
        if !opened && users == self.users {
            return false;
        }
        broker.set_access(self.allow_anonymous, users.clone());
        self.users = users;
        match self.users.named.len() {
            1 => log::info!("users and rights have changed: 1 user"),
            count => log::info!("users and rights have changed: {count} users"),
        }
        self.explain();
        true
    }

    /// Tells a person who cannot get in what to do about it.
    pub(crate) fn explain(&self) {
        if self.allow_anonymous && self.users.anonymous.is_none() && self.is_on_network {
            log::warn!(
                "every client on the network may read and write everything: broker.allow_anonymous is true"
            );
        } else if !self.allow_anonymous && self.users.named.is_empty() {
            log::info!(
                "only programs on this machine may connect; to let others in, `fieldgate user add NAME`, or set \
                 broker.allow_anonymous: true"
            );
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let found: io::Result<_> = std::fs::metadata(file);
    let found = found.ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
}
