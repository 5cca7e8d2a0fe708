//! A TCP proxy with faults, between a client and its server.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They go both ways.
    Pass = 0,
    /// Nothing goes either way; connections stay.
    BlackHole = 1,
    /// What the remote says is swallowed: it gets messages, and its acknowledgements are lost.
    NoAnswers = 2,
    /// Connections are reset at once.
    Refuse = 3,
    /// A few bytes go now and then, both ways: 4 KiB a second.
    Slow = 4,
}

/// Bytes that go at once where it is slow, and the pause before the next ones.
const SLOW: (usize, Duration) = (205, Duration::from_millis(50));

/// Listens on a port of its own; the remote's port may change.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mode: AtomicU8,
    remote: AtomicU16,
    connections: AtomicUsize,
    /// Bytes that the remote may still say.
    answers: AtomicUsize,
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Proxy {
    pub fn start(remote: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        shared.remote.store(remote, Ordering::SeqCst);
        shared.answers.store(usize::MAX, Ordering::SeqCst);
        let proxy = Self {
            port,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for client in listener.incoming() {
                accept(client.unwrap(), &shared);
            }
        });
        proxy
    }

    pub fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// So many bytes of the remote's answers still pass, and what comes after them is swallowed.
    pub fn limit_answers(&self, bytes: usize) {
        self.shared.answers.store(bytes, Ordering::SeqCst);
    }

    /// New connections go to another port.
    pub fn retarget(&self, remote: u16) {
        self.shared.remote.store(remote, Ordering::SeqCst);
    }

    /// Connections since the start.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Ends all connections; the uplink sees a reset or an end.
    pub fn cut(&self) {
        for (client, server) in self.shared.open.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }

    /// Ends the remote's side only: the uplink's connection stays open and leads nowhere.
    pub fn half_open(&self) {
        self.set(Mode::BlackHole);
        for (_, server) in self.shared.open.lock().unwrap().iter() {
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// How many of `len` bytes of an answer pass.
    fn pass(&self, len: usize) -> usize {
        let less = |left: usize| (left != usize::MAX).then(|| left.saturating_sub(len));
        let order = Ordering::SeqCst;
        let left = self.answers.fetch_update(order, order, less);
        left.map_or(len, |left| left.min(len))
    }
}

fn accept(client: TcpStream, shared: &Arc<Shared>) {
    let refuse = || rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    if shared.mode.load(Ordering::SeqCst) == Mode::Refuse as u8 {
        return refuse();
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.remote.load(Ordering::SeqCst))) else {
        return refuse();
    };
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let both = |stream: &TcpStream| stream.try_clone().unwrap();
    shared
        .open
        .lock()
        .unwrap()
        .push((both(&client), both(&server)));
    for (from, to, is_answer) in [
        (both(&client), both(&server), false),
        (server, client, true),
    ] {
        let shared = Arc::clone(shared);
        thread::spawn(move || carry(from, to, is_answer, &shared));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_answer: bool, shared: &Shared) {
    let mut bytes = [0; 4096];
    // Only so that a black hole can begin while nothing comes.
    from.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    loop {
        let mode = shared.mode.load(Ordering::SeqCst);
        if mode == Mode::BlackHole as u8 {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        let is_slow = mode == Mode::Slow as u8;
        let most = if is_slow { SLOW.0 } else { bytes.len() };
        match from.read(&mut bytes[..most]) {
            Ok(0) => break,
            Ok(len) => {
                if is_slow {
                    thread::sleep(SLOW.1);
                }
                let mode = shared.mode.load(Ordering::SeqCst);
                let is_lost =
                    mode == Mode::BlackHole as u8 || (mode == Mode::NoAnswers as u8 && is_answer);
                let passed = match is_answer {
                    true => shared.pass(len),
                    false => len,
                };
                if !is_lost && to.write_all(&bytes[..passed]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
