//! The tools' side of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldgate_bridge_modbus::BusError;
use fieldgate_bridge_modbus::wire::pdu::Answer;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{ANSWER_MAX, Envelope, Greeting, Told, UplinkQuestion};
use super::server::line;

/// A gateway that is there greets at once.
const GREETING: Duration = Duration::from_secs(3);
/// How long a request may wait for its bus and be carried out.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// The gateway that runs with this configuration; `None` if there is none. A `given` path is
    /// the only one that is tried.
    ///
    /// # Errors
    ///
    /// A gateway that this user may not use, or at `given` one with another configuration.
    pub(crate) async fn find(config: &Path, given: Option<&Path>) -> io::Result<Option<Self>> {
        for path in super::client_paths(config, given) {
            let stream = match UnixStream::connect(&path).await {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let text = format!(
                        "{}: permission denied; run this as the gateway's user, as a member of \
                         its group, or with sudo",
                        path.display()
                    );
                    return Err(io::Error::new(error.kind(), text));
                }
                Err(_) => continue,
            };
            // Group members may not own it, but they could not have got into its folder either.
            if given.is_none() && !path.starts_with(super::SERVICE) && !super::is_trusted(&path) {
                log::warn!("{} belongs to another user", path.display());
                continue;
            }
            let mut client = Self {
                stream: BufReader::new(stream),
                path,
            };
            let greeting: Greeting = timeout(GREETING, client.receive())
                .await
                .map_err(|_| client.error("it does not greet"))??;
            if greeting.config == super::absolute(config) {
                return Ok(Some(client));
            }
            if given.is_some() {
                let text = format!("the gateway runs with {}", greeting.config);
                return Err(client.error(&text));
            }
        }
        Ok(None)
    }

    /// Lets the gateway carry out one request.
    ///
    /// # Errors
    ///
    /// Outside, that the gateway did not; inside, what the bus says.
    pub(crate) async fn ask(
        &mut self,
        envelope: &Envelope,
    ) -> io::Result<Result<Answer, BusError>> {
        let text = serde_json::to_string(envelope)? + "\n";
        self.stream.write_all(text.as_bytes()).await?;
        let told: Told = timeout(PATIENCE, self.receive())
            .await
            .map_err(|_| self.error("the bus was busy with other things for two minutes"))??;
        told.into_answer().map_err(io::Error::other)
    }

    /// Asks about an uplink.
    ///
    /// # Errors
    ///
    /// Outside, that the gateway did not answer; inside, why it has none to give.
    pub(crate) async fn ask_uplink(
        &mut self,
        question: &UplinkQuestion,
    ) -> io::Result<Result<serde_json::Value, String>> {
        let text = serde_json::to_string(question)? + "\n";
        self.stream.write_all(text.as_bytes()).await?;
        let told = timeout(GREETING, self.receive()).await;
        match told.map_err(|_| self.error("no answer"))?? {
            Told::Uplink(value) => Ok(Ok(value)),
            Told::Refused(text) => Ok(Err(text)),
            _ => Err(self.error("an answer to another question")),
        }
    }

    async fn receive<T: serde::de::DeserializeOwned>(&mut self) -> io::Result<T> {
        let line = line(&mut self.stream, ANSWER_MAX).await?;
        let line = line.ok_or_else(|| self.error("the gateway has ended, or is busy"))?;
        Ok(serde_json::from_slice(&line)?)
    }

    fn error(&self, text: &str) -> io::Error {
        io::Error::other(format!("{}: {text}", self.path.display()))
    }
}
