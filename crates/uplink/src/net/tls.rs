//! Encryption as a client: authorities, the gateway's own certificate, what a handshake tells.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::quiet::Quiet;
use crate::config::Files;

/// The longest file that is read. All public authorities of the world together are 250 KB.
const FILE_MAX: u64 = 4 << 20;
/// Where systems keep the public authorities: Debian and Yocto, Fedora, Alpine.
const SYSTEM: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Reads the files. Also returns until when the own certificate counts, in seconds since 1970.
///
/// # Errors
/// The first file that is of no use, and why.
pub fn connector(
    files: &Files,
    alpn: Option<Vec<u8>>,
) -> Result<(TlsConnector, Option<i64>), String> {
    let roots = match &files.ca {
        Some(file) => authorities(file, true)?,
        None => {
            let found = SYSTEM.iter().map(Path::new).find(|file| file.exists());
            let none = || {
                "the system has no list of authorities (package ca-certificates); name one with ca:"
                    .to_owned()
            };
            authorities(found.ok_or_else(none)?, false)?
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut own_until = None;
    let mut config = match &files.own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            own_until = chain.first().and_then(|first| not_after(first));
            let key_der = private_key(key)?;
            let config = builder.with_client_auth_cert(chain, key_der);
            config.map_err(|error| {
                format!("{} and {}: {error}", certificate.display(), key.display())
            })?
        }
    };
    config.alpn_protocols.extend(alpn);
    Ok((TlsConnector::from(Arc::new(config)), own_until))
}

/// Shakes hands; the server is told the name (SNI) unless it is an address.
///
/// # Errors
/// What the handshake failed with.
pub(super) async fn shake(
    connector: &TlsConnector,
    host: &str,
    stream: Quiet,
) -> io::Result<TlsStream<Quiet>> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector.connect(name, stream).await
}

pub(super) fn describe(session: &ClientConnection) -> String {
    let version = session
        .protocol_version()
        .and_then(|version| version.as_str());
    let suite = session.negotiated_cipher_suite();
    let suite = suite.and_then(|suite| suite.suite().as_str());
    format!("{} {}", version.unwrap_or("TLS"), suite.unwrap_or_default())
        .trim_end()
        .to_owned()
}

pub(super) fn remote_until(session: &ClientConnection) -> Option<i64> {
    session
        .peer_certificates()?
        .first()
        .and_then(|first| not_after(first))
}

/// A file of the system may have certificates that are of no use; one of ours may not.
fn authorities(file: &Path, is_own: bool) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let added = roots.add(certificate);
        if is_own {
            added.map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(file)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!(
            "{}: no PEM certificate in it (-----BEGIN CERTIFICATE-----)",
            file.display()
        )),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(file)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => format!(
            "{}: no PEM private key in it (-----BEGIN PRIVATE KEY-----), or it is encrypted",
            file.display()
        ),
        error => format!("{}: {error}", file.display()),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(bytes)
}

/// Until when a certificate counts, in seconds since 1970; `None` if that cannot be read.
///
/// Source: RFC 5280, section 4.1 (TBSCertificate: version, serial number, signature, issuer, validity).
fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, 0x30)?;
    let (mut rest, _) = element(certificate, 0x30)?;
    if let Some((_, behind)) = element(rest, 0xA0) {
        rest = behind;
    }
    for tag in [0x02, 0x30, 0x30] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, 0x30)?;
    let (tag, first) = (validity.first()?, validity);
    let (_, rest) = element(first, *tag)?;
    let tag = *rest.first()?;
    let (text, _) = element(rest, tag)?;
    seconds(tag, str::from_utf8(text).ok()?)
}

/// The content of the element at the beginning, if it has this tag, and what is behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let mut len = usize::from(first);
    if first >= 0x80 {
        let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7F))?;
        if bytes.len() > 3 {
            return None;
        }
        len = bytes
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte));
        rest = behind;
    }
    rest.split_at_checked(len)
}

/// UTCTime `YYMMDDHHMMSSZ` (tag 0x17) or GeneralizedTime `YYYYMMDDHHMMSSZ` (0x18).
fn seconds(tag: u8, text: &str) -> Option<i64> {
    let (year, rest) = match tag {
        0x17 => {
            let short: i64 = text.get(..2)?.parse().ok()?;
            (short + if short < 50 { 2000 } else { 1900 }, text.get(2..)?)
        }
        0x18 => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| -> Option<i64> { rest.get(at..at + 2)?.parse().ok() };
    let (month, day) = (part(0)?, part(2)?);
    // Days since 1970 of the proleptic Gregorian calendar, years counted from March.
    let from_march = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (from_march * 306 + 5) / 10 + day
        - 1
        - 719_468;
    Some(days * 86_400 + part(4)? * 3_600 + part(6)? * 60 + part(8)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        for (year, month, day, want) in [
            (2027, 3, 1, 1_803_859_200),
            (2049, 12, 31, 2_524_521_600),
            (2052, 2, 29, 2_592_777_600),
            (4096, 1, 1, 67_090_118_400),
        ] {
            let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, month, day);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(
                not_after(certificate.der()),
                Some(want),
                "{year}-{month}-{day}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_certificate_panic(bytes in prop::collection::vec(any::<u8>(), 0..90), tag in 0x17..0x19_u8, text in ".{0,16}") {
            let _ = not_after(&bytes);
            let _ = seconds(tag, &text);
        }
    }
}
