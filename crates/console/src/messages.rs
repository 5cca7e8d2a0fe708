//! The message broker beside the console, as a person looks at it: clients, kept messages, and one sent by hand.

use serde::Serialize;

use crate::later::Later;

/// A client, or what waits for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Client {
    /// Its identifier.
    pub client: String,
    /// Who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where it is; none while it is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// What it has subscribed to, each with its quality of service; the first of them.
    pub subscriptions: Vec<(String, u8)>,
    /// How many there are.
    pub subscription_count: usize,
    /// Messages that wait for it or are under way.
    pub waiting: usize,
    /// What it takes in memory, in bytes, about.
    pub bytes: usize,
}

/// A level of the topics of kept messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Level {
    /// Its name.
    pub level: String,
    /// Whether there are topics below it.
    pub more: bool,
    /// The message whose topic ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Kept>,
}

/// A kept message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The beginning of its payload, if that is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes of the whole payload.
    pub bytes: usize,
    /// Its quality of service.
    pub qos: u8,
    /// The client that sent it.
    pub publisher: String,
}

/// A message that a person sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: String,
    /// Its quality of service.
    pub qos: u8,
    /// Whether it is kept for those who come later.
    pub retain: bool,
}

/// The broker.
pub trait Messages: Send + Sync {
    /// Clients with `wanted` in identifier or user, by identifier, from behind `after` on; and how many there are.
    fn clients(&self, wanted: &str, after: &str, limit: usize) -> (Vec<Client>, usize);

    /// The levels of kept messages below a prefix, or the first ones; by name, from behind `after` on.
    fn levels(&self, prefix: Option<&str>, after: Option<&str>, limit: usize) -> Vec<Level>;

    /// Sends a message as a user would.
    ///
    /// # Errors
    ///
    /// Why not, for people.
    fn send<'a>(&'a self, user: &'a str, message: Sent) -> Later<'a, Result<(), String>>;
}
