//! Everything that can be asked, with who may.

mod backup;
mod buses;
mod certificates;
mod config;
mod counters;
mod devices;
mod events;
mod history;
mod jobs;
mod lists;
mod logs;
mod mqtt;
mod network;
mod overview;
mod points;
mod session;
mod setup;
mod stream;
mod system;
mod tokens;
mod update;
mod users;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};

use crate::accounts::Role;
use crate::app::{self, App};
use crate::guard;
use crate::peer::Peer;
use crate::problem::Problem;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Every client that can connect.
    Nothing,
    /// A user who is logged in, with this role or more.
    Role(Role),
    /// A user who is logged in, programs on this machine, and all others if the configuration says so.
    Figures,
}

/// The routes, and the list of them.
struct Routes {
    app: Arc<App>,
    router: Router<Arc<App>>,
    list: Vec<(Method, &'static str, Needs)>,
}

impl Routes {
    fn add<H, T>(&mut self, method: Method, path: &'static str, needs: Needs, handler: H)
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let filter = match method {
            Method::POST => MethodFilter::POST,
            Method::PATCH => MethodFilter::PATCH,
            Method::PUT => MethodFilter::PUT,
            Method::DELETE => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        let state = (Arc::clone(&self.app), needs);
        let route = on(filter, handler).layer(from_fn_with_state(state, admit));
        let router = std::mem::take(&mut self.router);
        self.router = router.route(path, route);
        self.list.push((method, path, needs));
    }
}

fn all(app: Arc<App>) -> Routes {
    const VIEW: Needs = Needs::Role(Role::View);
    const OPERATE: Needs = Needs::Role(Role::Operate);
    let mut routes = Routes {
        app,
        router: Router::new(),
        list: Vec::new(),
    };
    let r = &mut routes;
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    r.add(get.clone(), "/", Needs::Nothing, system::page);
    r.add(
        get.clone(),
        "/web/{build}/{*file}",
        Needs::Nothing,
        system::file,
    );
    r.add(get.clone(), "/health", Needs::Nothing, system::health);
    r.add(get.clone(), "/metrics", Needs::Figures, system::metrics);
    let session = "/api/v1/session";
    r.add(get.clone(), session, Needs::Nothing, session::who);
    r.add(post.clone(), session, Needs::Nothing, session::login);
    r.add(delete, session, Needs::Nothing, session::logout);
    r.add(
        post.clone(),
        "/api/v1/setup",
        Needs::Nothing,
        setup::first_user,
    );
    r.add(get.clone(), "/api/v1/openapi.json", VIEW, system::openapi);
    r.add(get.clone(), "/api/v1/overview", VIEW, overview::all);
    r.add(get.clone(), "/api/v1/devices", VIEW, devices::list);
    r.add(get.clone(), "/api/v1/devices/{device}", VIEW, devices::one);
    let point = "/api/v1/devices/{device}/points/{point}";
    r.add(get.clone(), point, VIEW, points::one);
    let write = "/api/v1/devices/{device}/points/{point}/write";
    r.add(post, write, OPERATE, write::write);
    r.add(get.clone(), "/api/v1/points", VIEW, points::list);
    r.add(get.clone(), "/api/v1/trends", VIEW, points::trends);
    let past = "/api/v1/history/{device}/{point}";
    r.add(get.clone(), past, VIEW, history::columns);
    for (path, kind) in history::EXPORTS {
        let export = move |app, request| history::export(kind, app, request);
        r.add(get.clone(), path, VIEW, export);
    }
    r.add(get.clone(), "/api/v1/history/events", VIEW, events::list);
    let path = "/api/v1/history/events.csv";
    r.add(get.clone(), path, VIEW, events::export);
    let path = "/api/v1/history/counters";
    r.add(get.clone(), path, VIEW, counters::list);
    let path = "/api/v1/history/counters.csv";
    r.add(get.clone(), path, VIEW, counters::export);
    r.add(get.clone(), "/api/v1/stream", VIEW, stream::open);
    r.add(
        Method::PATCH,
        "/api/v1/stream/{stream}",
        VIEW,
        stream::change,
    );
    r.add(get.clone(), "/api/v1/buses", VIEW, buses::list);
    r.add(get.clone(), "/api/v1/broker", VIEW, system::broker);
    r.add(get, "/api/v1/logs", VIEW, logs::list);
    tools(r);
    files(r);
    routes
}

/// What is done on buses.
fn tools(r: &mut Routes) {
    const OPERATE: Needs = Needs::Role(Role::Operate);
    let post = Method::POST;
    let path = "/api/v1/devices/{device}/test";
    r.add(post.clone(), path, OPERATE, jobs::test);
    let path = "/api/v1/buses/{bus}/scan";
    r.add(post.clone(), path, OPERATE, jobs::scan);
    let path = "/api/v1/buses/{bus}/read";
    r.add(post.clone(), path, OPERATE, jobs::read);
    let path = "/api/v1/jobs/{job}";
    r.add(Method::GET, path, OPERATE, jobs::one);
    r.add(Method::DELETE, path, OPERATE, jobs::end);
    r.add(Method::GET, "/api/v1/types", OPERATE, jobs::types);
    let admin = Needs::Role(Role::Admin);
    r.add(post, "/api/v1/config/add", admin, jobs::add);
}

/// The broker's clients and messages, and what has to do with files.
fn files(r: &mut Routes) {
    const ADMIN: Needs = Needs::Role(Role::Admin);
    let (get, post) = (Method::GET, Method::POST);
    r.add(get.clone(), "/api/v1/users", ADMIN, users::list);
    r.add(Method::PUT, "/api/v1/users/{user}", ADMIN, users::put);
    r.add(Method::DELETE, "/api/v1/users/{user}", ADMIN, users::remove);
    let path = "/api/v1/users/{user}/tokens";
    r.add(post.clone(), path, ADMIN, tokens::add);
    let path = "/api/v1/users/{user}/tokens/{token}";
    r.add(Method::DELETE, path, ADMIN, tokens::remove);
    r.add(get.clone(), "/api/v1/mqtt/clients", ADMIN, mqtt::clients);
    let path = "/api/v1/mqtt/retained";
    r.add(get.clone(), path, ADMIN, mqtt::retained);
    let path = "/api/v1/mqtt/publish";
    r.add(post.clone(), path, ADMIN, mqtt::publish);
    let path = "/api/v1/config";
    r.add(get.clone(), path, ADMIN, config::read);
    r.add(Method::PUT, path, ADMIN, config::save);
    let path = "/api/v1/config/running";
    r.add(get.clone(), path, ADMIN, config::running);
    r.add(post.clone(), "/api/v1/config/check", ADMIN, config::check);
    let path = "/api/v1/config/complete";
    r.add(post.clone(), path, ADMIN, config::complete);
    r.add(post.clone(), "/api/v1/config/apply", ADMIN, config::apply);
    let path = "/api/v1/config/versions";
    r.add(get.clone(), path, ADMIN, config::versions);
    let path = "/api/v1/config/versions/{version}";
    r.add(get.clone(), path, ADMIN, config::version);
    let path = "/api/v1/certificates";
    r.add(get.clone(), path, ADMIN, certificates::look);
    r.add(Method::PUT, path, ADMIN, certificates::put);
    let path = "/api/v1/certificates/make";
    r.add(post.clone(), path, ADMIN, certificates::make);
    let path = "/api/v1/certificates/ca.pem";
    let view = Needs::Role(Role::View);
    r.add(get, path, view, certificates::authority);
    let path = "/api/v1/system/network";
    r.add(Method::GET, path, ADMIN, network::look);
    r.add(Method::PUT, path, ADMIN, network::change);
    let path = "/api/v1/system/network/confirm";
    r.add(post.clone(), path, ADMIN, network::confirm);
    system(r);
    r.add(post.clone(), "/api/v1/backup", ADMIN, backup::make);
    r.add(post, "/api/v1/restore", ADMIN, backup::restore);
}

/// The system of the board.
fn system(r: &mut Routes) {
    const ADMIN: Needs = Needs::Role(Role::Admin);
    let post = Method::POST;
    r.add(Method::GET, "/api/v1/system/update", ADMIN, update::look);
    r.add(Method::PUT, guard::UPLOAD, ADMIN, update::upload);
    r.add(Method::DELETE, guard::UPLOAD, ADMIN, update::discard);
    let path = "/api/v1/system/update/install";
    r.add(post.clone(), path, ADMIN, update::install);
    let path = "/api/v1/system/update/next";
    r.add(post.clone(), path, ADMIN, update::next);
    r.add(post, "/api/v1/system/restart", ADMIN, update::restart);
}

/// The whole service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let routes = all(Arc::clone(&app)).router;
    let routes = routes
        .fallback(async || Problem::missing("there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong_method",
                "this address takes other methods",
            )
        });
    let guard = from_fn_with_state(Arc::clone(&app), guard::pass);
    routes.layer(guard).with_state(app)
}

/// Lets a request to its handler if its sender may ask.
async fn admit(
    State((app, needs)): State<(Arc<App>, Needs)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Problem::bad("no peer").into_response();
    };
    let shows_token = app::bearer(request.headers()).is_some();
    if shows_token && needs == Needs::Nothing && request.method() != Method::GET {
        return Problem::bad("a token needs no session").into_response();
    }
    let found = app.session(request.headers(), peer);
    if shows_token && needs != Needs::Nothing && found.is_none() {
        return session::wrong_token(&app, peer).await.into_response();
    }
    let role = found.as_ref().map(|(_, session)| session.account.role);
    let wanted = match needs {
        Needs::Nothing => None,
        Needs::Role(role) => Some(role),
        Needs::Figures if app.settings.open_metrics || peer.is_local() => None,
        Needs::Figures => Some(Role::View),
    };
    if let Some(wanted) = wanted {
        if role.is_none() {
            let text = "log in first";
            return Problem::new(StatusCode::UNAUTHORIZED, "not_logged_in", text).into_response();
        }
        if role < Some(wanted) {
            let text = format!("this needs the role {}", wanted.name());
            return Problem::new(StatusCode::FORBIDDEN, "wrong_role", text).into_response();
        }
    }
    if let Some((token, session)) = found {
        request.extensions_mut().insert(token);
        request.extensions_mut().insert(session);
    }
    next.run(request).await
}

#[cfg(test)]
mod tests;
