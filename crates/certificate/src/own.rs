//! An authority of one's own, and certificates of servers that it signs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use ring::rand::{SecureRandom, SystemRandom};

use crate::DAY;

/// Days for which a server's certificate is valid. Apple's systems take no more than 825
/// (support.apple.com/103769).
pub const SERVER_DAYS: i64 = 800;
/// Days for which an authority is valid: twenty years.
const AUTHORITY_DAYS: i64 = 7_305;
/// A client whose clock is somewhat late takes a new certificate too.
const BEFORE: i64 = DAY;

/// A certificate with what signed it behind, and its private key; both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl fmt::Debug for Pair {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.certificate)
    }
}

/// Why nothing was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The authority cannot sign.
    #[error("the authority cannot be used: {0}")]
    Authority(String),
    /// The system gives no random bytes, or a name has no place in a certificate.
    #[error("no certificate could be made: {0}")]
    Other(String),
}

/// A name under which a server is asked for: of a host, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

/// The longest name of a host, in bytes (RFC 1035).
const NAME_MAX: usize = 253;

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_level = |level: &str| (1..=63).contains(&level.len()) && level.chars().all(fits);
        // A star for one level, as wildcard certificates have it.
        let rest = text.strip_prefix("*.").unwrap_or(text);
        match text.len() <= NAME_MAX && rest.split('.').all(is_level) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(format!(
                "\"{text}\" is neither the name of a host nor an address"
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes an authority for the gateway `gateway` (P-256), which may sign servers and clients but no other authority.
///
/// # Errors
///
/// [`Failed::Other`].
pub fn authority(gateway: &str, now: i64) -> Result<Pair, Failed> {
    let mut random = [0; 4];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| Failed::Other("the system gives no random bytes".to_owned()))?;
    // Two authorities of one gateway have different names: browsers refuse a second one of the same.
    let name = format!("{gateway} authority {:08x}", u32::from_be_bytes(random));
    let mut params = params(&name, now, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = new_key()?;
    let certificate = params.self_signed(&key).map_err(other)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// Makes a certificate for a server with these names (P-256), signed by an authority, with its own new key. The
/// authority's certificate follows in the same text.
///
/// # Errors
///
/// [`Failed`]; [`Failed::Other`] without a name.
pub fn issue(authority: &Pair, names: &[Name], now: i64) -> Result<Pair, Failed> {
    let first = names.first();
    let first = first.ok_or_else(|| Failed::Other("it needs a name".to_owned()))?;
    let wrong = |error: rcgen::Error| Failed::Authority(error.to_string());
    let signing = KeyPair::from_pem(&authority.key).map_err(wrong)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signing).map_err(wrong)?;
    let mut params = params(&first.0, now, SERVER_DAYS);
    params.subject_alt_names = names.iter().map(san).collect::<Result<_, _>>()?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = new_key()?;
    let certificate = params.signed_by(&key, &issuer).map_err(other)?;
    Ok(Pair {
        certificate: format!("{}{}", certificate.pem(), authority.certificate),
        key: key.serialize_pem(),
    })
}

fn new_key() -> Result<KeyPair, Failed> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(other)
}

fn other(error: rcgen::Error) -> Failed {
    Failed::Other(error.to_string())
}

fn san(name: &Name) -> Result<SanType, Failed> {
    match name.0.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => name
            .0
            .as_str()
            .try_into()
            .map(SanType::DnsName)
            .map_err(other),
    }
}

fn params(name: &str, now: i64, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    params.not_before = (UNIX_EPOCH + seconds(now - BEFORE)).into();
    params.not_after = (UNIX_EPOCH + seconds(now - BEFORE + days * DAY)).into();
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn names_are_hosts_or_addresses() {
        for (text, want) in [
            ("plant7.local", Some("plant7.local")),
            ("PLANT7", Some("plant7")),
            ("*.plant.example", Some("*.plant.example")),
            ("192.168.1.20", Some("192.168.1.20")),
            ("2001:DB8::1", Some("2001:db8::1")),
            ("", None),
            ("a..b", None),
            ("a b", None),
            ("https://a", None),
            ("a:443", None),
            ("*", None),
            ("käse.local", None),
        ] {
            let name = text.parse::<Name>().ok();
            assert_eq!(name.as_ref().map(|name| name.0.as_str()), want, "{text}");
        }
    }

    #[test]
    fn an_authority_signs_again_with_what_was_kept_of_it() {
        let now = 1_800_000_000;
        let root = authority("plant7", now).unwrap();
        let names = ["plant7.local".parse().unwrap()];
        let [one, two] = [now, now + 700 * DAY].map(|now| issue(&root, &names, now).unwrap());
        assert_ne!(one.key, two.key);
        for pair in [one, two] {
            assert!(check(pair.certificate.as_bytes(), pair.key.as_bytes(), now).is_ok());
            assert!(!format!("{pair:?}").contains("PRIVATE"));
        }
        let stranger = authority("plant8", now).unwrap();
        let mixed = Pair {
            key: "none".to_owned(),
            ..stranger
        };
        assert!(matches!(
            issue(&mixed, &names, now),
            Err(Failed::Authority(_))
        ));
        assert!(matches!(issue(&root, &[], now), Err(Failed::Other(_))));
        // Before there is a clock.
        assert!(issue(&authority("plant7", 0).unwrap(), &names, 0).is_ok());
    }
}
