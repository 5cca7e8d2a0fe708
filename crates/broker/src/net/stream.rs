//! Streams of bytes to clients, of any kind, and what they take in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// The buffers and keys of one encrypted connection, in bytes, about.
const TLS: usize = 24 * 1024;

/// A stream with whatever is wrapped around it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// What it takes as long as it is open, in bytes, about.
    fn base(&self) -> usize;

    /// What it has read and not handed on yet, in bytes, about.
    fn held(&self) -> usize;

    /// Reads what will not be looked at, and keeps none of it.
    fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self).poll_read(cx, buffer)
    }
}

impl Stream for TcpStream {
    fn base(&self) -> usize {
        0
    }

    fn held(&self) -> usize {
        0
    }
}

impl Stream for UnixStream {
    fn base(&self) -> usize {
        0
    }

    fn held(&self) -> usize {
        0
    }
}

impl Stream for Box<dyn Stream> {
    fn base(&self) -> usize {
        (**self).base()
    }

    fn held(&self) -> usize {
        (**self).held()
    }

    fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        (**self).poll_discard(cx, buffer)
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn base(&self) -> usize {
        TLS + self.get_ref().0.base()
    }

    fn held(&self) -> usize {
        self.get_ref().0.held()
    }
}
