//! Wires the web console: its listeners, the users, the log, figures.

mod accounts;
mod appliance;
mod certificates;
mod files;
mod house;
mod messages;
mod network;
mod notice;
mod people;
mod text;
mod tools;
mod versions;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use fieldgate_broker::{Bound, Broker, Encryption, Endpoint, bind};
use fieldgate_config::{Address, Config};
use fieldgate_console::{
    Around, Console, Door, Encrypt, Encrypted, Later, Logs, Settings, Socket, Way,
};
use fieldgate_history::History;
use fieldgate_model::Topics;
use fieldgate_plant::Plant;
use tokio::net::TcpStream;

pub(crate) use accounts::Known;
pub(crate) use files::{Asked, Desk, Reloaded};
pub(crate) use notice::Notice;
pub(crate) use text::read;

use crate::certificates::machine_names;
use crate::control::server::Buses;
use crate::stop::Stop;
use accounts::Users;
use certificates::Safe;
use house::House;
use messages::Messages;
use tools::Toolbox;

/// A console that has its sockets and does not serve yet.
pub(crate) struct Opened {
    doors: Vec<Door>,
    settings: Settings,
    topics: Topics,
    /// What a browser on this machine asks for.
    address: Option<String>,
    safe: Safe,
}

/// Opens the sockets of a configuration's console, if it has one.
///
/// # Errors
///
/// [`Stop::Listen`] with the address and the cause.
pub(crate) fn open(config: &Config, desk: &Desk) -> Result<Option<Opened>, Stop> {
    let Some(console) = &config.console else {
        return Ok(None);
    };
    let mut doors = Vec::new();
    let mut address = None;
    let ports = ports(config);
    let https = ports
        .iter()
        .find_map(|(scheme, place)| (*scheme == "https").then_some(*place));
    if https.is_none() && console.listen.https().is_some() {
        log::error!("the console is not on https, as there is no certificate");
    }
    for (scheme, place) in ports {
        let tls = (scheme == "https")
            .then(|| encryption(config))
            .transpose()?;
        let listener = listen(place)?;
        let local = listener.local_addr().map_err(Stop::Other)?;
        log::info!("the console is on {scheme}://{}", told(local));
        address.get_or_insert_with(|| format!("{scheme}://{}", told(local)));
        let redirect = match (scheme, https) {
            ("http", Some(Address::Port(port))) if !local.ip().is_loopback() => Some(port),
            ("http", Some(Address::One(other))) if !local.ip().is_loopback() => Some(other.port()),
            _ => None,
        };
        doors.push(Door {
            socket: Socket::Tcp(listener),
            tls: tls.map(|tls| Arc::new(Tls(tls)) as Arc<dyn Encrypt>),
            redirect,
            keep: Box::new(()),
        });
    }
    if let Some(path) = console.listen.unix() {
        let endpoint = Endpoint::Unix(path.clone());
        if let Bound::Unix(listener, file) = bound(&endpoint)? {
            log::info!("the console is on {}", path.display());
            doors.push(Door {
                socket: Socket::Unix(listener),
                tls: None,
                redirect: None,
                keep: Box::new(file),
            });
        }
    }
    let mut names: Vec<String> = console.names().map(str::to_owned).collect();
    names.extend(machine_names());
    Ok(Some(Opened {
        doors,
        settings: Settings {
            gateway: config.gateway.clone(),
            version: env!("FIELDGATE_VERSION").to_owned(),
            names,
            open_metrics: console.metrics,
        },
        topics: config.topics.clone(),
        address,
        safe: Safe::new(config, desk.path().to_owned(), desk.renewed()),
    }))
}

/// Where the console of a configuration is to be found: schemes and addresses.
pub(crate) fn ports(config: &Config) -> Vec<(&'static str, Address)> {
    let Some(console) = &config.console else {
        return Vec::new();
    };
    let https = console.listen.https().filter(|_| config.has_certificate());
    // Passwords stay here while the network cannot have them encrypted.
    let is_plain = console.listen.https().is_none() || console.allow_plain;
    let http = console.listen.http();
    let http = http.filter(|place| https.is_some() || is_plain || !place.is_on_network());
    let all = [("https", https), ("http", http)];
    let found = all.into_iter();
    found
        .filter_map(|(scheme, place)| Some((scheme, place?)))
        .collect()
}

/// Serves from now on, if there is a console.
///
/// # Errors
///
/// [`Stop::Other`] if the system gives no thread or no random bytes.
pub(crate) fn start(
    opened: Option<Opened>,
    plant: &Plant,
    broker: &Broker,
    known: Known,
    desk: (&Desk, &Buses, Option<&History>),
    logs: Logs,
) -> Result<Option<Console>, Stop> {
    let started = opened.map(|opened| opened.start(plant, broker, known, desk, logs));
    started.transpose()
}

impl Opened {
    fn start(
        self,
        plant: &Plant,
        broker: &Broker,
        known: Known,
        (desk, buses, history): (&Desk, &Buses, Option<&History>),
        logs: Logs,
    ) -> Result<Console, Stop> {
        let messages = Messages {
            door: broker.door(),
            link: broker.link("console"),
            known: known.clone(),
        };
        let users = Users::new(known, broker.door(), self.topics);
        let accounts: Arc<dyn fieldgate_console::Accounts> = Arc::new(users);
        let events = history.map(History::tap);
        let history = history.map(History::reader);
        let around = Around {
            plant: plant.clone(),
            accounts: Arc::clone(&accounts),
            logs,
            messages: Arc::new(messages),
            tools: Arc::new(Toolbox {
                desk: desk.clone(),
                buses: buses.clone(),
            }),
            files: Arc::new(desk.clone()),
            certificates: Arc::new(self.safe),
            network: Arc::new(network::Net::new(std::path::Path::new("/"))),
            appliance: Arc::new(appliance::Board::new(std::path::Path::new("/"))),
            house: Arc::new(House::new(broker.door(), history.clone())),
            history,
            events,
        };
        let console = Console::start(self.settings, self.doors, around).map_err(Stop::Other)?;
        if let (Some(code), Some(address)) = (console.code(), self.address)
            && accounts.way() == Way::Code
        {
            log::info!("look at it in a browser: {address}/#code={code}");
        }
        Ok(console)
    }
}

struct Tls(Encryption);

impl Encrypt for Tls {
    fn encrypt(&self, stream: TcpStream) -> Later<'_, io::Result<Encrypted>> {
        Box::pin(async move {
            let stream = self.0.accept(stream).await?;
            Ok(Box::new(stream) as Encrypted)
        })
    }
}

/// The certificate, which browsers get without being asked for one of theirs.
fn encryption(config: &Config) -> Result<Encryption, Stop> {
    Encryption::load(config.certificate.clone())
        .map_err(|error| Stop::Other(io::Error::other(error)))
}

/// A port on all addresses is one socket for both kinds of addresses, where there are both.
fn listen(place: Address) -> Result<TcpListener, Stop> {
    let address = match place {
        Address::One(address) => address,
        Address::Port(port) => {
            // The standard library leaves such a socket to both kinds, as the system is set.
            let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            if let Ok(listener) = TcpListener::bind(both) {
                listener.set_nonblocking(true).map_err(Stop::Other)?;
                return Ok(listener);
            }
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
        }
    };
    match bound(&Endpoint::Tcp(address))? {
        Bound::Tcp(listener) => Ok(listener),
        Bound::Unix(..) => Err(Stop::Other(io::ErrorKind::Unsupported.into())),
    }
}

fn bound(endpoint: &Endpoint) -> Result<Bound, Stop> {
    bind(endpoint).map_err(|error| {
        let text = format!("the console cannot listen on {endpoint}: {error}");
        Stop::Listen(io::Error::new(error.kind(), text))
    })
}

/// An address as a browser on this machine takes it.
fn told(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        false => address,
    }
}
