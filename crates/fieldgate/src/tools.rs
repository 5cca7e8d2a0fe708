//! The commissioning tools: scan, read, write, monitor. What they print is for a person at a terminal.
//!
//! [`Line`] is the way to a bus: through the running gateway if there is one, or opened here.

pub(crate) mod monitor;
pub(crate) mod probe;
pub(crate) mod registers;
pub(crate) mod scan;
pub(crate) mod uplink;

use std::io;
use std::path::Path;

use fieldgate_bridge_modbus::wire::pdu::Answer;
use fieldgate_bridge_modbus::{
    BusConfig, BusError, BusHandle, Buses, Data, ReadRequest, Simulator,
};
use tokio_util::sync::CancellationToken;

use crate::args::OnBus;
use crate::control::client::Client;
use crate::control::{Ask, Envelope, server};
use crate::kinds::KINDS;
use crate::stop::Stop;
use fieldgate_config::kinds;
use fieldgate_config::yaml::suggestion;
use fieldgate_config::{self as config, Config};

/// A bus that a tool uses.
pub(crate) struct Line {
    bus: String,
    end: End,
    /// How the bus is reached, for people.
    pub(crate) way: String,
    pub(crate) config: BusConfig,
    /// What went wrong between this tool and the gateway.
    trouble: Option<io::Error>,
}

enum End {
    Gateway(Client),
    /// This process is the gateway.
    Lent(BusHandle),
    Own {
        handle: BusHandle,
        cancel: CancellationToken,
        simulator: Option<Simulator>,
    },
}

impl Line {
    /// The bus of a command line.
    ///
    /// # Errors
    ///
    /// Those of the configuration, an unknown bus, and a gateway that cannot be used.
    pub(crate) async fn find(on: &OnBus) -> Result<Self, Stop> {
        let config = config::load(&on.config, KINDS)
            .map_err(Stop::Config)?
            .config;
        Self::open(&on.config, &config, &on.bus, on.control.as_deref()).await
    }

    /// The bus of a configuration.
    ///
    /// # Errors
    ///
    /// An unknown bus, and a gateway that cannot be used.
    pub(crate) async fn open(
        path: &Path,
        config: &Config,
        name: &str,
        control: Option<&Path>,
    ) -> Result<Self, Stop> {
        let part = kinds::part::<Buses>(config);
        let Some(bus) = part.buses.get(name) else {
            if let Some(other) = config.buses.get(name) {
                let text = format!("bus \"{name}\" is no Modbus bus but one of {}", other.kind);
                return Err(Stop::Usage(text));
            }
            let names: Vec<&str> = part.buses.keys().copied().collect();
            let text = format!("there is no bus \"{name}\"{}", suggestion(name, &names));
            return Err(Stop::Usage(text));
        };
        let mut own = bus.config.clone();
        if let Some(client) = Client::find(path, control).await.map_err(Stop::Other)? {
            let mut way = format!("{}, through the running gateway", own.transport);
            if bus.simulated.is_some() {
                way = "simulated, through the running gateway".to_owned();
            }
            return Ok(Self {
                bus: name.to_owned(),
                end: End::Gateway(client),
                way,
                config: own,
                trouble: None,
            });
        }
        let mut simulator = None;
        if let Some(place) = bus.simulated {
            let devices = part.devices.values().copied();
            let devices: Vec<_> = devices.filter(|device| device.bus == name).collect();
            let started = Simulator::start(place, &own.transport, &devices).await;
            let started = started.map_err(Stop::Listen)?;
            own.transport = started.transport.clone();
            simulator = Some(started);
        }
        // A tool spares the devices as the gateway does.
        let devices = part.devices.values();
        let devices = devices.filter(|device| device.bus == name);
        let longest = devices.map(|device| device.settle).max();
        own.settle = own.settle.max(longest.unwrap_or_default());
        Ok(Self::own(name, own, simulator))
    }

    fn own(name: &str, config: BusConfig, simulator: Option<Simulator>) -> Self {
        let simulated = if simulator.is_some() {
            ", simulated"
        } else {
            ""
        };
        let cancel = CancellationToken::new();
        Self {
            bus: name.to_owned(),
            way: format!("{}{simulated}", config.transport),
            end: End::Own {
                handle: BusHandle::spawn(name, config.clone(), cancel.clone()),
                cancel,
                simulator,
            },
            config,
            trouble: None,
        }
    }

    /// A bus of this process.
    pub(crate) fn lent(name: &str, handle: BusHandle) -> Self {
        let config = handle.config().clone();
        Self {
            bus: name.to_owned(),
            way: config.transport.to_string(),
            end: End::Lent(handle),
            config,
            trouble: None,
        }
    }

    /// Opens the bus again with another configuration of its port.
    pub(crate) async fn reopen(self, config: BusConfig) -> Self {
        match self.end {
            End::Gateway(_) | End::Lent(_) => self,
            End::Own {
                handle,
                cancel,
                simulator,
            } => {
                cancel.cancel();
                handle.ended().await;
                Self::own(&self.bus, config, simulator)
            }
        }
    }

    /// Whether the gateway has the bus.
    pub(crate) fn is_gateways(&self) -> bool {
        matches!(self.end, End::Gateway(_))
    }

    /// One request; in the `background`, only when nothing else waits for the bus.
    ///
    /// # Errors
    ///
    /// Outside, that the gateway is of no use; inside, what the bus says.
    pub(crate) async fn ask(
        &mut self,
        unit: u8,
        ask: Ask,
        background: bool,
    ) -> Result<Result<Answer, BusError>, Stop> {
        match &mut self.end {
            End::Gateway(client) => {
                let envelope = Envelope {
                    bus: self.bus.clone(),
                    unit,
                    background,
                    ask,
                };
                client.ask(&envelope).await.map_err(Stop::Other)
            }
            End::Own { handle, .. } | End::Lent(handle) => {
                Ok(server::perform(handle, unit, background, &ask).await)
            }
        }
    }

    /// One read of a device's plan. What goes wrong with the gateway, [`Self::close`] tells.
    pub(crate) async fn read(&mut self, unit: u8, request: &ReadRequest) -> Result<Data, BusError> {
        let ask = Ask::Read {
            table: request.table,
            address: request.address,
            count: request.count,
            timeout_ms: None,
        };
        let described = request.describe(unit);
        if self.trouble.is_some() {
            return Err(BusError::Closed { request: described });
        }
        match self.ask(unit, ask, false).await {
            Ok(Ok(Answer::Data(data))) => Ok(data),
            Ok(Ok(_)) => Err(BusError::Protocol {
                request: described,
                detail: "not the values asked for".into(),
            }),
            Ok(Err(error)) => Err(error),
            Err(stop) => {
                self.trouble = Some(io::Error::other(stop.to_string()));
                Err(BusError::Closed { request: described })
            }
        }
    }

    /// Frees the bus.
    ///
    /// # Errors
    ///
    /// What went wrong with the gateway during [`Self::read`].
    pub(crate) async fn close(self) -> Result<(), Stop> {
        if let End::Own {
            handle,
            cancel,
            simulator,
        } = self.end
        {
            cancel.cancel();
            handle.ended().await;
            if let Some(simulator) = simulator {
                simulator.end().await;
            }
        }
        self.trouble.map_or(Ok(()), |error| Err(Stop::Other(error)))
    }
}

/// What a bus says, with what helps.
fn explained(error: &BusError) -> Stop {
    let hint = match error {
        BusError::Exception { exception, .. } if exception.0 == 2 => {
            "; the unit has no such address. Here addresses count from 0: what a manual calls \
             register 1 or 40001 is 0"
        }
        BusError::Exception { exception, .. } if exception.0 == 1 => {
            "; the unit has no such table, or does not let it be written"
        }
        BusError::Timeout { .. } => "; is it the right unit, and does `fieldgate scan` find it?",
        _ => "",
    };
    Stop::Device(format!("{error}{hint}"))
}
