//! Simulated serial instruments: a line without a cable, and one who talks on it.

use std::io;

use fieldgate_bridge_serial::SerialConfig;
use fieldgate_sim::{Pty, Turn, talk};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Script;

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

    /// The device, with the simulated line in the place of its port.
    pub(crate) fn device(&self, device: &SerialConfig) -> SerialConfig {
        let mut device = device.clone();
        device.port.port.clone_from(&self.port);
        device
    }

    /// Ends it; its port is gone when this returns.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        if let Err(error) = self.task.await {
            log::error!("simulated instrument: {error}");
        }
    }
}
