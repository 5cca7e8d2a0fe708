//! A TCP connection that does not wake its thread while it may rest. An uplink reads the answers of many messages
//! together; without this, each of them would wake the thread when it comes.

use std::io::{self, Read, Write};
use std::net;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(super) struct Quiet {
    socket: Socket,
    /// Something waits for room to write.
    is_full: bool,
    /// Nothing is read for a while: what comes is to wake nothing from the next write on.
    may_rest: Arc<AtomicBool>,
}

enum Socket {
    /// The runtime does not look at it.
    Idle(net::TcpStream),
    /// The runtime looks for what happens to it.
    Watched(TcpStream),
    /// It could not be changed from one to the other.
    Lost,
}

impl Quiet {
    /// Takes over a connection of the runtime.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::Idle(stream.into_std()?),
            is_full: false,
            may_rest: Arc::default(),
        })
    }

    /// What the reader sets while it does not read.
    pub(super) fn may_rest(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.may_rest)
    }

    fn idle(&mut self) -> Option<&mut net::TcpStream> {
        match &mut self.socket {
            Socket::Idle(socket) => Some(socket),
            Socket::Watched(_) | Socket::Lost => None,
        }
    }

    fn watched(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Lost) {
            Socket::Idle(socket) => Socket::Watched(TcpStream::from_std(socket)?),
            other => other,
        };
        match &mut self.socket {
            Socket::Watched(watched) => Ok(Pin::new(watched)),
            Socket::Idle(_) | Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn rest(&mut self) -> io::Result<()> {
        if !self.is_full && self.may_rest.load(Ordering::Relaxed) {
            self.socket = match std::mem::replace(&mut self.socket, Socket::Lost) {
                Socket::Watched(watched) => Socket::Idle(watched.into_std()?),
                other => other,
            };
        }
        Ok(())
    }
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Quiet {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(idle) = this.idle() {
            let result = idle.read(buffer.initialize_unfilled());
            if !would_block(&result) {
                return Poll::Ready(result.map(|len| buffer.advance(len)));
            }
        }
        let polled = this.watched()?.poll_read(context, buffer);
        if polled.is_pending() {
            // Now something waits for what comes.
            this.may_rest.store(false, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.rest()?;
        if let Some(idle) = this.idle() {
            let result = idle.write(bytes);
            if !would_block(&result) {
                return Poll::Ready(result);
            }
        }
        let polled = this.watched()?.poll_write(context, bytes);
        this.is_full = polled.is_pending();
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watched()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::task::yield_now;

    use super::*;

    async fn pair() -> (Quiet, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Quiet::new(near.unwrap()).unwrap(), far.unwrap().0)
    }

    /// The reader is a task of its own: only the runtime wakes it.
    #[tokio::test]
    async fn who_reads_is_woken_by_what_comes_whatever_is_written_while_nothing_is_read_and_since()
    {
        let (near, mut far) = pair().await;
        let may_rest = near.may_rest();
        let (mut read, mut write) = tokio::io::split(near);
        let (ask, mut asked) = mpsc::channel(1);
        let (tell, mut told) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            while let Some(()) = asked.recv().await {
                let byte = read.read_u8().await.unwrap();
                may_rest.store(true, Ordering::Relaxed);
                tell.send(byte).await.unwrap();
            }
        });
        let number_of_writes = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)];
        for (number, (before, since)) in (0..50).zip(number_of_writes.into_iter().cycle()) {
            for _ in 0..before {
                write.write_all(b"x").await.unwrap();
            }
            ask.send(()).await.unwrap();
            // It reads, and there is nothing.
            yield_now().await;
            yield_now().await;
            for _ in 0..since {
                write.write_all(b"x").await.unwrap();
            }
            far.write_all(&[number]).await.unwrap();
            let limit = std::time::Duration::from_secs(10);
            let came = tokio::time::timeout(limit, told.recv()).await;
            assert_eq!(came, Ok(Some(number)), "{before} before, {since} since");
        }
        drop(ask);
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn all_bytes_come_and_go_however_the_other_side_reads_and_writes() {
        let (near, far) = pair().await;
        let (mut far_read, mut far_write) = far.into_split();
        let may_rest = near.may_rest();
        let (mut read, mut write) = tokio::io::split(near);
        // More than the kernel keeps, in both directions at the same time.
        let sent: Vec<u8> = (0..8_000_000_u32).map(|number| number as u8).collect();
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let up = async {
            for piece in sent.chunks(99_999) {
                write.write_all(piece).await.unwrap();
                may_rest.fetch_xor(true, Ordering::Relaxed);
            }
            may_rest.store(false, Ordering::Relaxed);
            write.shutdown().await.unwrap();
        };
        let down = async {
            for piece in sent.chunks(777_777) {
                far_write.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            far_write.shutdown().await.unwrap();
        };
        let (_, _, near, far) = tokio::join!(
            up,
            down,
            read.read_to_end(&mut here),
            far_read.read_to_end(&mut there)
        );
        assert_eq!((near.unwrap(), far.unwrap()), (sent.len(), sent.len()));
        assert!(here == sent && there == sent);
    }
}
