//! The only place that opens a port.
//!
//! A port is always raw: no echo, no translation of line ends, no signals, whatever the system or
//! another program left it at. It is ours alone while it is open (TIOCEXCL, and a lock that other
//! well-behaved programs respect), and the error of one that is in use names who has it.

mod holder;

use std::io;
use std::path::Path;
use std::time::Duration;

use fieldgate_bridge::{Cause, DriverError};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, QueueSelector, Termios, ioctl_tiocexcl, tcflush,
    tcgetattr, tcsetattr,
};
use serial2::SerialPort;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::config::{Flow, Parity, PortConfig};
use crate::line::Line;

/// An open port.
#[derive(Debug)]
pub struct Port {
    inner: AsyncFd<SerialPort>,
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
    /// Opens a port and sets it. Blocks for some milliseconds at most, but needs tokio's context.
    ///
    /// # Errors
    ///
    /// Why not, with the remedy where there is one: absent, no permission, in use, no such
    /// setting.
    pub fn open(config: &PortConfig) -> Result<Self, DriverError> {
        let path = config.port.as_str();
        let wrong = |text: String| DriverError::new(Cause::Open, format!("{path}: {text}"));
        // Without waiting for a carrier, and without becoming our terminal.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| wrong(refusal(Path::new(path), errno)))?;
        // Before anything is set: settings are the port's, also for other programs that have it.
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| wrong(holder::in_use(Path::new(path))))?;
        let mut termios =
            tcgetattr(&file).map_err(|_| wrong("this is no serial port".to_owned()))?;
        ioctl_tiocexcl(&file).map_err(|errno| wrong(errno.to_string()))?;
        if let Some(other) = holder::other(Path::new(path)) {
            log::warn!("{path} is also open in {other}, which takes a part of what comes in");
        }
        set(&mut termios, config).map_err(&wrong)?;
        tcsetattr(&file, OptionalActions::Now, &termios)
            .map_err(|errno| wrong(format!("cannot be set: {errno}")))?;
        let applied = tcgetattr(&file).map_err(|errno| wrong(errno.to_string()))?;
        check(&applied, &termios, config).map_err(&wrong)?;
        // What came in before was read with other settings.
        tcflush(&file, QueueSelector::IOFlush).map_err(|errno| wrong(errno.to_string()))?;
        let port = SerialPort::from(file);
        for (name, level) in [("dtr", config.dtr), ("rts", config.rts)] {
            let Some(level) = level else { continue };
            let result = if name == "dtr" {
                port.set_dtr(level)
            } else {
                port.set_rts(level)
            };
            result.map_err(|error| wrong(format!("cannot set the line {name}: {error}")))?;
        }
        let inner = registered(port).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            inner,
            path: config.port.clone(),
        })
    }

    fn lost(&self, why: &str) -> DriverError {
        DriverError::new(Cause::Lost, format!("{}: {why}", self.path))
    }

    /// Waits for bytes and reads them. Cancel-safe. Never 0 bytes.
    ///
    /// # Errors
    ///
    /// If the port is gone.
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize, DriverError> {
        let read = self.inner.async_io(Interest::READABLE, |port| {
            Ok(rustix::io::read(port, &mut *buffer)?)
        });
        match read.await {
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
    pub async fn write(&self, bytes: &[u8], limit: Duration) -> Result<(), DriverError> {
        let write = async {
            let mut rest = bytes;
            while !rest.is_empty() {
                let count = self
                    .inner
                    .async_io(Interest::WRITABLE, |port| {
                        Ok(rustix::io::write(port, rest)?)
                    })
                    .await?;
                rest = rest.get(count..).unwrap_or_default();
            }
            Ok::<(), io::Error>(())
        };
        match tokio::time::timeout(limit, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&reason(&error))),
            Err(_) => {
                // Or closing the port would wait for it.
                let _ = tcflush(self.inner.get_ref(), QueueSelector::OFlush);
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
    pub async fn line_break(&self, length: Duration) -> Result<(), DriverError> {
        let set = |on: bool| {
            let result = self.inner.get_ref().set_break(on);
            result.map_err(|error| self.lost(&format!("break: {}", reason(&error))))
        };
        set(true)?;
        tokio::time::sleep(length).await;
        set(false)
    }
}

impl Line for Port {
    async fn read(&self, buffer: &mut [u8]) -> Result<usize, DriverError> {
        Self::read(self, buffer).await
    }

    async fn write(&self, bytes: &[u8], limit: Duration) -> Result<(), DriverError> {
        Self::write(self, bytes, limit).await
    }

    async fn line_break(&self, length: Duration) -> Result<(), DriverError> {
        Self::line_break(self, length).await
    }
}

/// Hands a port to the runtime.
#[allow(
    deprecated,
    reason = "its successor is unsafe, for types that could change their descriptor; a SerialPort owns one and keeps it"
)]
fn registered(port: SerialPort) -> io::Result<AsyncFd<SerialPort>> {
    AsyncFd::new(port)
}

/// The words for what an adapter that was pulled out looks like.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::IO | Errno::NODEV | Errno::NXIO) => "unplugged".to_owned(),
        _ => error.to_string(),
    }
}

fn refusal(path: &Path, errno: Errno) -> String {
    match errno {
        Errno::NOENT => {
            "there is no such port; it is unplugged, or has another name: `ls /dev/serial/by-id`"
                .to_owned()
        }
        Errno::NODEV | Errno::NXIO | Errno::IO => "there is no device behind it".to_owned(),
        Errno::ACCESS | Errno::PERM => {
            let group = holder::group(path).unwrap_or_else(|| "dialout".to_owned());
            format!(
                "permission denied; the user that runs fieldgate must be in the group {group}: `usermod -a -G {group} USER`, then start it again"
            )
        }
        Errno::BUSY => holder::in_use(path),
        other => other.to_string(),
    }
}

/// Puts what is wanted into the settings.
fn set(termios: &mut Termios, config: &PortConfig) -> Result<(), String> {
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
fn check(applied: &Termios, wanted: &Termios, config: &PortConfig) -> Result<(), String> {
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
