//! A pseudo terminal: a serial port whose far side is ours.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A port under a name that lasts. When this goes, it is unplugged.
pub struct Pty {
    far: File,
    link: PathBuf,
}

impl Pty {
    /// A new one; the name leads to it, whatever it led to before.
    pub fn at(link: &Path) -> Self {
        // Not for the programs that a case starts: they would keep it plugged in.
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudo terminal");
        grantpt(&far).expect("its near side");
        unlockpt(&far).expect("its near side");
        let near = ptsname(&far, Vec::new()).expect("its name");
        let _ = fs::remove_file(link);
        symlink(near.to_str().expect("a plain name"), link).expect("a link in a folder of ours");
        let link = link.to_owned();
        let far = far.into();
        Self { far, link }
    }

    pub fn send(&self, bytes: &[u8]) {
        (&self.far).write_all(bytes).expect("the port takes bytes");
    }

    /// Waits for exactly these bytes.
    pub fn expect(&self, want: &[u8]) {
        let mut got = vec![0; want.len()];
        (&self.far)
            .read_exact(&mut got)
            .expect("bytes from the gateway");
        assert_eq!(got, want, "{}", String::from_utf8_lossy(&got));
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.link);
    }
}
