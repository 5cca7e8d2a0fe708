//! Who may use the console, as the rest of the program says.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::files::NotDone;
use crate::later::Later;

/// What a user of the console may do. Each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    View,
    /// Write to points.
    Operate,
    /// Everything.
    Admin,
}

impl Role {
    /// Its name, as it is configured and told.
    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// A user, as the console knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it may do.
    pub role: Role,
    /// Another number whenever the password is another: sessions that began with the old one end.
    pub stamp: u64,
}

/// A user, as it is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserView {
    /// Its name.
    pub name: String,
    /// What it may do in the console.
    pub role: Option<Role>,
    /// What it may do over MQTT; none for everything.
    pub rules: Option<Vec<RuleView>>,
    /// What scripts show to be taken for it, by name.
    pub tokens: Vec<TokenView>,
    /// Whether it has a password, or only a client certificate proves it.
    pub has_password: bool,
}

/// A token of a user, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What it may do, within what its user may.
    pub role: Role,
    /// The last day on which it is taken; none for ever.
    pub until: Option<String>,
    /// That day is over.
    pub is_over: bool,
}

/// A token that somebody has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// What it is found by again, as long as it is taken.
    pub key: [u8; 32],
    /// Whose it is.
    pub user: String,
    /// Its name.
    pub token: String,
    /// What it may do.
    pub account: Account,
}

/// What a user may do with topics.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleView {
    /// The topics.
    pub topic: String,
    /// `read`, `write`, `readwrite` or `deny`.
    pub access: String,
}

/// What changes of a user; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Another password.
    pub password: Option<String>,
    /// Another role, or none.
    pub role: Option<Option<Role>>,
    /// Other rules, or everything.
    pub rules: Option<Option<Vec<RuleView>>>,
}

/// Why a user is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such user, another password, or no role on the console.
    Wrong,
    /// The address has failed too often lately.
    TooOften,
    /// Too many are being checked.
    Busy,
}

/// How a visitor gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With user name and password.
    Password,
    /// By making the first user, with the setup code.
    Setup,
    /// With the code of this start, as there is no file of users, and only this machine can ask.
    Code,
}

/// The users. What may take long says so by its type.
pub trait Accounts: Send + Sync {
    /// How a visitor gets in now.
    fn way(&self) -> Way;

    /// A user that may use the console now.
    fn account(&self, user: &str) -> Option<Account>;

    /// Whether a user has this password and may use the console. Attempts of an address are counted.
    fn authenticate<'a>(
        &'a self,
        user: &'a str,
        password: &'a [u8],
        peer: IpAddr,
    ) -> Later<'a, Result<Account, Refusal>>;

    /// The token with this text, if it is taken now.
    fn bearer(&self, text: &str) -> Option<Bearer>;

    /// The same by its key.
    fn bearer_of(&self, key: &[u8; 32]) -> Option<Bearer>;

    /// Counts a failure of an address that showed a wrong token, and says why it is not let in.
    fn refuse(&self, peer: IpAddr) -> Refusal;

    /// Makes a token of a user. Returns its text, which nobody can read again.
    fn add_token<'a>(
        &'a self,
        user: &'a str,
        token: &'a str,
        role: Role,
        until: Option<&'a str>,
    ) -> Later<'a, Result<String, NotDone>>;

    /// Removes a token, which is taken no more from then on.
    fn remove_token<'a>(&'a self, user: &'a str, token: &'a str) -> Later<'a, Result<(), NotDone>>;

    /// Makes the first user of the console, which may do everything, and knows it from then on.
    ///
    /// # Errors
    ///
    /// Why not, for people.
    fn found<'a>(&'a self, user: &'a str, password: &'a [u8]) -> Later<'a, Result<(), String>>;

    /// All users, by name.
    fn users(&self) -> Vec<UserView>;

    /// Makes a user, or changes it, and knows it from then on.
    fn set<'a>(&'a self, user: &'a str, change: UserChange) -> Later<'a, Result<(), NotDone>>;

    /// Removes a user, and knows it no more.
    fn remove<'a>(&'a self, user: &'a str) -> Later<'a, Result<(), NotDone>>;

    /// Whether nothing forbids a user to write to this point, its role aside.
    fn may_write(&self, user: &str, device: &str, point: &str) -> bool;
}
