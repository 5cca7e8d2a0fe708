//! Users and their rules as data. Where they come from is not known here.

use std::collections::BTreeMap;

use fieldgate_mqtt::topic;

use super::password::PasswordHash;

/// Who may connect under a user name, and what clients with and without one may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// What clients without a user name may do, if they are let in. `None`: everything.
    pub anonymous: Option<Vec<Rule>>,
    /// By user name.
    pub named: BTreeMap<String, User>,
}

/// One user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// `None` for a user that only a client certificate proves.
    pub password: Option<PasswordHash>,
    /// What the user may do. `None`: everything.
    pub rules: Option<Vec<Rule>>,
    /// What it may do at another door of the same house, such as a web page. `None`: nothing. The broker takes no
    /// notice of it.
    pub role: Option<Role>,
    /// By name: what scripts show at another door to be taken for this user. The broker takes no notice of them.
    pub tokens: BTreeMap<String, AccessToken>,
}

/// What a script shows instead of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The SHA-256 of its text, which has too many bits to be guessed and needs no slower hash.
    pub sha256: [u8; 32],
    /// What it may do, within what its user may.
    pub role: Role,
    /// Until when it is taken, in seconds since 1970; none for ever.
    pub until: Option<i64>,
}

/// What a user may do at another door. Each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    View,
    /// Write to points.
    Operate,
    /// Everything.
    Admin,
}

impl Users {
    /// Whether the rules of a user forbid it to publish to a topic, whichever identifier its client has. What no rule
    /// speaks of is not forbidden here.
    pub fn denies(&self, user: &str, topic: &str) -> bool {
        let rules = self.named.get(user).and_then(|user| user.rules.as_ref());
        let filled = |rule: &Rule| {
            let levels = rule.filter.split('/').map(|level| match level {
                "%u" => user,
                // A part of a level matches any name here.
                level if level.contains("%c") || level.contains("%u") => "+",
                level => level,
            });
            levels.collect::<Vec<_>>().join("/")
        };
        let mut rules = rules.into_iter().flatten();
        let first = rules.find(|rule| {
            rule.permission != Permission::Read && topic::matches(&filled(rule), topic)
        });
        first.is_some_and(|rule| rule.permission == Permission::Deny)
    }
}

/// What a rule says about its topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Clients may subscribe to them. Says nothing about publishing.
    Read,
    /// Clients may publish to them. Says nothing about subscribing.
    Write,
    /// Both.
    ReadWrite,
    /// Neither.
    Deny,
}

/// Topics, and what is permitted there.
///
/// Of a list of rules the first one decides that matches the topic and says something about what is
/// asked; where none does, it is refused. `#` and `+` at the first level leave out `$SYS/...`, as in a
/// subscription, and no client may publish to topics that begin with `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    filter: Box<str>,
    permission: Permission,
}

/// A rule's topic filter is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a topic filter: `+` stands alone between slashes, `#` alone at the end, and $share/ is left out"
)]
pub struct FilterError;

impl Rule {
    /// A rule for the topics that `filter` matches, where `%c` stands for the client identifier
    /// and `%u` for the user name. Both stand for a part of one level only: a client whose identifier has
    /// a `/`, `+` or `#` gets nothing from a rule with `%c`, and is denied at every value by one that denies.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn new(filter: &str, permission: Permission) -> Result<Self, FilterError> {
        let example = filter.replace("%c", "c").replace("%u", "u");
        if !topic::filter_is_valid(&example) || example.starts_with("$share/") {
            return Err(FilterError);
        }
        Ok(Self {
            filter: filter.into(),
            permission,
        })
    }

    /// The topic filter, with its `%c` and `%u`.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// What it says about its topics.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Whether it is the same for all clients of all users.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.filter.contains("%c") && !self.filter.contains("%u")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_denies_is_denied_at_every_door() {
        let rules = [
            ("p/pump/set", Permission::Write),
            ("p/boiler/set", Permission::Read),
            ("p/boiler/#", Permission::Deny),
            ("%u/set", Permission::Deny),
            ("c/%c/set", Permission::Deny),
            ("p/pump/#", Permission::Deny),
        ];
        let rules = rules.map(|(filter, permission)| Rule::new(filter, permission).unwrap());
        let user = User {
            rules: Some(rules.into()),
            ..User::default()
        };
        let users = Users {
            anonymous: None,
            named: [("ann".to_owned(), user), ("bob".into(), User::default())].into(),
        };
        for (user, topic, want) in [
            ("ann", "p/pump/set", false),
            ("ann", "p/pump/speed/set", true),
            ("ann", "p/boiler/set", true),
            ("ann", "ann/set", true),
            ("ann", "bob/set", false),
            ("ann", "c/anything/set", true),
            ("ann", "other", false),
            ("bob", "p/boiler/set", false),
            ("eve", "p/boiler/set", false),
        ] {
            assert_eq!(users.denies(user, topic), want, "{user} {topic}");
        }
    }

    #[test]
    fn a_rule_takes_topic_filters_with_placeholders_and_nothing_else() {
        for (filter, want) in [
            ("#", true),
            ("a/+/c", true),
            ("sensors/%c/#", true),
            ("%u", true),
            ("a/x-%c/b", true),
            ("$SYS/#", true),
            ("100%", true),
            ("", false),
            ("a/#/b", false),
            ("a+", false),
            ("%c+", false),
            ("%c#", false),
            ("$share/g/a", false),
            ("a\0", false),
        ] {
            assert_eq!(
                Rule::new(filter, Permission::Read).is_ok(),
                want,
                "{filter:?}"
            );
        }
    }
}
