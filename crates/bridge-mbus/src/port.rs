//! The only place that opens a port or makes a connection.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_serial::{DataBits, FlowControl, SerialPortBuilderExt, StopBits};

use crate::config::{MbusBusEntry, Parity, Transport};
use crate::line::Io;

/// How long a level converter may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Opens what the meters of a bus are behind.
///
/// # Errors
///
/// Why not, for people.
pub(crate) async fn open(config: &MbusBusEntry) -> Result<Box<dyn Io>, String> {
    match &config.transport {
        Transport::Tcp(address) => {
            let connected = timeout(CONNECT, TcpStream::connect(address)).await;
            let stream = match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(format!("{address}: {error}")),
                Err(_) => {
                    let seconds = CONNECT.as_secs();
                    return Err(format!("{address}: no connection within {seconds} s"));
                }
            };
            // Requests of a few bytes are sent at once.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream))
        }
        Transport::Serial(path) => {
            let (path, baud, parity) = (path.clone(), config.baud, config.parity);
            // Drivers may take their time over it.
            let opened =
                tokio::task::spawn_blocking(move || open_serial(&path, baud, parity)).await;
            match opened {
                Ok(opened) => opened,
                Err(error) => Err(format!("the port could not be opened: {error}")),
            }
        }
    }
}

fn open_serial(path: &str, baud: u32, parity: Parity) -> Result<Box<dyn Io>, String> {
    let builder = tokio_serial::new(path, baud)
        .data_bits(DataBits::Eight)
        .parity(match parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(StopBits::One)
        .flow_control(FlowControl::None);
    match builder.open_native_async() {
        Ok(port) => Ok(Box::new(port)),
        Err(error) => Err(explain(Path::new(path), &error.into())),
    }
}

/// Why a port does not open, and what helps.
fn explain(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    // The serial library keeps only the text of some errors, so the port is looked at again.
    let found = fs::metadata(path);
    let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match &found {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => format!(
            "{shown}: there is no such port; it is unplugged, or has another name: `ls /dev/serial/by-id`"
        ),
        _ if is_denied(error) || found.as_ref().is_err_and(is_denied) => format!(
            "{shown}: permission denied; the user that runs fieldgate must be in the group of the port, \
             usually dialout"
        ),
        _ => format!("{shown}: {error}"),
    }
}
