//! `fieldgate certificate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DEFAULT_FILE;

#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Show the certificate and the authority: names, issuer, days left, fingerprint.
    Show(OfConfig),
    /// Put a certificate and its key in place of the ones that are there, after a check.
    Set(SetCertificate),
    /// Make a certificate for this machine, signed by an authority of its own (ca.pem).
    Make(MakeCertificate),
}

#[derive(Args, Debug)]
pub(crate) struct OfConfig {
    /// The configuration whose broker.tls names the files; without it they are broker.pem and broker.key beside it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct SetCertificate {
    /// The certificate (PEM), and behind it those that signed it.
    #[arg(value_name = "CERTIFICATE")]
    pub(crate) certificate: PathBuf,
    /// Its private key (PEM), not encrypted.
    #[arg(value_name = "KEY")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) of: OfConfig,
}

#[derive(Args, Debug)]
pub(crate) struct MakeCertificate {
    /// More names or addresses, beside the host name, NAME.local and the addresses of this machine.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Make a new authority, too. Clients and browsers then need the new ca.pem.
    #[arg(long)]
    pub(crate) new_authority: bool,
    #[command(flatten)]
    pub(crate) of: OfConfig,
}
