//! Another door of the same house, such as a web page: it asks about the broker's users, and shows what it counts.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::access::NotLetIn;
use crate::counters::Totals;
use crate::endpoint::TlsSettings;
use crate::hub::Hub;
use crate::net::{Certificates, TlsError};
use crate::reserved::is_brokers;
use crate::store::Store;

/// What another door may ask of a broker. It may be kept when the broker is gone: then no user is let in.
#[derive(Clone, Debug)]
pub struct Door(Arc<Hub>);

impl Door {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self(Arc::clone(hub))
    }

    /// Whether a user has this password. The attempts of an address count with its logins over MQTT. To be called on a
    /// tokio runtime, whose blocking threads do the work.
    ///
    /// # Errors
    ///
    /// Why the user is not let in.
    pub async fn authenticate(
        &self,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> Result<(), NotLetIn> {
        self.0.access.authenticate(user, password, peer).await
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0
    }

    /// Whether a client may publish to a topic, its own rules aside: a name that is valid, and not the broker's or the
    /// program's own.
    pub fn is_open(&self, topic: &str) -> bool {
        fieldgate_mqtt::topic::name_is_valid(topic)
            && !is_brokers(topic)
            && self.0.access.own().levels_of(topic).is_none()
    }

    /// Counts since the start.
    pub fn totals(&self) -> Totals {
        self.0.totals()
    }

    /// Clients connected now, links not counted.
    pub fn connected(&self) -> usize {
        self.0.online.load(Ordering::Relaxed)
    }

    /// Whether what has to outlive the process does.
    pub fn is_keeping(&self) -> bool {
        self.0.store.as_ref().is_none_or(Store::is_keeping)
    }
}

/// How often certificates are looked at, when there are connections.
const LOOK: Duration = Duration::from_secs(30);

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
