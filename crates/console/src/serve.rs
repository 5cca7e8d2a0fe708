//! Doors and connections: the only module that has sockets.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, TcpListener as StdTcpListener};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::app::App;
use crate::later::Later;
use crate::past;
use crate::peer::Peer;
use crate::routes;
use crate::stall::Stalling;

/// From one look at the plant for its series to the next, at least.
const LOOK: Duration = Duration::from_secs(1);
/// A look may take one part in so many of the thread's time.
const SHARE: u32 = 20;

/// Connections at a time.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// Those from one address, or from one IPv6 network of a site.
pub(crate) const CONNECTIONS_PER_ADDRESS: usize = 24;
/// How long encryption, and then the head of a request, may take to come. A connection without a request ends then.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Bytes of the head of a request.
const HEAD_MAX: usize = 16 * 1024;
/// Lines of the head of a request.
const HEADERS_MAX: usize = 64;
/// How long to wait when there are no file descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that listens, in non-blocking mode.
#[derive(Debug)]
pub enum Socket {
    /// On addresses.
    Tcp(StdTcpListener),
    /// On this machine.
    Unix(StdUnixListener),
}

/// An encrypted or plain stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What encryption makes of a connection.
pub type Encrypted = Box<dyn Stream>;

/// Begins encryption on connections.
pub trait Encrypt: Send + Sync {
    /// Shakes hands.
    fn encrypt(&self, stream: TcpStream) -> Later<'_, io::Result<Encrypted>>;
}

/// Where visitors come in.
pub struct Door {
    /// What listens.
    pub socket: Socket,
    /// Over HTTPS.
    pub tls: Option<Arc<dyn Encrypt>>,
    /// Sends visitors on to this port, where there is HTTPS.
    pub redirect: Option<u16>,
    /// Goes when nothing listens any more.
    pub keep: Box<dyn Any + Send>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// Serves until it is stopped.
pub(crate) async fn all(doors: Vec<Door>, app: Arc<App>, stop: CancellationToken) {
    let router = routes::router(Arc::clone(&app));
    let open = Arc::new(Open::default());
    for door in doors {
        let (router, open, stop) = (router.clone(), Arc::clone(&open), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(door, router, open, stop).await {
                log::error!("the console cannot use a listener: {error}");
            }
        });
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_trends(&app) => {}
    }
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Accepted {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

impl Listening {
    async fn next(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A client that has gone already shows it when it is read.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, peer.ip().to_canonical()))
            }
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

async fn serve(
    door: Door,
    router: Router,
    open: Arc<Open>,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = match door.socket {
        Socket::Tcp(listener) => Listening::Tcp(TcpListener::from_std(listener)?),
        Socket::Unix(listener) => Listening::Unix(UnixListener::from_std(listener)?),
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.next() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(Accepted::Tcp(stream, address)) => (Some(stream), Some(address)),
            Ok(Accepted::Unix(stream)) => {
                if let Some(ticket) = open.enter(None) {
                    let peer = peer(None, false);
                    let router = router.clone();
                    tokio::spawn(connection(Box::new(stream), peer, router, None, ticket));
                }
                continue;
            }
            Err(error) => {
                log::debug!("the console: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        let (Some(stream), Some(ticket)) = (stream, open.enter(address)) else {
            continue;
        };
        let peer = peer(address, door.tls.is_some());
        let (router, tls, redirect) = (router.clone(), door.tls.clone(), door.redirect);
        tokio::spawn(async move {
            let stream: Encrypted = match tls {
                None => Box::new(stream),
                Some(tls) => {
                    match tokio::time::timeout(HEAD_TIME, tls.encrypt(stream)).await {
                        Ok(Ok(stream)) => stream,
                        // Scanners, and browsers that do not know the authority yet.
                        Ok(Err(error)) => return log::debug!("the console, {peer}: {error}"),
                        Err(_) => return,
                    }
                }
            };
            connection(stream, peer, router, redirect, ticket).await;
        });
    }
}

/// Keeps the series of the plant for ever.
async fn keep_trends(app: &Arc<App>) {
    let mut pause = LOOK;
    // The one that reads stops with this.
    let going = Arc::new(());
    loop {
        tokio::time::sleep(pause).await;
        let begin = Instant::now();
        app.trends().look(app.plant(), begin);
        let missing = app.trends().take_missing();
        if let (Some(history), false) = (&app.around.history, missing.is_empty()) {
            let (app, history, going) = (Arc::clone(app), history.clone(), Arc::downgrade(&going));
            tokio::task::spawn_blocking(move || {
                past::fill(&app, &history, missing, &|| going.strong_count() > 0);
            });
        }
        pause = LOOK.max(begin.elapsed() * SHARE);
    }
}

fn peer(address: Option<IpAddr>, is_secure: bool) -> Peer {
    Peer { address, is_secure }
}

async fn connection(
    stream: Encrypted,
    peer: Peer,
    router: Router,
    redirect: Option<u16>,
    _ticket: Ticket,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            if let Some(port) = redirect {
                return Ok(elsewhere(&request, port));
            }
            request.extensions_mut().insert(peer);
            router.call(request.map(Body::new)).await
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Stalling::new(stream)), service);
    if let Err(error) = served.await {
        log::debug!("the console, {peer}: {error}");
    }
}

/// The same over HTTPS.
fn elsewhere(request: &Request<Incoming>, port: u16) -> Response<Body> {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let end = match host.starts_with('[') {
        true => host.find(']').map(|end| end + 1),
        false => host.find(':'),
    };
    let name = host.get(..end.unwrap_or(host.len())).unwrap_or_default();
    let port = match port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let path = request.uri().path();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    match HeaderValue::from_str(&format!("https://{name}{port}{path}")) {
        Ok(place) if !name.is_empty() => {
            response.headers_mut().insert(header::LOCATION, place);
        }
        _ => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// Connections that are open.
#[derive(Debug, Default)]
struct Open {
    counts: Mutex<Counts>,
    has_said: AtomicBool,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Counts a connection for as long as it is open.
struct Ticket {
    open: Arc<Open>,
    network: Option<IpAddr>,
}

impl Open {
    fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Ticket> {
        let network = address.map(network);
        let mut counts = self.lock();
        let own = network.map_or(0, |network| {
            counts.by_address.get(&network).copied().unwrap_or(0)
        });
        if counts.all >= CONNECTIONS_MAX || own >= CONNECTIONS_PER_ADDRESS {
            if !self.has_said.swap(true, Ordering::Relaxed) {
                log::warn!(
                    "the console turns connections away: it takes {CONNECTIONS_MAX} at a time, \
                     {CONNECTIONS_PER_ADDRESS} of one address (said once)"
                );
            }
            return None;
        }
        counts.all += 1;
        if let Some(network) = network {
            counts.by_address.insert(network, own + 1);
        }
        drop(counts);
        Some(Ticket {
            open: Arc::clone(self),
            network,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.open.lock();
        counts.all -= 1;
        let Some(network) = self.network else { return };
        let left = counts.by_address.get_mut(&network).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            counts.by_address.remove(&network);
        }
    }
}

/// One site has a /64 of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// What the router answers with.
const _: fn() = || {
    fn infallible<S: Service<Request<Body>, Error = Infallible>>() {}
    infallible::<Router>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others() {
        let open = Arc::new(Open::default());
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let mut taken: Vec<_> = (0..CONNECTIONS_PER_ADDRESS)
            .map(|_| open.enter(Some(one)).unwrap())
            .collect();
        assert!(open.enter(Some(one)).is_none());
        assert!(open.enter(Some(other)).is_some());
        assert!(open.enter(None).is_some());
        taken.pop();
        taken.push(open.enter(Some(one)).unwrap());
        let neighbours: [IpAddr; 2] =
            ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().unwrap());
        assert_eq!(network(neighbours[0]), network(neighbours[1]));
        drop(taken);
        let all: Vec<_> = (0..CONNECTIONS_MAX)
            .filter_map(|_| open.enter(None))
            .collect();
        assert_eq!(all.len(), CONNECTIONS_MAX);
        assert!(open.enter(None).is_none() && open.enter(Some(one)).is_none());
        drop(all);
        assert_eq!(open.lock().all, 0);
        assert!(open.lock().by_address.is_empty());
    }
}
