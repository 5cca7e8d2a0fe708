//! A serial cable: two pseudo-terminals, and threads that carry bytes from one to the other.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

/// One end: the side that the cable holds, and the port that a program opens.
struct End {
    near: Arc<OwnedFd>,
    /// Keeps the terminal in being while no program has it open.
    _far: OwnedFd,
    path: PathBuf,
}

/// A cable between two ports. When it goes, both ports are unplugged.
pub struct Cable {
    ends: [End; 2],
    stop: Arc<AtomicBool>,
    carriers: Vec<JoinHandle<()>>,
}

impl Cable {
    pub fn new() -> Self {
        let ends = [end(), end()];
        let stop = Arc::new(AtomicBool::new(false));
        let carriers = [(0, 1), (1, 0)].map(|(from, to): (usize, usize)| {
            let (from, to) = (Arc::clone(&ends[from].near), Arc::clone(&ends[to].near));
            let stop = Arc::clone(&stop);
            thread::spawn(move || carry(&from, &to, &stop))
        });
        Self {
            ends,
            stop,
            carriers: carriers.into(),
        }
    }

    /// The port for the gateway.
    pub fn gateway(&self) -> &Path {
        &self.ends[0].path
    }

    /// The port for the device.
    pub fn device(&self) -> &Path {
        &self.ends[1].path
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for carrier in self.carriers.drain(..) {
            let _ = carrier.join();
        }
    }
}

fn end() -> End {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).expect("a pseudo-terminal");
    grantpt(&near)
        .and_then(|()| unlockpt(&near))
        .expect("its far end");
    let name = ptsname(&near, Vec::new()).expect("its name");
    let path = PathBuf::from(name.into_string().expect("a plain path"));
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let far = rustix::fs::open(&path, flags, Mode::empty()).expect("its far end opens");
    let mut raw = rustix::termios::tcgetattr(&far).expect("a terminal");
    raw.make_raw();
    rustix::termios::tcsetattr(&far, rustix::termios::OptionalActions::Now, &raw)
        .expect("a terminal");
    End {
        near: Arc::new(near),
        _far: far,
        path,
    }
}

fn carry(from: &OwnedFd, to: &OwnedFd, stop: &AtomicBool) {
    let mut bytes = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        let mut watched = [PollFd::new(from, PollFlags::IN)];
        if !matches!(poll(&mut watched, Some(&limit)), Ok(1..)) {
            continue;
        }
        let read = rustix::io::read(from, &mut bytes).map_err(io::Error::from);
        let Ok(read) = read else { return };
        let mut left = bytes.get(..read).unwrap_or_default();
        while !left.is_empty() {
            let Ok(written) = rustix::io::write(to, left) else {
                return;
            };
            left = left.get(written..).unwrap_or_default();
        }
    }
}
