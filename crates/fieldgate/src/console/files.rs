//! The files of the gateway, for the console: the configuration as text, its versions, backups.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fieldgate_config::{self as config, Changes, Report};
use fieldgate_console::{
    Applied, Backup, Candidate, Completion, Later, Mistake, NotDone, Restore, Restored, Text,
    Version,
};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};

use super::text::{read, tagged};
use super::versions::Versions;
use crate::backup::{self, Refused};
use crate::kinds::KINDS;
use crate::stop::Stop;

/// How long a reload may take; devices have 5 s to end their transactions.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a reload came to.
#[derive(Debug)]
pub(crate) enum Reloaded {
    /// It was taken over; with what did not work.
    Done(Changes, Option<String>),
    /// There are mistakes, and nothing has changed.
    Mistakes(Report),
    /// It could not be read.
    Failed(String),
}

/// Someone who waits for a reload.
pub(crate) type Asked = oneshot::Sender<Reloaded>;

/// Where a console asks for reloads; kept by the daemon, which looks at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    path: PathBuf,
    state: Option<PathBuf>,
    asks: mpsc::Sender<Asked>,
    running: Arc<Mutex<Text>>,
    renewed: Arc<Notify>,
}

impl Desk {
    /// For the configuration `path`; versions are kept in the folder `state`.
    pub(crate) fn new(path: &Path, state: Option<&Path>) -> (Self, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(1);
        let text = Text {
            text: String::new(),
            tag: String::new(),
        };
        let desk = Self {
            path: path.to_owned(),
            state: state.map(Path::to_owned),
            asks,
            running: Arc::new(Mutex::new(text)),
            renewed: Arc::default(),
        };
        (desk, asked)
    }

    /// From now on this is the text that runs.
    pub(crate) fn runs(&self, text: Text) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Where the daemon hears that there is a new certificate.
    pub(crate) fn renewed(&self) -> Arc<Notify> {
        Arc::clone(&self.renewed)
    }

    /// The configuration's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    async fn reload(&self) -> Result<Applied, NotDone> {
        let (answer, answered) = oneshot::channel();
        let gone = || NotDone::Failed("the gateway is ending".to_owned());
        self.asks.send(answer).await.map_err(|_| gone())?;
        let told = tokio::time::timeout(PATIENCE, answered).await;
        let late = |_| {
            NotDone::Failed(format!(
                "no end of the reload within {PATIENCE:?}; the log says more"
            ))
        };
        match told.map_err(late)?.map_err(|_| gone())? {
            Reloaded::Done(changes, failed) => {
                let names = |names: std::collections::BTreeSet<String>| names.into_iter().collect();
                let need = changes.need_restart.into_iter();
                Ok(Applied {
                    added: names(changes.added),
                    changed: names(changes.changed),
                    removed: names(changes.removed),
                    need_restart: need.map(str::to_owned).collect(),
                    failed,
                })
            }
            Reloaded::Mistakes(report) => Err(NotDone::Mistakes(mistakes(&report, &self.path))),
            Reloaded::Failed(text) => Err(NotDone::Failed(text)),
        }
    }

    /// Does what takes long beside everything else.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, NotDone> + Send + 'static,
    ) -> Later<'_, Result<T, NotDone>> {
        let desk = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&desk)).await;
            done.map_err(|error| NotDone::Failed(error.to_string()))?
        })
    }

    fn versions(&self) -> Option<Versions> {
        self.state.as_deref().map(Versions::new)
    }

    fn put(&self, text: &str, tag: &str, user: &str) -> Result<String, NotDone> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let lock = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let old = read(&self.path)?;
        if old.tag != tag {
            return Err(NotDone::Stale);
        }
        let loaded = config::load_text_with_files(&self.path, text, KINDS);
        loaded.map_err(|report| NotDone::Mistakes(mistakes(&report, &self.path)))?;
        let versions = self.versions();
        // The old text first: it may have been written by hand.
        let keep = |text: &Text, user| {
            versions
                .as_ref()
                .map_or(Ok(()), |versions| versions.keep(text, user))
        };
        keep(&old, None).map_err(failed)?;
        backup::put(&self.path, text.as_bytes(), 0o640).map_err(failed)?;
        let new = tagged(text.to_owned());
        keep(&new, Some(user)).map_err(failed)?;
        Ok(new.tag)
    }
}

fn failed(error: io::Error) -> NotDone {
    NotDone::Failed(error.to_string())
}

/// Mistakes as the console tells them.
fn mistakes(report: &Report, path: &Path) -> Vec<Mistake> {
    let own = path.display().to_string();
    let folder = path.parent().map(|folder| format!("{}/", folder.display()));
    let shown = |file: &str| match folder
        .as_deref()
        .and_then(|folder| file.strip_prefix(folder))
    {
        Some(inside) => inside.to_owned(),
        None => file.to_owned(),
    };
    let told = report.iter().map(|found| Mistake {
        file: shown(&found.file),
        own: found.file == own,
        line: found.mark.map(|mark| mark.line),
        column: found.mark.map(|mark| mark.column),
        path: found.path.clone(),
        message: found.message.clone(),
        suggestion: meant(&found.message),
    });
    told.collect()
}

/// The name that a message says was meant.
fn meant(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("did you mean \"")?;
    let (name, _) = rest.split_once("\"?")?;
    Some(name.to_owned())
}

fn not_restored(refused: Refused, path: &Path) -> NotDone {
    match refused {
        Refused::Config(report) => NotDone::Mistakes(mistakes(&report, path)),
        Refused::Password(text) => NotDone::Password(text),
        Refused::System(error) => failed(error),
        archive @ Refused::Archive(_) => NotDone::Refused(archive.to_string()),
    }
}

impl fieldgate_console::Files for Desk {
    fn read(&self) -> Later<'_, Result<Text, NotDone>> {
        self.work(|desk| read(&desk.path))
    }

    fn running(&self) -> Text {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn check(&self, text: String) -> Later<'_, Result<Vec<Mistake>, NotDone>> {
        self.work(move |desk| {
            let loaded = config::load_text_with_files(&desk.path, &text, KINDS);
            let found = loaded.err().map(|report| mistakes(&report, &desk.path));
            Ok(found.unwrap_or_default())
        })
    }

    fn save(&self, text: String, tag: String, user: String) -> Later<'_, Result<String, NotDone>> {
        self.work(move |desk| desk.put(&text, &tag, &user))
    }

    fn apply(&self) -> Later<'_, Result<Applied, NotDone>> {
        Box::pin(self.reload())
    }

    fn versions(&self) -> Later<'_, Result<Vec<Version>, NotDone>> {
        self.work(|desk| {
            let versions = desk.versions();
            versions.map_or(Ok(Vec::new()), |versions| versions.list().map_err(failed))
        })
    }

    fn version(&self, version: u64) -> Later<'_, Result<Text, NotDone>> {
        self.work(move |desk| {
            let versions = desk.versions().ok_or(NotDone::Missing)?;
            let found = versions.read(version).map_err(failed)?;
            found.map(tagged).ok_or(NotDone::Missing)
        })
    }

    fn complete(&self, text: String, place: usize) -> Later<'_, Result<Completion, NotDone>> {
        self.work(move |desk| {
            let types = config::type_names(&desk.path);
            let types: Vec<&str> = types.iter().map(String::as_str).collect();
            let found = config::complete::complete(&text, place, &config::schema(KINDS), &types);
            let items = found.items.into_iter().map(|item| Candidate {
                text: item.text,
                kind: if item.is_key { "key" } else { "value" },
                detail: item.detail,
            });
            Ok(Completion {
                from: found.from,
                items: items.collect(),
            })
        })
    }

    fn backup(&self, password: Option<String>) -> Later<'_, Result<Backup, NotDone>> {
        self.work(move |desk| {
            let packed = backup::pack(&desk.path, desk.state.as_deref(), password.as_deref());
            let packed = packed.map_err(|stop| match stop {
                Stop::Config(report) => NotDone::Mistakes(mistakes(&report, &desk.path)),
                Stop::Usage(text) => NotDone::Password(text),
                other => NotDone::Failed(other.to_string()),
            })?;
            let host = rustix::system::uname();
            let host = host.nodename().to_string_lossy();
            let tame = host
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c));
            let host: String = tame.take(64).collect();
            let day = Timestamp::now().strftime("%Y%m%d").to_string();
            Ok(Backup {
                name: format!("fieldgate-{host}-{day}.tar.gz"),
                bytes: packed.bytes,
            })
        })
    }

    fn restore(&self, wanted: Restore) -> Later<'_, Result<Restored, NotDone>> {
        Box::pin(async move {
            let dry = wanted.check;
            let mut done = self.work(move |desk| desk.take(&wanted)).await?;
            if !dry {
                done.applied = Some(self.reload().await?);
            }
            Ok(done)
        })
    }
}

impl Desk {
    fn take(&self, wanted: &Restore) -> Result<Restored, NotDone> {
        let given = backup::Wanted {
            archive: &wanted.archive,
            password: wanted.password.as_deref(),
            without_keys: wanted.without_keys,
            dry: wanted.check,
        };
        if let (false, Some(versions), Ok(old)) = (wanted.check, self.versions(), read(&self.path))
        {
            versions.keep(&old, None).map_err(failed)?;
        }
        let done = backup::restore(&given, &self.path, self.state.as_deref());
        let done = done.map_err(|refused| not_restored(refused, &self.path))?;
        Ok(Restored {
            gateway: done.about.gateway,
            made: done.about.made,
            version: done.about.version,
            files: done.files,
            notes: done.notes,
            applied: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_says_what_was_meant_and_whose_it_is() {
        let mut report = Report::default();
        let mark = config::yaml::Mark { line: 3, column: 5 };
        report.add(
            "/etc/f/gateway.yaml",
            Some(mark),
            "a.b",
            "unknown key \"un\"; did you mean \"unit\"?",
        );
        report.add("/etc/f/types/x.yaml", None, "", "no text");
        let told = mistakes(&report, Path::new("/etc/f/gateway.yaml"));
        assert_eq!(told[0].suggestion.as_deref(), Some("unit"));
        assert_eq!(
            (told[0].own, told[0].line, told[0].column),
            (true, Some(3), Some(5))
        );
        assert_eq!(
            (told[1].own, told[1].file.as_str()),
            (false, "types/x.yaml")
        );
        assert_eq!(told[1].suggestion, None);
    }
}
