//! What a person at the board must know to get into the console: its address, the setup code while there is no user, and
//! the fingerprint of the certificate. It is a file in the service's own folder below `/run`, which another program shows
//! on display and serial console.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fieldgate_certificate::read;
use fieldgate_config::{Address, Config};
use fieldgate_console::Console;

use crate::backup;
use crate::certificates::machine_names;

/// The name of the file.
const FILE: &str = "console";

/// Keeps the file up to date.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    file: Option<PathBuf>,
    certificate: PathBuf,
    port: Option<u16>,
    told: Option<String>,
}

impl Notice {
    /// For a console with HTTPS, if the service manager gives a folder.
    pub(crate) fn new(config: &Config) -> Self {
        let https = config
            .console
            .as_ref()
            .and_then(|console| console.listen.https());
        let port = https.filter(|place| place.is_on_network());
        let folder = std::env::var_os("RUNTIME_DIRECTORY");
        // systemd lists all of them; the first is the daemon's own.
        let folder = folder.and_then(|listed| std::env::split_paths(&listed).next());
        Self {
            file: folder.map(|folder| folder.join(FILE)),
            certificate: config.certificate.certificate.clone(),
            port: port.map(|place| match place {
                Address::Port(port) => port,
                Address::One(address) => address.port(),
            }),
            told: None,
        }
    }

    /// Writes the file if it would be another one.
    pub(crate) fn tell(&mut self, console: Option<&Console>) {
        let (Some(file), Some(port), Some(console)) = (&self.file, self.port, console) else {
            return;
        };
        let names = machine_names();
        let name = names.first().map_or("localhost", String::as_str);
        let text = text(
            name,
            port,
            console.code().as_deref(),
            fingerprint(&self.certificate).ok(),
        );
        if self.told.as_ref() == Some(&text) {
            return;
        }
        if let Err(error) = backup::put(file, text.as_bytes(), 0o640) {
            log::warn!("the setup code is not shown at the board: {error}");
        }
        self.told = Some(text);
    }
}

fn fingerprint(certificate: &Path) -> io::Result<String> {
    let chain = read(&fs::read(certificate)?).map_err(io::Error::other)?;
    let first = chain.first().ok_or(io::ErrorKind::InvalidData)?;
    Ok(first.fingerprint_text())
}

/// Lines that fit a display of 80 columns.
fn text(name: &str, port: u16, code: Option<&str>, fingerprint: Option<String>) -> String {
    let port = match port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let mut text = format!("Console: https://{name}{port}\n");
    if let Some(code) = code {
        text += &format!("Setup code: {code}\n");
    }
    if let Some((first, second)) = fingerprint
        .as_deref()
        .and_then(|all| all.split_at_checked(48))
    {
        text += &format!("Certificate SHA-256:\n  {first}\n  {second}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_fit_a_display_and_have_the_code_while_there_is_one() {
        let all = vec!["AB"; 32].join(":");
        let told = text("plant7.local", 443, Some("ABCD-EFGH"), Some(all.clone()));
        assert!(told.starts_with(
            "Console: https://plant7.local\nSetup code: ABCD-EFGH\nCertificate SHA-256:\n"
        ));
        assert!(told.lines().all(|line| line.len() < 80));
        let digits: String = told.lines().skip(3).map(str::trim).collect();
        assert_eq!(digits, all);
        assert_eq!(text("a", 8443, None, None), "Console: https://a:8443\n");
    }
}
