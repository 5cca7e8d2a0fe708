//! The simulated meters of one bus: a place, and what serves there.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use fieldgate_bridge::{Place, Simulated, Work};
use fieldgate_sim::Pty;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{MbusBusEntry, MbusConfig, Transport};
use crate::sim::{SimLine, SimServer, serve};
use fieldgate_field_line::Parity;

/// Simulated meters, and where they are.
#[derive(Debug)]
pub(crate) struct Simulator {
    /// The bus, with the simulated place in that of its own.
    pub(crate) bus: MbusBusEntry,
    served: Served,
}

#[derive(Debug)]
enum Served {
    Server(SimServer),
    Line {
        meters: Arc<Mutex<SimLine>>,
        cancel: CancellationToken,
        task: JoinHandle<()>,
    },
}

impl Simulator {
    /// Makes the place, and serves a meter for each device there.
    ///
    /// # Errors
    ///
    /// That it cannot listen there, or that there is no line.
    pub(crate) async fn start(
        place: Place,
        real: &MbusBusEntry,
        devices: &[&MbusConfig],
    ) -> io::Result<Self> {
        let mut bus = real.clone();
        let meters = SimLine::of(devices);
        let served = match place {
            Place::Listen(listen) => {
                let server = SimServer::listen(listen, meters).await.map_err(|error| {
                    let text = format!("cannot listen on {listen}: {error}");
                    io::Error::new(error.kind(), text)
                })?;
                bus.transport = Transport::Tcp(server.address().to_string());
                Served::Server(server)
            }
            Place::Line => {
                let mut line = Pty::open().map_err(|error| {
                    let text = format!("no line to simulate a bus on: {error}");
                    io::Error::new(error.kind(), text)
                })?;
                bus.transport = Transport::Serial(line.path().display().to_string());
                let meters = Arc::new(Mutex::new(meters));
                let cancel = CancellationToken::new();
                let (shared, ends) = (Arc::clone(&meters), cancel.clone());
                let task = tokio::spawn(async move {
                    if let Err(error) = serve(&mut line, &shared, Instant::now(), &ends).await {
                        log::error!("simulated meters: {error}");
                    }
                });
                Served::Line {
                    meters,
                    cancel,
                    task,
                }
            }
        };
        // A line without a cable has no parity.
        bus.parity = Parity::None;
        Ok(Self { bus, served })
    }

    /// Serves these devices from now on. Their values begin anew.
    pub(crate) fn update(&self, devices: &[&MbusConfig]) {
        let meters = match &self.served {
            Served::Server(server) => server.meters(),
            Served::Line { meters, .. } => meters,
        };
        *meters.lock().unwrap_or_else(PoisonError::into_inner) = SimLine::of(devices);
    }

    /// Frees the place, so that it can be used again when this returns.
    pub(crate) async fn end(self) {
        match self.served {
            Served::Server(server) => server.end().await,
            Served::Line { cancel, task, .. } => {
                cancel.cancel();
                if let Err(error) = task.await {
                    log::error!("simulated meters: {error}");
                }
            }
        }
    }
}

impl Simulated for Simulator {
    fn stop(self: Box<Self>) -> Work<'static, ()> {
        Box::pin(self.end())
    }
}
