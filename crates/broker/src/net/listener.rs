//! Accepts connections and shares them out among the workers.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::Worker;
use super::connection::Connection;
use crate::counters::{Counted, add};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;

/// So many connections one worker serves alone.
const FEW: usize = 64;

/// How long to wait when there are no file descriptors left, in the hope that some come free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Opens a listening socket. An IPv6 address is served by itself, without IPv4.
pub(crate) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves `listener` for ever.
pub(crate) async fn accept(listener: StdListener, workers: Vec<(Handle, Arc<Worker>)>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("the listener cannot be used: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some((handle, worker)) = choose(&workers) {
                    take_in(stream, peer, handle, worker);
                }
            }
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                log::warn!("no connection can be accepted: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
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

fn take_in(stream: TcpStream, peer: SocketAddr, handle: &Handle, worker: &Arc<Worker>) {
    let hub = &worker.hub;
    add(&worker.counters.connections, 1);
    let open = hub.open.load(Ordering::Relaxed);
    let prepared = stream.set_nodelay(true).and_then(|()| stream.into_std());
    let Some(stream) = prepared
        .ok()
        .filter(|_| open < hub.config.limits.connections && !hub.stopping.load(Ordering::Relaxed))
    else {
        add(&worker.counters.connections_refused, 1);
        return;
    };
    let worker = Arc::clone(worker);
    let counted = [&hub.open, &worker.connections].map(Counted::one_of);
    handle.spawn(async move {
        let _counted = counted;
        match TcpStream::from_std(stream) {
            Ok(stream) => Connection::new(stream, peer, worker).await,
            Err(error) => log::warn!("{peer}: {error}"),
        }
    });
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
