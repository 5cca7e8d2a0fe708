//! Who may connect, publish and subscribe.
//!
//! Every decision of the broker about rights is made here: `users` is what the broker was told, `login`
//! checks passwords, and `rights` says what one session may do. Nothing here knows sockets or files.

mod filter;
mod lines;
mod login;
mod network;
mod own;
mod password;
mod rate_limit;
mod rights;
mod users;
mod verified;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fieldgate_mqtt::ReasonCode;

pub use login::{DelayedRefusal, Logins, Question, Verdict};
pub use network::network;
pub use own::OwnTopics;
pub use password::{PasswordError, PasswordHash};
pub use rights::Rights;
pub use users::{AccessToken, FilterError, Permission, Role, Rule, User, Users};

use fieldgate_broker_core::record::Identity;

/// Checked for names without a user, so that they take as long as others.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$ZmllbGRnYXRlIGRlY295$TnbwXIEIcRlAHyXe2bCcHKuimDILkZYYhVgqAtQD1Q0";

/// The rights of one broker's clients.
#[derive(Debug)]
pub struct Access {
    policy: Mutex<Arc<Policy>>,
    /// Checks passwords.
    pub logins: Logins,
    takeover: Takeover,
    own: RwLock<Arc<OwnTopics>>,
    refused: Mutex<Refused>,
    hasher: RandomState,
}

/// What clients were refused and the log has said.
#[derive(Debug, Default)]
struct Refused {
    /// As hashes: names may be long.
    seen: HashSet<u64>,
    /// When the first of them was.
    since: Option<Instant>,
}

/// Refusals that are logged. Others are only counted.
const REFUSED_MAX: usize = 1_000;

/// How long the log is silent after so many: a client that is refused for names without end must not keep the
/// refusals of others out of the log for good.
const SILENCE: Duration = Duration::from_secs(3_600);

impl Refused {
    fn is_first(&mut self, what: u64, now: Instant) -> bool {
        let is_full = self.seen.len() >= REFUSED_MAX;
        if is_full && self.since.is_some_and(|since| now - since >= SILENCE) {
            *self = Self::default();
        } else if is_full {
            return false;
        }
        self.since.get_or_insert(now);
        self.seen.insert(what)
    }
}

/// Why a user is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLetIn {
    /// There is no such user, or the password is another.
    Wrong,
    /// Its address has failed too often lately; the password was not looked at.
    TooOften,
    /// Too many wait already, or there is no memory.
    Busy,
}

impl Access {
    /// `own` are the topics of the program.
    pub fn new(policy: Policy, takeover: Takeover, own: OwnTopics, logins: Logins) -> Self {
        Self {
            policy: Mutex::new(Arc::new(policy)),
            logins,
            takeover,
            own: RwLock::new(Arc::new(own)),
            refused: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// The topics that are the program's now.
    pub fn own(&self) -> Arc<OwnTopics> {
        Arc::clone(&self.own.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these topics are the program's.
    pub fn set_own(&self, own: OwnTopics) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(own);
    }

    /// Whether `what` was not refused before.
    pub fn is_first(&self, what: impl Hash) -> bool {
        let hash = self.hasher.hash_one(what);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_first(hash, Instant::now())
    }

    /// Whether a client may have the session that has its identifier. `comer` has proven who it is.
    pub fn may_take_over(&self, owner: &Principal, comer: &Principal) -> Result<(), Denial> {
        let is_open = self.takeover == Takeover::Any || owner.user().is_none();
        if is_open || owner.user() == comer.user() || !self.policy().may_return(owner) {
            return Ok(());
        }
        Err(NOT_THE_OWNER)
    }

    /// Whether a user has this password, asked by another door of the same house: its attempts count with those of
    /// MQTT clients, and take as long whether there is such a user or not.
    pub async fn authenticate(
        &self,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> Result<(), NotLetIn> {
        let judged = self.policy().challenge(user);
        let Ok(Judgement::Prove {
            principal,
            hash,
            exists,
        }) = judged
        else {
            return Err(NotLetIn::Wrong);
        };
        let question = Question {
            user: user.into(),
            password: password.into(),
            hash,
            exists,
            peer,
        };
        let verdict = self.logins.check(question, Instant::now());
        match verdict.await.unwrap_or(Verdict::Busy) {
            // The user may have gone meanwhile.
            Verdict::Right if self.policy().rights(&principal, "").is_err() => Err(NotLetIn::Wrong),
            Verdict::Right => Ok(()),
            Verdict::Wrong => Err(NotLetIn::Wrong),
            Verdict::TooOften => Err(NotLetIn::TooOften),
            Verdict::Busy => Err(NotLetIn::Busy),
        }
    }

    /// Counts a failure of an address at another door of the same house, with those of MQTT clients. Returns what is to
    /// be said: [`NotLetIn::TooOften`] if it has failed too often before.
    pub fn refuse(&self, peer: IpAddr) -> NotLetIn {
        match self.logins.refuse(peer, Instant::now()) {
            true => NotLetIn::TooOften,
            false => NotLetIn::Wrong,
        }
    }

    /// What holds now.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.lock())
    }

    /// From now on `policy` holds.
    pub fn replace(&self, policy: Policy) -> Arc<Policy> {
        let policy = Arc::new(policy);
        *self.lock() = Arc::clone(&policy);
        self.logins.forget();
        policy
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Policy>> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which clients may take over a session by bringing its client identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// A user's session only clients of the same user. That of a client without a user name any, as MQTT demands.
    #[default]
    SameUser,
    /// Any client any session. What waits in that of another user is dropped.
    Any,
}

impl From<Identity> for Principal {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::Anonymous { local, allowed } => Self::Anonymous { local, allowed },
            Identity::User(name) => Self::User {
                name,
                // It proved who it was when it connected, and will have to again.
                proof: Proof::Kept,
            },
        }
    }
}

/// Users and rules, unchanging.
#[derive(Debug)]
pub struct Policy {
    allow_anonymous: bool,
    anonymous: Rules,
    users: HashMap<Box<str>, Account>,
    /// A hash for names without a user; of the cost of the others.
    decoy: Option<PasswordHash>,
}

#[derive(Debug)]
struct Account {
    password: Option<PasswordHash>,
    rules: Rules,
}

/// Rules, and the rights that follow from them if those are the same for every client.
#[derive(Debug)]
struct Rules {
    list: Vec<Rule>,
    common: Option<Rights>,
}

/// What a client says about itself, and what is known about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim<'a> {
    /// The user name that the transport has proven, by a client certificate.
    pub proven: Option<&'a str>,
    /// The user name that it says, without a proof.
    pub user: Option<&'a str>,
    /// On this machine.
    pub local: bool,
    /// What its listener says of clients without a name, if it says anything.
    pub allow_anonymous: Option<bool>,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Without a name; `local` on this machine, `allowed` as the listener says.
    Anonymous {
        /// On this machine.
        local: bool,
        /// What its listener says of clients without a name.
        allowed: Option<bool>,
    },
    /// The user of this name.
    User {
        /// The name.
        name: Arc<str>,
        /// How it proved that.
        proof: Proof,
    },
}

/// How a user proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// With the password that has this hash.
    Password(PasswordHash),
    /// With a client certificate.
    Certificate,
    /// In some way, before the broker was started; it has not come back since.
    Kept,
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// As the client is told.
    pub reason: ReasonCode,
    /// For the log, and for clients of MQTT 5.
    pub what: &'static str,
}

/// What a claim comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// There is nothing to prove.
    Known(Principal),
    /// The client is this if its password has this hash, and if such a user exists at all.
    Prove {
        /// Who it then is.
        principal: Principal,
        /// The hash of the password.
        hash: PasswordHash,
        /// Whether there is such a user.
        exists: bool,
    },
}

impl Principal {
    /// What of it outlives the process.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Anonymous { local, allowed } => Identity::Anonymous {
                local: *local,
                allowed: *allowed,
            },
            Self::User { name, .. } => Identity::User(Arc::clone(name)),
        }
    }

    /// The user name; `None` without one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Anonymous { .. } => None,
            Self::User { name, .. } => Some(name),
        }
    }
}

impl Rules {
    fn new(list: Option<Vec<Rule>>) -> Self {
        let common = match &list {
            None => Some(Rights::all()),
            Some(list) if list.iter().all(Rule::is_fixed) => Some(Rights::bind(list, "", None)),
            Some(_) => None,
        };
        let list = list.unwrap_or_default();
        Self { list, common }
    }

    fn bind(&self, client_id: &str, user: Option<&str>) -> Rights {
        match &self.common {
            Some(rights) => rights.clone(),
            None => Rights::bind(&self.list, client_id, user),
        }
    }
}

impl Policy {
    /// `allow_anonymous` lets in clients without a name from anywhere.
    pub fn new(allow_anonymous: bool, users: Users) -> Self {
        let hashes = users
            .named
            .values()
            .filter_map(|user| user.password.clone());
        let decoy = hashes
            .max_by_key(|hash| hash.cost())
            .or_else(|| DECOY.parse().ok());
        let account = |(name, user): (String, User)| {
            let User {
                password, rules, ..
            } = user;
            let rules = Rules::new(rules);
            (name.into(), Account { password, rules })
        };
        Self {
            allow_anonymous,
            anonymous: Rules::new(users.anonymous),
            users: users.named.into_iter().map(account).collect(),
            decoy,
        }
    }

    /// Who a client is, or what it has to prove.
    pub fn judge(&self, claim: &Claim<'_>) -> Result<Judgement, Denial> {
        let anonymous = Principal::Anonymous {
            local: claim.local,
            allowed: claim.allow_anonymous,
        };
        let principal = match (claim.proven, claim.user) {
            (Some(name), _) => Principal::User {
                name: name.into(),
                proof: Proof::Certificate,
            },
            // Where there are no users, names say nothing.
            (None, Some(_)) if self.users.is_empty() => anonymous,
            (None, Some(name)) => return self.challenge(name),
            (None, None) => anonymous,
        };
        self.rights(&principal, "")?;
        Ok(Judgement::Known(principal))
    }

    /// Whether the owner of a session could still come back: nothing is kept for users that were removed.
    fn may_return(&self, owner: &Principal) -> bool {
        match owner {
            Principal::Anonymous { .. } => true,
            Principal::User { name, proof } => {
                // Without users, certificates alone give names.
                let by_password = matches!(proof, Proof::Password(_));
                self.users.contains_key(&**name) || (self.users.is_empty() && !by_password)
            }
        }
    }

    fn challenge(&self, name: &str) -> Result<Judgement, Denial> {
        let account = self.users.get(name);
        let own = account.and_then(|account| account.password.clone());
        let exists = own.is_some();
        let hash = own.or_else(|| self.decoy.clone()).ok_or(WRONG_LOGIN)?;
        let principal = Principal::User {
            name: name.into(),
            proof: Proof::Password(hash.clone()),
        };
        Ok(Judgement::Prove {
            principal,
            hash,
            exists,
        })
    }

    /// What a client that has proven who it is may do, or why it may not be here.
    pub fn rights(&self, principal: &Principal, client_id: &str) -> Result<Rights, Denial> {
        let (rights, denial) = self.review(principal, client_id);
        denial.map_or(Ok(rights), Err)
    }

    /// The rights of a session, and why its client may not be here, if so. They differ after a
    /// change of the password: the client has to log in again, and its session waits for it.
    pub fn review(&self, principal: &Principal, client_id: &str) -> (Rights, Option<Denial>) {
        let stranger = |denial| (Rights::none(), Some(denial));
        match principal {
            Principal::Anonymous { local, allowed } => {
                let is_open = allowed.unwrap_or(self.allow_anonymous);
                if is_open || (*local && self.users.is_empty()) {
                    (self.anonymous.bind(client_id, None), None)
                } else if self.users.is_empty() {
                    stranger(ONLY_LOCAL)
                } else {
                    stranger(NO_NAME)
                }
            }
            Principal::User { name, proof } => match (self.users.get(&**name), proof) {
                (Some(account), proof) => {
                    let right = match proof {
                        Proof::Password(hash) => account.password.as_ref() == Some(hash),
                        Proof::Certificate | Proof::Kept => true,
                    };
                    let rights = account.rules.bind(client_id, Some(name));
                    (rights, (!right).then_some(WRONG_LOGIN))
                }
                // An authority that gives out certificates has said that these may come.
                (None, Proof::Certificate) if self.users.is_empty() => (Rights::all(), None),
                (None, Proof::Certificate) => stranger(UNKNOWN_CERTIFICATE),
                (None, Proof::Password(_) | Proof::Kept) => stranger(WRONG_LOGIN),
            },
        }
    }
}

const ONLY_LOCAL: Denial = Denial {
    reason: ReasonCode::NOT_AUTHORIZED,
    what: "there are no users, so only programs on this machine are let in, and those of broker.local_networks",
};
const NO_NAME: Denial = Denial {
    reason: ReasonCode::NOT_AUTHORIZED,
    what: "a user name is needed",
};
/// The user name or the password is wrong.
pub const WRONG_LOGIN: Denial = Denial {
    reason: ReasonCode::BAD_USER_NAME_OR_PASSWORD,
    what: "wrong user name or password",
};
const NOT_THE_OWNER: Denial = Denial {
    reason: ReasonCode::NOT_AUTHORIZED,
    what: "the client identifier is that of another user's session",
};
const UNKNOWN_CERTIFICATE: Denial = Denial {
    reason: ReasonCode::NOT_AUTHORIZED,
    what: "there is no user with the name in the certificate",
};

#[cfg(test)]
mod tests;
