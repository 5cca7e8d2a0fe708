//! What all requests share.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, header};
use fieldgate_plant::Plant;
use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::accounts::{Account, Bearer, Role, Way};
use crate::cookie;
use crate::jobs::Jobs;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::session::{Holder, Session, Sessions, Token};
use crate::setup::{self, Code, Tried};
use crate::stream::Streams;
use crate::trend::Trends;
use crate::{Around, Settings};

/// Set by pages on requests that they make by themselves, so that a session ends when its person has gone.
const BY_ITSELF: &str = "x-background";

/// Requests that may hold some megabytes, at a time.
const LARGE_AT_A_TIME: usize = 2;
/// Exports at a time: each has a thread of those that passwords need, too.
const EXPORTS: usize = 2;
/// How long the next waits for one of them.
const LARGE_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) around: Around,
    pub(crate) streams: Streams,
    pub(crate) jobs: Jobs,
    pub(crate) started: Timestamp,
    sessions: Mutex<Sessions>,
    code: Mutex<Code>,
    trends: Mutex<Trends>,
    large: Semaphore,
    /// Exports that run.
    pub(crate) exports: Arc<Semaphore>,
}

impl App {
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(crate) fn new(settings: Settings, around: Around) -> io::Result<Self> {
        let app = Self {
            settings,
            around,
            streams: Streams::default(),
            jobs: Jobs::default(),
            started: Timestamp::now(),
            sessions: Mutex::default(),
            code: Mutex::new(new_code()?),
            trends: Mutex::new(Trends::new(Instant::now())),
            large: Semaphore::new(LARGE_AT_A_TIME),
            exports: Arc::new(Semaphore::new(EXPORTS)),
        };
        app.tell_code();
        Ok(app)
    }

    pub(crate) fn plant(&self) -> &Plant {
        &self.around.plant
    }

    /// The code with which one can log in now, if there is one.
    pub(crate) fn code_now(&self) -> Option<String> {
        (self.around.accounts.way() != Way::Password).then(|| lock(&self.code).shown())
    }

    /// The right to hold what may be large, until it is dropped.
    ///
    /// # Errors
    ///
    /// If others keep it.
    pub(crate) async fn large(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let waited = tokio::time::timeout(LARGE_WAIT, self.large.acquire()).await;
        waited.ok().and_then(Result::ok).ok_or_else(|| {
            let text = "other requests are using the files; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).after(1)
        })
    }

    fn tell_code(&self) {
        let Some(code) = self.code_now() else { return };
        match self.around.accounts.way() {
            Way::Setup => log::warn!("the console has no user yet; its setup code is {code}"),
            Way::Code | Way::Password => log::info!("the console's login code is {code}"),
        }
    }

    /// Looks at a code that a visitor gave.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(crate) fn check_code(&self, given: &str) -> io::Result<Tried> {
        let now = Instant::now();
        let tried = {
            let mut code = lock(&self.code);
            let is_spent = code.is_spent(now);
            if is_spent {
                *code = new_code()?;
            }
            let tried = code.check(given, now);
            drop(code);
            if is_spent {
                self.tell_code();
            }
            tried
        };
        Ok(tried)
    }

    /// Begins a session. Returns its token.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(crate) fn open_session(&self, holder: Holder, account: Account) -> io::Result<Token> {
        let mut token = Token::default();
        getrandom::fill(&mut token).map_err(io::Error::other)?;
        let session = Session { holder, account };
        lock(&self.sessions).open(token, session, Instant::now());
        Ok(token)
    }

    pub(crate) fn close_session(&self, token: &Token) {
        lock(&self.sessions).close(token);
    }

    pub(crate) fn session_count(&self) -> usize {
        lock(&self.sessions).count(Instant::now())
    }

    /// The session of a request, if its user is still the same. Who shows a token has no other.
    pub(crate) fn session(&self, headers: &HeaderMap, peer: Peer) -> Option<(Token, Session)> {
        if let Some(text) = bearer(headers) {
            let bearer = self.around.accounts.bearer(text)?;
            return Some((bearer.key, of_bearer(bearer)));
        }
        let token = token(headers, peer)?;
        let session = self.session_of(&token, !headers.contains_key(BY_ITSELF))?;
        Some((token, session))
    }

    /// Whether who was let in with this token, or with a script's that has this key, still is.
    pub(crate) fn is_in(&self, token: &Token) -> bool {
        self.session_of(token, false).is_some() || self.around.accounts.bearer_of(token).is_some()
    }

    /// The session of a token, if its user is still the same.
    fn session_of(&self, token: &Token, by_person: bool) -> Option<Session> {
        let session = lock(&self.sessions).find(token, by_person, Instant::now())?;
        if self.account_of(&session.holder) == Some(session.account) {
            return Some(session);
        }
        self.close_session(token);
        None
    }

    fn account_of(&self, holder: &Holder) -> Option<Account> {
        match holder {
            Holder::User(user) => self.around.accounts.account(user),
            // They are looked up each time.
            Holder::Token { .. } => None,
            Holder::Code => (self.around.accounts.way() == Way::Code).then_some(CODE_ACCOUNT),
        }
    }

    pub(crate) fn trends(&self) -> MutexGuard<'_, Trends> {
        lock(&self.trends)
    }
}

/// Who knows the code of this start may do everything.
pub(crate) const CODE_ACCOUNT: Account = Account {
    role: Role::Admin,
    stamp: 0,
};

fn of_bearer(bearer: Bearer) -> Session {
    Session {
        holder: Holder::Token {
            shown: format!("{}/{}", bearer.user, bearer.token),
            user: bearer.user,
        },
        account: bearer.account,
    }
}

/// What a script shows: `Authorization: Bearer ...` (RFC 6750). No page of another host can make a browser send it.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token that a request shows in its cookie.
pub(crate) fn token(headers: &HeaderMap, peer: Peer) -> Option<Token> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let cookies = cookies.filter_map(|cookie| cookie.to_str().ok());
    cookie::find(cookies, peer.is_secure)
}

fn new_code() -> io::Result<Code> {
    let mut random = [0; setup::LENGTH];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(Code::new(random))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
