//! Users: what they may do here and over MQTT, and their passwords.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::setup;
use crate::accounts::{Role, RuleView, TokenView, UserChange, UserView};
use crate::answer::Json;
use crate::app::App;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::{self, Names};
use crate::session::Session;

/// Rules of one user.
const RULES_MAX: usize = 200;

#[derive(Serialize)]
struct Shown {
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<&'static str>,
    password: bool,
    /// None for everything.
    rules: Option<Vec<RuleView>>,
    tokens: Vec<ShownToken>,
}

#[derive(Serialize)]
struct ShownToken {
    token: String,
    console: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    is_over: bool,
}

impl From<TokenView> for ShownToken {
    fn from(token: TokenView) -> Self {
        Self {
            token: token.name,
            console: token.role.name(),
            until: token.until,
            is_over: token.is_over,
        }
    }
}

impl From<UserView> for Shown {
    fn from(user: UserView) -> Self {
        Self {
            user: user.name,
            console: user.role.map(Role::name),
            password: user.has_password,
            rules: user.rules,
            tokens: user.tokens.into_iter().map(ShownToken::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct List {
    items: Vec<Shown>,
}

/// All users by name.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    let users = app.around.accounts.users();
    let items = users.into_iter().map(Shown::from).collect();
    Json(List { items }).into_response()
}

/// What is there, were it `null`.
fn there<'de, D, T>(given: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(given).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    password: Option<String>,
    #[serde(default, deserialize_with = "there")]
    console: Option<Option<String>>,
    #[serde(default, deserialize_with = "there")]
    rules: Option<Option<Vec<RuleView>>>,
}

pub(super) fn role(name: &str) -> Result<Role, Problem> {
    let all = [Role::View, Role::Operate, Role::Admin];
    let found = all.into_iter().find(|role| role.name() == name);
    found.ok_or_else(|| Problem::bad("console: expected one of: view, operate, admin, or null"))
}

/// Makes a user, or changes what is given of it.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    let given: Given = query::json(request.into_body()).await?;
    let name = names.get("user").to_owned();
    if let Some(wrong) = given
        .password
        .as_ref()
        .and_then(|password| setup::wrong(&name, password))
    {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "weak_password",
            wrong,
        ));
    }
    let too_many = given.rules.as_ref().and_then(Option::as_ref);
    if too_many.is_some_and(|rules| rules.len() > RULES_MAX) {
        return Err(Problem::bad(format!("rules: at most {RULES_MAX}")));
    }
    let change = UserChange {
        password: given.password,
        role: match given.console {
            None => None,
            Some(None) => Some(None),
            Some(Some(name)) => Some(Some(role(&name)?)),
        },
        rules: given.rules,
    };
    app.around.accounts.set(&name, change).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has changed the user \"{name}\""
    );
    Ok(nothing())
}

/// Removes a user.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    names: Names,
) -> Result<Response, Problem> {
    let name = names.get("user");
    app.around.accounts.remove(name).await?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::warn!(
        USER = user, REMOTE = address.as_str();
        "{user} at {address} has removed the user \"{name}\""
    );
    Ok(nothing())
}

fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
