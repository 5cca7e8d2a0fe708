//! Opens serial ports, and says in plain words why one does not open and what helps.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use fieldgate_model::plain::Plain;
use serial2::rs4xx::Rs485Config;
use tokio_serial::{DataBits, FlowControl, SerialPortBuilderExt, SerialStream, StopBits};

use crate::config::{Parity, Rs485, SerialConfig};

/// Opens a port for this process alone.
///
/// # Errors
///
/// The text is for the person in front of the machine.
pub(crate) async fn open(config: &SerialConfig) -> Result<SerialStream, String> {
    let config = config.clone();
    // Drivers may take their time over it.
    let opened = tokio::task::spawn_blocking(move || open_blocking(&config));
    match opened.await {
        Ok(opened) => opened,
        Err(error) => Err(format!("the port could not be opened: {error}")),
    }
}

/// Opens a port to listen to what others say on its line.
///
/// # Errors
///
/// The text is for the person in front of the machine.
pub async fn listen(
    config: &SerialConfig,
) -> Result<impl tokio::io::AsyncRead + Send + Unpin + use<>, String> {
    open(config).await
}

fn open_blocking(config: &SerialConfig) -> Result<SerialStream, String> {
    let port = config.port.as_str();
    check_path(Path::new(port))?;
    // Held until the port is open below: some drivers forget the mode on the last close.
    let _direction = match &config.rs485 {
        Some(rs485) => Some(set_direction(port, rs485)?),
        None => None,
    };
    let builder = tokio_serial::new(port, config.baud)
        .data_bits(match config.data_bits {
            7 => DataBits::Seven,
            _ => DataBits::Eight,
        })
        .parity(match config.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(match config.stop_bits {
            2 => StopBits::Two,
            _ => StopBits::One,
        })
        .flow_control(FlowControl::None);
    builder
        .open_native_async()
        .map_err(|error| explain(Path::new(port), &error.into()))
}

/// Lets the driver switch the transceiver: `TIOCSRS485`.
fn set_direction(port: &str, rs485: &Rs485) -> Result<serial2::SerialPort, String> {
    let opened = serial2::SerialPort::open(port, serial2::KeepSettings)
        .map_err(|error| explain(Path::new(port), &error))?;
    let mut mode = Rs485Config::new();
    mode.set_invert_rts(rs485.rts_low_on_send);
    mode.set_delay_before_send(rs485.delay_before);
    mode.set_delay_after_send(rs485.delay_after);
    mode.set_bus_termination(rs485.termination);
    match opened.set_rs4xx_mode(mode) {
        Ok(()) => Ok(opened),
        Err(error) => Err(format!(
            "{port}: its driver does not switch RS-485 ({error}); adapters that switch by \
             themselves need no `rs485`"
        )),
    }
}

fn check_path(path: &Path) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| explain(path, &error))?;
    if found.file_type().is_char_device() {
        return Ok(());
    }
    Err(format!("{} is no serial port", path.display()))
}

/// Why a port does not open, and what helps.
fn explain(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    // The serial library keeps only the text of some errors, so the port is looked at again.
    let found = fs::metadata(path);
    match (&found, error.kind()) {
        (Err(missing), _) if missing.kind() == io::ErrorKind::NotFound => {
            format!("{shown} is not there: {}", present())
        }
        (_, io::ErrorKind::PermissionDenied) => forbidden(path),
        (Err(other), _) if other.kind() == io::ErrorKind::PermissionDenied => forbidden(path),
        _ if is_forbidden(path) => forbidden(path),
        _ => match holder(path) {
            Some(holder) => {
                format!("{shown} is in use by {holder}; stop it, or give it another port")
            }
            None => format!("{shown}: {error}"),
        },
    }
}

/// The adapters that are there, by names that stay.
fn present() -> String {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.path().display().to_string())
            .collect();
        names.sort();
        names
    };
    let mut found = names("/dev/serial/by-id");
    if found.is_empty() {
        found = names("/dev/serial/by-path");
    }
    if found.is_empty() {
        "is the adapter plugged in? There is no USB serial adapter at all".into()
    } else {
        format!("is the adapter plugged in? There are {}", found.join(", "))
    }
}

fn is_forbidden(path: &Path) -> bool {
    rustix::fs::access(
        path,
        rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
    ) == Err(rustix::io::Errno::ACCESS)
}

fn forbidden(path: &Path) -> String {
    let shown = path.display();
    let group = fs::metadata(path).ok().and_then(|found| {
        let groups = fs::read_to_string("/etc/group").ok()?;
        group_name(&groups, found.gid())
    });
    let group = group.as_deref().unwrap_or("dialout");
    format!(
        "{shown}: permission denied; the gateway's user must be in the group {group} \
         (`usermod -aG {group} fieldgate`, then restart it), or a udev rule must give it the port"
    )
}

/// The name of a group in the text of `/etc/group`.
fn group_name(groups: &str, id: u32) -> Option<String> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == id && !name.is_empty()).then(|| name.to_owned())
    })
}

/// Which other process has the port open, as far as this one may see that.
fn holder(path: &Path) -> Option<String> {
    let device = fs::metadata(path).ok()?.rdev();
    let own = std::process::id();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|number| *number != own).find_map(|number| {
        let folder = PathBuf::from(format!("/proc/{number}"));
        let mut files = fs::read_dir(folder.join("fd")).ok()?.flatten();
        let has_it = |file: fs::DirEntry| {
            fs::metadata(file.path())
                .is_ok_and(|open| open.file_type().is_char_device() && open.rdev() == device)
        };
        files.any(has_it).then(|| {
            let name = fs::read(folder.join("comm")).unwrap_or_default();
            // A process names itself: nothing in it may act on a terminal.
            let name = String::from_utf8_lossy(&name);
            format!("{} (process {number})", Plain(name.trim()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_not_there_or_is_none_is_called_so() {
        for (port, want) in [
            ("/dev/serial/by-id/nothing", "is not there: is the adapter"),
            ("/dev", "/dev is no serial port"),
            ("/dev/null", "/dev/null"),
        ] {
            let json = format!(r#"{{"port": "{port}"}}"#);
            let config = serde_json::from_str(&json).unwrap();
            let error = open(&config).await.err().unwrap();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn a_forbidden_port_names_its_group() {
        let groups = "root:x:0:\ndialout:x:20:pi\nbroken\nuucp:x:14:";
        for (id, want) in [(20, Some("dialout")), (14, Some("uucp")), (99, None)] {
            assert_eq!(group_name(groups, id).as_deref(), want);
        }
        let text = forbidden(Path::new("/dev/null"));
        assert!(text.contains("usermod -aG root fieldgate"), "{text}");
    }

    #[test]
    fn a_file_open_only_in_this_process_has_no_other_holder() {
        let file = fs::File::open("/dev/null");
        assert!(file.is_ok());
        assert_eq!(holder(Path::new("/dev/serial-of-none")), None);
    }
}
