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
/// subscription, and nobody may publish to topics that begin with `$`.
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
    pub(super) fn is_fixed(&self) -> bool {
        !self.filter.contains("%c") && !self.filter.contains("%u")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
