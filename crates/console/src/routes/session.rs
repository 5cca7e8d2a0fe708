//! Logging in and out.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::accounts::{Account, Refusal, Role, Way};
use crate::answer::Json;
use crate::app::{self, App, CODE_ACCOUNT};
use crate::cookie;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query;
use crate::session::{Holder, Session};
use crate::setup::Tried;

/// For how long a wrong password or code is thought about.
pub(crate) const THINK: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Who<'a> {
    gateway: &'a str,
    version: &'a str,
    /// How to get in.
    way: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// Others on the network can read what is typed.
    plain: bool,
}

/// Who is logged in, and how to get in.
pub(crate) async fn who(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    session: Option<Extension<Session>>,
) -> Response {
    let session = session.as_ref().map(|Extension(session)| session);
    Json(told(&app, peer, session)).into_response()
}

fn told<'a>(app: &'a App, peer: Peer, session: Option<&'a Session>) -> Who<'a> {
    let way = match app.around.accounts.way() {
        Way::Password => "password",
        Way::Setup => "setup",
        Way::Code => "code",
    };
    // The version is for those who are in.
    let version = session.map_or("", |_| app.settings.version.as_str());
    Who {
        gateway: &app.settings.gateway,
        version,
        way,
        user: session.map(|session| session.holder.user()),
        role: session.map(|session| session.account.role.name()),
        plain: !peer.is_secure && !peer.is_local(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    code: String,
}

/// Begins a session.
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    // The session that this browser had ends, whichever user it belonged to.
    let before = app::token(request.headers(), peer);
    let given: Credentials = query::json(request.into_body()).await?;
    let (holder, account) = match app.around.accounts.way() {
        // The network could have heard the code, and the code alone is enough to log in.
        Way::Code if !peer.is_local() => {
            let text = "without users the console is for this machine only";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_local", text));
        }
        Way::Code => {
            try_code(&app, peer, &given.code).await?;
            (Holder::Code, CODE_ACCOUNT)
        }
        Way::Setup => {
            let text = "there is no user yet: set the gateway up first";
            return Err(Problem::new(StatusCode::CONFLICT, "no_user", text));
        }
        Way::Password => {
            let account = authenticate(&app, peer, &given).await?;
            (Holder::User(given.user), account)
        }
    };
    if let Some(before) = before {
        app.close_session(&before);
    }
    begin(&app, peer, holder, account)
}

/// Looks at a code.
pub(crate) async fn try_code(app: &App, peer: Peer, code: &str) -> Result<(), Problem> {
    let tried = app.check_code(code).map_err(|error| failed(&error))?;
    match tried {
        Tried::Right => Ok(()),
        Tried::Wrong => {
            let address = peer.to_string();
            log::warn!(REMOTE = address.as_str(); "the console: {address}: a wrong code");
            tokio::time::sleep(THINK).await;
            let text = "wrong code; the log of the gateway has the right one";
            Err(Problem::new(StatusCode::FORBIDDEN, "wrong_code", text))
        }
        Tried::Wait(time) => Err(too_often(time.as_secs().max(1))),
    }
}

fn too_often(seconds: u64) -> Problem {
    let text = "too many wrong attempts; try again later";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_often", text).after(seconds)
}

async fn authenticate(app: &App, peer: Peer, given: &Credentials) -> Result<Account, Problem> {
    let address = counted(peer);
    let password = given.password.as_bytes();
    let accounts = &app.around.accounts;
    let found = accounts.authenticate(&given.user, password, address).await;
    match found {
        Ok(account) => Ok(account),
        Err(Refusal::Wrong) => {
            let (user, address) = (given.user.as_str(), peer.to_string());
            log::warn!(
                USER = user, REMOTE = address.as_str();
                "the console: {address}: login as \"{user}\" refused"
            );
            tokio::time::sleep(THINK).await;
            let text = "the user name or the password is wrong, or the user has no role here";
            Err(Problem::new(StatusCode::FORBIDDEN, "wrong_login", text))
        }
        Err(Refusal::TooOften) => Err(too_often(10)),
        Err(Refusal::Busy) => {
            let text = "too many logins at the same time";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).after(1))
        }
    }
}

/// What is told who shows a token that is not taken.
pub(crate) async fn wrong_token(app: &App, peer: Peer) -> Problem {
    match app.around.accounts.refuse(counted(peer)) {
        Refusal::TooOften => too_often(10),
        Refusal::Wrong | Refusal::Busy => {
            let address = peer.to_string();
            log::warn!(REMOTE = address.as_str(); "the console: {address}: a wrong token");
            tokio::time::sleep(THINK).await;
            let text = "the token is wrong, was removed, or has ended";
            Problem::new(StatusCode::UNAUTHORIZED, "wrong_token", text)
        }
    }
}

/// The address whose failures are counted.
fn counted(peer: Peer) -> IpAddr {
    peer.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Opens a session, and says so.
pub(crate) fn begin(
    app: &App,
    peer: Peer,
    holder: Holder,
    account: Account,
) -> Result<Response, Problem> {
    let token = app.open_session(holder.clone(), account);
    let token = token.map_err(|error| failed(&error))?;
    let (user, address) = (holder.name(), peer.to_string());
    log::info!(
        USER = user, REMOTE = address.as_str();
        "the console: {user} has logged in from {address}"
    );
    let session = Session { holder, account };
    let mut response = Json(told(app, peer, Some(&session))).into_response();
    put(&mut response, &cookie::set(&token, peer.is_secure));
    Ok(response)
}

/// Ends the session, if there is one.
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    if let Some(token) = app::token(request.headers(), peer) {
        app.close_session(&token);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    put(&mut response, &cookie::clear(peer.is_secure));
    response
}

fn put(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

pub(crate) fn failed(error: &std::io::Error) -> Problem {
    let text = format!("the system refuses: {error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", text)
}

/// Whether a session may write.
pub(crate) fn may_operate(session: &Session) -> bool {
    session.account.role >= Role::Operate
}
