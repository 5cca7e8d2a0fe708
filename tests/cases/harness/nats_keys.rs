//! Keys of NATS (nkeys), and what an operator and an account say of others (JWT), as `nsc` makes them.
//!
//! Source: docs.nats.io, NKeys, and JWTs; a key is base32 of a byte of kind, 32 bytes of Ed25519 and a CRC-16.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::crypto::ring::sign::any_eddsa_type;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::sign::SigningKey;

/// What comes before the seed in a private key as PKCS #8 version 1 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// The kinds of keys, which are their first letters: `S`, `O`, `A`, `U`.
const SEED: u8 = 18 << 3;
pub const OPERATOR: u8 = 14 << 3;
pub const ACCOUNT: u8 = 0;
pub const USER: u8 = 20 << 3;

/// A key pair.
pub struct Key {
    kind: u8,
    seed: [u8; 32],
    signer: Arc<dyn SigningKey>,
}

impl Key {
    /// Always the same one for the same `number`.
    pub fn new(kind: u8, number: u8) -> Self {
        let seed = std::array::from_fn(|at| number.wrapping_mul(31) ^ at as u8 ^ kind);
        let der = [PKCS8.as_slice(), &seed].concat();
        let signer = any_eddsa_type(&PrivatePkcs8KeyDer::from(der)).unwrap();
        Self { kind, seed, signer }
    }

    pub fn public(&self) -> String {
        let info = self.signer.public_key().unwrap();
        with_sum(&[&[self.kind], info.last_chunk::<32>().unwrap().as_slice()].concat())
    }

    pub fn seed(&self) -> String {
        let kind = [SEED | self.kind >> 5, self.kind << 3];
        with_sum(&[kind.as_slice(), &self.seed].concat())
    }

    /// For openssl.
    pub fn pem(&self) -> String {
        let der = [PKCS8.as_slice(), &self.seed].concat();
        let text = base64(&der, b"+/") + "=="[..(3 - der.len() % 3) % 3].as_ref();
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    /// What this one says of `subject`: `claims` are those of NATS.
    pub fn says(&self, subject: &Key, claims: Value, expires: Option<u64>) -> String {
        let mut body = json!({
            "jti": "test", "iat": 1_700_000_000, "iss": self.public(), "name": "test",
            "sub": subject.public(), "nats": claims,
        });
        if let Some(expires) = expires {
            body["exp"] = expires.into();
        }
        let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
        let [head, body] = [head, body].map(|part| base64(part.to_string().as_bytes(), b"-_"));
        let signed = format!("{head}.{body}");
        let signer = self
            .signer
            .choose_scheme(&[SignatureScheme::ED25519])
            .unwrap();
        let signature = signer.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64(&signature, b"-_"))
    }

    /// The file of a user.
    pub fn credentials(&self, jwt: &str) -> String {
        let seed = self.seed();
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// Without padding; `last` are the last two of the 64 characters.
fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let letters: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(*last)
        .collect();
    in_groups(bytes, 6, &letters)
}

/// A key's text.
fn with_sum(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| match sum & 0x8000 {
            0 => sum << 1,
            _ => sum << 1 ^ 0x1021,
        })
    });
    let bytes = [bytes, &sum.to_le_bytes()].concat();
    in_groups(&bytes, 5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

fn in_groups(bytes: &[u8], size: u32, letters: &[u8]) -> String {
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    let mut push = |index: u32| text.push(char::from(letters[index as usize]));
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= size {
            count -= size;
            push(bits >> count);
            bits &= (1 << count) - 1;
        }
    }
    if count > 0 {
        push(bits << (size - count));
    }
    text
}

#[test]
fn keys_have_the_form_that_nkeys_gives_them() {
    for (kind, letter) in [(OPERATOR, 'O'), (ACCOUNT, 'A'), (USER, 'U')] {
        let key = Key::new(kind, 1);
        assert!(key.public().starts_with(letter) && key.public().len() == 56);
        assert!(key.seed().starts_with(&format!("S{letter}")) && key.seed().len() == 58);
    }
}
