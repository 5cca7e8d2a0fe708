//! The loads of the yardstick table, and what the table says of them. Pure.

/// One line of the yardstick table in `design/broker.md`: 64-byte payloads, one machine, two cores.
#[derive(Clone, Copy, Debug)]
pub struct Yardstick {
    pub title: &'static str,
    pub unit: &'static str,
    /// FlashMQ 1.26, which is no Debian package and so does not run here.
    pub flashmq: f64,
    /// mosquitto 2.1.2. Debian's may be older.
    pub mosquitto: f64,
    pub rumqttd: f64,
    /// What ours has to reach, on the machine where the others had these figures.
    pub target: f64,
}

impl Yardstick {
    /// Whether a slower machine raises the figure by as much for every broker. CPU time does. Memory is what it is,
    /// and the latency of a broker that is far from busy is mostly the kernel's.
    pub fn scales(&self) -> bool {
        self.unit == "us"
    }
}

/// Who publishes what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `n` publishers, each with a topic and a subscriber of its own.
    Pairs(usize),
    /// One publisher, `n` subscribers of its one topic.
    FanOut(usize),
    /// `n` publishers with a topic each, one subscriber with a wildcard.
    FanIn(usize),
}

/// How fast the publishers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the socket takes it, as long as the slowest subscriber is less than so many messages behind.
    Lead,
    /// At most so many messages without their last acknowledgement, per publisher.
    Window(u16),
    /// So many messages per second from each publisher, whatever comes back.
    PerSecond(u32),
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Flow { qos: u8, shape: Shape, pace: Pace },
    Idle { clients: usize },
}

#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// For `--load`.
    pub name: &'static str,
    pub kind: Kind,
    /// What is measured, in the order of the measurement's figures.
    pub rows: &'static [Yardstick],
}

const fn row(title: &'static str, unit: &'static str, figures: [f64; 4], target: f64) -> Yardstick {
    let [flashmq, mosquitto, _nanomq, rumqttd] = figures;
    Yardstick {
        title,
        unit,
        flashmq,
        mosquitto,
        rumqttd,
        target,
    }
}

const IDLE_KIB: [f64; 4] = [4.9, 5.9, 10.6, 51.0];

/// All loads in the order of the table.
pub const LOADS: [Load; 8] = [
    Load {
        name: "qos0",
        kind: Kind::Flow {
            qos: 0,
            shape: Shape::Pairs(1),
            pace: Pace::Lead,
        },
        rows: &[row("QoS 0, 1 to 1", "us", [1.10, 1.93, 11.2, 1.93], 0.9)],
    },
    Load {
        name: "qos1",
        kind: Kind::Flow {
            qos: 1,
            shape: Shape::Pairs(2),
            pace: Pace::Window(64),
        },
        rows: &[row(
            "QoS 1, 2 pairs, window 64",
            "us",
            [0.90, 8.9, 16.1, 1.80],
            0.8,
        )],
    },
    Load {
        name: "qos2",
        kind: Kind::Flow {
            qos: 2,
            shape: Shape::Pairs(2),
            pace: Pace::Window(64),
        },
        rows: &[row(
            "QoS 2, 2 pairs, window 64",
            "us",
            [1.50, 14.0, 28.5, 2.75],
            1.3,
        )],
    },
    Load {
        name: "fan-out",
        kind: Kind::Flow {
            qos: 0,
            shape: Shape::FanOut(50),
            pace: Pace::Lead,
        },
        rows: &[row(
            "fan-out 1 to 50, QoS 0",
            "us",
            [0.35, 1.75, 4.3, 0.20],
            0.2,
        )],
    },
    Load {
        name: "fan-in",
        kind: Kind::Flow {
            qos: 0,
            shape: Shape::FanIn(50),
            pace: Pace::Lead,
        },
        rows: &[row(
            "fan-in 50 to 1, QoS 0, wildcard",
            "us",
            [0.45, 2.95, 11.5, 1.95],
            0.45,
        )],
    },
    Load {
        name: "paced",
        kind: Kind::Flow {
            qos: 1,
            shape: Shape::Pairs(5),
            pace: Pace::PerSecond(1000),
        },
        rows: &[
            row("5 x 1000/s QoS 1", "us", [123.0, 10.8, 45.6, 30.8], 10.0),
            row("same: p99 latency", "ms", [53.0, 12.6, 8.6, 21.8], 5.0),
        ],
    },
    Load {
        name: "idle-1000",
        kind: Kind::Idle { clients: 1_000 },
        rows: &[row("idle client, 1,000 of them", "KiB", IDLE_KIB, 4.0)],
    },
    Load {
        name: "idle-10000",
        kind: Kind::Idle { clients: 10_000 },
        rows: &[row("idle client, 10,000 of them", "KiB", IDLE_KIB, 4.0)],
    },
];
