//! What a certificate says of itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

use crate::DAY;

/// Certificates in a file. A chain of a server has two or three.
const CHAIN_MAX: usize = 16;
/// Names of one certificate that are told.
const NAMES_MAX: usize = 100;

/// What a certificate says of itself. Nothing of it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Whom it names: the common name, or everything if it has none.
    pub subject: String,
    /// Who signed it, likewise.
    pub issuer: String,
    /// The host names and addresses that it is for.
    pub names: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Whether it names itself as the one who signed it.
    pub is_self_signed: bool,
    /// From when on it is valid, in seconds since 1970.
    pub from: i64,
    /// Until when it is valid, in seconds since 1970.
    pub until: i64,
    /// The SHA-256 of its bytes.
    pub fingerprint: [u8; 32],
    /// Whom it names and who signed it, as they are compared.
    pub(crate) subject_raw: Vec<u8>,
    pub(crate) issuer_raw: Vec<u8>,
}

impl About {
    /// Whole days until it ends; below zero once it has.
    pub fn days_left(&self, now: i64) -> i64 {
        (self.until - now).div_euclid(DAY)
    }

    /// Whether its bytes name `other` as the one who signed it.
    pub fn is_signed_in_the_name_of(&self, other: &Self) -> bool {
        self.issuer_raw == other.subject_raw
    }

    /// Whether it has a name as [`authority`](crate::authority) gives it.
    pub fn is_made_here(&self) -> bool {
        let digits = self.subject.rsplit_once(" authority ");
        digits
            .is_some_and(|(_, digits)| digits.len() == 8 && u32::from_str_radix(digits, 16).is_ok())
    }

    /// The fingerprint as browsers show it: `AB:CD:...`
    pub fn fingerprint_text(&self) -> String {
        let bytes = self.fingerprint.iter();
        let pairs: Vec<String> = bytes.map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// Reads the certificates of a PEM file, in their order.
///
/// # Errors
///
/// What is wrong with the file, for people.
pub fn read(text: &[u8]) -> Result<Vec<About>, String> {
    let mut found = Vec::new();
    for one in ders(text)? {
        let (rest, certificate) =
            parse_x509_certificate(&one).map_err(|_| damaged(found.len() + 1))?;
        if !rest.is_empty() {
            return Err(damaged(found.len() + 1));
        }
        found.push(about(&one, &certificate));
    }
    Ok(found)
}

fn damaged(number: usize) -> String {
    format!("certificate {number} in it is damaged")
}

/// The certificates of a PEM file as bytes; at least one.
pub(crate) fn ders(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for one in CertificateDer::pem_slice_iter(text) {
        if found.len() == CHAIN_MAX {
            return Err(format!("more than {CHAIN_MAX} certificates in it"));
        }
        found.push(one.map_err(|error| in_words(&error))?);
    }
    match found.is_empty() {
        true => Err("no PEM certificate in it (-----BEGIN CERTIFICATE-----)".to_owned()),
        false => Ok(found),
    }
}

/// What is wrong with a PEM file.
pub(crate) fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "not whole: an -----END line is missing".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is damaged".to_owned(),
        pem::Error::Base64Decode(_) => "damaged: not base64".to_owned(),
        other => other.to_string(),
    }
}

fn about(bytes: &[u8], certificate: &X509Certificate<'_>) -> About {
    let mut fingerprint = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    fingerprint.copy_from_slice(digest.as_ref());
    let (subject, issuer) = (certificate.subject(), certificate.issuer());
    let validity = certificate.validity();
    About {
        subject: shown(subject),
        issuer: shown(issuer),
        names: names(certificate),
        is_authority: certificate.is_ca(),
        is_self_signed: subject.as_raw() == issuer.as_raw(),
        from: validity.not_before.timestamp(),
        until: validity.not_after.timestamp(),
        fingerprint,
        subject_raw: subject.as_raw().to_vec(),
        issuer_raw: issuer.as_raw().to_vec(),
    }
}

/// A name for people, on one line.
fn shown(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    let common = common.and_then(|common| common.as_str().ok());
    tame(&common.map_or_else(|| name.to_string(), str::to_owned))
}

fn tame(text: &dyn fmt::Display) -> String {
    let text = text.to_string();
    let tame = text.chars().filter(|c| !c.is_control());
    tame.take(200).collect()
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(found)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = found.value.general_names.iter().take(NAMES_MAX);
    let told = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(tame(name)),
        GeneralName::IPAddress(bytes) => Some(address(bytes)?.to_string()),
        _ => None,
    });
    told.collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).into());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).into()))
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Name, authority, issue};

    #[test]
    fn a_certificate_says_its_names_its_authority_and_its_days() {
        let now = 1_800_000_000;
        let authority = authority("plant7", now).unwrap();
        let names =
            ["plant7.local", "192.168.1.20", "::1"].map(|name| name.parse::<Name>().unwrap());
        let own = issue(&authority, &names, now).unwrap();
        let [leaf, root] =
            <[About; 2]>::try_from(read(own.certificate.as_bytes()).unwrap()).unwrap();
        assert_eq!(leaf.names, ["plant7.local", "192.168.1.20", "::1"]);
        assert_eq!(leaf.subject, "plant7.local");
        assert_eq!(leaf.issuer, root.subject);
        assert!(
            root.subject.starts_with("plant7 authority "),
            "{}",
            root.subject
        );
        assert!(leaf.is_signed_in_the_name_of(&root) && !root.is_signed_in_the_name_of(&leaf));
        assert_eq!((leaf.is_authority, root.is_authority), (false, true));
        assert_eq!((leaf.is_made_here(), root.is_made_here()), (false, true));
        assert_eq!((leaf.is_self_signed, root.is_self_signed), (false, true));
        assert_eq!(leaf.days_left(leaf.until - 1), 0);
        assert_eq!(leaf.days_left(leaf.until + 1), -1);
        assert_eq!(leaf.fingerprint_text().len(), 32 * 3 - 1);
        assert_ne!(leaf.fingerprint, root.fingerprint);
    }

    #[test]
    fn what_is_no_certificate_is_told_in_words() {
        let block = |text: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        for (text, want) in [
            (String::new(), "no PEM certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(),
                "END line is missing",
            ),
            (block("!!!!"), "not base64"),
            (block("AAAA"), "certificate 1 in it is damaged"),
        ] {
            let told = read(text.as_bytes()).unwrap_err();
            assert!(told.contains(want), "{text:?}: {told}");
        }
        let pair = authority("a", 0).unwrap();
        let many = pair.certificate.repeat(CHAIN_MAX + 1);
        assert!(read(many.as_bytes()).unwrap_err().contains("more than"));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_and_end_nothing(place in 0..600_usize, byte: u8) {
            use rustls::pki_types::CertificateDer;
            let pair = authority("a", 0).unwrap();
            let mut bytes = ders(pair.certificate.as_bytes()).unwrap().remove(0).to_vec();
            if let Some(hit) = bytes.get_mut(place) {
                *hit = byte;
            }
            let hit = CertificateDer::from(bytes);
            if let Ok((_, parsed)) = parse_x509_certificate(&hit) {
                let told = about(&hit, &parsed);
                prop_assert!(!told.subject.chars().any(char::is_control));
            }
        }
    }
}
