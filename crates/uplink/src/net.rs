//! Sockets: TCP, and TLS over it. Nothing here knows MQTT.

pub mod tls;

use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::config::{Files, Preset, Url};

/// How long the name, the connection and the handshake may take together.
const CONNECT: Duration = Duration::from_secs(15);
/// Amazon's name for MQTT on the port of HTTPS.
///
/// Source: AWS IoT Core developer guide, device communication protocols.
const ALPN_AWS: &[u8] = b"x-amzn-mqtt-ca";

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

/// Connects, encrypted if the URL says so. Files are read anew.
///
/// # Errors
/// [`Error`]
pub async fn open(url: Url, files: Files, preset: Preset) -> Result<(Boxed, Peer), Error> {
    match tokio::time::timeout(CONNECT, connect(&url, files, preset)).await {
        Ok(opened) => opened,
        Err(_) => Err(Error::Slow(CONNECT)),
    }
}

async fn connect(url: &Url, files: Files, preset: Preset) -> Result<(Boxed, Peer), Error> {
    // Before the network is touched: what a person can put right is said first.
    let secured = match url.tls {
        true => {
            let alpn = match (preset, url.port) {
                (Preset::Aws, 443) => Some(ALPN_AWS.to_vec()),
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
    let Some((connector, own_until)) = secured else {
        return Ok((Box::pin(stream), peer));
    };
    let stream = tls::shake(&connector, &url.host, stream).await?;
    let (_, session) = stream.get_ref();
    peer.tls = Some(tls::describe(session));
    peer.own_until = own_until;
    peer.remote_until = tls::remote_until(session);
    Ok((Box::pin(stream), peer))
}
