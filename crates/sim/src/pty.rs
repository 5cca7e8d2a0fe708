//! A serial line without a cable: a pair of pseudo-terminals, of which clients open one by its
//! path as they open a port.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::{SerialPort, SerialStream};

/// The near end of the line. When it is dropped, clients see their port go away.
#[derive(Debug)]
pub struct Pty {
    near: SerialStream,
    /// Keeps the line in being while no client has it open.
    _far: SerialStream,
    path: PathBuf,
}

impl Pty {
    /// A new line. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Those of the system: no more terminals, no more descriptors.
    pub fn open() -> io::Result<Self> {
        let (near, far) = SerialStream::pair()?;
        let path = far
            .name()
            .ok_or_else(|| io::Error::other("the far end of the line has no name"))?;
        Ok(Self {
            near,
            _far: far,
            path: path.into(),
        })
    }

    /// The port that clients open.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsyncRead for Pty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.near).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A port's own flush would block the thread.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
