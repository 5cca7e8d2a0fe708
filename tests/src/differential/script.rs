//! Random sessions that keep to the rules. Pure: a seed is a script.

use fieldgate_mqtt::{QoS, RetainHandling, SubscriptionOptions, Version};

use crate::random::Random;

/// Clients of a script.
pub const CLIENTS: usize = 3;

/// All topics, so that retained messages can be removed behind a script.
pub const TOPICS: [&str; 9] = ["a", "b", "a/b", "a/b/c", "a/é", "/a", "a//b", "b/c", "b/c/"];

/// All filters: exact, overlapping, with wildcards in every place.
const FILTERS: [&str; 18] = [
    "a", "b", "a/b", "a/b/c", "/a", "a//b", "#", "a/#", "+", "+/b", "a/+", "a/+/c", "+/+", "b/#",
    "/+", "+/+/+", "a/b/#", "b/c/",
];

/// Seconds that nothing in a script takes.
pub const LONG: u32 = 600;

/// What a client does in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Connect(ConnectSpec),
    /// DISCONNECT, with the will (0x04) or without, and with another session expiry.
    Disconnect {
        with_will: bool,
        expiry: Option<u32>,
    },
    /// The connection ends without a word.
    Vanish,
    Subscribe {
        id: Option<u32>,
        filters: Vec<(String, SubscriptionOptions)>,
    },
    Unsubscribe(Vec<String>),
    Publish(PublishSpec),
    /// A PUBLISH of QoS 2 and its PUBREC, then so often a new connection and the PUBLISH with DUP, and then PUBREL. It is
    /// one step, as a broker may pass the message on at its PUBLISH or at its PUBREL (section 4.3.3, figure 4.3).
    Insist {
        message: PublishSpec,
        again: usize,
        connect: ConnectSpec,
    },
    /// From now on the client acknowledges so much.
    Acknowledge(Acks),
}

/// What a client acknowledges. What is withheld is sent when it goes back to `All`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    #[default]
    All,
    /// All but PUBCOMP. Without PUBACK, a message that comes both with QoS 1 and with QoS 2 would come again in part.
    Received,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectSpec {
    pub version: Version,
    pub clean: bool,
    pub expiry: Option<u32>,
    pub receive_maximum: Option<u16>,
    pub aliases: u16,
    pub will: Option<(PublishSpec, u32)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishSpec {
    pub topic: &'static str,
    pub payload: String,
    pub qos: QoS,
    pub retain: bool,
    pub expiry: Option<u32>,
    pub alias: Option<u16>,
    pub utf8: Option<bool>,
    pub content_type: Option<&'static str>,
    pub response_topic: Option<&'static str>,
    pub correlation: Option<&'static [u8]>,
    pub user: Vec<(&'static str, &'static str)>,
}

/// One client does one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub client: usize,
    pub op: Op,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub seed: u64,
    pub steps: Vec<Step>,
}

/// What the generator must know of a client so that the next step is legal.
#[derive(Clone, Debug, Default)]
struct State {
    version: Option<Version>,
    connected: bool,
    has_expiry: bool,
    /// The connection has ended, and its will has not gone out yet.
    will_waits: bool,
    withholds: bool,
    /// Of the connection that there is.
    connect: Option<ConnectSpec>,
    /// MQTT 3.1.1 demands the highest QoS of overlapping subscriptions (3.3.5-1), and mosquitto takes that of any: so a
    /// client has one.
    qos: QoS,
    /// For all its subscriptions, as overlapping ones may come as one message or as several (section 3.3.4).
    retain_as_published: bool,
    /// Filters whose subscription leaves out the client's own messages. It stays so: a subscription that is made
    /// again has the new options (MQTT-3.8.4-3), and mosquitto 2.0.11 keeps the older no-local.
    no_local: Vec<(String, bool)>,
    aliases: Vec<&'static str>,
}

struct Generator {
    random: Random,
    clients: Vec<State>,
    message: usize,
}

/// A script of up to `steps` steps.
pub fn script(seed: u64, steps: usize) -> Script {
    let mut generator = Generator {
        random: Random::new(seed),
        clients: vec![State::default(); CLIENTS],
        message: 0,
    };
    for client in &mut generator.clients {
        let versions = [
            Version::V5,
            Version::V5,
            Version::V5,
            Version::V4,
            Version::V4,
            Version::V3,
        ];
        client.version = Some(*generator.random.pick(&versions));
        client.qos = *generator.random.pick(&ALL_QOS);
    }
    let steps = (0..steps).map(|_| generator.step()).collect();
    Script { seed, steps }
}

impl Generator {
    fn step(&mut self) -> Step {
        let client = self.random.below(CLIENTS);
        let op = match self.clients[client].connected {
            false => self.connect(client),
            true => self.act(client),
        };
        Step { client, op }
    }

    fn version(&self, client: usize) -> Version {
        self.clients[client].version.unwrap_or(Version::V5)
    }

    fn connect(&mut self, client: usize) -> Op {
        let version = self.version(client);
        let five = version == Version::V5;
        let random = &mut self.random;
        // A clean start ends the session and so publishes a will that waits (3.1.3.2.2), which mosquitto 2.0.11 drops.
        let clean = random.one_in(4) && !self.clients[client].will_waits;
        let expiry = (five && !random.one_in(4)).then(|| *random.pick(&[LONG, LONG, LONG, 0]));
        let receive_maximum = (five && random.one_in(4)).then(|| 1 + random.below(3) as u16);
        let aliases = if five && random.one_in(3) { 3 } else { 0 };
        let has_will = random.one_in(3);
        // Where the session does not outlive the connection, mosquitto delays the will all the same, though the session's
        // end is the end of the delay (3.1.3.2.2).
        let lasts = expiry.is_some_and(|seconds| seconds > 0);
        let delay = if lasts && random.one_in(3) { LONG } else { 0 };
        let will = has_will.then(|| {
            let mut will = self.message(client);
            will.alias = None;
            (will, delay)
        });
        let state = &mut self.clients[client];
        state.connected = true;
        (state.will_waits, state.withholds) = (false, false);
        state.has_expiry = expiry.is_some_and(|seconds| seconds > 0);
        state.aliases.clear();
        let connect = ConnectSpec {
            version,
            clean,
            expiry,
            receive_maximum,
            aliases,
            will,
        };
        state.connect = Some(connect.clone());
        Op::Connect(connect)
    }

    /// A new connection only where there is a session to go on with, and no will between its messages.
    fn insist(&mut self, client: usize) -> Op {
        let mut message = self.message(client);
        message.qos = QoS::ExactlyOnce;
        let state = &self.clients[client];
        let lasts = match state.version {
            Some(Version::V5) => state.has_expiry,
            _ => true,
        };
        let quiet = |connect: &ConnectSpec| {
            // Nor what it has not acknowledged, which comes again on each connection.
            lasts && !state.withholds && !connect.clean && connect.will.is_none()
        };
        match state.connect.clone().filter(quiet) {
            None => Op::Publish(message),
            Some(connect) => {
                self.clients[client].aliases.clear();
                Op::Insist {
                    message,
                    again: 1 + self.random.below(2),
                    connect,
                }
            }
        }
    }

    fn act(&mut self, client: usize) -> Op {
        match self.random.below(100) {
            0..30 => Op::Publish(self.aliased(client)),
            30..55 => self.subscribe(client),
            55..60 => self.unsubscribe(),
            60..74 => self.insist(client),
            74..82 => {
                let acks = [Acks::All, Acks::All, Acks::Received, Acks::None];
                // Which of several topics fill a small window is open, and so is how many copies do.
                let connect = self.clients[client].connect.as_ref();
                let narrow = connect.is_some_and(|connect| connect.receive_maximum.is_some());
                let acks = match narrow {
                    true => Acks::All,
                    false => *self.random.pick(&acks),
                };
                self.clients[client].withholds = acks != Acks::All;
                Op::Acknowledge(acks)
            }
            82..87 => self.goodbye(client),
            87..93 => {
                let delayed = self.will_is_delayed(client);
                let state = &mut self.clients[client];
                (state.connected, state.will_waits) = (false, delayed);
                Op::Vanish
            }
            // Takes its own connection over. mosquitto 2.0.11 then forgets the will, which is to be published (3.1.2.5).
            93..96 if self.has_no_will(client) => self.connect(client),
            _ => Op::Publish(self.aliased(client)),
        }
    }

    fn will_is_delayed(&self, client: usize) -> bool {
        let connect = self.clients[client].connect.as_ref();
        let will = connect.and_then(|connect| connect.will.as_ref());
        will.is_some_and(|(_, delay)| *delay > 0)
    }

    fn has_no_will(&self, client: usize) -> bool {
        let connect = self.clients[client].connect.as_ref();
        connect.is_some_and(|connect| connect.will.is_none())
    }

    fn goodbye(&mut self, client: usize) -> Op {
        let five = self.version(client) == Version::V5;
        let delayed = self.will_is_delayed(client);
        let with_will = five && self.random.one_in(4);
        let state = &mut self.clients[client];
        state.connected = false;
        state.will_waits = with_will && delayed;
        let changes = five && !state.will_waits && self.random.one_in(3);
        // From 0 it may not be raised (MQTT-3.1.2.11.2, section 3.14.2.2.2).
        let expiry = match state.has_expiry {
            true => *self.random.pick(&[0, LONG]),
            false => 0,
        };
        Op::Disconnect {
            with_will,
            expiry: changes.then_some(expiry),
        }
    }

    fn subscribe(&mut self, client: usize) -> Op {
        let five = self.version(client) == Version::V5;
        let state = &mut self.clients[client];
        let random = &mut self.random;
        let count = *random.pick(&[1, 1, 1, 2, 3]);
        let mut filters = Vec::new();
        for _ in 0..count {
            // MQTT 3.1.1 knows no shared subscriptions.
            let shared = five && random.one_in(12);
            let filter = random.pick(&FILTERS);
            let mut options = SubscriptionOptions::new(state.qos);
            if five {
                options.qos = *random.pick(&ALL_QOS);
                let known = state.no_local.iter().find(|(known, _)| known == filter);
                options.no_local =
                    !shared && known.map_or(random.one_in(4), |(_, no_local)| *no_local);
                if !shared && known.is_none() {
                    state
                        .no_local
                        .push(((*filter).to_owned(), options.no_local));
                }
                options.retain_as_published = state.retain_as_published;
                options.retain_handling = *random.pick(&HANDLINGS);
                if options.no_local {
                    // The client's own retained messages are left out too (MQTT-3.8.3-3); mosquitto 2.0.11 sends them.
                    options.retain_handling = RetainHandling::DoNotSend;
                }
            }
            if shared {
                // Never sent (section 4.8.2), and mosquitto 2.0.11 does.
                options.retain_handling = RetainHandling::DoNotSend;
            }
            // A group of one: who of several gets a message is the broker's to choose (section 4.8.2).
            let filter = match shared {
                true => format!("$share/group{client}/{filter}"),
                false => (*filter).to_owned(),
            };
            // The same filter twice in one SUBSCRIBE says nothing of interest.
            if filters.iter().all(|(known, _)| *known != filter) {
                filters.push((filter, options));
            }
        }
        let id = (five && random.one_in(2)).then(|| 1 + random.below(200) as u32);
        Op::Subscribe { id, filters }
    }

    fn unsubscribe(&mut self) -> Op {
        let count = *self.random.pick(&[1, 1, 2]);
        let filter = |_| (*self.random.pick(&FILTERS)).to_owned();
        Op::Unsubscribe((0..count).map(filter).collect())
    }

    /// A message with a payload that no other has, or none.
    fn message(&mut self, client: usize) -> PublishSpec {
        let five = self.version(client) == Version::V5;
        self.message += 1;
        let random = &mut self.random;
        let retain = random.one_in(3);
        let empty = random.one_in(if retain { 5 } else { 20 });
        let mut message = PublishSpec {
            topic: TOPICS[random.below(TOPICS.len())],
            payload: match empty {
                true => String::new(),
                false => format!("m{}", self.message),
            },
            qos: *random.pick(&ALL_QOS),
            retain,
            ..PublishSpec::default()
        };
        if five {
            message.expiry = random.one_in(4).then_some(LONG);
            message.utf8 = random.one_in(5).then_some(true);
            message.content_type = random.one_in(5).then_some("text/plain");
            message.response_topic = random.one_in(5).then_some("answers/here");
            message.correlation = random.one_in(5).then_some(b"\x00\x01c");
            for pair in [("k", "1"), ("k", "2"), ("é", "")] {
                if random.one_in(6) {
                    message.user.push(pair);
                }
            }
        }
        message
    }

    /// As [`Self::message`], with a topic alias now and then: one that is set here, or was before.
    fn aliased(&mut self, client: usize) -> PublishSpec {
        let mut message = self.message(client);
        if self.version(client) != Version::V5 || !self.random.one_in(4) {
            return message;
        }
        let aliases = &mut self.clients[client].aliases;
        let known = aliases.iter().position(|topic| *topic == message.topic);
        let alias = known.unwrap_or_else(|| {
            aliases.push(message.topic);
            aliases.len() - 1
        });
        // mosquitto takes ten.
        message.alias = Some(alias as u16 + 1);
        message
    }
}

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

const HANDLINGS: [RetainHandling; 4] = [
    RetainHandling::SendAtSubscribe,
    RetainHandling::SendAtSubscribe,
    RetainHandling::SendIfNew,
    RetainHandling::DoNotSend,
];
