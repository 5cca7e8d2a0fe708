//! CONNECT and its answer (MQTT 5.0 sections 3.1 and 3.2).

use std::hash::{BuildHasher, RandomState};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{
    ConnAck, ConnAckProperties, Connect, MAX_PACKET_SIZE, Packet, Publish, PublishProperties,
    ReasonCode, Version, Will, answer_version, decode_connect,
};

use super::login::Login;
use super::{Connection, State};
use crate::Limits;
use crate::access::{Claim, Denial as Refusal, Judgement, Principal, Question, Rights};
use crate::counters::{Counted, add};
use crate::hub::owner::Owner;
use crate::hub::session_slot::Standing;
use crate::hub::{Arrival, Hub};
use crate::net::client::Client;
use crate::net::end::End;
use crate::net::stream::Stream;
use crate::origin::network;
use fieldgate_broker_core::budget::Pot;
use fieldgate_broker_core::message::Message;
use fieldgate_broker_core::record::Will as KeptWill;
use fieldgate_broker_core::router::LINK;
use fieldgate_broker_core::session::{AliasesIn, Peer};

impl<S: Stream> Connection<S> {
    /// Handles the first packet. Returns its length, or 0 if it is not all there.
    pub(super) fn greet(&mut self, data: &[u8], now: Instant) -> Result<usize, End> {
        let max = self.worker.hub.config.limits.packet_size as usize;
        match decode_connect(data, max) {
            Ok(None) => Ok(0),
            Ok(Some((connect, used))) => {
                let client = match self.identify(&connect, now) {
                    Ok(None) => return Ok(0),
                    Ok(Some(principal)) => self.admit(&connect, principal, now),
                    Err(refusal) => Err(refusal),
                };
                match client {
                    Ok(client) => {
                        self.state = State::Client(client);
                        Ok(used)
                    }
                    Err(refusal) => {
                        let max_packet = peer(&connect, &self.worker.hub.config.limits).max_packet;
                        Err(self.refuse(Some(connect.version), max_packet, &refusal))
                    }
                }
            }
            Err(error) => {
                let refusal = Refusal {
                    reason: error.reason,
                    what: error.what,
                };
                add(&self.worker.counters.protocol_errors, 1);
                Err(self.refuse(answer_version(data), MAX_PACKET_SIZE, &refusal))
            }
        }
    }

    /// Answers with a CONNACK, if the client speaks a version that has one for this, and takes it.
    fn refuse(&mut self, version: Option<Version>, max_packet: usize, refusal: &Refusal) -> End {
        let Refusal { reason, what } = *refusal;
        let origin = &self.origin;
        add(&self.worker.counters.connections_refused, 1);
        log::info!("{origin}: connection refused: {what}");
        // MQTT 3 has codes for few reasons; for a malformed packet it only closes (3.1.4).
        let named = |version| {
            version == Version::V5
                || !matches!(
                    reason,
                    ReasonCode::MALFORMED_PACKET | ReasonCode::PROTOCOL_ERROR
                )
        };
        if let Some(version) = version.filter(|&version| named(version)) {
            let said = refusal_of(version, reason, Some(what));
            // The reason string may go, the packet may not be too big (MQTT-3.2.2-19).
            let said = match said.len() <= max_packet {
                true => said,
                false => refusal_of(version, reason, None),
            };
            if said.len() <= max_packet {
                self.say(&said);
            }
        }
        End::Refused
    }

    /// Finds out who the client is. `None` if its password has to be checked first.
    fn identify(
        &mut self,
        connect: &Connect<'_>,
        now: Instant,
    ) -> Result<Option<Principal>, Refusal> {
        let hub = &self.worker.hub;
        if connect.properties.authentication_method.is_some() {
            return Err(Refusal {
                reason: ReasonCode::BAD_AUTHENTICATION_METHOD,
                what: "enhanced authentication is not supported",
            });
        }
        let State::Waiting { login, .. } = &mut self.state else {
            return Ok(None);
        };
        if let Login::Settled(found) = std::mem::replace(login, Login::None) {
            return found.map(Some);
        }
        let claim = Claim {
            proven: self.origin.subject.as_deref(),
            user: connect.username,
            local: self.origin.is_local,
            allow_anonymous: self.origin.allow_anonymous,
        };
        let (principal, hash, exists) = match hub.access.policy().judge(&claim)? {
            Judgement::Known(principal) => return Ok(Some(principal)),
            Judgement::Prove {
                principal,
                hash,
                exists,
            } => (principal, hash, exists),
        };
        let question = Question {
            user: principal.user().unwrap_or_default().into(),
            password: connect.password.unwrap_or_default().into(),
            hash,
            exists,
            peer: self.origin.ip(),
        };
        let verdict = hub.access.logins.check(question, now);
        *login = Login::Asked { principal, verdict };
        Ok(None)
    }

    /// Gives the client its session.
    fn admit(
        &self,
        connect: &Connect<'_>,
        principal: Principal,
        now: Instant,
    ) -> Result<Client, Refusal> {
        let hub = &self.worker.hub;
        let limits = &hub.config.limits;
        if hub.stopping.load(Ordering::Relaxed) {
            return Err(Refusal {
                reason: ReasonCode::SERVER_UNAVAILABLE,
                what: "the broker is shutting down",
            });
        }
        let assigned = assigned_id(connect)?;
        let client_id = assigned.as_deref().unwrap_or(connect.client_id);
        let policy = hub.access.policy();
        let rights = policy.rights(&principal, client_id)?;
        if let Some(will) = &connect.will {
            check_will(will.topic, client_id, &rights, hub)?;
        }
        let arrival = Arrival {
            client_id,
            clean_start: connect.clean_start,
            expiry: asked_expiry(connect, limits),
            peer: peer(connect, limits),
            will: (connect.will.as_ref()).map(|will| kept_will(will, &self.worker.pot)),
            remote: self.origin.remote,
            owner: Owner::of(&principal, Some(network(self.origin.ip()))),
            standing: Standing { principal, rights },
        };
        let connack = |session_present| {
            let mut bytes = Vec::new();
            let connack = connack(connect, session_present, assigned.as_deref(), limits);
            // It cannot be too large for MQTT: what it holds is bounded.
            let _ = Packet::ConnAck(Box::new(connack)).encode(connect.version, &mut bytes);
            bytes
        };
        // All that it says the client has to know (MQTT-3.1.2-24).
        if connack(false).len() > arrival.peer.max_packet {
            return Err(Refusal {
                reason: ReasonCode::PACKET_TOO_LARGE,
                what: "the client takes no packet as big as its CONNACK",
            });
        }
        let attached = hub.attach(arrival, now, |session_present, out| {
            out.bytes.extend_from_slice(&connack(session_present));
            add(&self.worker.counters.packets_sent, 1);
        });
        let attached = attached?;
        hub.catch_up(&attached.slot, &policy);
        let keep_alive = keep_alive(connect, limits);
        let silence = Duration::from_secs(keep_alive.into()) * 3 / 2;
        Ok(Client {
            attached,
            version: connect.version,
            is_bridge: connect.bridge,
            greeted: false,
            silence: (keep_alive > 0).then_some(silence),
            aliases: AliasesIn::new(limits.topic_aliases),
            listed: None,
            explain: connect.properties.request_problem_information,
            max_packet: peer(connect, limits).max_packet,
            _serving: Counted::one_of(&hub.serving),
        })
    }
}

/// What a client may not say itself, its will may not say either.
fn check_will(topic: &str, client_id: &str, rights: &Rights, hub: &Hub) -> Result<(), Refusal> {
    let own = hub.access.own();
    let own = own.levels_of(topic);
    if rights.may_write(topic, own) {
        return Ok(());
    }
    hub.note_will(client_id, topic, own.is_some());
    Err(Refusal {
        reason: ReasonCode::NOT_AUTHORIZED,
        what: "the client may not publish to the topic of its will",
    })
}

fn refusal_of(version: Version, reason: ReasonCode, reason_string: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let connack = ConnAck {
        session_present: false,
        reason,
        properties: ConnAckProperties {
            reason_string,
            ..ConnAckProperties::default()
        },
    };
    // It cannot be too large for MQTT: what it holds is a sentence.
    let _ = Packet::ConnAck(Box::new(connack)).encode(version, &mut bytes);
    bytes
}

/// An identifier for a client that has none. MQTT 3.1 clients must bring one; MQTT 3.1.1 clients
/// only go without if they want no session.
fn assigned_id(connect: &Connect<'_>) -> Result<Option<String>, Refusal> {
    // What a client of the program retains and publishes counts as the program's.
    if connect.client_id.starts_with(LINK) {
        return Err(Refusal {
            reason: ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            what: "the client identifier begins as those of the program's own clients do",
        });
    }
    if !connect.client_id.is_empty() {
        return Ok(None);
    }
    let allowed = match connect.version {
        Version::V3 => false,
        Version::V4 => connect.clean_start,
        Version::V5 => true,
    };
    if !allowed {
        return Err(Refusal {
            reason: ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            what: "the client identifier is empty",
        });
    }
    // Every state has random keys of its own, so its hash of nothing is a random number.
    let random = || RandomState::new().hash_one(());
    Ok(Some(format!("auto-{:016x}{:016x}", random(), random())))
}

/// How long the session outlives the connection; `None` for ever.
fn asked_expiry(connect: &Connect<'_>, limits: &Limits) -> Option<Duration> {
    let seconds = match connect.version {
        Version::V5 => connect.properties.session_expiry.unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    };
    limits.expiry_of(seconds)
}

/// The keep-alive that counts, in seconds (section 3.2.2.3.14). Before MQTT 5.0 a client cannot be
/// told another than it asked for.
fn keep_alive(connect: &Connect<'_>, limits: &Limits) -> u16 {
    match (connect.keep_alive, limits.keep_alive) {
        (asked, limit) if limit == 0 || connect.version < Version::V5 => asked,
        (0, limit) => limit,
        (asked, limit) => asked.min(limit),
    }
}

fn peer(connect: &Connect<'_>, limits: &Limits) -> Peer {
    let properties = &connect.properties;
    Peer {
        version: connect.version,
        receive_maximum: properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get),
        max_packet: properties
            .maximum_packet_size
            .map_or(MAX_PACKET_SIZE, |size| size.get() as usize),
        alias_maximum: properties.topic_alias_maximum,
        keep: asked_expiry(connect, limits) != Some(Duration::ZERO),
    }
}

fn kept_will(will: &Will<'_>, pot: &Arc<Pot>) -> KeptWill {
    let properties = &will.properties;
    let publish = Publish {
        dup: false,
        qos: will.qos,
        retain: will.retain,
        topic: will.topic,
        packet_id: None,
        properties: PublishProperties {
            payload_format_utf8: properties.payload_format_utf8,
            content_type: properties.content_type,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data,
            user_properties: properties.user_properties,
            ..PublishProperties::default()
        },
        payload: will.payload,
    };
    KeptWill {
        message: Message::copy_of(&publish, None, pot),
        lifetime: properties
            .message_expiry
            .map(|s| Duration::from_secs(s.into())),
        delay: Duration::from_secs(properties.delay.into()),
    }
}

fn connack<'a>(
    connect: &Connect<'_>,
    session_present: bool,
    assigned: Option<&'a str>,
    limits: &Limits,
) -> ConnAck<'a> {
    let asked = connect.properties.session_expiry.unwrap_or(0);
    let granted = limits.expiry_of(asked).map_or(u32::MAX, |granted| {
        u32::try_from(granted.as_secs()).unwrap_or(u32::MAX)
    });
    let keep_alive = keep_alive(connect, limits);
    ConnAck {
        // MQTT 3.1 has no such flag, and clients of it expect a zero there.
        session_present: session_present && connect.version > Version::V3,
        reason: ReasonCode::SUCCESS,
        properties: ConnAckProperties {
            session_expiry: (granted != asked).then_some(granted),
            receive_maximum: NonZeroU16::new(limits.receive_maximum),
            maximum_packet_size: NonZeroU32::new(limits.packet_size),
            assigned_client_id: assigned,
            topic_alias_maximum: limits.topic_aliases,
            server_keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
            ..ConnAckProperties::default()
        },
    }
}
