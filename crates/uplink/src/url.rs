//! Where a remote is, and what is spoken there. Pure.

use std::fmt;

/// The path of MQTT over WebSocket, as most servers have it.
const PATH: &str = "/mqtt";

/// What is spoken, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
    /// NATS over TCP.
    Nats,
    /// NATS over TLS.
    Tls,
}

/// Each with its name and its usual port.
const SCHEMES: [(Scheme, &str, u16); 6] = [
    (Scheme::Mqtt, "mqtt", 1883),
    (Scheme::Mqtts, "mqtts", 8883),
    (Scheme::Ws, "ws", 80),
    (Scheme::Wss, "wss", 443),
    (Scheme::Nats, "nats", 4222),
    (Scheme::Tls, "tls", 4222),
];

impl Scheme {
    /// Whether the connection is encrypted.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss | Self::Tls)
    }

    /// Whether MQTT is inside WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether NATS is spoken.
    pub fn is_nats(self) -> bool {
        matches!(self, Self::Nats | Self::Tls)
    }

    fn name(self) -> &'static str {
        let found = SCHEMES.iter().find(|(scheme, ..)| *scheme == self);
        found.map_or("", |(_, name, _)| name)
    }
}

/// Where a remote is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// What is spoken.
    pub scheme: Scheme,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, which begins with a slash; empty unless WebSocket is spoken.
    pub path: String,
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected mqtt://HOST, mqtts://, ws://, wss://, nats:// or tls://, perhaps with :PORT, found \"{}\"",
                text.escape_debug()
            )
        };
        let (name, rest) = text.split_once("://").ok_or_else(expected)?;
        let known = SCHEMES.iter().find(|(_, known, _)| *known == name);
        let (scheme, _, usual) = *known.ok_or_else(expected)?;
        let (rest, path) = match rest.split_once('/') {
            Some((rest, path)) => (rest, format!("/{path}")),
            None => (rest, String::new()),
        };
        let path = match (scheme.is_websocket(), path.as_str()) {
            (true, "" | "/") => PATH.to_owned(),
            (false, "" | "/") => String::new(),
            (true, path)
                if path
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'#') =>
            {
                path.to_owned()
            }
            _ => return Err(expected()),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, behind) = inner.split_once(']').ok_or_else(expected)?;
                (
                    host,
                    behind.strip_prefix(':').or(behind.is_empty().then_some("")),
                )
            }
            None => match rest.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => (rest, Some("")),
                Some((host, port)) => (host, Some(port)),
                None => (rest, Some("")),
            },
        };
        let port = match port.ok_or_else(expected)? {
            "" if !rest.ends_with(':') || rest.starts_with('[') => usual,
            port => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(expected)?,
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(expected());
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
            path,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = (self.scheme.name(), &self.path);
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}{path}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}{path}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_a_port_or_is_refused() {
        for (text, want) in [
            ("mqtt://a.example.com", Some("mqtt://a.example.com:1883")),
            ("mqtts://a.example.com/", Some("mqtts://a.example.com:8883")),
            ("mqtt://127.0.0.1:7", Some("mqtt://127.0.0.1:7")),
            ("mqtts://[::1]:8884", Some("mqtts://[::1]:8884")),
            (
                "mqtts://[fe80::1%eth0]",
                Some("mqtts://[fe80::1%eth0]:8883"),
            ),
            ("nats://nats1", Some("nats://nats1:4222")),
            ("tls://[::1]", Some("tls://[::1]:4222")),
            ("ws://a:9001", Some("ws://a:9001/mqtt")),
            ("wss://a/", Some("wss://a:443/mqtt")),
            ("wss://a/x/y?z=1", Some("wss://a:443/x/y?z=1")),
            ("ws://a/x y", None),
            ("mqtt://a/path", None),
            ("nats://a/path", None),
            ("a.example.com", None),
            ("http://a", None),
            ("mqtt://", None),
            ("mqtt://a:", None),
            ("mqtt://a:0", None),
            ("mqtt://a:70000", None),
            ("mqtt://user@a", None),
            ("mqtt://a b", None),
            ("mqtt://[::1", None),
        ] {
            let url = text.parse::<Url>().map(|url| url.to_string());
            assert_eq!(url.ok().as_deref(), want, "{text}");
        }
    }
}
