//! The users file: who may connect to the broker, and what for.

pub mod file;
pub(crate) mod token;

use std::collections::BTreeMap;
use std::path::Path;

use fieldgate_broker::{AccessToken, PasswordHash, Permission, Role, Rule, User, Users};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::report::Report;
use super::source;
use crate::yaml::read;

/// The file as it is written.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(
        default,
        deserialize_with = "listed",
        skip_serializing_if = "Option::is_none"
    )]
    anonymous: Option<Vec<RuleEntry>>,
    #[serde(default)]
    users: BTreeMap<UserName, UserEntry>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<Hash>,
    #[serde(
        default,
        deserialize_with = "listed",
        skip_serializing_if = "Option::is_none"
    )]
    rules: Option<Vec<RuleEntry>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    console: Option<RoleName>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<UserName, TokenEntry>,
}

/// What a script shows to be taken for the user.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    sha256: token::Digest,
    console: RoleName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<token::Day>,
}

impl From<TokenEntry> for AccessToken {
    fn from(entry: TokenEntry) -> Self {
        Self {
            sha256: entry.sha256.0,
            role: entry.console.into(),
            until: entry.until.map(token::Day::end),
        }
    }
}

impl From<&AccessToken> for TokenEntry {
    fn from(token: &AccessToken) -> Self {
        Self {
            sha256: token::Digest(token.sha256),
            console: token.role.into(),
            until: token.until.and_then(token::Day::of_end),
        }
    }
}

/// What a user may do in the console.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    View,
    Operate,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::View => Self::View,
            RoleName::Operate => Self::Operate,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::View => Self::View,
            Role::Operate => Self::Operate,
            Role::Admin => Self::Admin,
        }
    }
}

/// Rules that are written down, however few: all of them commented out are none, which permit nothing.
fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<RuleEntry>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

/// A name that can be typed and logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct UserName(String);

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        check_user_name(&name).map_err(de::Error::custom)?;
        Ok(Self(name))
    }
}

/// The longest user name, in bytes.
const NAME_MAX: usize = 256;

/// Whether a user may have this name.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_user_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(format!(
            "a user name has 1 to {NAME_MAX} bytes and no control characters"
        ));
    }
    Ok(())
}

#[derive(Debug)]
struct Hash(PasswordHash);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "RawRule", into = "RawRule")]
struct RuleEntry(Rule);

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    topic: String,
    access: Access,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

impl TryFrom<RawRule> for RuleEntry {
    type Error = String;

    fn try_from(raw: RawRule) -> Result<Self, String> {
        let permission = match raw.access {
            Access::Read => Permission::Read,
            Access::Write => Permission::Write,
            Access::ReadWrite => Permission::ReadWrite,
            Access::Deny => Permission::Deny,
        };
        Rule::new(&raw.topic, permission)
            .map(Self)
            .map_err(|error| format!("topic: {error}"))
    }
}

impl From<RuleEntry> for RawRule {
    fn from(RuleEntry(rule): RuleEntry) -> Self {
        Self {
            topic: rule.filter().to_owned(),
            access: match rule.permission() {
                Permission::Read => Access::Read,
                Permission::Write => Access::Write,
                Permission::ReadWrite => Access::ReadWrite,
                Permission::Deny => Access::Deny,
            },
        }
    }
}

/// Reads a users file. Mistakes go into `report`.
pub(crate) fn load(path: &Path, report: &mut Report) -> Option<Users> {
    if path.try_exists().is_ok_and(|exists| !exists) {
        let message = "there is no such file; `fieldgate user add NAME` makes it";
        report.add(&path.display().to_string(), None, "", message);
        return None;
    }
    let mut file = source::read(path, report)?;
    let mut mistakes = Vec::new();
    let document: Option<Document> = read(&mut file.root, &[], &mut mistakes);
    let is_whole = mistakes.is_empty();
    super::add(&file.name, mistakes, report);
    let Document { anonymous, users } = document.filter(|_| is_whole)?;
    let rules = |entries: Vec<RuleEntry>| entries.into_iter().map(|entry| entry.0).collect();
    let user = |(UserName(name), entry): (UserName, UserEntry)| {
        let user = User {
            password: entry.password.map(|hash| hash.0),
            rules: entry.rules.map(rules),
            role: entry.console.map(Into::into),
            tokens: named(entry.tokens, Into::into),
        };
        (name, user)
    };
    Some(Users {
        anonymous: anonymous.map(rules),
        named: users.into_iter().map(user).collect(),
    })
}

/// With plain names.
fn named<T, U>(all: BTreeMap<UserName, T>, change: impl Fn(T) -> U) -> BTreeMap<String, U> {
    let all = all.into_iter();
    all.map(|(UserName(name), one)| (name, change(one)))
        .collect()
}

/// The text of a users file, without the comments at its top.
///
/// # Errors
///
/// serde_yaml's, which has none for such data.
pub(crate) fn text(users: &Users) -> Result<String, serde_yaml::Error> {
    let rules = |rules: &Vec<Rule>| rules.iter().cloned().map(RuleEntry).collect();
    let user = |(name, user): (&String, &User)| {
        let entry = UserEntry {
            password: user.password.clone().map(Hash),
            rules: user.rules.as_ref().map(rules),
            console: user.role.map(Into::into),
            tokens: user
                .tokens
                .iter()
                .map(|(name, token)| (UserName(name.clone()), token.into()))
                .collect(),
        };
        (UserName(name.clone()), entry)
    };
    serde_yaml::to_string(&Document {
        anonymous: users.anonymous.as_ref().map(rules),
        users: users.named.iter().map(user).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$RdescudvJCsgt3ub+b4dWRWJTmaaJObGZ9fTnSzqYvM";

    fn from_text(text: &str) -> Result<Users, String> {
        let folder = std::env::temp_dir().join(format!("fieldgate-users-{}", std::process::id()));
        let number = std::thread::current().id();
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{number:?}.yaml"));
        std::fs::write(&path, text).unwrap();
        let mut report = Report::default();
        let users = load(&path, &mut report);
        std::fs::remove_file(&path).unwrap();
        let text = report
            .to_string()
            .replace(path.to_str().unwrap(), "users.yaml");
        users.filter(|_| report.is_empty()).ok_or(text)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let rules = |rules: &[(&str, Permission)]| {
            let rule = |(topic, access): &(&str, Permission)| Rule::new(topic, *access).unwrap();
            Some(rules.iter().map(rule).collect::<Vec<_>>())
        };
        let tokens = || {
            let token = |until| AccessToken {
                sha256: [0xA5; 32],
                role: Role::View,
                until,
            };
            let all = [("grafana", token(None)), ("7", token(Some(1_801_440_000)))];
            all.map(|(name, token)| (name.to_owned(), token)).into()
        };
        let user = |password: bool, rules| User {
            password: password.then(|| HASH.parse().unwrap()),
            role: password.then_some(Role::Operate),
            rules,
            tokens: match password {
                true => tokens(),
                false => BTreeMap::new(),
            },
        };
        let named = [
            ("ann", user(true, None)),
            ("pump 7", user(false, rules(&[]))),
            (
                "0123",
                user(
                    true,
                    rules(&[
                        ("#", Permission::Read),
                        ("a/%c/\"x\"", Permission::Write),
                        ("é: b", Permission::ReadWrite),
                        ("%u/#", Permission::Deny),
                    ]),
                ),
            ),
            ("null", user(true, rules(&[("on", Permission::Read)]))),
        ];
        for anonymous in [None, rules(&[]), rules(&[("open", Permission::Read)])] {
            let users = Users {
                anonymous,
                named: named
                    .iter()
                    .map(|(n, u)| ((*n).to_owned(), u.clone()))
                    .collect(),
            };
            let text = text(&users).unwrap();
            assert_eq!(from_text(&text), Ok(users), "{text}");
        }
    }

    #[test]
    fn no_rules_written_down_permit_nothing_and_no_word_of_rules_everything() {
        for (text, want) in [
            ("users: {a: {rules: []}}", Some(vec![])),
            ("users: {a: {rules: }}", Some(vec![])),
            (
                "users:\n  a:\n    rules:\n#    - {topic: x, access: read}\n",
                Some(vec![]),
            ),
            ("users: {a: {}}", None),
            ("users: {a: }", None),
        ] {
            let users = from_text(text).unwrap();
            assert_eq!(users.named["a"].rules, want, "{text}");
        }
        for text in ["", "# nothing", "users:", "users: {}"] {
            assert_eq!(from_text(text), Ok(Users::default()), "{text:?}");
        }
        assert_eq!(from_text("anonymous:").unwrap().anonymous, Some(vec![]));
    }

    #[test]
    fn mistakes_are_shown_at_their_line_all_at_once() {
        let text = "users:
  ann: {pasword: x}
  bob: {password: secret}
  eve:
    rules:
      - {topic: a/#/b, access: read}
      - {topic: a, access: reed}
      - {topic: a}
  \"\": {}
";
        let want = "users.yaml:2:9: users.ann.pasword: unknown key; expected one of password, rules, console, tokens; did you mean \"password\"?
users.yaml:3:19: users.bob.password: not an argon2id hash as `fieldgate user` writes it
users.yaml:6:17: users.eve.rules[0].topic: not a topic filter: `+` stands alone between slashes, `#` alone at the end, and $share/ is left out
users.yaml:7:28: users.eve.rules[1].access: unknown name \"reed\"; expected one of read, write, readwrite, deny; did you mean \"read\"?
users.yaml:8:9: users.eve.rules[2]: the key \"access\" is missing
users.yaml:9:3: users.: a user name has 1 to 256 bytes and no control characters
6 mistakes";
        assert_eq!(from_text(text).unwrap_err(), want);
    }
}
