//! Whether the gateway serves: one MQTT client that connects and goes, and one request to the web console.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::args;
use crate::console;
use crate::kinds::KINDS;
use crate::output::print;
use crate::stop::Stop;
use fieldgate_config::{self as config, Address, Config};

/// How long each step of one attempt may take.
const STEP: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// CONNECT of MQTT 3.1.1 with a clean session, a keep-alive of ten seconds, no identifier and no
/// user (section 3.1).
const CONNECT: [u8; 14] = *b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00";
const DISCONNECT: [u8; 2] = *b"\xe0\x00";

/// How an answer of the console begins (RFC 9112, section 4).
const OK: &[u8; 12] = b"HTTP/1.1 200";

/// Where a client gets in.
enum Door {
    Mqtt(SocketAddr),
    Unix(std::path::PathBuf),
    /// TLS or WebSocket: that the port is open has to do.
    Port(SocketAddr),
}

/// Asks until the gateway answers or the time is over.
///
/// # Errors
///
/// A configuration with mistakes, and a gateway that does not answer.
pub(crate) fn check(args: &args::Health) -> Result<(), Stop> {
    let config = config::load(args.config.path(), KINDS)
        .map_err(Stop::Config)?
        .config;
    let Some(door) = door(&config) else {
        return Err(Stop::Usage("the configuration has no listener".to_owned()));
    };
    let end = Instant::now() + Duration::from_secs(args.wait);
    wait("the broker", end, || knock(&door))?;
    if let Some(page) = page(&config) {
        wait("the console", end, || visit(&page))?;
    }
    Ok(())
}

/// Asks `what` until it answers or the time is over; once at least.
fn wait(what: &str, end: Instant, ask: impl Fn() -> Result<(), String>) -> Result<(), Stop> {
    loop {
        match ask() {
            Ok(()) => {
                print(&format!("{what} answers\n"));
                return Ok(());
            }
            Err(why) if Instant::now() >= end => {
                return Err(Stop::Device(format!("{what} does not answer: {why}")));
            }
            Err(why) => log::debug!("{why}"),
        }
        thread::sleep(PAUSE);
    }
}

/// Where the console is, if it serves.
enum Page {
    Web(String),
    Unix(PathBuf),
}

fn page(config: &Config) -> Option<Page> {
    let ports = console::ports(config);
    let web = ports.first().map(|(scheme, place)| {
        let place = local(*place);
        Page::Web(format!("{scheme}://{place}/health"))
    });
    let unix = || {
        let console = config.console.as_ref()?;
        console.listen.unix().cloned().map(Page::Unix)
    };
    web.or_else(unix)
}

fn visit(page: &Page) -> Result<(), String> {
    match page {
        Page::Web(url) => {
            // Of this machine: its certificate may be for any name, and have ended.
            let tls = TlsConfig::builder()
                .disable_verification(true)
                .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
                .build();
            let agent = Agent::config_builder()
                .timeout_global(Some(STEP))
                .proxy(None)
                .tls_config(tls)
                .build()
                .new_agent();
            let answer = agent.get(url).call();
            answer.map(drop).map_err(|error| format!("{url}: {error}"))
        }
        Page::Unix(path) => greet_page(path).map_err(|error| error.to_string()),
    }
}

fn greet_page(path: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(STEP))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; OK.len()];
    stream.read_exact(&mut answer)?;
    match answer == *OK {
        true => Ok(()),
        false => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

fn door(config: &Config) -> Option<Door> {
    let listen = &config.listen;
    let address = |key: &str| {
        let mut found = listen.addressed().filter(|(name, _)| *name == key);
        found.next().map(|(_, entry)| local(entry.place.address))
    };
    let unix = || {
        listen
            .unix
            .as_ref()
            .map(|entry| Path::new(&entry.place.0).to_owned())
    };
    address("tcp")
        .map(Door::Mqtt)
        .or_else(|| unix().map(Door::Unix))
        .or_else(|| {
            let mut others = ["tls", "websocket", "websocket_tls"].into_iter();
            others.find_map(address).map(Door::Port)
        })
}

/// The listener's address as one to connect to.
fn local(address: Address) -> SocketAddr {
    match address {
        Address::One(address) if !address.ip().is_unspecified() => address,
        Address::One(address) => match address.ip() {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
            IpAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
        },
        Address::Port(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    }
}

fn knock(door: &Door) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    match door {
        Door::Port(address) => TcpStream::connect_timeout(address, STEP)
            .map(drop)
            .map_err(told),
        Door::Mqtt(address) => {
            let stream = TcpStream::connect_timeout(address, STEP).map_err(told)?;
            stream.set_read_timeout(Some(STEP)).map_err(told)?;
            greet(stream)
        }
        Door::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(told)?;
            stream.set_read_timeout(Some(STEP)).map_err(told)?;
            greet(stream)
        }
    }
}

/// A broker that refuses a client without a name is there; one that is too busy is not.
fn greet(mut stream: impl Read + Write) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    stream.write_all(&CONNECT).map_err(told)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(told)?;
    match answer {
        // Section 3.2: CONNACK, and 3 is "server unavailable".
        [0x20, 2, _, code] if code != 3 => {}
        other => return Err(format!("it answers {other:02x?}")),
    }
    // It may have closed the connection already.
    let _ = stream.write_all(&DISCONNECT);
    Ok(())
}
