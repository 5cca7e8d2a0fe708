//! Accepts connections and shares them out among the workers.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Worker;
use super::bind::{Bound, SocketFile};
use super::connection::{BARE, Connection, Fate};
use super::stream::Stream;
use super::tls::Certificates;
use super::websocket::{self, ForeignOrigin};
use crate::addresses::Ticket;
use crate::counters::{Counted, add};
use crate::endpoint::Origins;
use crate::hub::Hub;
use crate::origin::{Origin, Remote};
use fieldgate_broker_access::network;
use fieldgate_broker_core::budget::Share;

/// So many connections one worker serves alone.
const FEW: usize = 64;

/// How long to wait when there are no file descriptors left, in the hope that some come free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// As long as they are missing it is said once in this time.
const EXHAUSTED_NEWS: Duration = Duration::from_secs(60);

/// What a client passes on its way from one listener to MQTT.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) tls: Option<Arc<Certificates>>,
    /// Inside WebSocket, for pages from these origins.
    pub(crate) websocket: Option<Arc<Origins>>,
    pub(crate) allow_anonymous: Option<bool>,
}

/// An accepted socket that no worker has yet.
enum Socket {
    Tcp(StdTcpStream, SocketAddr),
    Unix(StdUnixStream),
}

enum Listening {
    Tcp(TcpListener),
    /// With its file, which goes with the listener.
    Unix(UnixListener, #[expect(dead_code)] SocketFile),
}

/// Serves `listener` for ever.
pub(crate) async fn accept(listener: Bound, gate: Gate, workers: Vec<(Handle, Arc<Worker>)>) {
    let listener = match Listening::new(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("the listener cannot be used: {error}"),
    };
    let mut said: Option<Instant> = None;
    loop {
        match listener.next().await {
            Ok(socket) => {
                if let Some((handle, worker)) = choose(&workers) {
                    take_in(socket, &gate, handle, worker);
                }
            }
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= EXHAUSTED_NEWS) {
                    said = Some(Instant::now());
                    log::warn!("no connection can be accepted: {error}");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

impl Listening {
    fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    async fn next(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A client that has gone already shows it when it is read.
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream.into_std()?, peer))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(Socket::Unix(stream.into_std()?))
            }
        }
    }
}

/// The first worker while it has few connections, since a message that changes threads costs a
/// wake-up more; then the one with the fewest.
fn choose(workers: &[(Handle, Arc<Worker>)]) -> Option<&(Handle, Arc<Worker>)> {
    let load = |worker: &Worker| worker.connections.load(Ordering::Relaxed);
    let first = workers.first()?;
    if load(&first.1) < FEW {
        return Some(first);
    }
    workers.iter().min_by_key(|(_, worker)| load(worker))
}

fn take_in(socket: Socket, gate: &Gate, handle: &Handle, worker: &Arc<Worker>) {
    let hub = &worker.hub;
    add(&worker.counters.connections, 1);
    let Some(address) = admit(&socket, hub) else {
        add(&worker.counters.connections_refused, 1);
        return;
    };
    let since = Instant::now().into_std();
    let counted = Tickets {
        _open: Counted::one_of(&hub.open),
        worker: Counted::one_of(&worker.connections),
        _address: address,
    };
    let worker = Arc::clone(worker);
    let (remote, own) = match &socket {
        Socket::Tcp(stream, peer) => (Remote::Tcp(*peer), stream.local_addr().ok()),
        Socket::Unix(_) => (Remote::Unix, None),
    };
    let own = own.map(|own| own.ip());
    let origin = Origin {
        remote,
        is_local: remote.is_local(own, &hub.config.local_networks),
        subject: None,
        allow_anonymous: gate.allow_anonymous,
    };
    match socket {
        // By far the most, so the fewest layers.
        Socket::Tcp(stream, _) if gate.tls.is_none() && gate.websocket.is_none() => {
            handle.spawn(async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => {
                        let connection = Connection::new(stream, origin, since, worker);
                        run(Box::new(connection), counted).await
                    }
                    Err(error) => log::warn!("{origin}: {error}"),
                }
            });
        }
        socket => {
            let gate = gate.clone();
            handle.spawn(async move {
                serve(socket, gate, origin, since, worker, counted).await;
            });
        }
    }
}

/// What counts a connection for as long as it is open.
struct Tickets {
    _open: Counted,
    worker: Counted,
    _address: Option<Ticket>,
}

/// Whether there is room for another connection. Returns what counts it for its address, if it has one.
fn admit(socket: &Socket, hub: &Hub) -> Option<Option<Ticket>> {
    let limits = &hub.config.limits;
    let open = hub.open.load(Ordering::Relaxed);
    if hub.stopping.load(Ordering::Relaxed) {
        return None;
    }
    if open >= limits.connections {
        hub.note_refused_connections("connections", None);
        return None;
    }
    if !hub.budget.admits(0, BARE) {
        hub.note_refused_connections("memory", None);
        return None;
    }
    let Socket::Tcp(_, peer) = socket else {
        return Some(None);
    };
    let address = network(peer.ip());
    let ticket = hub.addresses.enter(address, limits.connections_per_address);
    if ticket.is_none() {
        hub.note_refused_connections("connections_per_address", Some(address));
    }
    ticket.map(Some)
}

/// Serves a connection to its end, here or among the slow ones.
///
/// The connection is on the heap, as a future holds what it was given twice.
async fn run<S: Stream + 'static>(mut connection: Box<Connection<S>>, mut tickets: Tickets) {
    let hub = Arc::clone(&connection.worker.hub);
    loop {
        if (&mut connection).await == Fate::Over {
            return;
        }
        if let Some((handle, worker)) = connection.worker.slow() {
            let client = connection.origin.to_string();
            log::info!(
                "{client}: its packets take long; from now on it waits with others of that kind"
            );
            add(&hub.own_counters().slow_publishers, 1);
            tickets.worker = Counted::one_of(&worker.connections);
            connection.worker = worker;
            handle.spawn(finish(connection, tickets));
            return;
        }
    }
}

async fn finish<S: Stream>(connection: Box<Connection<S>>, _tickets: Tickets) {
    connection.await;
}

/// Lets a client through the gate, then serves it.
async fn serve(
    socket: Socket,
    gate: Gate,
    mut origin: Origin,
    since: std::time::Instant,
    worker: Arc<Worker>,
    counted: Tickets,
) {
    let limits = &worker.hub.config.limits;
    let until = Instant::from_std(since + limits.connect_timeout);
    let share = Share::new(&worker.pot, BARE);
    // On the heap, so that it takes no room once it is done.
    let opened = Box::pin(open(socket, gate, limits.packet_size));
    let opened = tokio::time::timeout_at(until, opened).await;
    drop(share);
    match opened {
        Ok(Ok((stream, subject))) => {
            origin.subject = subject;
            let connection = Connection::new(stream, origin, since, worker);
            run(Box::new(connection), counted).await;
        }
        Ok(Err(error)) => {
            add(&worker.counters.connections_refused, 1);
            let foreign = error.get_ref();
            match foreign.and_then(|error| error.downcast_ref::<ForeignOrigin>()) {
                // A page tries again and again.
                Some(page) if !worker.hub.access.is_first(page) => {}
                Some(page) => log::warn!("{origin}: connection refused: {page}"),
                None => log::info!("{origin}: connection refused: {error}"),
            }
        }
        Err(_) => add(&worker.counters.timeouts, 1),
    }
}

/// The handshakes. Returns the stream of MQTT, and the name in the client's certificate.
async fn open(
    socket: Socket,
    gate: Gate,
    packet_size: u32,
) -> io::Result<(Box<dyn Stream>, Option<Box<str>>)> {
    let mut stream: Box<dyn Stream> = match socket {
        Socket::Tcp(stream, _) => Box::new(TcpStream::from_std(stream)?),
        Socket::Unix(stream) => Box::new(UnixStream::from_std(stream)?),
    };
    let mut subject = None;
    if let Some(certificates) = gate.tls {
        let (encrypted, name) = certificates.accept(stream).await?;
        stream = Box::new(encrypted);
        subject = name;
    }
    if let Some(origins) = &gate.websocket {
        stream = Box::new(websocket::accept(stream, packet_size, origins).await?);
    }
    Ok((stream, subject))
}

/// Whether the error says that the client has gone, not that we cannot go on.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
