//! Sockets: TCP, TLS over it, and WebSocket over either. Nothing here knows what is said.

mod quiet;
pub mod tls;
mod websocket;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use crate::config::{Files, Preset, Url};
use quiet::Quiet;

/// How long the name, the connection and the handshake may take together.
const CONNECT: Duration = Duration::from_secs(15);
/// Amazon's name for MQTT on the port of HTTPS.
///
/// Source: AWS IoT Core developer guide, device communication protocols.
const ALPN_AWS: &[u8] = b"x-amzn-mqtt-ca";

/// The longest greeting, in bytes.
const LINE_MAX: usize = 64 << 10;

/// Both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// An open connection.
pub type Boxed = Pin<Box<dyn Stream>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system or the other side.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("no connection within {0:?}")]
    Slow(Duration),
    /// A file of ours.
    #[error("{0}")]
    File(String),
}

/// What a handshake has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// TLS's version and cipher suite; `None` without encryption.
    pub tls: Option<String>,
    /// The address that was connected to.
    pub address: String,
    /// Until when the remote's certificate and ours count, in seconds since 1970.
    pub remote_until: Option<i64>,
    /// Ours.
    pub own_until: Option<i64>,
}

/// A connection, and what it has told so far.
pub struct Opened {
    /// Where it goes.
    pub url: Url,
    /// The connection.
    pub stream: Boxed,
    /// What the handshake told.
    pub peer: Peer,
    /// What the remote has said already.
    pub greeting: Vec<u8>,
    /// To be set while nothing is read: what comes then wakes nothing.
    pub may_rest: Arc<AtomicBool>,
}

/// Connects, encrypted if the URL says so. Files are read anew.
///
/// # Errors
/// [`Error`]
pub async fn open(url: Url, files: Files, preset: Preset) -> Result<Opened, Error> {
    match tokio::time::timeout(CONNECT, connect(url, files, preset)).await {
        Ok(opened) => opened,
        Err(_) => Err(Error::Slow(CONNECT)),
    }
}

async fn connect(url: Url, files: Files, preset: Preset) -> Result<Opened, Error> {
    // Before the network is touched: what a person can put right is said first.
    let secured = match url.scheme.is_encrypted() {
        true => {
            let alpn = match (preset, url.port) {
                (Preset::Aws, 443) if !url.scheme.is_websocket() => Some(ALPN_AWS.to_vec()),
                _ => None,
            };
            let loaded = tokio::task::spawn_blocking(move || tls::connector(&files, alpn)).await;
            let loaded = loaded.map_err(|error| Error::File(error.to_string()))?;
            Some(loaded.map_err(Error::File)?)
        }
        false => None,
    };
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    let mut peer = Peer {
        address: stream.peer_addr()?.to_string(),
        ..Peer::default()
    };
    let mut stream = Quiet::new(stream)?;
    let may_rest = stream.may_rest();
    let Some((connector, own_until)) = secured else {
        let stream: Boxed = match url.scheme.is_websocket() {
            true => Box::pin(websocket::shake(stream, &url).await?),
            false => Box::pin(stream),
        };
        return Ok(Opened {
            url,
            stream,
            peer,
            greeting: Vec::new(),
            may_rest,
        });
    };
    // A server of NATS says what it is before anything is encrypted.
    let greeting = match url.scheme.is_nats() {
        true => read_line(&mut stream).await?,
        false => Vec::new(),
    };
    let stream = tls::shake(&connector, &url.host, stream).await?;
    let (_, session) = stream.get_ref();
    peer.tls = Some(tls::describe(session));
    peer.own_until = own_until;
    peer.remote_until = tls::remote_until(session);
    let stream: Boxed = match url.scheme.is_websocket() {
        true => Box::pin(websocket::shake(stream, &url).await?),
        false => Box::pin(stream),
    };
    Ok(Opened {
        url,
        stream,
        peer,
        greeting,
        may_rest,
    })
}

/// Reads up to the end of a line and nothing more: what follows is encrypted.
async fn read_line(stream: &mut Quiet) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        if line.len() >= LINE_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no server of NATS",
            ));
        }
        line.push(stream.read_u8().await?);
    }
    Ok(line)
}
