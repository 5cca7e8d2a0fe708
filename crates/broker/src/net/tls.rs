//! Encryption: certificates from files, kept up to date while clients come and go.
//!
//! Nothing here knows MQTT, and who is let in with which certificate is `access`'s business.

mod load;
mod subject;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use load::{TlsError, TlsFile};

use crate::endpoint::TlsSettings;

/// The certificates of one or more listeners.
#[derive(Debug)]
pub(crate) struct Certificates {
    settings: TlsSettings,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// Of the files, when they were last read, with or without success.
    stamps: Vec<Option<Stamp>>,
}

/// What changes with a file: its number, when it was written in nanoseconds, its length.
type Stamp = (u64, i64, i64, u64);

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], about the first file that is of no use.
    pub(crate) fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        // Before the files are read, so that a change while they are is noticed later.
        let stamps = stamps(&settings);
        let acceptor = load::acceptor(&settings)?;
        Ok(Self {
            settings,
            current: Mutex::new(Current { acceptor, stamps }),
        })
    }

    pub(crate) fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// Reads the files again, for connections from now on. If they are of no use, the old
    /// certificate stays.
    pub(crate) fn reload(&self) {
        let stamps = stamps(&self.settings);
        let loaded = load::acceptor(&self.settings);
        let mut current = self.current();
        current.stamps = stamps;
        match loaded {
            Ok(acceptor) => {
                current.acceptor = acceptor;
                drop(current);
                let file = self.settings.certificate.display();
                log::info!("the certificate {file} has been read again");
            }
            Err(error) => {
                drop(current);
                log::error!("{error}; new connections still get the OLD certificate");
            }
        }
    }

    /// Reads the files again if one of them has changed.
    pub(crate) fn refresh(&self) {
        if self.current().stamps != stamps(&self.settings) {
            self.reload();
        }
    }

    /// Begins encryption. Returns the stream and the common name of the client's certificate.
    ///
    /// # Errors
    /// What the handshake failed with; the client has been told.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<(TlsStream<S>, Option<Box<str>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = self.current().acceptor.clone();
        let stream = acceptor.accept(stream).await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let subject = certificate.and_then(|certificate| subject::common_name(certificate));
        Ok((stream, subject))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    let client_ca = settings.client_ca.as_ref().map(|ca| ca.file.as_path());
    [settings.certificate.as_path(), settings.key.as_path()]
        .into_iter()
        .chain(client_ca)
        .map(stamp)
        .collect()
}

/// `None` if the file is not there.
fn stamp(file: &Path) -> Option<Stamp> {
    let data = fs::metadata(file).ok()?;
    Some((data.ino(), data.mtime(), data.mtime_nsec(), data.len()))
}
