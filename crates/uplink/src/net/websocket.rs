//! MQTT inside WebSocket, as a client (RFC 6455; MQTT 5.0 section 6): the request, and a stream of bytes made of
//! binary messages. Where messages begin and end means nothing to MQTT.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::url::Url;

/// The name of MQTT as a subprotocol.
const SUBPROTOCOL: &str = "mqtt";
/// The longest message that is taken, in bytes: the largest packet, and what a server puts together with it.
const MESSAGE_MAX: usize = 8 << 20;
/// Bytes taken from the socket at once.
const READ_SIZE: usize = 8 * 1024;
/// The longest message that is sent.
const FRAME_MAX: usize = 64 * 1024;

/// The bytes of binary messages. Pings are answered.
pub(super) struct WebSocket<S> {
    inner: WebSocketStream<S>,
    /// What is left of the last message.
    rest: Bytes,
}

/// Asks a server to speak MQTT at the path of `url`. The caller bounds the time.
///
/// # Errors
/// What the server answers instead.
pub(super) async fn shake<S>(stream: S, url: &Url) -> io::Result<WebSocket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let uri = url.to_string().parse();
    let uri = uri.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_SIZE)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let shaken = client_async_with_config(request, stream, Some(config)).await;
    match shaken {
        Ok((inner, _)) => Ok(WebSocket {
            inner,
            rest: Bytes::new(),
        }),
        Err(Error::Http(response)) => {
            let text = format!("the remote refuses the WebSocket: {}", response.status());
            Err(io::Error::other(text))
        }
        Err(error) => Err(io_error(error)),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_next(cx)) {
                // A ping has been answered, and so has a close.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
                Some(Ok(Message::Binary(data))) => this.rest = data,
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    let text = "the remote sends text over the WebSocket; MQTT is binary";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = this.rest.len().min(buffer.remaining());
        buffer.put_slice(&this.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    /// Sends one message with as much as it may hold.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = Pin::new(&mut self.get_mut().inner);
        ready!(inner.as_mut().poll_ready(cx)).map_err(io_error)?;
        let data = data.get(..FRAME_MAX).unwrap_or(data);
        let message = Message::Binary(Bytes::copy_from_slice(data));
        inner.start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner)
            .poll_flush(cx)
            .map_err(io_error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner)
            .poll_close(cx)
            .map_err(io_error)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
