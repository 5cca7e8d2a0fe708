//! One connection to a Modbus TCP server, and one transaction on it.
//!
//! Every answer is checked against its request before anything is taken from it. A connection
//! that saw a fault is not to be used again: a late answer would be taken for that of the next
//! request (tokio-modbus issue 324 has the case).

use std::io::{Error, ErrorKind, Result as IoResult};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Error as ModbusError, ProtocolError, Request, Response};

use crate::config::Table;
use crate::data::{Data, Exception};

/// A server that is there answers within milliseconds; one that is not must not hold up the
/// other end of the queue for the minutes that TCP would try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What went wrong in one transaction. All but an exception end the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Lost(String),
    Timeout,
    Protocol(String),
    Exception(Exception),
}

/// An open connection on which no answer is outstanding.
pub(crate) struct Connection {
    context: Context,
    stream: Arc<TcpStream>,
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) async fn open(address: &str) -> Result<Self, String> {
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("cannot connect to {address}: {error}")),
            Err(_) => return Err(format!("cannot connect to {address}: no answer within 3 s")),
        };
        // A request is one small segment that should leave at once.
        stream
            .set_nodelay(true)
            .map_err(|error| format!("cannot set up {address}: {error}"))?;
        let stream = Arc::new(stream);
        let context = tcp::attach(Wire(Arc::clone(&stream)));
        Ok(Self { context, stream })
    }

    /// Whether it is still open and nothing has arrived that nobody asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads `count` registers or bits.
    pub(crate) async fn read(
        &mut self,
        unit: u8,
        (table, address, count): (Table, u16, u16),
        limit: Duration,
    ) -> Result<Data, Fault> {
        let request = match table {
            Table::Coil => Request::ReadCoils(address, count),
            Table::Discrete => Request::ReadDiscreteInputs(address, count),
            Table::Input => Request::ReadInputRegisters(address, count),
            Table::Holding => Request::ReadHoldingRegisters(address, count),
        };
        let wanted = usize::from(count);
        match self.call(unit, request, limit).await? {
            Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits)
                if bits.len() == wanted.next_multiple_of(8) =>
            {
                bits.truncate(wanted);
                Ok(Data::Bits(bits))
            }
            Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words)
                if words.len() == wanted =>
            {
                Ok(Data::Words(words))
            }
            _ => Err(Fault::Protocol(format!("not the {count} values asked for"))),
        }
    }

    /// Writes one coil: function 5.
    pub(crate) async fn write_coil(
        &mut self,
        unit: u8,
        address: u16,
        on: bool,
        limit: Duration,
    ) -> Result<(), Fault> {
        let request = Request::WriteSingleCoil(address, on);
        let echo = Response::WriteSingleCoil(address, on);
        self.write(unit, request, echo, limit).await
    }

    /// Writes one register with function 6, or several with function 16.
    pub(crate) async fn write_registers(
        &mut self,
        unit: u8,
        address: u16,
        words: &[u16],
        limit: Duration,
    ) -> Result<(), Fault> {
        let count = u16::try_from(words.len()).unwrap_or(u16::MAX);
        let (request, echo) = match words {
            [word] => (
                Request::WriteSingleRegister(address, *word),
                Response::WriteSingleRegister(address, *word),
            ),
            words => (
                Request::WriteMultipleRegisters(address, words.into()),
                Response::WriteMultipleRegisters(address, count),
            ),
        };
        self.write(unit, request, echo, limit).await
    }

    async fn write(
        &mut self,
        unit: u8,
        request: Request<'_>,
        echo: Response,
        limit: Duration,
    ) -> Result<(), Fault> {
        let answer = self.call(unit, request, limit).await?;
        if answer == echo {
            Ok(())
        } else {
            Err(Fault::Protocol("acknowledges another write".into()))
        }
    }

    async fn call(
        &mut self,
        unit: u8,
        request: Request<'_>,
        limit: Duration,
    ) -> Result<Response, Fault> {
        self.context.set_slave(Slave(unit));
        match timeout(limit, self.context.call(request)).await {
            Err(_) => Err(Fault::Timeout),
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(exception))) => Err(Fault::Exception(Exception(exception.into()))),
            Ok(Err(ModbusError::Transport(error))) => Err(transport_fault(&error)),
            Ok(Err(ModbusError::Protocol(error))) => Err(Fault::Protocol(match error {
                ProtocolError::HeaderMismatch { message, .. } => {
                    format!("of another transaction or unit: {message}")
                }
                ProtocolError::FunctionCodeMismatch { .. } => "of another function".into(),
            })),
        }
    }
}

/// Tells bytes that make no sense from a connection that broke.
fn transport_fault(error: &Error) -> Fault {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            Fault::Protocol(format!("not Modbus TCP: {error}"))
        }
        _ => Fault::Lost(error.to_string()),
    }
}

/// The transport that the Modbus library gets. It shares the stream, so that it can be looked at
/// between transactions, and it turns the end of the stream into an error of its own, for which
/// the library would give the unrelated last error of the system.
#[derive(Debug)]
struct Wire(Arc<TcpStream>);

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(0) => {
                    let closed = "closed by the other end";
                    return Poll::Ready(Err(Error::new(ErrorKind::ConnectionAborted, closed)));
                }
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<IoResult<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<IoResult<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<IoResult<()>> {
        // Dropping the last share of the stream closes it.
        Poll::Ready(Ok(()))
    }
}
