//! Password hashes: argon2id in the text form that other programs write too.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};

/// The longest password, in bytes. MQTT would allow 65,535.
const PASSWORD_MAX: usize = 1024;

/// The costliest hash that is accepted: 256 MiB, which a board with 1 GB can just spare.
const MEMORY_MAX_KIB: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// A password that cannot be had back: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
///
/// New ones take 19 MiB, two passes and one lane, the least that OWASP's password storage cheat
/// sheet recommends: tens of milliseconds on a desktop processor, several times that on a small board.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PasswordHash(Arc<str>);

/// Why a text is no password hash, or a password cannot be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is not of the form `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    #[error("not an argon2id hash as `fieldgate user` writes it")]
    Format,
    /// Checking it would take more than a board can spare.
    #[error(
        "the hash costs too much: at most m={MEMORY_MAX_KIB},t={PASSES_MAX},p={LANES_MAX} is accepted"
    )]
    Cost,
    /// A password is empty or longer than 1,024 bytes.
    #[error("a password has 1 to {PASSWORD_MAX} bytes")]
    Length,
    /// The system gives no random numbers or no memory.
    #[error("the system has no memory or no random numbers to spare")]
    System,
}

impl PasswordHash {
    /// Hashes a password with a new salt. Takes some tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// [`PasswordError::Length`] and [`PasswordError::System`].
    pub fn of(password: &[u8]) -> Result<Self, PasswordError> {
        if !(1..=PASSWORD_MAX).contains(&password.len()) {
            return Err(PasswordError::Length);
        }
        let hash: phc::PasswordHash = Argon2::default()
            .hash_password(password)
            .map_err(|_| PasswordError::System)?;
        Ok(Self(hash.to_string().into()))
    }

    /// Whether `password` is the one that was hashed. `None` if there is no memory to find out.
    pub fn verify(&self, password: &[u8]) -> Option<bool> {
        use argon2::password_hash::Error;
        if password.len() > PASSWORD_MAX {
            return Some(false);
        }
        let hash = phc::PasswordHash::new(&self.0).ok()?;
        match Argon2::default().verify_password(password, &hash) {
            Ok(()) => Some(true),
            Err(Error::PasswordInvalid) => Some(false),
            Err(_) => None,
        }
    }

    /// What a check costs, comparable with others: memory and passes over it.
    pub fn cost(&self) -> u64 {
        let hash = phc::PasswordHash::new(&self.0).ok();
        let params = hash.and_then(|hash| Params::try_from(&hash).ok());
        params.map_or(0, |params| {
            u64::from(params.m_cost()) * u64::from(params.t_cost())
        })
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordError::Format)?;
        if hash.algorithm != argon2::ARGON2ID_IDENT || hash.salt.is_none() || hash.hash.is_none() {
            return Err(PasswordError::Format);
        }
        let params = Params::try_from(&hash).map_err(|_| PasswordError::Format)?;
        if params.m_cost() > MEMORY_MAX_KIB
            || params.t_cost() > PASSES_MAX
            || params.p_cost() > LANES_MAX
        {
            return Err(PasswordError::Cost);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PasswordHash {
    /// Keeps hashes out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other_and_differs_each_time() {
        let hash = PasswordHash::of(b"secret").unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let read: PasswordHash = hash.as_str().parse().unwrap();
        assert_eq!(read.verify(b"secret"), Some(true));
        assert_eq!(read.verify(b"Secret"), Some(false));
        assert_eq!(read.verify(&vec![b's'; PASSWORD_MAX + 1]), Some(false));
        assert_ne!(PasswordHash::of(b"secret").unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "PasswordHash");
    }

    #[test]
    fn only_argon2id_of_bearable_cost_is_a_hash() {
        let tail = "c2FsdHNhbHRzYWx0$RdescudvJCsgt3ub+b4dWRWJTmaaJObGZ9fTnSzqYvM";
        for (text, want) in [
            (format!("$argon2id$v=19$m=8,t=1,p=1${tail}"), Ok(())),
            (
                format!("$argon2i$v=19$m=8,t=1,p=1${tail}"),
                Err(PasswordError::Format),
            ),
            (
                format!("$argon2id$v=19$m=262145,t=1,p=1${tail}"),
                Err(PasswordError::Cost),
            ),
            (
                format!("$argon2id$v=19$m=64,t=17,p=1${tail}"),
                Err(PasswordError::Cost),
            ),
            ("secret".to_owned(), Err(PasswordError::Format)),
            (
                "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0".to_owned(),
                Err(PasswordError::Format),
            ),
            (String::new(), Err(PasswordError::Format)),
        ] {
            let found: Result<PasswordHash, _> = text.parse();
            assert_eq!(found.map(|_| ()), want, "{text}");
        }
        for password in [vec![], vec![b'x'; PASSWORD_MAX + 1]] {
            assert_eq!(PasswordHash::of(&password), Err(PasswordError::Length));
        }
    }
}
