//! Who is logged in. Pure: the time and random bytes are arguments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::accounts::{Account, Role};

/// Sessions at a time; past it the one that was idle for longest ends.
const SESSIONS_MAX: usize = 64;
/// A session ends after this time, whatever is done.
pub(crate) const TOTAL: Duration = Duration::from_secs(12 * 3_600);
/// That of a user who may change something ends when nothing was done for so long.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// What a visitor shows: 256 random bits.
pub(crate) type Token = [u8; 32];

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A user.
    User(String),
    /// A script that shows a token of a user.
    Token {
        /// The user.
        user: String,
        /// The user and the name of the token, for people and logs.
        shown: String,
    },
    /// A person who knows the code of this start.
    Code,
}

impl Holder {
    /// The name, for people and logs.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::User(name) => name,
            Self::Token { shown, .. } => shown,
            Self::Code => "local",
        }
    }

    /// The user whose rules hold.
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Token { user, .. } => user,
            other => other.name(),
        }
    }
}

/// A session, as requests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) holder: Holder,
    /// What the user was when it logged in.
    pub(crate) account: Account,
}

#[derive(Debug)]
struct Kept {
    session: Session,
    begun: Instant,
    used: Instant,
}

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: HashMap<Token, Kept>,
}

impl Sessions {
    /// Begins one under a token that is new.
    pub(crate) fn open(&mut self, token: Token, session: Session, now: Instant) {
        self.all.retain(|_, kept| kept.lives(now));
        if self.all.len() >= SESSIONS_MAX {
            let idle = self.all.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(idle) = idle.map(|(token, _)| *token) {
                self.all.remove(&idle);
            }
        }
        let kept = Kept {
            session,
            begun: now,
            used: now,
        };
        self.all.insert(token, kept);
    }

    /// The session of a token. `by_person` if a person has just done something, and not a page by itself.
    pub(crate) fn find(&mut self, token: &Token, by_person: bool, now: Instant) -> Option<Session> {
        let kept = self.all.get_mut(token)?;
        if !kept.lives(now) {
            self.all.remove(token);
            return None;
        }
        if by_person {
            kept.used = now;
        }
        Some(kept.session.clone())
    }

    /// Ends one.
    pub(crate) fn close(&mut self, token: &Token) {
        self.all.remove(token);
    }

    /// How many there are.
    pub(crate) fn count(&self, now: Instant) -> usize {
        self.all.values().filter(|kept| kept.lives(now)).count()
    }
}

impl Kept {
    fn lives(&self, now: Instant) -> bool {
        let idle = match self.session.account.role {
            Role::View => TOTAL,
            Role::Operate | Role::Admin => IDLE,
        };
        now - self.begun < TOTAL && now - self.used < idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(role: Role) -> Session {
        Session {
            holder: Holder::User("ann".into()),
            account: Account { role, stamp: 1 },
        }
    }

    fn token(number: usize) -> Token {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&number.to_le_bytes());
        token
    }

    #[test]
    fn a_session_ends_when_it_is_old_or_idle() {
        let start = Instant::now();
        let minutes = |minutes: u64| start + Duration::from_secs(60 * minutes);
        for (role, by_person, at, want) in [
            (Role::Admin, true, vec![29, 58], true),
            (Role::Admin, true, vec![29, 59], false),
            (Role::Admin, false, vec![29, 58], false),
            (Role::Operate, false, vec![31], false),
            (Role::View, false, vec![300, 719], true),
            (Role::View, true, vec![719, 720], false),
        ] {
            let mut sessions = Sessions::default();
            sessions.open(token(1), session(role), start);
            let found = at
                .iter()
                .map(|at| sessions.find(&token(1), by_person, minutes(*at)).is_some());
            assert_eq!(found.last(), Some(want), "{role:?} {by_person} {at:?}");
        }
        let mut sessions = Sessions::default();
        sessions.open(token(1), session(Role::Admin), start);
        for at in (10..720).step_by(10) {
            assert!(sessions.find(&token(1), true, minutes(at)).is_some());
        }
        assert_eq!(sessions.find(&token(1), true, minutes(720)), None);
    }

    #[test]
    fn only_its_own_token_finds_a_session_until_it_is_closed() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        sessions.open(token(1), session(Role::View), now);
        assert_eq!(sessions.find(&token(2), true, now), None);
        assert_eq!(
            sessions.find(&token(1), true, now),
            Some(session(Role::View))
        );
        sessions.close(&token(1));
        assert_eq!(sessions.find(&token(1), true, now), None);
    }

    #[test]
    fn the_one_that_is_idle_for_longest_makes_room() {
        let start = Instant::now();
        let mut sessions = Sessions::default();
        for number in 0..SESSIONS_MAX {
            let at = start + Duration::from_secs(number as u64);
            sessions.open(token(number), session(Role::Admin), at);
        }
        let later = start + Duration::from_secs(100);
        assert!(sessions.find(&token(0), true, later).is_some());
        sessions.open(token(1_000), session(Role::Admin), later);
        assert_eq!(sessions.count(later), SESSIONS_MAX);
        assert_eq!(sessions.find(&token(1), true, later), None);
        for lives in [0, 2, 1_000] {
            assert!(
                sessions.find(&token(lives), true, later).is_some(),
                "{lives}"
            );
        }
    }
}
