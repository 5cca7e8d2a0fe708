//! From PEM files to what a TLS handshake needs.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use crate::endpoint::{ClientCa, TlsSettings};

/// The longest file that is read. All public authorities of the world together are 250 KB.
const FILE_MAX: u64 = 4 << 20;

/// A file of no use for encryption.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {}: {cause}", file.display())]
pub struct TlsError {
    /// What the file was read as.
    pub what: TlsFile,
    /// The file.
    pub file: PathBuf,
    /// Why it is of no use.
    pub cause: String,
}

/// What a file was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// [`TlsSettings::certificate`]
    Certificate,
    /// [`TlsSettings::key`]
    Key,
    /// [`ClientCa::file`]
    ClientCa,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::ClientCa => "client authority",
        })
    }
}

impl TlsSettings {
    /// Whether the files can be used, now.
    ///
    /// # Errors
    /// The first file that cannot, and why.
    pub fn check(&self) -> Result<(), TlsError> {
        acceptor(self).map(drop)
    }
}

/// Reads everything and puts it together: TLS 1.2 and 1.3.
pub(super) fn acceptor(settings: &TlsSettings) -> Result<TlsAcceptor, TlsError> {
    let fail = |what, file: &Path, cause: String| TlsError {
        what,
        file: file.to_owned(),
        cause,
    };
    let certificate_error = |cause| fail(TlsFile::Certificate, &settings.certificate, cause);
    let chain = certificates(&settings.certificate).map_err(certificate_error)?;
    let key_error = |cause| fail(TlsFile::Key, &settings.key, cause);
    let key = private_key(&settings.key).map_err(key_error)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate_error(error.to_string()))?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let ca_error = |cause| fail(TlsFile::ClientCa, &ca.file, cause);
            let roots = authorities(ca).map_err(ca_error)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match ca.required {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let verifier = verifier
                .build()
                .map_err(|error| ca_error(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => certificate_error(error.to_string()),
            rustls::Error::InconsistentKeys(_) => key_error(format!(
                "it is not the key of the certificate {}",
                settings.certificate.display()
            )),
            error => key_error(error.to_string()),
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn authorities(ca: &ClientCa) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&ca.file)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err("no PEM certificate in it (-----BEGIN CERTIFICATE-----)".to_owned())
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(in_words(&error)),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(file)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&bytes, b"ENCRYPTED") => {
            "the key is encrypted; `openssl pkey -in KEY -out NEW` writes one that is not"
                .to_owned()
        }
        pem::Error::NoItemsFound => {
            "no PEM private key in it (-----BEGIN PRIVATE KEY-----)".to_owned()
        }
        error => in_words(&error),
    })
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "not whole: an -----END line is missing".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is damaged".to_owned(),
        pem::Error::Base64Decode(_) => "damaged: not base64".to_owned(),
        other => other.to_string(),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}
