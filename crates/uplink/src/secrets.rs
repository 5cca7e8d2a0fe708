//! Files with what only the remote may know, read before each connection.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::config::Config;
use crate::nats::login::{Credentials, Login};

/// The longest file, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// What the files say.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// The password for MQTT.
    pub(crate) password: Option<Vec<u8>>,
    /// Who connects to NATS.
    pub(crate) nats: Login,
}

impl Secrets {
    /// Reads them.
    ///
    /// # Errors
    /// The first file that is of no use, and why.
    pub(crate) async fn read(config: &Config) -> Result<Self, String> {
        let config = config.clone();
        let read = tokio::task::spawn_blocking(move || read(&config));
        read.await.map_err(|error| error.to_string())?
    }
}

fn read(config: &Config) -> Result<Secrets, String> {
    let password = config
        .password_file
        .as_deref()
        .map(first_line)
        .transpose()?;
    if !config.is_nats() {
        return Ok(Secrets {
            password,
            nats: Login::default(),
        });
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let credentials = config.credentials.as_deref().map(|file| {
        let read = Credentials::read(&text(bytes(file)?));
        read.map_err(|error| format!("{}: {error}", file.display()))
    });
    let token = config.token_file.as_deref().map(first_line).transpose()?;
    Ok(Secrets {
        nats: Login {
            user: config
                .username
                .clone()
                .map(|name| (name, password.clone().map(text).unwrap_or_default())),
            token: token.map(text),
            credentials: credentials.transpose()?,
        },
        password,
    })
}

fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(bytes)
}

fn first_line(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = bytes(file)?;
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    bytes.truncate(end.unwrap_or(bytes.len()));
    match bytes.is_empty() {
        true => Err(format!("{}: its first line is empty", file.display())),
        false => Ok(bytes),
    }
}
