//! TCP connections to devices, device servers and level converters.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that is there answers within milliseconds; one that is not must not hold up whatever
/// waits for the bus for the minutes that TCP would try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects to `host:port`; the host is a name or an address.
///
/// # Errors
///
/// Why not, for people: `cannot connect to ADDRESS: …`.
pub async fn connect(address: &str) -> Result<TcpStream, String> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("cannot connect to {address}: {error}")),
        Err(_) => return Err(format!("cannot connect to {address}: no answer within 3 s")),
    };
    // A request is one small segment that should leave at once.
    stream
        .set_nodelay(true)
        .map_err(|error| format!("cannot set up {address}: {error}"))?;
    Ok(stream)
}

/// Whether a text is `host:port`, as [`connect`] takes it.
///
/// # Errors
///
/// What was expected, without the key.
pub fn check(address: &str) -> Result<(), String> {
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| format!("expected host:port, got `{address}`"))?;
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(format!("`{host}` is no host name or address"));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(format!("port `{port}` is outside 1..=65535")),
    }
}
