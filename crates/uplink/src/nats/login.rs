//! Who connects to NATS: a name and a password, a token, or a key pair (nkey) that signs what the server asks.
//!
//! Source: docs.nats.io, NKeys and decentralized JWT authentication; a seed is base32 of two bytes of kind, 32 bytes
//! of an Ed25519 seed and a CRC-16.

use serde_json::{Map, Value};
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::crypto::ring::sign::any_eddsa_type;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::sign::SigningKey;

use super::api::to_base64url;

/// What comes before the seed in a private key as PKCS #8 version 1 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// The kinds of a seed and of a user's key: `S` and `U` as their first letters.
const SEED: u8 = 18 << 3;
const USER: u8 = 20 << 3;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What the files say.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// A name and its password.
    pub user: Option<(String, String)>,
    /// A token.
    pub token: Option<String>,
    /// A key pair.
    pub credentials: Option<Credentials>,
}

impl std::fmt::Debug for Login {
    /// Secrets are in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// A key pair, and perhaps what an operator says of it (JWT).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    jwt: Option<String>,
    seed: [u8; 32],
}

impl Credentials {
    /// Reads a file of credentials, as `nsc` writes it, or a file with a seed only.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let jwt = block(text, "NATS USER JWT");
        let seed = match block(text, "USER NKEY SEED") {
            Some(seed) => seed,
            None => text.split_ascii_whitespace().next().unwrap_or_default(),
        };
        let wrong = || "expected a file of credentials or the seed of a user, SU...".to_owned();
        let bytes = from_base32(seed).ok_or_else(wrong)?;
        let (body, sum) = bytes.split_last_chunk::<2>().ok_or_else(wrong)?;
        let is_whole = crc16(body) == u16::from_le_bytes(*sum);
        match body {
            [first, second, seed @ ..]
                if is_whole && [*first, *second] == [SEED | USER >> 5, USER << 3] =>
            {
                Ok(Self {
                    jwt: jwt.map(str::to_owned),
                    seed: seed.try_into().map_err(|_| wrong())?,
                })
            }
            _ => Err(wrong()),
        }
    }

    fn key(&self) -> Option<std::sync::Arc<dyn SigningKey>> {
        let der = [PKCS8.as_slice(), self.seed.as_slice()].concat();
        any_eddsa_type(&PrivatePkcs8KeyDer::from(der)).ok()
    }

    /// The key that the server knows, which begins with `U`.
    pub fn public(&self) -> Option<String> {
        let key = self.key()?;
        let info = key.public_key()?;
        let public = info.last_chunk::<32>()?;
        let mut bytes = vec![USER];
        bytes.extend_from_slice(public);
        let sum = crc16(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Some(to_base32(&bytes))
    }

    /// Signs what the server asks.
    fn sign(&self, nonce: &str) -> Option<String> {
        let signer = self.key()?.choose_scheme(&[SignatureScheme::ED25519])?;
        signer
            .sign(nonce.as_bytes())
            .ok()
            .map(|signed| to_base64url(&signed))
    }
}

impl Login {
    /// Adds what CONNECT says of who connects.
    pub fn fill(&self, nonce: Option<&str>, connect: &mut Map<String, Value>) {
        let mut say = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                connect.insert(key.to_owned(), value.into());
            }
        };
        if let Some((user, password)) = &self.user {
            say("user", Some(user.clone()));
            say("pass", Some(password.clone()));
        }
        say("auth_token", self.token.clone());
        // Without a question there is nothing to sign: the server wants no key.
        if let (Some(credentials), Some(nonce)) = (&self.credentials, nonce) {
            match &credentials.jwt {
                Some(jwt) => say("jwt", Some(jwt.clone())),
                None => say("nkey", credentials.public()),
            }
            say("sig", credentials.sign(nonce));
        }
    }
}

/// What stands between the lines `-----BEGIN NAME-----` and `------END NAME------`.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("BEGIN {name}"))?;
    let (_, rest) = rest.split_once('\n')?;
    rest.split_ascii_whitespace().next()
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let value = BASE32.iter().position(|known| *known == byte)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

fn to_base32(bytes: &[u8]) -> String {
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    let mut push = |index: u32| {
        let letter = BASE32.get((index & 31) as usize);
        text.extend(letter.copied().map(char::from));
    };
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            push(bits >> count);
            bits &= (1 << count) - 1;
        }
    }
    if count > 0 {
        push(bits << (5 - count));
    }
    text
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| match sum & 0x8000 {
            0 => sum << 1,
            _ => sum << 1 ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From the documentation of nkeys.
    const SEED_TEXT: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

    #[test]
    fn a_key_is_read_from_a_file_of_credentials_or_alone() {
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.sig\n------END NATS USER JWT------\n\nIMPORTANT\n\n\
             -----BEGIN USER NKEY SEED-----\n{SEED_TEXT}\n------END USER NKEY SEED------\n"
        );
        for (text, jwt) in [
            (file.as_str(), Some("eyJ0.eyJq.sig")),
            (&format!("{SEED_TEXT}\n"), None),
        ] {
            let credentials = Credentials::read(text).unwrap();
            assert_eq!(credentials.jwt.as_deref(), jwt);
            assert_eq!(credentials.public().as_deref(), Some(PUBLIC));
            let mut connect = Map::new();
            let login = Login {
                credentials: Some(credentials),
                ..Login::default()
            };
            login.fill(Some("nonce"), &mut connect);
            assert_eq!(connect["sig"].as_str().unwrap().len(), 86);
            assert_eq!(
                (connect.contains_key("jwt"), connect.contains_key("nkey")),
                (jwt.is_some(), jwt.is_none())
            );
        }
    }

    #[test]
    fn a_file_that_is_no_seed_is_refused() {
        let broken = SEED_TEXT.replace("SUACS", "SUACT");
        for text in ["", "hunter2", PUBLIC, &broken, "SU"] {
            assert!(Credentials::read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn base32_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(from_base32(&to_base32(&bytes)), Some(bytes));
        }
    }
}
