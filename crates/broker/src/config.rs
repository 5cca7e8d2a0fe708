//! What a broker may be told. Every limit has a default that a board with 1 GB survives.

use std::time::Duration;

use crate::access::{OwnTopics, Takeover, Users};
use crate::endpoint::Listener;
use crate::network::Network;
use fieldgate_broker_core::session;
use fieldgate_broker_store::StoreConfig;

/// How a broker listens, whom it lets in and what one client may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect, all versions of MQTT on each.
    pub listeners: Vec<Listener>,
    /// Lets in clients without a user name from anywhere. Otherwise they are let in from this
    /// machine alone, and from nowhere once there are users. A listener may say otherwise for its
    /// own clients.
    pub allow_anonymous: bool,
    /// Networks that are inside this machine, as those of containers are.
    pub local_networks: Vec<Network>,
    /// Who may connect under a user name, and what clients may do.
    pub users: Users,
    /// Whose client identifiers others may take over.
    pub takeover: Takeover,
    /// The topics of the program that the broker is part of.
    pub own: OwnTopics,
    /// Where sessions and retained messages outlive the process; `None` if they need not.
    pub store: Option<StoreConfig>,
    /// Threads that serve connections; 0 takes one a processor, four at most.
    pub workers: usize,
    /// Limits for every client.
    pub limits: Limits,
    /// How often `$SYS` topics are published; zero switches them off. 10 s.
    pub sys_interval: Duration,
    /// How long a shutdown waits for clients to take what is underway. 2 s.
    pub shutdown_grace: Duration,
}

/// Bounds on what clients make the broker hold. A limit that is reached refuses or drops, and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that all clients together make the broker hold: messages, sessions,
    /// subscriptions, connections. What links retain is not in it. 128 MiB.
    pub memory: usize,
    /// Open connections. 20,000.
    pub connections: usize,
    /// Open connections from one address; the network of 64 bits counts for IPv6. 10,000.
    pub connections_per_address: usize,
    /// Sessions, those without a connection included. 50,000.
    pub sessions: usize,
    /// Sessions of one user, or of the clients without a user name from one address. 20,000.
    pub sessions_per_user: usize,
    /// Biggest packet that a client may send, in bytes. 2 MiB.
    pub packet_size: u32,
    /// QoS 2 messages (and announced: QoS 1) that an MQTT 5 client may have unacknowledged. 1,024.
    pub receive_maximum: u16,
    /// Unacknowledged messages to one client. 512.
    pub inflight: u16,
    /// Messages waiting for one client; as long as their publishers wait for it, four times as
    /// many. 10,000.
    pub queued: usize,
    /// Bytes of messages waiting for one client, with the same exception. 8 MiB.
    pub queued_bytes: usize,
    /// Bytes of encoded packets waiting for one client's socket, past which QoS 0 is dropped. 4 MiB.
    pub outbox_bytes: usize,
    /// Subscriptions of one session. 10,000.
    pub subscriptions: usize,
    /// Topic aliases in each direction. 64.
    pub topic_aliases: u16,
    /// Time from the connection to its CONNECT packet, TLS and WebSocket handshakes included. 10 s.
    pub connect_timeout: Duration,
    /// Logins that wait for their password to be checked. 4,096.
    pub logins: usize,
    /// Failed logins in a row from one address, after which it may try one a second. 30.
    pub failed_logins: u32,
    /// How long a client waits for the news that its login has failed. 1 s.
    pub failed_login_delay: Duration,
    /// The longest keep-alive of an MQTT 5.0 client, in seconds; it is told if it asked for
    /// longer, or for none. 0 sets no limit. 0.
    pub keep_alive: u16,
    /// The longest that a slow subscriber makes its publishers wait. 2 s.
    pub backpressure: Duration,
    /// The longest that a session outlives its connection; `None` if as long as the client asks.
    pub session_expiry: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            allow_anonymous: false,
            local_networks: Vec::new(),
            users: Users::default(),
            takeover: Takeover::default(),
            own: OwnTopics::default(),
            store: None,
            workers: 0,
            limits: Limits::default(),
            sys_interval: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(2),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let session = session::Limits::default();
        Self {
            memory: 128 << 20,
            connections: 20_000,
            connections_per_address: 10_000,
            sessions: 50_000,
            sessions_per_user: 20_000,
            packet_size: 2 << 20,
            receive_maximum: 1_024,
            inflight: session.inflight,
            queued: session.queued,
            queued_bytes: session.queued_bytes,
            outbox_bytes: session.outbox_bytes,
            subscriptions: 10_000,
            topic_aliases: session.topic_aliases,
            connect_timeout: Duration::from_secs(10),
            logins: 4_096,
            failed_logins: 30,
            failed_login_delay: Duration::from_secs(1),
            keep_alive: 0,
            backpressure: Duration::from_secs(2),
            session_expiry: None,
        }
    }
}

/// Enough for a few of the biggest CONNECTs that make sense.
const LOBBY_MIN: usize = 256 * 1024;

impl Limits {
    /// Bytes that are given out. The rest is for what the allocator has not given back yet.
    pub(crate) fn counted(&self) -> usize {
        self.memory / 5 * 4
    }

    /// Bytes that retained messages of clients may take: the rest is for sessions.
    pub(crate) fn retained(&self) -> usize {
        self.memory / 8 * 3
    }

    /// Bytes that all clients together may have sent before their CONNECT is whole, beyond what each may.
    pub(crate) fn lobby(&self) -> usize {
        (self.memory / 32).max(LOBBY_MIN)
    }

    /// How long a session outlives its connection whose client asks for so many seconds; `None` for ever (MQTT 5.0
    /// section 3.1.2.11.2).
    pub(crate) fn expiry_of(&self, seconds: u32) -> Option<Duration> {
        let asked = (seconds < u32::MAX).then(|| Duration::from_secs(seconds.into()));
        match (asked, self.session_expiry) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        }
    }

    pub(crate) fn session(&self) -> session::Limits {
        session::Limits {
            inflight: self.inflight,
            queued: self.queued,
            queued_bytes: self.queued_bytes,
            outbox_bytes: self.outbox_bytes,
            topic_aliases: self.topic_aliases,
        }
    }
}

impl Config {
    pub(crate) fn worker_count(&self) -> usize {
        if self.workers > 0 {
            return self.workers;
        }
        std::thread::available_parallelism().map_or(1, |count| count.get().min(4))
    }
}
