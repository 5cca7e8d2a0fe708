//! Where a broker listens, and what a connection has to bring there.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One place to listen, and how clients are met there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub endpoint: Endpoint,
    /// Encryption; `None` for plain connections.
    pub tls: Option<TlsSettings>,
    /// MQTT inside WebSocket (RFC 6455, subprotocol `mqtt`), at any path.
    pub websocket: bool,
    /// Which web pages may connect, if it is WebSocket.
    pub origins: Origins,
    /// Whether clients without a name are let in here; `None` as [`crate::Config`] says.
    pub allow_anonymous: Option<bool>,
}

/// Web pages whose scripts may connect. A browser says where a page is from, as `scheme://host` with a port if that is
/// not the scheme's usual one. Other programs say nothing, and are not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages of the host that the browser connects to, from any port.
    #[default]
    SameHost,
    /// Pages from these origins and no others; upper and lower case are alike.
    These(Vec<String>),
    /// All pages.
    Any,
}

/// Something that can be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address; port 0 takes a free one. An IPv6 address is served without IPv4.
    Tcp(SocketAddr),
    /// A Unix socket at this path, with mode 0660. A stale one is replaced, and
    /// it is removed at the end. Its clients count as local.
    Unix(PathBuf),
}

/// Files, all PEM, from which encryption is set up. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The server's certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// The certificate's private key, not encrypted.
    pub key: PathBuf,
    /// Authorities whose certificates clients may show; `None` asks for none.
    pub client_ca: Option<ClientCa>,
}

/// What clients may show as their identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// The certificates of the authorities.
    pub file: PathBuf,
    /// Refuses clients without a certificate.
    pub required: bool,
}

impl Listener {
    /// MQTT over plain TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::at(Endpoint::Tcp(address))
    }

    /// MQTT over a Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Endpoint::Unix(path.into()))
    }

    fn at(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls: None,
            websocket: false,
            origins: Origins::SameHost,
            allow_anonymous: None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
