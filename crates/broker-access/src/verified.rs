//! Credentials that were right a short while ago, so that a client which comes back does not cost
//! a password hash again.
//!
//! Kept is a keyed digest of user name, hash and password; the key never leaves this process. A changed
//! password changes the hash, so an old digest matches nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use argon2::password_hash;
use blake2::{Blake2b256, Digest};

use super::password::PasswordHash;

/// How long credentials count as proven after their last use.
const KEPT: Duration = Duration::from_secs(3600);

/// Clients with credentials of their own that may come back cheaply, at 48 bytes each or so.
const PROVEN_MAX: usize = 16 * 1024;

type Seal = [u8; 32];

/// The digests, and when each was last used.
pub(crate) struct VerifiedCache {
    /// `None` if the system gives no random numbers: then nothing is remembered.
    key: Option<Seal>,
    seals: HashMap<Seal, Instant>,
}

impl VerifiedCache {
    pub(crate) fn new() -> Self {
        Self {
            key: random_key(),
            seals: HashMap::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.seals.clear();
    }

    pub(crate) fn seal(&self, user: &str, hash: &PasswordHash, password: &[u8]) -> Option<Seal> {
        let mut digest = Blake2b256::new();
        digest.update(self.key?);
        for part in [user.as_bytes(), hash.as_str().as_bytes(), password] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Some(digest.finalize().into())
    }

    /// Whether the credentials are known to be right.
    pub(crate) fn contains(&mut self, seal: &Seal, now: Instant) -> bool {
        let Some(used) = self.seals.get_mut(seal) else {
            return false;
        };
        let fresh = now.saturating_duration_since(*used) < KEPT;
        if fresh {
            *used = now;
        } else {
            self.seals.remove(seal);
        }
        fresh
    }

    pub(crate) fn insert(&mut self, seal: Seal, now: Instant) {
        if self.seals.len() >= PROVEN_MAX {
            self.seals
                .retain(|_, used| now.saturating_duration_since(*used) < KEPT);
        }
        if self.seals.len() >= PROVEN_MAX {
            self.seals.clear();
        }
        self.seals.insert(seal, now);
    }
}

fn random_key() -> Option<Seal> {
    let halves = [
        password_hash::try_generate_salt().ok()?,
        password_hash::try_generate_salt().ok()?,
    ];
    halves.concat().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_name_hash_and_password_are_proven_and_not_for_ever() {
        let mut proven = VerifiedCache::new();
        let hash = |salt: &str| -> PasswordHash {
            let text = format!(
                "$argon2id$v=19$m=8,t=1,p=1${salt}$RdescudvJCsgt3ub+b4dWRWJTmaaJObGZ9fTnSzqYvM"
            );
            text.parse().unwrap()
        };
        let (one, two) = (hash("c2FsdHNhbHRzYWx0"), hash("c2FsdHNhbHRzYWx1"));
        let start = Instant::now();
        let seal = proven.seal("ann", &one, b"pw").unwrap();
        assert!(!proven.contains(&seal, start));
        proven.insert(seal, start);
        for (user, hash, password, want) in [
            ("ann", &one, &b"pw"[..], true),
            ("ann", &one, b"px", false),
            ("ann", &two, b"pw", false),
            ("bob", &one, b"pw", false),
        ] {
            let seal = proven.seal(user, hash, password).unwrap();
            assert_eq!(proven.contains(&seal, start), want, "{user} {password:?}");
        }
        assert!(proven.contains(&seal, start + KEPT / 2));
        assert!(proven.contains(&seal, start + KEPT));
        assert!(!proven.contains(&seal, start + KEPT * 2));
        proven.insert(seal, start);
        proven.clear();
        assert!(!proven.contains(&seal, start));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut proven = VerifiedCache::new();
        let now = Instant::now();
        for number in 0..PROVEN_MAX as u64 * 2 {
            let mut seal = [0; 32];
            seal[..8].copy_from_slice(&number.to_le_bytes());
            proven.insert(seal, now);
            assert!(proven.contains(&seal, now));
            assert!(proven.seals.len() <= PROVEN_MAX);
        }
    }
}
