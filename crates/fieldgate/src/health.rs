//! Whether the gateway serves: one MQTT client that connects and goes.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::args;
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
    loop {
        match knock(&door) {
            Ok(()) => {
                print("the broker answers\n");
                return Ok(());
            }
            Err(why) if Instant::now() >= end => {
                return Err(Stop::Device(format!("the broker does not answer: {why}")));
            }
            Err(why) => log::debug!("{why}"),
        }
        thread::sleep(PAUSE);
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
