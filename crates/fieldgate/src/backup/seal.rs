//! Closes bytes with a password: argon2id makes the key, ChaCha20-Poly1305 encrypts and authenticates (RFC 8439).
//!
//! A sealed text is a mark, 16 random bytes that go into the key, 12 that are the nonce, the ciphertext and its tag.

use argon2::Argon2;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// What it begins with; another way of sealing has another one.
const MARK: &[u8; 8] = b"fgseal1\n";
const SALT: usize = 16;
const NONCE: usize = 12;
/// Characters of a password, at least: with the file at hand, passwords can be tried without limit.
pub(crate) const PASSWORD_MIN: usize = 10;
/// Bytes of a password.
const PASSWORD_MAX: usize = 1024;

/// Seals.
///
/// # Errors
///
/// A password that is too short or too long, and what the system refuses.
pub(super) fn seal(plain: &[u8], password: &str) -> Result<Vec<u8>, String> {
    check(password)?;
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    let random = SystemRandom::new();
    let refused = |_| "the system gives no random bytes".to_owned();
    random.fill(&mut salt).map_err(refused)?;
    random.fill(&mut nonce).map_err(refused)?;
    let mut bytes = plain.to_vec();
    key(password, &salt)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(MARK),
            &mut bytes,
        )
        .map_err(|_| "too much to seal".to_owned())?;
    Ok([&MARK[..], &salt, &nonce, &bytes].concat())
}

/// Opens what was sealed.
///
/// # Errors
///
/// That the password is another one, or the bytes are not what was sealed.
pub(super) fn open(sealed: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let wrong = || "the password is another one, or the file was changed".to_owned();
    let parts = || {
        let rest = sealed.strip_prefix(MARK)?;
        let (salt, rest) = rest.split_first_chunk::<SALT>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        Some((salt, *nonce, rest))
    };
    let (salt, nonce, rest) = parts().ok_or_else(|| "what is sealed is damaged".to_owned())?;
    if password.is_empty() || password.len() > PASSWORD_MAX {
        return Err(wrong());
    }
    let mut bytes = rest.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = key(password, salt)?.open_in_place(nonce, Aad::from(MARK), &mut bytes);
    Ok(opened.map_err(|_| wrong())?.to_vec())
}

fn check(password: &str) -> Result<(), String> {
    if password.chars().count() < PASSWORD_MIN || password.len() > PASSWORD_MAX {
        return Err(format!(
            "the password of a backup has at least {PASSWORD_MIN} characters, and at most {PASSWORD_MAX} bytes"
        ));
    }
    Ok(())
}

fn key(password: &str, salt: &[u8; SALT]) -> Result<LessSafeKey, String> {
    let mut key = [0; 32];
    Argon2::default()
        .hash_password_into(password.as_bytes(), salt, &mut key)
        .map_err(|error| error.to_string())?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key);
    let key = key.map_err(|_| "no key".to_owned())?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_opens_what_was_sealed_and_only_as_it_was() {
        let sealed = seal(b"the key", "correct horse").unwrap();
        assert_eq!(open(&sealed, "correct horse").unwrap(), b"the key");
        assert!(!sealed.windows(7).any(|part| part == b"the key"));
        assert_ne!(seal(b"the key", "correct horse").unwrap(), sealed);
        for password in ["", "correct hors", "Correct horse"] {
            assert!(
                open(&sealed, password).unwrap_err().contains("another one"),
                "{password}"
            );
        }
        for place in [
            MARK.len(),
            MARK.len() + SALT,
            MARK.len() + SALT + NONCE,
            sealed.len() - 1,
        ] {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(open(&changed, "correct horse").is_err(), "{place}");
        }
        for length in [0, 7, 20, 35] {
            assert!(
                open(&sealed[..length], "correct horse")
                    .unwrap_err()
                    .contains("damaged")
            );
        }
        for password in ["short", &"x".repeat(2_000)] {
            assert!(seal(b"", password).is_err());
        }
    }
}
