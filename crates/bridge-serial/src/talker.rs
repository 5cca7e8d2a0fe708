//! Simulated instruments: a line without a cable, and one that talks on it.

use std::io;
use std::time::Duration;

use fieldgate_bridge::{Period, Simulated, Work};
use fieldgate_field_line::PortSettings;
use fieldgate_sim::{Pty, Turn, talk};
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::SerialConfig;
use crate::bytes::Escaped;

/// What a simulated instrument says, in the place of its port.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawScript")]
pub struct Script {
    /// One after the other, and then from the first on again.
    pub says: Vec<Vec<u8>>,
    /// How often, if it is not asked.
    pub every: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    says: Vec<Escaped>,
    every: Option<Period>,
}

const EVERY: Duration = Duration::from_secs(1);

impl TryFrom<RawScript> for Script {
    type Error = String;

    fn try_from(raw: RawScript) -> Result<Self, String> {
        if raw.says.is_empty() {
            return Err("says: expected at least one text".to_owned());
        }
        Ok(Self {
            says: raw.says.into_iter().map(|Escaped(bytes)| bytes).collect(),
            every: raw.every.map_or(EVERY, Period::get),
        })
    }
}

/// An instrument that talks.
#[derive(Debug)]
pub(crate) struct Talker {
    /// The port that clients open.
    pub(crate) port: String,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Talker {
    /// Starts the instrument of a device: one that is asked answers, any other talks by itself.
    ///
    /// # Errors
    ///
    /// Those of making a line.
    pub(crate) fn start(device: &SerialConfig, script: &Script) -> io::Result<Self> {
        let mut pty = Pty::open()?;
        let port = pty.path().display().to_string();
        let turn = match device.requests.len() {
            0 => Turn::Every(script.every),
            _ => Turn::Asked,
        };
        let (says, cancel) = (script.says.clone(), CancellationToken::new());
        let ends = cancel.clone();
        let name = device.name.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = talk(&mut pty, &says, turn, &ends).await {
                log::error!(DEVICE = name.as_str(); "simulated instrument: {error}");
            }
        });
        Ok(Self { port, cancel, task })
    }

    /// The device, with the simulated line in the place of its port. Such a line carries whole bytes and nothing else.
    pub(crate) fn device(&self, device: &SerialConfig) -> SerialConfig {
        let mut device = device.clone();
        device.port = PortSettings::new(self.port.as_str(), device.port.baud);
        device
    }

    /// Ends it; its port is gone when this returns.
    pub(crate) async fn end(self) {
        self.cancel.cancel();
        if let Err(error) = self.task.await {
            log::error!("simulated instrument: {error}");
        }
    }
}

impl Simulated for Talker {
    fn stop(self: Box<Self>) -> Work<'static, ()> {
        Box::pin(self.end())
    }
}
