//! The users of the console: those of the users file, with a role.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fieldgate_broker::{Door, NotLetIn};
use fieldgate_config::users_file;
use fieldgate_console::{
    Account, Accounts, Bearer, Later, NotDone, Refusal, Role, UserChange, UserView, Way,
};
use fieldgate_model::Topics;

use super::people;
use crate::certificates::now;
use crate::tokens;

/// What is known of the users now. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Known(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    users: fieldgate_broker::Users,
    /// Where they are, once there is such a file.
    file: Option<PathBuf>,
    /// Where the first one is written while there is none.
    usual: PathBuf,
    /// Other machines can reach the console, so each person there needs a name.
    is_on_network: bool,
}

impl Known {
    /// Of a configuration whose users are in the file `usual` if it names no other.
    pub(crate) fn new(usual: PathBuf, is_on_network: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            usual,
            is_on_network,
            ..State::default()
        })))
    }

    /// From now on these are the users.
    pub(crate) fn set(&self, users: &fieldgate_broker::Users, file: Option<&PathBuf>) {
        let mut state = self.lock();
        state.users = users.clone();
        state.file = file.cloned();
    }

    /// Where users are kept, or would be.
    fn file(&self) -> PathBuf {
        let state = self.lock();
        state.file.clone().unwrap_or_else(|| state.usual.clone())
    }

    /// Whether the rules of a user forbid it to publish to a topic.
    pub(super) fn denies(&self, user: &str, topic: &str) -> bool {
        self.lock().users.denies(user, topic)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The users, for the console.
pub(super) struct Users {
    known: Known,
    door: Door,
    topics: Topics,
    hasher: RandomState,
}

impl Users {
    pub(super) fn new(known: Known, door: Door, topics: Topics) -> Self {
        Self {
            known,
            door,
            topics,
            hasher: RandomState::new(),
        }
    }

    async fn login(&self, user: &str, password: &[u8], peer: IpAddr) -> Result<Account, Refusal> {
        let proven = self.door.authenticate(user, password, peer).await;
        proven.map_err(refusal)?;
        self.account(user).ok_or(Refusal::Wrong)
    }

    async fn make(&self, user: &str, password: &[u8]) -> Result<(), String> {
        let file = self.known.file();
        let (name, password) = (user.to_owned(), password.to_vec());
        let path = file.clone();
        let made = move || users_file::found(&path, &name, &password);
        let made = tokio::task::spawn_blocking(made).await;
        let users = made
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        // The broker knows them when the file is looked at the next time.
        self.known.set(&users, Some(&file));
        Ok(())
    }
}

fn refusal(refused: NotLetIn) -> Refusal {
    match refused {
        NotLetIn::Wrong => Refusal::Wrong,
        NotLetIn::TooOften => Refusal::TooOften,
        NotLetIn::Busy => Refusal::Busy,
    }
}

fn not_done(not_done: tokens::NotDone) -> NotDone {
    match not_done {
        tokens::NotDone::Missing(_) => NotDone::Missing,
        tokens::NotDone::Refused(text) => NotDone::Refused(text),
        tokens::NotDone::System(error) => NotDone::Failed(error.to_string()),
    }
}

impl Users {
    /// Changes the file, and knows what it says from then on.
    async fn edit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<(T, fieldgate_broker::Users), NotDone> + Send + 'static,
    ) -> Result<T, NotDone> {
        let file = self.known.file();
        let path = file.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        let (made, users) = done.map_err(|error| NotDone::Failed(error.to_string()))??;
        // The broker knows them when the file is looked at the next time.
        self.known.set(&users, Some(&file));
        Ok(made)
    }
}

impl Accounts for Users {
    fn way(&self) -> Way {
        let state = self.known.lock();
        let has_user = state.users.named.values().any(|user| user.role.is_some());
        match (&state.file, has_user) {
            (_, true) => Way::Password,
            (None, false) if !state.is_on_network => Way::Code,
            (_, false) => Way::Setup,
        }
    }

    fn account(&self, user: &str) -> Option<Account> {
        let state = self.known.lock();
        let user = state.users.named.get(user)?;
        let role = people::role_of(user.role?);
        let password = user.password.as_ref().map(|hash| hash.as_str());
        Some(Account {
            role,
            stamp: self.hasher.hash_one(password),
        })
    }

    fn authenticate<'a>(
        &'a self,
        user: &'a str,
        password: &'a [u8],
        peer: IpAddr,
    ) -> Later<'a, Result<Account, Refusal>> {
        Box::pin(self.login(user, password, peer))
    }

    fn bearer(&self, text: &str) -> Option<Bearer> {
        self.bearer_of(&tokens::digest_of(text)?)
    }

    fn bearer_of(&self, key: &[u8; 32]) -> Option<Bearer> {
        let state = self.known.lock();
        let (user, token, role) = tokens::find(&state.users, key, now())?;
        Some(Bearer {
            key: *key,
            user: user.to_owned(),
            token: token.to_owned(),
            account: Account {
                role: people::role_of(role),
                stamp: 0,
            },
        })
    }

    fn refuse(&self, peer: IpAddr) -> Refusal {
        refusal(self.door.refuse(peer))
    }

    fn add_token<'a>(
        &'a self,
        user: &'a str,
        token: &'a str,
        role: Role,
        until: Option<&'a str>,
    ) -> Later<'a, Result<String, NotDone>> {
        let (user, token) = (user.to_owned(), token.to_owned());
        let (role, until) = (people::role_for(role), until.map(str::to_owned));
        Box::pin(self.edit(move |file| {
            tokens::add(file, &user, &token, role, until.as_deref()).map_err(not_done)
        }))
    }

    fn remove_token<'a>(&'a self, user: &'a str, token: &'a str) -> Later<'a, Result<(), NotDone>> {
        let (user, token) = (user.to_owned(), token.to_owned());
        Box::pin(self.edit(move |file| {
            let users = tokens::remove(file, &user, &token).map_err(not_done)?;
            Ok(((), users))
        }))
    }

    fn found<'a>(&'a self, user: &'a str, password: &'a [u8]) -> Later<'a, Result<(), String>> {
        Box::pin(self.make(user, password))
    }

    fn users(&self) -> Vec<UserView> {
        people::listed(&self.known.lock().users)
    }

    fn set<'a>(&'a self, user: &'a str, change: UserChange) -> Later<'a, Result<(), NotDone>> {
        let user = user.to_owned();
        Box::pin(self.edit(move |file| Ok(((), people::set(file, &user, &change)?))))
    }

    fn remove<'a>(&'a self, user: &'a str) -> Later<'a, Result<(), NotDone>> {
        let user = user.to_owned();
        Box::pin(self.edit(move |file| Ok(((), people::remove(file, &user)?))))
    }

    fn may_write(&self, user: &str, device: &str, point: &str) -> bool {
        let topic = self.topics.command(device, point);
        !self.known.denies(user, &topic)
    }
}
