//! Whether a server can use a certificate and a key that somebody brings.

use std::fmt;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::sign::CertifiedKey;

use crate::about::{self, About};

/// A certificate or a key of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {text}")]
pub struct Wrong {
    /// Which of the two.
    pub part: Part,
    /// Why, for people.
    pub text: String,
}

/// One of the two that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate with its chain.
    Certificate,
    /// The private key.
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
        })
    }
}

/// Whether a server can use these PEM texts at the time `now`, in seconds since 1970: the chain can be read and is in
/// order, nothing of it has expired, and the key is that of its first certificate. Returns what the chain says.
///
/// # Errors
///
/// [`Wrong`], the first thing that is.
pub fn check(certificate: &[u8], key: &[u8], now: i64) -> Result<Vec<About>, Wrong> {
    let wrong = |part, text| Wrong { part, text };
    let of_chain = |text| wrong(Part::Certificate, text);
    let chain = about::read(certificate).map_err(of_chain)?;
    for (number, one) in (1..).zip(&chain) {
        let days = one.days_left(now);
        if days < 0 {
            let text = format!("\"{}\" has expired {} days ago", one.subject, -days);
            return Err(of_chain(text));
        }
        if let Some(next) = chain.get(number)
            && !one.is_signed_in_the_name_of(next)
        {
            let text = format!(
                "the chain is not in order: \"{}\" was signed by \"{}\", but \"{}\" follows; first the server's \
                 certificate, then each time the one that signed it",
                one.subject, one.issuer, next.subject
            );
            return Err(of_chain(text));
        }
    }
    let of_key = |text| wrong(Part::Key, text);
    let key = private_key(key).map_err(of_key)?;
    let key = any_supported_type(&key).map_err(|_| {
        of_key(
            "of a kind that cannot be used; ECDSA P-256 and P-384, RSA and Ed25519 can".to_owned(),
        )
    })?;
    let ders = about::ders(certificate).map_err(of_chain)?;
    match CertifiedKey::new(ders, key).keys_match() {
        Ok(()) => Ok(chain),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let subject = chain.first().map_or("", |one| one.subject.as_str());
            let text = format!(
                "it is not the key of the certificate \"{subject}\", the first of the chain"
            );
            Err(of_key(text))
        }
        Err(error) => Err(of_chain(error.to_string())),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let is_encrypted = || text.windows(9).any(|part| part == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted() => {
            "the key is encrypted; `openssl pkey -in KEY -out NEW` writes one that is not"
                .to_owned()
        }
        pem::Error::NoItemsFound => {
            "no PEM private key in it (-----BEGIN PRIVATE KEY-----)".to_owned()
        }
        error => about::in_words(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DAY, Pair, SERVER_DAYS, authority, issue};

    const NOW: i64 = 1_800_000_000;

    fn pair(authority: &Pair) -> Pair {
        issue(authority, &["plant7.local".parse().unwrap()], NOW).unwrap()
    }

    #[test]
    fn only_a_pair_in_order_and_in_its_time_can_be_used() {
        let root = authority("plant7", NOW).unwrap();
        let other = authority("plant8", NOW).unwrap();
        let own = pair(&root);
        let (leaf, _) = own
            .certificate
            .split_at(own.certificate.len() - root.certificate.len());
        let turned = format!("{}{leaf}", root.certificate);
        let strange = format!("{leaf}{}", other.certificate);
        let sealed =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let good = own.certificate.as_str();
        let later = NOW + (SERVER_DAYS + 1) * DAY;
        for (certificate, key, now, want) in [
            (good, own.key.as_str(), NOW, Ok(2)),
            (leaf, &own.key, NOW, Ok(1)),
            (&root.certificate, &root.key, NOW, Ok(1)),
            (
                good,
                &own.key,
                later,
                Err("certificate: \"plant7.local\" has expired"),
            ),
            (
                &turned,
                &own.key,
                NOW,
                Err("certificate: the chain is not in order"),
            ),
            (
                &strange,
                &own.key,
                NOW,
                Err("\" follows; first the server's"),
            ),
            (
                good,
                &root.key,
                NOW,
                Err("key: it is not the key of the certificate \"plant7.local\""),
            ),
            (good, sealed, NOW, Err("key: the key is encrypted")),
            (good, good, NOW, Err("key: no PEM private key")),
            (&own.key, good, NOW, Err("certificate: no PEM certificate")),
        ] {
            let told = check(certificate.as_bytes(), key.as_bytes(), now);
            match want {
                Ok(count) => assert_eq!(told.map(|chain| chain.len()), Ok(count)),
                Err(want) => {
                    let told = told.unwrap_err().to_string();
                    assert!(told.contains(want), "{told}\n{want}");
                }
            }
        }
    }
}
