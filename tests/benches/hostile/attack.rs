//! The other side: a process of its own at the lowest priority, whose threads do one hostile thing until the time is over.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, thread};

use fieldgate_mqtt::{
    Connect, ConnectProperties, Packet, PacketId, Publish, PublishProperties, QoS, Version,
};
use fieldgate_test_client::{Event, Raw};
use fieldgate_tests::random::Random;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};

use crate::inputs;

/// How long an attacker waits for a connection, an answer or room to write.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What an attacker knows.
pub struct Attack {
    pub mqtt: SocketAddr,
    pub websocket: SocketAddr,
    /// Web pages.
    pub console: SocketAddr,
    /// Where it comes from, unless its input says otherwise.
    pub from: Ipv4Addr,
    /// Packets, connections or rounds that the broker took, by whatever the input counts.
    steps: Arc<AtomicU64>,
    failed: AtomicU64,
    error: Mutex<String>,
}

impl Attack {
    /// Repeats `round` in so many threads until the time is over. It gets the number of its thread, and of the round.
    pub fn repeat(&self, threads: u64, round: impl Fn(u64, u64) -> io::Result<()> + Sync) {
        thread::scope(|scope| {
            for thread in 0..threads {
                let round = &round;
                scope.spawn(move || {
                    for number in 0.. {
                        let result = round(thread, number);
                        self.note(result);
                    }
                });
            }
        });
    }

    fn note(&self, result: io::Result<()>) {
        let Err(error) = result else {
            self.step();
            return;
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut last) = self.error.lock() {
            *last = error.to_string();
        }
        // A broker that refuses is not asked again by a busy loop that takes all of a processor.
        thread::sleep(Duration::from_millis(10));
    }

    /// One more thing is done.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// A TCP connection to the broker, which is reset when it is dropped: no port waits for its time to be over.
    pub fn stream(&self, from: Ipv4Addr) -> io::Result<TcpStream> {
        stream(from, self.mqtt)
    }

    pub fn stream_to(&self, from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
        stream(from, to)
    }

    /// A client that the broker has accepted.
    pub fn client(&self, connect: &Connect<'_>) -> io::Result<Raw> {
        self.client_from(self.from, connect)
    }

    pub fn client_from(&self, from: Ipv4Addr, connect: &Connect<'_>) -> io::Result<Raw> {
        let mut client = Raw::over(self.stream(from)?, connect.version)?;
        client.send(&Packet::Connect(Box::new(connect.clone())))?;
        match client.next(PATIENCE)? {
            Some(Event::ConnAck(greeting)) if greeting.reason == 0 => Ok(client),
            Some(other) => Err(io::Error::other(format!("{other:?} instead of CONNACK"))),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn summary(&self) -> String {
        let (done, failed) = (
            self.steps.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        );
        let error = self.error.lock().map(|e| e.clone()).unwrap_or_default();
        match failed {
            0 => format!("{done} steps"),
            _ => format!("{done} steps, {failed} refused, the last: {error}"),
        }
    }
}

fn stream(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    // Linux: the timeout for writes is that of connecting, too.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    bind(&socket, &SocketAddr::new(IpAddr::V4(from), 0))?;
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

/// A CONNECT without a session that lasts.
pub fn brief(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 600,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// A PUBLISH of QoS 0, or of QoS 1 with the identifier `id`.
pub fn publish<'a>(topic: &'a str, payload: &'a [u8], id: u16) -> Publish<'a> {
    Publish {
        dup: false,
        qos: if id == 0 {
            QoS::AtMostOnce
        } else {
            QoS::AtLeastOnce
        },
        retain: false,
        topic,
        packet_id: PacketId::new(id),
        properties: PublishProperties::default(),
        payload,
    }
}

/// Reads what comes and throws it away, so that the broker never has to wait for this client.
pub fn drain(client: &Raw) -> io::Result<()> {
    let mut stream = client.stream.try_clone()?;
    stream.set_read_timeout(None)?;
    thread::spawn(move || {
        let _ = io::copy(&mut stream, &mut io::sink());
        let _ = stream.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Bytes that no compression makes smaller.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let words = std::iter::repeat_with(|| random.number().to_ne_bytes());
    words.take(len.div_ceil(8)).flatten().take(len).collect()
}

/// The attacker's process, as the bench sees it.
pub struct Attacker {
    child: Child,
    input: ChildStdin,
    output: io::BufReader<ChildStdout>,
    /// Where the hostile device listens, if it is one.
    pub port: u16,
}

impl Attacker {
    /// Starts the process, which does nothing yet.
    pub fn start(input: &str, seconds: u64, from: Ipv4Addr) -> io::Result<Self> {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(env::current_exe()?);
        command.args(["--attack", input, "--seconds", &seconds.to_string()]);
        command.args(["--from", &from.to_string()]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut this = Self {
            child,
            input,
            output: io::BufReader::new(output),
            port: 0,
        };
        this.port = this.line()?.parse().map_err(io::Error::other)?;
        Ok(this)
    }

    /// Lets it loose.
    pub fn begin(&mut self, (mqtt, websocket, console): (u16, u16, u16)) -> io::Result<()> {
        writeln!(self.input, "{mqtt} {websocket} {console}")
    }

    /// Waits until its time is over. Returns what it says that it did.
    ///
    /// # Errors
    /// When it did nothing, or ended early: then the row shows nothing.
    pub fn finish(mut self) -> io::Result<String> {
        let line = self.line()?;
        self.child.wait()?;
        match line.is_empty() || line.starts_with("0 steps") {
            true => Err(io::Error::other(format!("there was no attack: {line}"))),
            false => Ok(line),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        // Nothing to do about a failure: the child has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the attacker's process does: says where it listens, waits for the ports of the gateway, attacks, ends in time.
pub fn run(name: &str, seconds: u64, from: Ipv4Addr) -> io::Result<()> {
    let input = inputs::ALL.iter().find(|input| input.name == name);
    let input = input.ok_or(io::ErrorKind::NotFound)?;
    let device = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", device.local_addr()?.port());
    let begun = Arc::<AtomicBool>::default();
    let steps = Arc::<AtomicU64>::default();
    let (device_begun, frames) = (Arc::clone(&begun), Arc::clone(&steps));
    // A device answers before the attack begins.
    thread::spawn(move || crate::bus::serve(&device, &device_begun, &frames));
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let mut ports = line.split_whitespace().map(str::parse::<u16>);
    let [mqtt, websocket, console] = [(); 3].map(|()| ports.next());
    let (Some(Ok(mqtt)), Some(Ok(websocket)), Some(Ok(console))) = (mqtt, websocket, console)
    else {
        return Ok(()); // The bench has ended.
    };
    begun.store(true, Ordering::Relaxed);
    let attack = Arc::new(Attack {
        mqtt: (Ipv4Addr::LOCALHOST, mqtt).into(),
        websocket: (Ipv4Addr::LOCALHOST, websocket).into(),
        console: (Ipv4Addr::LOCALHOST, console).into(),
        from,
        steps,
        failed: AtomicU64::new(0),
        error: Mutex::default(),
    });
    let timed = Arc::clone(&attack);
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(seconds));
        // The bench may be gone: that must not keep the attack going.
        let _ = writeln!(io::stdout(), "{}", timed.summary());
        process::exit(0);
    });
    (input.run)(&attack);
    Ok(())
}
