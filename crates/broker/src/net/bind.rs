//! Sockets that listen.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::endpoint::Endpoint;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;

/// Who may connect to a Unix socket: its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// A socket that listens.
#[derive(Debug)]
pub enum Bound {
    /// On an address.
    Tcp(TcpListener),
    /// On this machine.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; it goes when this goes.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number of the file, as another process may have put its own there.
    file: (u64, u64),
}

impl Bound {
    /// The address; a Unix socket has none.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            Self::Unix(..) => Ok(None),
        }
    }
}

/// Opens a listening socket.
///
/// # Errors
/// What the system says; for a Unix socket also if something else is at its path, or a program
/// listens there.
pub fn bind(endpoint: &Endpoint) -> io::Result<Bound> {
    match endpoint {
        Endpoint::Tcp(address) => tcp(*address).map(Bound::Tcp),
        Endpoint::Unix(path) => unix(path),
    }
}

/// An IPv6 address is served by itself, without IPv4.
fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unix(path: &Path) -> io::Result<Bound> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile {
        path: path.to_owned(),
        file: identity(&fs::symlink_metadata(path)?),
    };
    // Before `listen`: from then on clients can connect.
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    socket.listen(BACKLOG)?;
    Ok(Bound::Unix(socket.into(), file))
}

/// Removes a socket that a process has left behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let text = "something that is no socket is there";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?; // A listener with a full queue would make it wait.
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Err(error) => Err(error),
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{}: not removed: {error}", self.path.display());
        }
    }
}
