//! The control socket: tools borrow the buses of a running gateway instead of fighting for ports.
//!
//! `protocol` says what goes over the socket, `server` is the gateway's side, `client` the tools'.
//! Only who may write to the socket's file gets in: its owner and its group.

pub(crate) mod client;
mod protocol;
pub(crate) mod server;

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) use protocol::{Ask, Envelope, UplinkQuestion};

const FILE: &str = "control.sock";
/// Where the service of the image has its runtime directory.
const SERVICE: &str = "/run/fieldgate";

/// Where a gateway listens.
pub(crate) fn server_path(config: &Path, given: Option<&Path>) -> PathBuf {
    match (given, env::var_os("RUNTIME_DIRECTORY")) {
        (Some(path), _) => path.to_owned(),
        // systemd separates several with colons.
        (None, Some(folders)) => match env::split_paths(&folders).next() {
            Some(folder) => folder.join(FILE),
            None => derived(config),
        },
        (None, None) => derived(config),
    }
}

/// Where a tool looks for one, in this order.
fn client_paths(config: &Path, given: Option<&Path>) -> Vec<PathBuf> {
    match given {
        Some(path) => vec![path.to_owned()],
        None => vec![
            server_path(config, None),
            Path::new(SERVICE).join(FILE),
            derived(config),
        ],
    }
}

/// A place that each configuration has for itself.
fn derived(config: &Path) -> PathBuf {
    let base = env::var_os("XDG_RUNTIME_DIR").map_or_else(env::temp_dir, PathBuf::from);
    let text = absolute(config);
    // FNV-1a, which stays the same from one build to the next.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    base.join(format!("fieldgate-{hash:016x}")).join(FILE)
}

/// The name of a configuration that is the same from everywhere.
fn absolute(config: &Path) -> String {
    let path = config.canonicalize();
    path.unwrap_or_else(|_| config.to_owned())
        .display()
        .to_string()
}

/// Whether a folder or file is this user's or root's: in a folder that all may write, another user
/// else could have made it.
fn is_trusted(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(path).is_ok_and(|found| found.uid() == own || found.uid() == 0)
}
