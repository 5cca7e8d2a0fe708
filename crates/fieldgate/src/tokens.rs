//! Tokens of users: what a script shows to the console instead of a password. The users file has their SHA-256 alone.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldgate_broker::{AccessToken, Role, User, Users};
use fieldgate_config::users_file::{self, Locked};
use fieldgate_config::yaml::suggestion;
use fieldgate_config::{self as config, Day};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use crate::args::{self, AddToken, RemoveToken};
use crate::certificates::now;
use crate::output::print;
use crate::stop::Stop;
use crate::users::locate;

/// How a token begins, so that programs that look for secrets in texts know it.
const PREFIX: &str = "fg_";
/// Random bytes of a token.
const RANDOM: usize = 32;
/// Tokens of one user.
const TOKENS_MAX: usize = 16;
/// The longest name of a token, in bytes.
const NAME_MAX: usize = 64;

/// Why a token was not made or removed. Then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    /// There is no such user or token.
    #[error("{0}")]
    Missing(String),
    /// It cannot be made.
    #[error("{0}")]
    Refused(String),
    /// The system refuses something.
    #[error("{0}")]
    System(std::io::Error),
}

impl From<NotDone> for Stop {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::System(error) => Self::Other(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

/// The SHA-256 of a token's text; none if it does not look like one.
pub(crate) fn digest_of(text: &str) -> Option<[u8; 32]> {
    let random = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
    if random.len() != RANDOM {
        return None;
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    Some(bytes)
}

/// A token that is taken at a time: user, name, and what it may do.
pub(crate) fn find<'u>(
    users: &'u Users,
    sha256: &[u8; 32],
    now: i64,
) -> Option<(&'u str, &'u str, Role)> {
    let all = users.named.iter().flat_map(|(name, user)| {
        let tokens = user.tokens.iter();
        tokens.map(move |(token, known)| (name, user, token, known))
    });
    // Digests of random bytes: how far two of them are the same says nothing about the bytes.
    let (name, user, token, known) = all
        .into_iter()
        .find(|(.., known)| known.sha256 == *sha256)?;
    let role = known.role.min(user.role?);
    (!is_over(known, now)).then_some((name, token, role))
}

/// Whether the last day of a token is over.
pub(crate) fn is_over(token: &AccessToken, now: i64) -> bool {
    token.until.is_some_and(|until| now >= until)
}

/// Makes a token of a user in a file. Returns its text and all users.
///
/// # Errors
///
/// [`NotDone`].
pub(crate) fn add(
    file: &Path,
    user: &str,
    token: &str,
    role: Role,
    until: Option<&str>,
) -> Result<(String, Users), NotDone> {
    let is_name =
        !token.is_empty() && token.len() <= NAME_MAX && !token.chars().any(char::is_control);
    if !is_name {
        let text = format!("a token's name has 1 to {NAME_MAX} bytes and no control characters");
        return Err(NotDone::Refused(text));
    }
    let until = until.map(|until| Day::of_text(until).map_err(|text| format!("until: {text}")));
    let until = until.transpose().map_err(NotDone::Refused)?.map(Day::end);
    if until.is_some_and(|until| now() >= until) {
        return Err(NotDone::Refused("until: this day is over".to_owned()));
    }
    let mut random = [0; RANDOM];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| NotDone::System(std::io::Error::other("no random bytes")))?;
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let sha256 = digest_of(&text).unwrap_or_default();
    let users = edit(file, user, |found| {
        match found.role {
            None => {
                return Err(NotDone::Refused(format!(
                    "{user} has no role in the console"
                )));
            }
            Some(own) if own < role => {
                let text = format!(
                    "{user} may do less than that; the token may not do more than its user"
                );
                return Err(NotDone::Refused(text));
            }
            Some(_) => {}
        }
        if found.tokens.contains_key(token) {
            return Err(NotDone::Refused(format!(
                "{user} has a token \"{token}\" already"
            )));
        }
        if found.tokens.len() >= TOKENS_MAX {
            return Err(NotDone::Refused(format!(
                "a user has at most {TOKENS_MAX} tokens"
            )));
        }
        let new = AccessToken {
            sha256,
            role,
            until,
        };
        found.tokens.insert(token.to_owned(), new);
        Ok(())
    })?;
    Ok((text, users))
}

/// Removes a token of a user from a file. Returns all users.
///
/// # Errors
///
/// [`NotDone`].
pub(crate) fn remove(file: &Path, user: &str, token: &str) -> Result<Users, NotDone> {
    edit(file, user, |found| match found.tokens.remove(token) {
        Some(_) => Ok(()),
        None => {
            let names: Vec<&String> = found.tokens.keys().collect();
            let meant = suggestion(token, &names);
            Err(NotDone::Missing(format!(
                "{user} has no token \"{token}\"{meant}"
            )))
        }
    })
}

fn edit(
    file: &Path,
    user: &str,
    change: impl FnOnce(&mut User) -> Result<(), NotDone>,
) -> Result<Users, NotDone> {
    let locked = Locked::new(file).map_err(NotDone::System)?;
    let read = users_file::read_or_new(file);
    let mut users = read.map_err(|report| NotDone::Refused(report.to_string()))?;
    let Some(found) = users.named.get_mut(user) else {
        let names: Vec<&String> = users.named.keys().collect();
        let meant = suggestion(user, &names);
        return Err(NotDone::Missing(format!(
            "there is no user \"{user}\"{meant}"
        )));
    };
    change(found)?;
    locked.write(&users).map_err(NotDone::System)?;
    Ok(users)
}

/// Carries out `fieldgate token ...`.
///
/// # Errors
///
/// A users file with mistakes, a name that is taken or not there, or what the system refuses.
pub(crate) fn act(command: &args::Token) -> Result<(), Stop> {
    match command {
        args::Token::Add(new) => make(new),
        args::Token::Remove(RemoveToken { user, token, file }) => {
            remove(&locate(file)?, user, token)?;
            print(&format!("removed the token {token} of {user}\n"));
            Ok(())
        }
        args::Token::List(file) => list(&config::load_users(&locate(file)?).map_err(Stop::Config)?),
    }
}

fn make(new: &AddToken) -> Result<(), Stop> {
    let path = locate(&new.file)?;
    let (text, _) = add(
        &path,
        &new.user,
        &new.token,
        new.role.into(),
        new.until.as_deref(),
    )?;
    // The text alone on its line of standard output, so that a script can take it.
    print(&format!("{text}\n"));
    log::info!("this is shown once; a running gateway takes it within two seconds");
    Ok(())
}

fn list(users: &Users) -> Result<(), Stop> {
    for (name, user) in &users.named {
        for (token, known) in &user.tokens {
            let role = match known.role {
                Role::View => "view",
                Role::Operate => "operate",
                Role::Admin => "admin",
            };
            let until = known.until.and_then(Day::of_end);
            let until = until.map_or_else(|| "for ever".to_owned(), |day| format!("until {day}"));
            let over = if is_over(known, now()) {
                ", which is over"
            } else {
                ""
            };
            print(&format!("{name}  {token}: {role}, {until}{over}\n"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_text_within_its_time_and_the_role_of_its_user() {
        let file = std::env::temp_dir().join(format!("fieldgate-tokens-{}", std::process::id()));
        std::fs::write(&file, "users: {ann: {console: operate}, bob: {}}\n").unwrap();
        let (text, mut users) =
            add(&file, "ann", "grafana", Role::Operate, Some("2999-12-31")).unwrap();
        assert!(!std::fs::read_to_string(&file).unwrap().contains(&text));
        let sha256 = digest_of(&text).unwrap();
        let end = Day::of_text("2999-12-31").unwrap().end();
        assert_eq!(
            find(&users, &sha256, end - 1),
            Some(("ann", "grafana", Role::Operate))
        );
        assert_eq!(find(&users, &sha256, end), None);
        assert_eq!(find(&users, &[7; 32], 0), None);
        users.named.get_mut("ann").unwrap().role = Some(Role::View);
        assert_eq!(
            find(&users, &sha256, 0),
            Some(("ann", "grafana", Role::View))
        );
        users.named.get_mut("ann").unwrap().role = None;
        assert_eq!(find(&users, &sha256, 0), None);
        for (user, token, role, until, want) in [
            ("ann", "grafana", Role::View, None, "already"),
            ("ann", "x", Role::Admin, None, "may do less"),
            ("bob", "x", Role::View, None, "no role"),
            ("eve", "x", Role::View, None, "no user"),
            ("ann", "", Role::View, None, "1 to 64"),
            ("ann", "x", Role::View, Some("2001-01-01"), "is over"),
            ("ann", "x", Role::View, Some("soon"), "such as"),
        ] {
            let refused = add(&file, user, token, role, until)
                .unwrap_err()
                .to_string();
            assert!(refused.contains(want), "{refused}");
        }
        assert!(
            matches!(remove(&file, "ann", "grafan"), Err(NotDone::Missing(text)) if text.contains("grafana"))
        );
        let users = remove(&file, "ann", "grafana").unwrap();
        assert_eq!(find(&users, &sha256, 0), None);
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn only_what_looks_like_a_token_is_hashed() {
        let good = format!("fg_{}", "A".repeat(43));
        assert!(digest_of(&good).is_some());
        for text in [
            "",
            "fg_",
            "fg_AAAA",
            &good[3..],
            &format!("{good}A"),
            &format!("{good}="),
        ] {
            assert_eq!(digest_of(text), None, "{text}");
        }
    }
}
