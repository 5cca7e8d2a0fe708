//! The only place that opens a serial port.
//!
//! A port is always raw: no echo, no translation of line ends, no signals, whatever the system or
//! another program left it at. It is ours alone while it is open (TIOCEXCL, and a lock that other
//! well-behaved programs respect), and the error of one that is in use names who has it.

mod holder;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fieldgate_bridge::{Cause, DriverError};
use rustix::fs::{Access, FlockOperation, Mode, OFlags, access, flock};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr,
    tcsetattr,
};
use serial2::SerialPort;
use serial2::rs4xx::Rs485Config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_serial::{SerialPortBuilderExt, SerialStream};

use crate::settings::{Flow, Parity, PortSettings, Rs485};

/// An open port.
#[derive(Debug)]
pub struct Port {
    stream: SerialStream,
    /// Another descriptor of the same port, for what is set.
    control: SerialPort,
    path: String,
}

/// What was asked of the hardware.
const MODES: ControlModes = ControlModes::CSIZE
    .union(ControlModes::PARENB)
    .union(ControlModes::PARODD)
    .union(ControlModes::CMSPAR)
    .union(ControlModes::CSTOPB)
    .union(ControlModes::CRTSCTS);

impl Port {
    /// Opens a port for this process alone, and sets it.
    ///
    /// # Errors
    ///
    /// Why not, for the person in front of the machine, with the remedy where there is one:
    /// absent, no permission, in use, no such setting.
    pub async fn open(settings: &PortSettings) -> Result<Self, String> {
        let settings = settings.clone();
        // Drivers may take their time over it, and `/proc` is looked through.
        let opened = tokio::task::spawn_blocking(move || open(&settings));
        match opened.await {
            Ok(opened) => opened,
            Err(error) => Err(format!("the port could not be opened: {error}")),
        }
    }

    fn lost(&self, why: &str) -> DriverError {
        DriverError::new(Cause::Lost, format!("{}: {why}", self.path))
    }

    /// Waits for bytes and reads them. Cancel-safe. Never 0 bytes.
    ///
    /// # Errors
    ///
    /// If the port is gone.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, DriverError> {
        match self.stream.read(buffer).await {
            Ok(0) => Err(self.lost("unplugged")),
            Ok(count) => Ok(count),
            Err(error) => Err(self.lost(&reason(&error))),
        }
    }

    /// Writes all of `bytes` within `limit`.
    ///
    /// # Errors
    ///
    /// If the port is gone, or takes nothing because flow control holds it. Then what it has
    /// taken of the bytes is dropped as far as it was not sent.
    pub async fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<(), DriverError> {
        match tokio::time::timeout(limit, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&reason(&error))),
            Err(_) => {
                // Or closing the port would wait for it.
                let _ = tcflush(&self.control, QueueSelector::OFlush);
                let text = format!(
                    "{}: the port takes no bytes: flow control holds it",
                    self.path
                );
                Err(DriverError::new(Cause::Timeout, text))
            }
        }
    }

    /// Holds the line in break for so long.
    ///
    /// # Errors
    ///
    /// If the port is gone or cannot do that.
    pub async fn line_break(&mut self, length: Duration) -> Result<(), DriverError> {
        let set = |on: bool| {
            let result = self.control.set_break(on);
            result.map_err(|error| self.lost(&format!("break: {}", reason(&error))))
        };
        set(true)?;
        tokio::time::sleep(length).await;
        set(false)
    }
}

impl AsyncRead for Port {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Port {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A port's own flush would block the thread until the last bit has left.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Blocks for some milliseconds at most, but needs tokio's context.
fn open(settings: &PortSettings) -> Result<Port, String> {
    let path = Path::new(&settings.port);
    let shown = path.display();
    let refused = |error: io::Error| refusal(path, &error);
    let found = fs::metadata(path).map_err(refused)?;
    if !found.file_type().is_char_device() {
        return Err(format!("{shown} is no serial port"));
    }
    // Without waiting for a carrier, and without becoming our terminal.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| refused(errno.into()))?;
    tcgetattr(&file).map_err(|_| format!("{shown} is no serial port"))?;
    // Before anything is set: settings are the port's, also for other programs that have it.
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    locked.map_err(|_| holder::in_use(path))?;
    let _ = flock(&file, FlockOperation::Unlock);
    if let Some(other) = holder::other(path) {
        log::warn!("{shown} is also open in {other}, which takes a part of what comes in");
    }
    let control = SerialPort::from(file);
    // The descriptor for what is set stays open: some drivers forget this mode on the last close.
    if let Some(rs485) = &settings.rs485 {
        set_direction(&control, rs485).map_err(|error| {
            format!(
                "{shown}: its driver does not switch RS-485 ({error}); adapters that switch by \
                 themselves need no `rs485`"
            )
        })?;
    }
    let builder = tokio_serial::new(settings.port.as_str(), settings.baud);
    let stream = builder
        .open_native_async()
        .map_err(|error| refused(error.into()))?;
    let port = Port {
        stream,
        control,
        path: settings.port.clone(),
    };
    apply(&port.control, settings).map_err(|text| format!("{shown}: {text}"))?;
    Ok(port)
}

/// Sets a port that is ours, and looks whether that was done.
fn apply(control: &SerialPort, settings: &PortSettings) -> Result<(), String> {
    let mut termios = tcgetattr(control).map_err(|errno| errno.to_string())?;
    set(&mut termios, settings)?;
    tcsetattr(control, OptionalActions::Now, &termios)
        .map_err(|errno| format!("cannot be set: {errno}"))?;
    let applied = tcgetattr(control).map_err(|errno| errno.to_string())?;
    // Behind a pseudo terminal is no wire for which it would matter.
    if !is_pseudo(Path::new(&settings.port)) {
        check(&applied, &termios, settings)?;
    }
    // What came in before was read with other settings.
    tcflush(control, QueueSelector::IOFlush).map_err(|errno| errno.to_string())?;
    if let Some(level) = settings.dtr {
        let set = control.set_dtr(level);
        set.map_err(|error| format!("cannot set the line dtr: {error}"))?;
    }
    if let Some(level) = settings.rts {
        let set = control.set_rts(level);
        set.map_err(|error| format!("cannot set the line rts: {error}"))?;
    }
    Ok(())
}

fn is_pseudo(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|path| path.starts_with("/dev/pts"))
}

/// Lets the driver switch the transceiver: `TIOCSRS485`.
fn set_direction(control: &SerialPort, rs485: &Rs485) -> io::Result<()> {
    let mut mode = Rs485Config::new();
    mode.set_invert_rts(rs485.rts_low_on_send);
    mode.set_delay_before_send(rs485.delay_before);
    mode.set_delay_after_send(rs485.delay_after);
    mode.set_bus_termination(rs485.termination);
    control.set_rs4xx_mode(mode)
}

/// The words for what an adapter that was pulled out looks like.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::IO | Errno::NODEV | Errno::NXIO) => "unplugged".to_owned(),
        _ => error.to_string(),
    }
}

/// Why a port does not open, and what helps.
fn refusal(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    // The serial library keeps only the text of some errors, so the port is looked at again.
    let is_missing = fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied
        || access(path, Access::READ_OK | Access::WRITE_OK) == Err(Errno::ACCESS);
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        _ if is_missing => format!("{shown} is not there: {}", holder::present()),
        _ if is_denied => forbidden(path),
        Some(Errno::NODEV | Errno::NXIO | Errno::IO) => {
            format!("{shown}: there is no device behind it")
        }
        Some(Errno::BUSY) => holder::in_use(path),
        _ if holder::other(path).is_some() => holder::in_use(path),
        _ => format!("{shown}: {error}"),
    }
}

fn forbidden(path: &Path) -> String {
    let shown = path.display();
    let group = holder::group(path).unwrap_or_else(|| "dialout".to_owned());
    format!(
        "{shown}: permission denied; the gateway's user must be in the group {group} \
         (`usermod -aG {group} fieldgate`, then restart it), or a udev rule must give it the port"
    )
}

/// Puts what is wanted into the settings.
fn set(termios: &mut Termios, config: &PortSettings) -> Result<(), String> {
    termios.make_raw();
    // Bytes with a wrong parity or without a stop bit are left out, a break is no byte.
    termios.input_modes |= InputModes::IGNBRK | InputModes::IGNPAR;
    termios.input_modes &=
        !(InputModes::INPCK | InputModes::IXON | InputModes::IXOFF | InputModes::IXANY);
    termios.control_modes &= !MODES;
    // Without the carrier line: most instruments do not have it.
    termios.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    termios.control_modes |= match config.data_bits {
        5 => ControlModes::CS5,
        6 => ControlModes::CS6,
        7 => ControlModes::CS7,
        _ => ControlModes::CS8,
    };
    let parity = match config.parity {
        Parity::None => ControlModes::empty(),
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        Parity::Space => ControlModes::PARENB | ControlModes::CMSPAR,
        Parity::Mark => ControlModes::PARENB | ControlModes::CMSPAR | ControlModes::PARODD,
    };
    if !parity.is_empty() {
        termios.input_modes |= InputModes::INPCK;
    }
    termios.control_modes |= parity;
    if config.stop_bits == 2 {
        termios.control_modes |= ControlModes::CSTOPB;
    }
    match config.flow {
        Flow::None => {}
        Flow::Hardware => termios.control_modes |= ControlModes::CRTSCTS,
        Flow::Software => termios.input_modes |= InputModes::IXON | InputModes::IXOFF,
    }
    termios
        .set_speed(config.baud)
        .map_err(|_| format!("baud: this system cannot do {}", config.baud))
}

/// A driver may take settings without an error and not do them.
fn check(applied: &Termios, wanted: &Termios, config: &PortSettings) -> Result<(), String> {
    let differs =
        |modes: ControlModes| applied.control_modes & modes != wanted.control_modes & modes;
    let what = if differs(ControlModes::PARENB | ControlModes::PARODD | ControlModes::CMSPAR) {
        format!("parity: {:?}", config.parity).to_lowercase()
    } else if differs(ControlModes::CSIZE) {
        format!("data_bits: {}", config.data_bits)
    } else if differs(ControlModes::CSTOPB) {
        format!("stop_bits: {}", config.stop_bits)
    } else if differs(ControlModes::CRTSCTS) {
        "flow: hardware".to_owned()
    } else if applied.output_speed() != wanted.output_speed() {
        format!("baud: {}", config.baud)
    } else {
        return Ok(());
    };
    Err(format!("this adapter cannot do `{what}`"))
}

#[cfg(test)]
mod tests;
