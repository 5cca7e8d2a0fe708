//! The file of a Unix socket.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use fieldgate_broker::{Broker, Listener, StartError};

use crate::{Folder, config, start};

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_broker() {
    let folder = Folder::new();
    let path = folder.path().join("socket");
    // Left behind by a process that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let broker = start(vec![Listener::unix(&path)]);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(broker.local_addrs().is_empty());
    drop(broker);
    assert!(!path.exists());
}

#[test]
fn a_socket_in_use_and_a_file_that_is_no_socket_are_left_alone() {
    let folder = Folder::new();
    let path = folder.path().join("socket");
    let refused = || match Broker::start(config(vec![Listener::unix(&path)])) {
        Err(StartError::Bind(error)) => {
            let name = path.display().to_string();
            assert!(error.to_string().contains(&name), "{error}");
            error.error.kind()
        }
        other => panic!("{other:?}"),
    };
    fs::write(&path, "notes").unwrap();
    assert_eq!(refused(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"notes");
    fs::remove_file(&path).unwrap();

    let first = start(vec![Listener::unix(&path)]);
    assert_eq!(refused(), ErrorKind::AddrInUse);
    // Another program's socket by now: the first broker must not remove it.
    fs::remove_file(&path).unwrap();
    let _second = UnixListener::bind(&path).unwrap();
    drop(first);
    assert!(path.exists());
}
