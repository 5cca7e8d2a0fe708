//! The request by which an HTTP connection becomes a WebSocket.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::{self, Error};

use super::origin::may_connect;
use super::stream::WebSocket;
use crate::endpoint::Origins;
use crate::shown::shown;

/// The longest request. Browsers send less than 2 KiB, unless they have cookies.
const HEAD_MAX: usize = 8 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// The names of MQTT as a subprotocol; the second is that of MQTT 3.1 clients.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// How long a client that is refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// An answer that is no WebSocket.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: &'static str,
    /// More headers.
    headers: &'static str,
    what: &'static str,
    /// Where the web page is from, if that is the reason.
    page: Option<ForeignOrigin>,
}

/// A web page from elsewhere wanted to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a web page from \"{0}\" may not connect; `origins` of the listener says which pages may")]
pub(crate) struct ForeignOrigin(String);

/// Answers the request, at whatever path it is. The caller bounds the time.
///
/// # Errors
/// What was wrong with the request, after the client has been told.
pub(crate) async fn accept<S>(
    mut stream: S,
    packet_size: u32,
    origins: &Origins,
) -> io::Result<WebSocket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answered = match read_head(&mut stream).await? {
        Ok((head, rest)) => answer(&head, origins).map(|answer| (answer, rest)),
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok((answer, rest)) => {
            stream.write_all(&answer).await?;
            stream.flush().await?;
            Ok(WebSocket::new(stream, rest, packet_size).await)
        }
        Err(refusal) => {
            refuse(&mut stream, &refusal).await?;
            Err(match refusal.page {
                Some(page) => io::Error::new(io::ErrorKind::PermissionDenied, page),
                None => io::Error::new(io::ErrorKind::InvalidData, refusal.what),
            })
        }
    }
}

type Head = (Vec<u8>, Vec<u8>);

/// Reads the request, and perhaps the beginning of what follows it.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Result<Head, Refusal>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let had = head.len();
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !head.first().is_some_and(u8::is_ascii_uppercase) {
            return Ok(Err(bad("this port speaks WebSocket")));
        }
        let from = had.saturating_sub(HEAD_END.len() - 1);
        let new = head.get(from..).unwrap_or_default();
        let end = new.windows(HEAD_END.len()).position(|end| end == HEAD_END);
        if let Some(end) = end {
            let rest = head.split_off(from + end + HEAD_END.len());
            return Ok(Ok((head, rest)));
        }
        if head.len() >= HEAD_MAX {
            return Ok(Err(Refusal {
                status: "431 Request Header Fields Too Large",
                headers: "",
                what: "the request is too long",
                page: None,
            }));
        }
    }
}

/// The answer to a request that is as it should be.
fn answer(head: &[u8], origins: &Origins) -> Result<Vec<u8>, Refusal> {
    let request = match Request::try_parse(head) {
        Ok(Some((_, request))) => request,
        Ok(None) => return Err(bad("the request is not whole")),
        Err(error) => return Err(refusal(&error)),
    };
    let mut response = create_response(&request).map_err(|error| refusal(&error))?;
    check_origin(&request, origins)?;
    let asked = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let asked = asked
        .iter()
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(','));
    let asked: Vec<_> = asked.map(str::trim).collect();
    // The first wins whatever order the client has them in (MQTT-6.0.0-4).
    let name = SUBPROTOCOLS.into_iter().find(|name| asked.contains(name));
    let name = name.ok_or_else(|| bad("the WebSocket subprotocol mqtt is missing"))?;
    let headers = response.headers_mut();
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|error| refusal(&error))?;
    Ok(bytes)
}

/// Only browsers say where they have a page from, and all of them do (RFC 6455 section 10.2).
fn check_origin(request: &Request, origins: &Origins) -> Result<(), Refusal> {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    for origin in headers.get_all(ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        if !may_connect(origins, &origin, host) {
            return Err(Refusal {
                status: "403 Forbidden",
                headers: "",
                what: "pages from there may not connect here",
                page: Some(ForeignOrigin(shown(&origin).as_str().to_owned())),
            });
        }
    }
    Ok(())
}

fn bad(what: &'static str) -> Refusal {
    Refusal {
        status: "400 Bad Request",
        headers: "",
        what,
        page: None,
    }
}

fn refusal(error: &tungstenite::Error) -> Refusal {
    let upgrade = |what| Refusal {
        status: "426 Upgrade Required",
        headers: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        what,
        page: None,
    };
    match error {
        Error::Protocol(ProtocolError::WrongHttpMethod) => Refusal {
            status: "405 Method Not Allowed",
            headers: "Allow: GET\r\n",
            what: "only GET begins a WebSocket",
            page: None,
        },
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => upgrade("this is no web page: it is MQTT over WebSocket"),
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            upgrade("only version 13 of WebSocket is known")
        }
        _ => bad("this is no WebSocket request"),
    }
}

/// Sends the refusal, and lets the client read it before the connection is closed.
async fn refuse<S>(stream: &mut S, refusal: &Refusal) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Refusal {
        status,
        headers,
        what,
        page: _,
    } = refusal;
    let length = what.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{what}\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut scrap = [0; 512];
    let drained = async { while !matches!(stream.read(&mut scrap).await, Ok(0) | Err(_)) {} };
    // Whether the client closes in time or not, it has had its answer.
    let _ = tokio::time::timeout(LINGER, drained).await;
    Ok(())
}
