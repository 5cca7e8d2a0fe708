//! The listener and its connections: Modbus TCP frames in, frames out.
//!
//! Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1 (MBAP header).

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::Semaphore,
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{fault::Fault, image::Image};

/// How many clients one server serves at a time. One more is accepted and closed at once.
pub const CLIENTS_MAX: usize = 64;

/// A frame that has begun must be whole, and an answer must be taken, within this time.
const STALL_MAX: Duration = Duration::from_secs(10);

/// Transaction, protocol and length, two bytes each; the unit identifier counts as payload.
const HEADER: usize = 6;

/// The unit identifier and a protocol data unit of 1 to 253 bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 2..=254;

/// A bound listener that serves simulated devices once it is run.
#[derive(Debug)]
pub struct ModbusServer {
    listener: TcpListener,
}

impl ModbusServer {
    /// Binds to `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// Those of the bind: address in use, no permission, no such address.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener })
    }

    /// Where clients connect to.
    ///
    /// # Errors
    ///
    /// Those of asking the system for the name of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves the units of `image` until `cancel` fires; then the port is free and every
    /// connection closed. The values' time starts now.
    ///
    /// A client beyond [`CLIENTS_MAX`], a frame that is no Modbus TCP and a stalled client are
    /// hung up on, with a line in the log at debug level.
    pub async fn run(self, image: Image, cancel: CancellationToken) {
        let start = Instant::now();
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let clients = TaskTracker::new();
        while let Some(accepted) = cancel.run_until_cancelled(self.listener.accept()).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: it goes on failing until one is free.
                    log::warn!("simulated Modbus server cannot accept: {error}");
                    time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                log::debug!("{peer}: hung up, {CLIENTS_MAX} clients are served already");
                continue;
            };
            let (image, cancel) = (image.clone(), cancel.clone());
            clients.spawn(async move {
                let served = serve(stream, &image, start);
                if let Some(Err(error)) = cancel.run_until_cancelled(served).await {
                    log::debug!("{peer}: hung up, {error}");
                }
                drop(place);
            });
        }
        drop(self.listener);
        clients.close();
        clients.wait().await;
    }
}

/// Answers one client, request by request, until it leaves.
async fn serve(mut stream: TcpStream, image: &Image, start: Instant) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let mut reply = Vec::new();
    while let Some((transaction, unit)) = read_frame(&mut stream, &mut request).await? {
        reply.clear();
        reply.resize(HEADER, 0);
        reply.push(unit);
        let fault = image.answer(unit, &request, start.elapsed(), &mut reply);
        let transaction = match fault {
            Some(Fault::WrongTransaction) => transaction.wrapping_add(1),
            _ => transaction,
        };
        let length = (reply.len() - HEADER) as u16;
        let [t, p, l] = [transaction, 0, length].map(u16::to_be_bytes);
        reply.splice(..HEADER, [t, p, l].concat());
        match fault {
            Some(Fault::Silence) => continue,
            Some(Fault::Close) => return Ok(()),
            Some(Fault::Truncate(keep)) => {
                reply.truncate(keep);
                return write(&mut stream, &reply).await;
            }
            Some(Fault::Delay(delay)) => time::sleep(delay).await,
            Some(Fault::WrongUnit) => {
                if let Some(unit) = reply.get_mut(HEADER) {
                    *unit = unit.wrapping_add(1);
                }
            }
            Some(Fault::WrongTransaction | Fault::WrongCheck | Fault::Exception(_)) | None => {}
        }
        write(&mut stream, &reply).await?;
    }
    Ok(())
}

/// Reads one request's protocol data unit; returns its transaction and unit identifiers, or `None`
/// when the client has left between two frames.
async fn read_frame(stream: &mut TcpStream, pdu: &mut Vec<u8>) -> io::Result<Option<(u16, u8)>> {
    let mut first = [0; 1];
    if stream.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let rest = async {
        let mut rest = [0; HEADER];
        stream.read_exact(&mut rest).await?;
        let [transaction, protocol_high, protocol_low, high, low, unit] = rest;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if protocol_high != 0 || protocol_low != 0 || !LENGTHS.contains(&length) {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        pdu.clear();
        pdu.resize(length - 1, 0);
        stream.read_exact(pdu).await?;
        let [first] = first;
        Ok(Some((u16::from_be_bytes([first, transaction]), unit)))
    };
    time::timeout(STALL_MAX, rest).await?
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    time::timeout(STALL_MAX, stream.write_all(bytes)).await?
}

#[cfg(test)]
mod tests;
