//! One MQTT 3.1.1 client of the load generator: connects, subscribes, reads many packets at a time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wire::{self, CONNACK, Packet, SUBACK};

const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A connected client.
pub struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
}

impl Client {
    /// Connects with a clean session. `read_bytes` is what one read may bring.
    ///
    /// # Errors
    /// When the broker refuses, closes, answers something else or does not answer within 20 s.
    pub async fn open(address: SocketAddr, id: &str, read_bytes: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut this = Self {
            stream,
            input: vec![0; read_bytes],
            filled: 0,
        };
        let mut packet = vec![];
        // No load lasts so long that a client would have to ping. rumqttd refuses a keep-alive of 0.
        wire::connect(&mut packet, id, 600);
        this.write(&packet).await?;
        this.answer(CONNACK, &[0, 0]).await?;
        Ok(this)
    }

    /// Subscribes to one filter and waits for the grant.
    ///
    /// # Errors
    /// As [`Self::open`], and when less than `qos` is granted.
    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut packet = vec![];
        wire::subscribe(&mut packet, 1, filter, qos);
        self.write(&packet).await?;
        self.answer(SUBACK, &[0, 1, qos]).await
    }

    async fn answer(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let mut got = None;
        while got.is_none() {
            timeout(ANSWER_MAX, self.read()).await??;
            self.packets(|packet| {
                got = Some(packet.first == kind && packet.body == body);
                Ok(())
            })?;
        }
        match got {
            Some(true) => Ok(()),
            _ => Err(io::Error::other(format!(
                "not the answer {kind:#04x} that was due"
            ))),
        }
    }

    /// Waits for bytes and takes what is there. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn read(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.input[self.filled..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.filled += count;
                Ok(())
            }
        }
    }

    /// Hands each whole packet that has been read to `each`, and keeps the rest for the next read.
    ///
    /// # Errors
    /// The first that `each` gives, and bytes that are not MQTT.
    pub fn packets(
        &mut self,
        mut each: impl FnMut(Packet<'_>) -> Result<(), String>,
    ) -> io::Result<()> {
        let mut start = 0;
        while let Some((packet, used)) =
            wire::split(&self.input[start..self.filled]).map_err(io::Error::other)?
        {
            each(packet).map_err(io::Error::other)?;
            start += used;
        }
        self.input.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The connection alone, for a client that does nothing any more.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}
