//! What may happen to a session, and under which limits.

use proptest::prelude::*;

use fieldgate_mqtt::QoS;

use super::{IDS, Limits};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A message of this QoS, big or small, that expires after so many seconds, if ever.
    Deliver {
        qos: QoS,
        big: bool,
        expiry: Option<u8>,
    },
    /// So many big retained messages of QoS 0 at once: more than the outbox takes.
    Retained(u8),
    /// The transport takes everything.
    Flush,
    /// The client looks at so many of the packets that reached it.
    See(u8),
    /// The client sends one of the acknowledgements that it owes, not always the oldest.
    Acknowledge {
        which: u8,
        refuse: bool,
    },
    /// An acknowledgement that is not owed.
    Stray {
        kind: u8,
        id: u16,
    },
    Lose,
    Connect {
        window: u16,
    },
    /// Everything so far is on disk.
    Commit,
    /// The process ends, and begins again with what is on disk.
    Crash,
    Pass {
        seconds: u8,
    },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let qos = prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    let expiry = prop::option::weighted(0.1, 1..5_u8);
    let deliver = (qos, prop::bool::weighted(0.1), expiry);
    let deliver = deliver.prop_map(|(qos, big, expiry)| Step::Deliver { qos, big, expiry });
    prop_oneof![
        8 => deliver,
        1 => (1..40_u8).prop_map(Step::Retained),
        3 => Just(Step::Flush),
        4 => (1..6_u8).prop_map(Step::See),
        6 => (any::<u8>(), prop::bool::weighted(0.05))
            .prop_map(|(which, refuse)| Step::Acknowledge { which, refuse }),
        1 => (0..3_u8, 1..IDS).prop_map(|(kind, id)| Step::Stray { kind, id }),
        1 => Just(Step::Lose),
        2 => (1..8_u16).prop_map(|window| Step::Connect { window }),
        3 => Just(Step::Commit),
        1 => Just(Step::Crash),
        1 => (0..4_u8).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

pub(super) fn limits() -> impl Strategy<Value = Limits> {
    let outbox = prop::sample::select(vec![2_000, 4 << 20]);
    (
        1..30_usize,
        1..8_u16,
        outbox,
        prop::sample::select(vec![20_000, 8 << 20]),
    )
        .prop_map(|(queued, inflight, outbox_bytes, queued_bytes)| Limits {
            queued,
            queued_bytes,
            inflight,
            outbox_bytes,
            ..Limits::default()
        })
}
