//! The broker's listeners: which addresses, and what to say when one cannot be had.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fieldgate_broker::{Broker, StartError};

use crate::config::{Address, Config};
use crate::stop::Stop;

/// Starts the broker of a configuration.
///
/// # Errors
///
/// [`Stop::Listen`] with the address and the cause.
pub(crate) fn start(config: &Config) -> Result<Broker, Stop> {
    let try_on = |tcp: Vec<SocketAddr>| {
        Broker::start(fieldgate_broker::Config {
            tcp,
            allow_anonymous: config.allow_anonymous,
            users: config.users.clone(),
            ..fieldgate_broker::Config::default()
        })
    };
    let all = |ip: IpAddr, port: u16| SocketAddr::new(ip, port);
    let started = match config.listen {
        None => try_on(Vec::new()),
        Some(Address::One(address)) => try_on(vec![address]),
        // Two sockets would get two different ports.
        Some(Address::Port(0)) => try_on(vec![all(Ipv4Addr::UNSPECIFIED.into(), 0)]),
        Some(Address::Port(port)) => {
            let v4 = all(Ipv4Addr::UNSPECIFIED.into(), port);
            let v6 = all(Ipv6Addr::UNSPECIFIED.into(), port);
            match try_on(vec![v4, v6]) {
                Err(StartError::Bind(error)) if error.address == v6 && has_no_v6(&error.error) => {
                    try_on(vec![v4])
                }
                other => other,
            }
        }
    };
    started.map_err(|error| match error {
        StartError::Bind(bind) => {
            let cause = match bind.error.kind() {
                io::ErrorKind::AddrInUse => {
                    "the port is in use by another program (another broker?)".to_owned()
                }
                io::ErrorKind::PermissionDenied => {
                    "not permitted; ports below 1024 need a privilege".to_owned()
                }
                io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
                _ => bind.error.to_string(),
            };
            let text = format!("cannot listen on {}: {cause}", bind.address);
            Stop::Listen(io::Error::new(bind.error.kind(), text))
        }
        StartError::Worker(error) => Stop::Other(error),
    })
}

/// Whether the kernel was built or started without IPv6.
fn has_no_v6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Tells a person how to see something.
pub(crate) fn announce(broker: &Broker) {
    for address in broker.local_addrs() {
        log::info!("MQTT on {address}");
    }
    let Some(address) = broker.local_addrs().first() else {
        log::warn!("no listener: nobody can subscribe");
        return;
    };
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let port = address.port();
    log::info!("subscribe with: mosquitto_sub -h {host} -p {port} -t '#' -v");
}
