//! The certificate of the gateway, for the console.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fieldgate_certificate::{About, Name};
use fieldgate_config::Config;
use fieldgate_console::{CertificateView, Certificates, CertificatesView, Later, NotDone};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::certificates::{NotPut, Place, names, now};

/// The certificate.
#[derive(Clone, Debug)]
pub(super) struct Safe {
    path: PathBuf,
    /// Of the console, beside those of the machine.
    names: Vec<String>,
    for_mqtt: bool,
    for_console: bool,
    /// Told when there is a new certificate.
    renewed: Arc<Notify>,
}

impl Safe {
    /// Of a configuration that was read from `path`.
    pub(super) fn new(config: &Config, path: PathBuf, renewed: Arc<Notify>) -> Self {
        let console = config.console.as_ref();
        let names = console.map(|console| console.names().map(str::to_owned).collect());
        Self {
            path,
            names: names.unwrap_or_default(),
            for_mqtt: config
                .listen
                .addressed()
                .any(|(key, _)| key.ends_with("tls")),
            for_console: console.is_some_and(|console| console.listen.https().is_some()),
            renewed,
        }
    }

    fn view(&self, place: &Place) -> CertificatesView {
        let look = place.look();
        let (certificate, problem) = match look.certificate {
            Ok(found) => (found, None),
            Err(text) => (None, Some(text)),
        };
        CertificatesView {
            certificate: certificate.as_ref().map(shown),
            problem,
            authority: look.authority.as_ref().map(shown),
            is_own: look.is_own,
            file: place.certificate.display().to_string(),
            fixed: place.is_fixed(),
            for_mqtt: self.for_mqtt,
            for_console: self.for_console,
            names: names(&self.names).iter().map(Name::to_string).collect(),
        }
    }

    /// Does something with the files beside everything else.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &Place) -> Result<T, NotDone> + Send + 'static,
    ) -> Later<'_, Result<T, NotDone>> {
        let own = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                let place = Place::of(&own.path);
                work(
                    &own,
                    &place.map_err(|report| NotDone::Refused(report.to_string()))?,
                )
            });
            done.await
                .map_err(|error| NotDone::Failed(error.to_string()))?
        })
    }
}

fn shown(about: &About) -> CertificateView {
    let time = |seconds| {
        Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
    };
    CertificateView {
        subject: about.subject.clone(),
        issuer: about.issuer.clone(),
        names: about.names.clone(),
        from: time(about.from),
        until: time(about.until),
        days: about.days_left(now()),
        sha256: about.fingerprint_text(),
    }
}

fn not_done(not_put: NotPut) -> NotDone {
    match not_put {
        NotPut::System(error) => NotDone::Failed(error.to_string()),
        other => NotDone::Refused(other.to_string()),
    }
}

impl Certificates for Safe {
    fn look(&self) -> Later<'_, Result<CertificatesView, NotDone>> {
        self.work(|own, place| Ok(own.view(place)))
    }

    fn put(&self, certificate: String, key: String) -> Later<'_, Result<(), NotDone>> {
        self.work(move |own, place| {
            place
                .put(certificate.as_bytes(), key.as_bytes())
                .map_err(not_done)?;
            own.renewed.notify_one();
            Ok(())
        })
    }

    fn make(&self, names: Vec<String>, new_authority: bool) -> Later<'_, Result<(), NotDone>> {
        self.work(move |own, place| {
            let names: Result<Vec<Name>, _> = names.iter().map(|name| name.parse()).collect();
            place
                .make(&names.map_err(NotDone::Refused)?, new_authority)
                .map_err(not_done)?;
            own.renewed.notify_one();
            Ok(())
        })
    }

    fn authority(&self) -> Later<'_, Result<Vec<u8>, NotDone>> {
        self.work(|_, place| {
            place.authority_text().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => NotDone::Missing,
                _ => NotDone::Failed(error.to_string()),
            })
        })
    }
}
