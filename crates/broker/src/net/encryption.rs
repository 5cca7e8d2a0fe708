//! Encryption for another listener of this program, such as that of web pages.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::tls::{Certificates, TlsError};
use crate::endpoint::TlsSettings;

/// How often certificates are looked at, when there are connections: who has just replaced one sees it.
const LOOK: Duration = Duration::from_secs(2);

/// Encryption of another listener of this program. It reads its files again when they change.
#[derive(Debug)]
pub struct Encryption {
    certificates: Certificates,
    looked: Mutex<Instant>,
}

impl Encryption {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`], about the first file that is of no use.
    pub fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        Ok(Self {
            certificates: Certificates::load(settings)?,
            looked: Mutex::new(Instant::now()),
        })
    }

    /// Begins encryption.
    ///
    /// # Errors
    ///
    /// What the handshake failed with; the client has been told.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let is_due = {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = looked.elapsed() >= LOOK;
            if is_due {
                *looked = Instant::now();
            }
            is_due
        };
        if is_due {
            self.certificates.refresh();
        }
        let (stream, _) = self.certificates.accept(stream).await?;
        Ok(stream)
    }
}
