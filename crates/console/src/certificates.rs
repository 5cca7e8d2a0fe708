//! The certificate of the gateway, as the rest of the program keeps it.

use serde::Serialize;

use crate::files::NotDone;
use crate::later::Later;

/// What a certificate says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CertificateView {
    /// Whom it names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The host names and addresses that it is for.
    pub names: Vec<String>,
    /// From when on it is valid, in UTC.
    pub from: String,
    /// Until when it is valid, in UTC.
    pub until: String,
    /// Whole days until it ends; below zero once it has.
    pub days: i64,
    /// The SHA-256 of its bytes, as browsers show it.
    pub sha256: String,
}

/// What is known of the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CertificatesView {
    /// The one that is in the file; none without a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateView>,
    /// Why the file cannot be read, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The authority that is kept beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<CertificateView>,
    /// Signed by that authority, and renewed by the gateway itself.
    pub is_own: bool,
    /// The file of the certificate.
    pub file: String,
    /// Why it is not replaced here, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// MQTT clients get it.
    pub for_mqtt: bool,
    /// Browsers get it.
    pub for_console: bool,
    /// Names and addresses of this machine, for a new one.
    pub names: Vec<String>,
}

/// The certificate. What may take long says so by its type.
pub trait Certificates: Send + Sync {
    /// What is there.
    fn look(&self) -> Later<'_, Result<CertificatesView, NotDone>>;

    /// Puts a certificate with its chain and a key in the place of what is there; both PEM.
    fn put(&self, certificate: String, key: String) -> Later<'_, Result<(), NotDone>>;

    /// Makes a certificate for these names, and an authority that signs it if there is none, or another one is wanted.
    fn make(&self, names: Vec<String>, new_authority: bool) -> Later<'_, Result<(), NotDone>>;

    /// The certificate of the authority, PEM.
    fn authority(&self) -> Later<'_, Result<Vec<u8>, NotDone>>;
}
