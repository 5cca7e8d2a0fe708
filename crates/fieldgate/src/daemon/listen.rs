//! The broker's listeners: which addresses, and what to say when one cannot be had.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use fieldgate_broker::{BindError, Broker, Endpoint, Listener, OwnTopics, StartError, StoreConfig};
use fieldgate_model::Topics;

use super::machine::machine;
use crate::stop::Stop;
use fieldgate_config::{Address, Config, StoreTimes};

/// Opens the broker of a configuration, which does not serve yet. Returns the listeners that it has.
///
/// # Errors
///
/// [`Stop::Listen`] with the address and the cause; [`Stop::Other`] if another process uses `state`.
pub(crate) fn open(config: &Config, state: Option<&Path>) -> Result<(Broker, Vec<Listener>), Stop> {
    let store = match state {
        Some(folder) => Some(store(folder, config.store)),
        None => {
            log::info!(
                "sessions and retained values end with this process; `--state DIR` keeps them"
            );
            None
        }
    };
    let limits = config.limits.on(machine());
    let try_on = |listeners: Vec<Listener>| {
        let started = Broker::open(fieldgate_broker::Config {
            listeners: listeners.clone(),
            allow_anonymous: config.allow_anonymous,
            local_networks: config.local_networks.clone(),
            users: config.users.clone(),
            takeover: config.takeover,
            limits: limits.clone(),
            own: own_topics(&config.topics, config),
            store: store.clone(),
            ..fieldgate_broker::Config::default()
        });
        started.map(|broker| (broker, listeners))
    };
    let mut all = listeners(config);
    let started = match try_on(all.clone()) {
        Err(StartError::Bind(error)) if is_any_v6(&error.endpoint) && has_no_v6(&error.error) => {
            all.retain(|one| !is_any_v6(&one.endpoint));
            try_on(all)
        }
        other => other,
    };
    started.map_err(|error| match error {
        StartError::Bind(error) => cannot_listen(&error),
        // The files were good a moment ago, when the configuration was checked.
        StartError::Tls(error) => Stop::Other(io::Error::other(error)),
        StartError::Store(error) => Stop::Other(io::Error::other(error)),
        StartError::Worker(error) => Stop::Other(error),
    })
}

/// The topics that no client publishes to unless a rule says so: readings, states, counters, answers.
pub(crate) fn own_topics(topics: &Topics, config: &Config) -> OwnTopics {
    let names = config.devices.keys().map(String::as_str);
    OwnTopics::new(&topics.base(), names, topics.commands())
}

/// Where in `folder` the broker keeps its state.
fn store(folder: &Path, times: StoreTimes) -> StoreConfig {
    let usual = StoreConfig::new(folder.join("broker"));
    StoreConfig {
        commit: times.commit.unwrap_or(usual.commit),
        retained_interval: times.retained.unwrap_or(usual.retained_interval),
        ..usual
    }
}

fn listeners(config: &Config) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for (key, entry) in config.listen.addressed() {
        for address in addresses(entry.place.address) {
            listeners.push(Listener {
                tls: config.tls.clone().filter(|_| key.ends_with("tls")),
                websocket: key.starts_with("websocket"),
                origins: entry.place.origins.clone(),
                allow_anonymous: entry.allow_anonymous,
                ..Listener::tcp(address)
            });
        }
    }
    listeners.extend(config.listen.unix.as_ref().map(|entry| Listener {
        allow_anonymous: entry.allow_anonymous,
        ..Listener::unix(&entry.place.0)
    }));
    listeners
}

fn addresses(address: Address) -> Vec<SocketAddr> {
    let all = |ip: IpAddr, port: u16| SocketAddr::new(ip, port);
    match address {
        Address::One(address) => vec![address],
        // Two sockets would get two different ports.
        Address::Port(0) => vec![all(Ipv4Addr::UNSPECIFIED.into(), 0)],
        Address::Port(port) => vec![
            all(Ipv4Addr::UNSPECIFIED.into(), port),
            all(Ipv6Addr::UNSPECIFIED.into(), port),
        ],
    }
}

fn is_any_v6(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp(address) => address.ip() == Ipv6Addr::UNSPECIFIED,
        Endpoint::Unix(_) => false,
    }
}

/// Whether the kernel was built or started without IPv6.
fn has_no_v6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn cannot_listen(error: &BindError) -> Stop {
    let BindError { endpoint, error } = error;
    let is_socket = matches!(endpoint, Endpoint::Unix(_));
    let cause = match error.kind() {
        io::ErrorKind::AddrInUse if is_socket => {
            "another program listens there (another gateway?)".to_owned()
        }
        io::ErrorKind::AddrInUse => {
            "the port is in use by another program (another broker?)".to_owned()
        }
        io::ErrorKind::PermissionDenied if !is_socket => {
            "not permitted; ports below 1024 need a privilege".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    };
    let text = format!("cannot listen on {endpoint}: {cause}");
    Stop::Listen(io::Error::new(error.kind(), text))
}

/// Tells a person what is listened on, and how to see something there.
pub(crate) fn announce(broker: &Broker, listeners: &[Listener]) {
    let mut addresses = broker.local_addrs().iter();
    let mut hint = None;
    for listener in listeners {
        let what = match (listener.websocket, listener.tls.is_some()) {
            (false, false) => "MQTT",
            (false, true) => "MQTT over TLS",
            (true, false) => "MQTT over WebSocket",
            (true, true) => "MQTT over secure WebSocket",
        };
        let address = match listener.endpoint {
            Endpoint::Tcp(_) => addresses.next(),
            Endpoint::Unix(_) => None,
        };
        let Some(&address) = address else {
            log::info!("{what} on {}", listener.endpoint);
            continue;
        };
        log::info!("{what} on {address}");
        if !listener.websocket {
            let option = listener.tls.as_ref().map_or("", |_| "--cafile CA.pem ");
            hint.get_or_insert((address, option));
        }
    }
    if listeners.is_empty() {
        log::warn!("no listener: no client can connect");
    }
    let Some((address, option)) = hint else {
        return;
    };
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let port = address.port();
    log::info!("subscribe with: mosquitto_sub {option}-h {host} -p {port} -t '#' -v");
}
