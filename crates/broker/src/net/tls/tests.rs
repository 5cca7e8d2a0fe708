use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, DnValue, IsCa,
    KeyPair,
};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::subject::common_name;
use super::{Certificates, TlsFile};
use crate::endpoint::{ClientCa, TlsSettings};

/// A folder for one test; it goes when this goes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldgate-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named(names: &[&str]) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::OrganizationName, "ACME");
    for name in names {
        all.push(DnType::CommonName, *name);
    }
    all
}

/// The certificate and the key of `localhost`, as PEM.
fn certificate(issuer: &CertifiedIssuer<'_, KeyPair>, name: DistinguishedName) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name = name;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn settings(folder: &Folder, ca: &CertifiedIssuer<'_, KeyPair>, name: &str) -> TlsSettings {
    let (certificate, key) = certificate(ca, named(&[name]));
    TlsSettings {
        certificate: folder.write("certificate.pem", &certificate),
        key: folder.write("key.pem", &key),
        client_ca: Some(ClientCa {
            file: folder.write("ca.pem", &ca.pem()),
            required: false,
        }),
    }
}

/// Shakes hands; returns the names that the server and the client see in the other's certificate.
async fn shake(
    certificates: &Certificates,
    ca: &CertifiedIssuer<'_, KeyPair>,
    client: Option<DistinguishedName>,
) -> (Option<Box<str>>, Option<Box<str>>) {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let (certificate, key) = certificate(ca, name);
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
    };
    let connector = TlsConnector::from(Arc::new(config));
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from("localhost").unwrap();
    let (accepted, connected) =
        tokio::join!(certificates.accept(far), connector.connect(name, near));
    let connected = connected.unwrap();
    let shown = connected.get_ref().1.peer_certificates().unwrap();
    (accepted.unwrap().1, common_name(&shown[0]))
}

#[tokio::test]
async fn the_common_name_of_a_clients_certificate_is_its_subject() {
    let (folder, ca) = (Folder::new(), authority());
    let certificates = Certificates::load(settings(&folder, &ca, "board")).unwrap();
    let mut printable = DistinguishedName::new();
    let text = "Panel 7".try_into().unwrap();
    printable.push(DnType::CommonName, DnValue::PrintableString(text));
    for (client, want) in [
        (None, None),
        (Some(named(&["panel"])), Some("panel")),
        (Some(printable), Some("Panel 7")),
        (Some(named(&["Schaltwarte Süd"])), Some("Schaltwarte Süd")),
        (Some(named(&[])), None),
        (Some(named(&[""])), None),
        (Some(named(&["panel\0.example"])), None),
    ] {
        let (subject, server) = shake(&certificates, &ca, client.clone()).await;
        assert_eq!(subject.as_deref(), want, "{client:?}");
        assert_eq!(server.as_deref(), Some("board"));
    }
}

#[tokio::test]
async fn changed_files_are_noticed_and_broken_ones_change_nothing() {
    let (folder, ca) = (Folder::new(), authority());
    let settings = settings(&folder, &ca, "first");
    let certificates = Certificates::load(settings.clone()).unwrap();
    let (certificate, key) = certificate(&ca, named(&["second"]));
    for (file, text, want) in [
        (&settings.certificate, "", "first"),
        (&settings.certificate, certificate.as_str(), "first"), // The key is still the old one.
        (&settings.key, &key, "second"),
        (&settings.client_ca.as_ref().unwrap().file, "", "second"),
        (&settings.key, "", "second"),
    ] {
        fs::write(file, text).unwrap();
        certificates.refresh();
        let (_, server) = shake(&certificates, &ca, None).await;
        assert_eq!(server.as_deref(), Some(want), "{}", file.display());
    }
    fs::remove_file(&settings.key).unwrap();
    certificates.reload();
    let (_, server) = shake(&certificates, &ca, None).await;
    assert_eq!(server.as_deref(), Some("second"));
}

#[test]
fn a_file_of_no_use_is_named_with_the_cause() {
    let (folder, ca) = (Folder::new(), authority());
    let good = settings(&folder, &ca, "board");
    let other = certificate(&ca, named(&["other"])).1;
    let encrypted = other.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let pem = fs::read_to_string(&good.certificate).unwrap();
    let cut = pem.replace("-----END", "");
    let damaged = pem.replacen("MII", "M!I", 1);
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (file, text, what, want) in [
        (
            &good.certificate,
            "",
            TlsFile::Certificate,
            "no PEM certificate in it",
        ),
        (
            &good.certificate,
            &cut,
            TlsFile::Certificate,
            "an -----END line is missing",
        ),
        (&good.certificate, &damaged, TlsFile::Certificate, "damaged"),
        (
            &good.certificate,
            nonsense,
            TlsFile::Certificate,
            "invalid peer certificate",
        ),
        (&good.key, &pem, TlsFile::Key, "no PEM private key in it"),
        (&good.key, &encrypted, TlsFile::Key, "the key is encrypted"),
        (
            &good.key,
            &other,
            TlsFile::Key,
            "it is not the key of the certificate",
        ),
        (
            &good.client_ca.as_ref().unwrap().file,
            nonsense,
            TlsFile::ClientCa,
            "invalid",
        ),
    ] {
        let before = fs::read_to_string(file).unwrap();
        fs::write(file, text).unwrap();
        let error = good.check().unwrap_err();
        assert_eq!((&error.file, error.what), (file, what), "{text}");
        assert!(error.cause.contains(want), "{error}");
        fs::write(file, before).unwrap();
    }
    assert_eq!(good.check(), Ok(()));
    let absent = TlsSettings {
        key: Path::new("/nonexistent/key.pem").to_owned(),
        ..good
    };
    let error = absent.check().unwrap_err().to_string();
    let want = "key /nonexistent/key.pem: No such file or directory (os error 2)";
    assert_eq!(error, want);
}

#[test]
fn a_certificate_with_two_names_has_none() {
    // The second is the first one's set, twice: rcgen writes a kind of name only once.
    let der = authority_with("panel");
    let name = [
        0x31, 0x10, 0x30, 0x0E, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x07,
    ];
    let at = der.windows(name.len()).rposition(|window| window == name);
    let at = at.unwrap();
    assert_eq!(common_name(&der).as_deref(), Some("panel 7"));
    let set = der[at..at + 18].to_vec();
    let mut two = der[..at].to_vec();
    two.extend_from_slice(&set);
    two.extend_from_slice(&der[at..]);
    // The lengths of the subject, of what is signed and of the whole grow by the set.
    two[at - 1] += 18;
    for length in [2, 6] {
        let grown = u16::from_be_bytes([two[length], two[length + 1]]) + 18;
        two[length..length + 2].copy_from_slice(&grown.to_be_bytes());
    }
    assert_eq!(common_name(&two), None);
}

/// A certificate with nothing but a common name in its subject.
fn authority_with(name: &str) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["x".repeat(60); 4]).unwrap();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, format!("{name} 7"));
    params.distinguished_name = subject;
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

proptest! {
    #[test]
    fn a_damaged_certificate_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        length in any::<prop::sample::Index>(),
    ) {
        let mut der = authority_with("panel");
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        let _ = common_name(&der);
        let _ = common_name(&der[..length.index(der.len())]);
    }
}
