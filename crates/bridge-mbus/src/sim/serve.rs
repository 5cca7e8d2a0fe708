//! Serves a line of simulated meters.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::SimLine;

/// Answers on a line until `cancel` fires or the line ends. `start` is when values began to move.
///
/// # Errors
///
/// Those of the line.
pub async fn serve(
    line: &mut (impl AsyncRead + AsyncWrite + Unpin),
    meters: &Mutex<SimLine>,
    start: Instant,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let mut chunk = [0; 512];
    loop {
        let read = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            read = line.read(&mut chunk) => read?,
        };
        if read == 0 {
            return Ok(());
        }
        let bytes = chunk.get(..read).unwrap_or_default();
        let asked = Instant::now();
        let said = {
            let mut meters = meters.lock().unwrap_or_else(PoisonError::into_inner);
            meters.take(bytes, asked - start)
        };
        for (delay, bytes) in said {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = sleep_until(asked + delay) => {}
            }
            line.write_all(&bytes).await?;
            line.flush().await?;
        }
    }
}

/// Simulated meters behind a TCP port, as behind a level converter.
#[derive(Debug)]
pub struct SimServer {
    address: SocketAddr,
    meters: Arc<Mutex<SimLine>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl SimServer {
    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// Those of listening.
    pub async fn listen(address: SocketAddr, meters: SimLine) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let server = Self {
            address: listener.local_addr()?,
            meters: Arc::new(Mutex::new(meters)),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (meters, cancel) = (Arc::clone(&server.meters), server.cancel.clone());
        let start = Instant::now();
        server.tasks.spawn(async move {
            loop {
                // One at a time: it is one line.
                let accepted = tokio::select! {
                    () = cancel.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((mut stream, _)) = accepted else {
                    continue;
                };
                if let Err(error) = serve(&mut stream, &meters, start, &cancel).await {
                    log::debug!("simulated meters: {error}");
                }
            }
        });
        server.tasks.close();
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The meters, to change them.
    pub fn meters(&self) -> &Mutex<SimLine> {
        &self.meters
    }

    /// Ends it; its port is free when this is over.
    pub async fn end(self) {
        self.cancel.cancel();
        self.tasks.wait().await;
    }
}
