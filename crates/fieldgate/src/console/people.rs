//! Changes of the users file that the console makes.

use std::path::Path;

use fieldgate_broker::{
    AccessToken, PasswordHash, Permission, Role as BrokerRole, Rule, User, Users,
};
use fieldgate_config::users_file::{self, Locked};
use fieldgate_config::{self as config, Day};
use fieldgate_console::{NotDone, Role, RuleView, TokenView, UserChange, UserView};

use crate::certificates::now;
use crate::tokens;

/// The words for what a rule permits.
const ACCESS: [(&str, Permission); 4] = [
    ("read", Permission::Read),
    ("write", Permission::Write),
    ("readwrite", Permission::ReadWrite),
    ("deny", Permission::Deny),
];

/// All users, by name.
pub(super) fn listed(users: &Users) -> Vec<UserView> {
    let told = users.named.iter().map(|(name, user)| UserView {
        name: name.clone(),
        role: user.role.map(role_of),
        rules: user
            .rules
            .as_ref()
            .map(|rules| rules.iter().map(shown).collect()),
        has_password: user.password.is_some(),
        tokens: user.tokens.iter().map(token).collect(),
    });
    told.collect()
}

fn token((name, token): (&String, &AccessToken)) -> TokenView {
    TokenView {
        name: name.clone(),
        role: role_of(token.role),
        until: token.until.and_then(Day::of_end).map(|day| day.to_string()),
        is_over: tokens::is_over(token, now()),
    }
}

/// A role as the console names it.
pub(super) fn role_of(role: BrokerRole) -> Role {
    match role {
        BrokerRole::View => Role::View,
        BrokerRole::Operate => Role::Operate,
        BrokerRole::Admin => Role::Admin,
    }
}

/// A role as the users file names it.
pub(super) fn role_for(role: Role) -> BrokerRole {
    match role {
        Role::View => BrokerRole::View,
        Role::Operate => BrokerRole::Operate,
        Role::Admin => BrokerRole::Admin,
    }
}

fn shown(rule: &Rule) -> RuleView {
    let found = ACCESS.iter().find(|(_, known)| *known == rule.permission());
    RuleView {
        topic: rule.filter().to_owned(),
        access: found.map(|(word, _)| *word).unwrap_or_default().to_owned(),
    }
}

fn rule(given: &RuleView) -> Result<Rule, NotDone> {
    let found = ACCESS.iter().find(|(word, _)| *word == given.access);
    let (_, permission) = found.ok_or_else(|| {
        NotDone::Refused(format!(
            "{}: access is read, write, readwrite or deny",
            given.topic
        ))
    })?;
    Rule::new(&given.topic, *permission)
        .map_err(|error| NotDone::Refused(format!("\"{}\" is {error}", given.topic)))
}

/// Makes or changes a user in a file. Returns all users.
///
/// # Errors
///
/// Why not; then nothing has changed.
pub(super) fn set(file: &Path, name: &str, change: &UserChange) -> Result<Users, NotDone> {
    config::check_user_name(name).map_err(NotDone::Refused)?;
    let rules = match &change.rules {
        Some(Some(rules)) => Some(Some(rules.iter().map(rule).collect::<Result<Vec<_>, _>>()?)),
        Some(None) => Some(None),
        None => None,
    };
    // It takes its time, and needs no lock.
    let password = change
        .password
        .as_ref()
        .map(|password| PasswordHash::of(password.as_bytes()));
    let password = password.transpose();
    let password = password.map_err(|error| NotDone::Password(error.to_string()))?;
    edit(file, |users| {
        let is_new = !users.named.contains_key(name);
        if is_new && password.is_none() {
            return Err(NotDone::Password("a new user needs a password".to_owned()));
        }
        let user: &mut User = users.named.entry(name.to_owned()).or_default();
        if password.is_some() {
            user.password = password;
        }
        if let Some(role) = change.role {
            user.role = role.map(role_for);
        }
        if let Some(rules) = rules {
            user.rules = rules;
        }
        Ok(())
    })
}

/// Removes a user from a file. Returns those that stay.
///
/// # Errors
///
/// Why not; then nothing has changed.
pub(super) fn remove(file: &Path, name: &str) -> Result<Users, NotDone> {
    edit(file, |users| match users.named.remove(name) {
        Some(_) => Ok(()),
        None => Err(NotDone::Missing),
    })
}

fn edit(
    file: &Path,
    change: impl FnOnce(&mut Users) -> Result<(), NotDone>,
) -> Result<Users, NotDone> {
    let failed = |error: std::io::Error| NotDone::Failed(error.to_string());
    let locked = Locked::new(file).map_err(failed)?;
    let mut users =
        users_file::read_or_new(file).map_err(|report| NotDone::Refused(report.to_string()))?;
    let (had_admin, had_role) = (has_admin(&users), has_role(&users));
    change(&mut users)?;
    let refused = match has_admin(&users) {
        false if had_admin => Some("then there would be no user left with the role admin"),
        // From then on the page asks for a user's password: who made it would be out.
        false if !had_role && has_role(&users) => {
            Some("the first user with a role needs the role admin and a password")
        }
        _ => None,
    };
    if let Some(text) = refused {
        return Err(NotDone::Refused(text.to_owned()));
    }
    locked.write(&users).map_err(failed)?;
    Ok(users)
}

/// Whether a user may use the console at all.
fn has_role(users: &Users) -> bool {
    users.named.values().any(|user| user.role.is_some())
}

/// Whether a user with the role admin can log in.
fn has_admin(users: &Users) -> bool {
    let mut all = users.named.values();
    all.any(|user| user.role == Some(BrokerRole::Admin) && user.password.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_made_changed_and_removed_and_one_admin_stays() {
        let name = format!("fieldgate-people-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, "users: {}\n").unwrap();
        let password = Some("correct horse".to_owned());
        let new = |role| UserChange {
            password: password.clone(),
            role: Some(role),
            rules: None,
        };
        let refused = set(&file, "otto", &new(Some(Role::View))).unwrap_err();
        assert!(format!("{refused:?}").contains("the first user with a role"));
        set(&file, "eve", &new(None)).unwrap();
        remove(&file, "eve").unwrap();
        set(&file, "ada", &new(Some(Role::Admin))).unwrap();
        let rules = vec![RuleView {
            topic: "a/+/set".into(),
            access: "deny".into(),
        }];
        let change = UserChange {
            rules: Some(Some(rules.clone())),
            ..new(Some(Role::View))
        };
        let users = listed(&set(&file, "otto", &change).unwrap());
        assert_eq!(
            (users[1].role, users[1].rules.as_ref()),
            (Some(Role::View), Some(&rules))
        );
        let kept = UserChange {
            role: Some(None),
            ..UserChange::default()
        };
        let users = listed(&set(&file, "otto", &kept).unwrap());
        assert_eq!(
            (users[1].role, users[1].rules.as_ref()),
            (None, Some(&rules))
        );
        let wrong = |topic: &str, access: &str| UserChange {
            rules: Some(Some(vec![RuleView {
                topic: topic.into(),
                access: access.into(),
            }])),
            ..UserChange::default()
        };
        for (name, change, want) in [
            ("ada", kept.clone(), "no user left"),
            ("eve", kept.clone(), "needs a password"),
            ("otto", wrong("a/#/b", "read"), "not a topic filter"),
            ("otto", wrong("a", "all"), "access is"),
            ("", new(None), ""),
        ] {
            let refused = set(&file, name, &change).unwrap_err();
            assert!(format!("{refused:?}").contains(want), "{refused:?}");
        }
        assert!(matches!(remove(&file, "ada"), Err(NotDone::Refused(_))));
        assert_eq!(remove(&file, "eve"), Err(NotDone::Missing));
        assert_eq!(listed(&remove(&file, "otto").unwrap()).len(), 1);
        std::fs::remove_file(&file).unwrap();
    }
}
