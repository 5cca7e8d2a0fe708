//! The first user.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::session;
use crate::accounts::Way;
use crate::app::App;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query;
use crate::session::Holder;

/// Characters of a password, at least.
const PASSWORD_MIN: usize = 10;
/// Passwords that are tried first everywhere, and long enough.
const DENIED: &[&str] = &[
    "0123456789",
    "1234567890",
    "9876543210",
    "administrator",
    "fieldgatefieldgate",
    "fieldgate1",
    "fieldgate123",
    "password01",
    "password12",
    "password123",
    "passwort123",
    "qwertyuiop",
    "qwertzuiop",
    "raspberrypi",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    code: String,
    user: String,
    password: String,
}

/// Makes the first user, and logs it in.
pub(crate) async fn first_user(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let given: First = query::json(request.into_body()).await?;
    let accounts = Arc::clone(&app.around.accounts);
    let is_open = || match accounts.way() {
        Way::Setup => Ok(()),
        Way::Password | Way::Code => {
            let text = "the gateway is set up already";
            Err(Problem::new(StatusCode::CONFLICT, "has_user", text))
        }
    };
    is_open()?;
    if let Some(wrong) = wrong(&given.user, &given.password) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "weak_password",
            wrong,
        ));
    }
    session::try_code(&app, peer, &given.code).await?;
    let founded = accounts.found(&given.user, given.password.as_bytes()).await;
    founded.map_err(|text| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_made", text))?;
    let account = accounts.account(&given.user);
    let account = account.ok_or_else(|| Problem::bad("the user was removed already"))?;
    let (user, address) = (given.user.as_str(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "the console: {address} has made the first user, \"{user}\""
    );
    session::begin(&app, peer, Holder::User(given.user), account)
}

/// What is wrong with a password, for people.
pub(crate) fn wrong(user: &str, password: &str) -> Option<String> {
    let lower = password.to_lowercase();
    if user.trim().is_empty() {
        return Some("a user has a name".to_owned());
    }
    if password.chars().count() < PASSWORD_MIN {
        return Some(format!("a password has at least {PASSWORD_MIN} characters"));
    }
    let mut characters = lower.chars();
    let first = characters.next();
    let is_one = characters.all(|c| Some(c) == first);
    if is_one || DENIED.contains(&lower.as_str()) || lower == user.to_lowercase() {
        return Some("this password is among the first that are tried".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_not_the_first_that_is_tried() {
        for (password, is_wrong) in [
            ("", true),
            ("short", true),
            ("123456789", true),
            ("1234567890", true),
            ("Password123", true),
            ("aaaaaaaaaaaaaaaa", true),
            ("anna-maria", true),
            ("grünekühe1", false),
            ("correct horse", false),
        ] {
            assert_eq!(
                wrong("Anna-Maria", password).is_some(),
                is_wrong,
                "{password}"
            );
        }
        assert!(wrong(" ", "correct horse").is_some());
    }
}
