//! A stream of bytes over WebSocket messages.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::meter::Meter;
use crate::net::effort::yield_turn;
use crate::net::stream as net;

/// Bytes taken from the socket at once; each connection has a buffer of this size.
const READ_SIZE: usize = 8 * 1024;

/// Bytes taken from the socket before it is looked at what the connection holds.
const READ_AT_ONCE: usize = 32 * 1024;

/// What a message may hold beyond one packet: clients put several small ones into one.
const MESSAGE_EXTRA: usize = 64 * 1024;

/// The longest message that is sent.
const FRAME_MAX: usize = 64 * 1024;

/// Messages handled before other connections of the worker get their turn: a client may send
/// pings without end.
const MESSAGES_AT_ONCE: usize = 32;

/// How long a client that broke the rules may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// The bytes of binary messages. Pings are answered; what MQTT forbids closes the WebSocket with
/// its code, after which there is nothing more to read.
pub(crate) struct WebSocket<S> {
    inner: WebSocketStream<Meter<S>>,
    /// What is left of the last message.
    rest: Bytes,
    /// The WebSocket has been closed for a reason that the client can still read. Until then.
    refused: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Begins after the handshake; `read` is what the client has sent since. A message may be
    /// as long as a packet, in bytes, and somewhat more.
    pub(super) async fn new(stream: S, read: Vec<u8>, packet_size: u32) -> Self {
        let longest = (packet_size as usize).saturating_add(MESSAGE_EXTRA);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_SIZE)
            .write_buffer_size(0)
            .max_message_size(Some(longest))
            .max_frame_size(Some(longest));
        let stream = Meter::new(stream);
        let inner =
            WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
        Self {
            inner,
            rest: Bytes::new(),
            refused: None,
        }
    }

    /// Ends the WebSocket and says why, if the socket takes that at once.
    fn refuse(&mut self, code: CloseCode, reason: &'static str, cx: &mut Context<'_>) {
        let close = CloseFrame {
            code,
            reason: reason.into(),
        };
        let mut inner = Pin::new(&mut self.inner);
        if inner.as_mut().poll_ready(cx).is_ready()
            && inner
                .as_mut()
                .start_send(Message::Close(Some(close)))
                .is_ok()
        {
            let _ = inner.as_mut().poll_flush(cx);
        }
        let _ = Pin::new(inner.get_mut().get_mut()).poll_shutdown(cx);
        self.refused = Some(Box::pin(sleep(LINGER)));
    }

    /// Reads past what the client still sends, until it closes or has had time enough: closed
    /// sooner, the connection could be reset before the client has read the reason.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(linger) = &mut self.refused
            && linger.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let mut scrap = [0; 512];
        for _ in 0..MESSAGES_AT_ONCE {
            let mut buffer = ReadBuf::new(&mut scrap);
            let stream = &mut self.inner.get_mut().inner;
            let read = ready!(Pin::new(stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        yield_turn(cx);
        Poll::Pending
    }

    /// Copies what there is, without waiting; returns whether the end has been reached.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner.get_mut().allowance = READ_AT_ONCE;
        for _ in 0..MESSAGES_AT_ONCE {
            let count = self.rest.len().min(buffer.remaining());
            buffer.put_slice(&self.rest.split_to(count));
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let next = ready!(Pin::new(&mut self.inner).poll_next(cx));
            // Of what came before, nothing waits in there any more.
            self.inner.get_mut().read = 0;
            let (code, reason) = match next {
                None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(data))) => {
                    self.rest = data;
                    continue;
                }
                // A ping has been answered, and so has a close.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => continue,
                Some(Ok(Message::Text(_) | Message::Frame(_)) | Err(Error::Utf8(_))) => {
                    (CloseCode::Unsupported, "MQTT is binary")
                }
                Some(Err(Error::Capacity(_))) => (CloseCode::Size, "the message is too long"),
                Some(Err(Error::Protocol(_))) => (CloseCode::Protocol, "a malformed frame"),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            };
            self.refuse(code, reason, cx);
            return self.poll_drain(cx);
        }
        yield_turn(cx);
        Poll::Pending
    }
}

impl<S: net::Stream> net::Stream for WebSocket<S> {
    fn base(&self) -> usize {
        2 * READ_SIZE + self.inner.get_ref().inner.base()
    }

    fn held(&self) -> usize {
        let stream = self.inner.get_ref();
        stream.read + self.rest.len() + stream.inner.held()
    }

    /// Past the WebSocket, which would put a message together.
    fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refused.is_some() {
            return this.poll_drain(cx);
        }
        let had = buffer.filled().len();
        let polled = this.poll_fill(cx, buffer);
        match polled {
            // What came before the end, the error or the pause counts first.
            _ if buffer.filled().len() > had => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    /// Sends one message with as much as it may hold.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refused.is_some() {
            // The other end no longer listens. To fail would end the connection before its reason is read.
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let mut inner = Pin::new(&mut this.inner);
        ready!(inner.as_mut().poll_ready(cx)).map_err(io_error)?;
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut data = Vec::with_capacity(all.min(FRAME_MAX));
        for slice in slices {
            let room = FRAME_MAX - data.len();
            data.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        let count = data.len();
        inner
            .start_send(Message::Binary(data.into()))
            .map_err(io_error)?;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refused.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refused.is_none() {
            ready!(Pin::new(&mut this.inner).poll_close(cx)).map_err(io_error)?;
        }
        Pin::new(this.inner.get_mut()).poll_shutdown(cx)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
