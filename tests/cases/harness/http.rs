//! A client of HTTP that says exactly what it is told to.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use super::{PATIENCE, gateway::Gateway};

/// A console at an address, as a page of its own would ask it.
pub struct Http {
    /// As in a URL: `127.0.0.1:8180`.
    pub address: String,
    /// The cookie of a session, if there is one.
    pub cookie: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Http {
    /// The console of a gateway that has just been started, from what it logs.
    pub fn of(gateway: &Gateway) -> Self {
        let address = gateway.process.wait("the console's address", |line| {
            let (_, rest) = line.split_once("the console is on http://")?;
            Some(rest.trim().to_owned())
        });
        Self {
            address,
            cookie: None,
        }
    }

    /// Asks with these lines of a head, and nothing else but the length.
    pub fn send(&self, method: &str, path: &str, head: &[&str], body: &str) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        head.iter().for_each(|line| text += &format!("{line}\r\n"));
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut stream = TcpStream::connect(&self.address).expect("the console takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let sent = stream.write_all(format!("{text}\r\n{body}").as_bytes());
        sent.expect("the console reads");
        let mut bytes = Vec::new();
        // One that closes early has said what it had to say.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Asks as a page of the console does.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let host = format!("Host: {}", self.address);
        let mut head = vec![host.as_str(), "Sec-Fetch-Site: same-origin"];
        let cookie = self
            .cookie
            .as_ref()
            .map(|cookie| format!("Cookie: {cookie}"));
        head.extend(cookie.as_deref());
        if !body.is_empty() {
            head.push("Content-Type: application/json");
        }
        self.send(method, path, &head, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// Begins a session; what it is begun with is JSON.
    pub fn log_in(&mut self, body: &str) -> Answer {
        let answer = self.ask("POST", "/api/v1/session", body);
        self.keep(&answer);
        answer
    }

    /// Keeps the cookie of an answer.
    pub fn keep(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie");
        self.cookie = cookie.and_then(|cookie| Some(cookie.split_once(';')?.0.to_owned()));
    }
}
