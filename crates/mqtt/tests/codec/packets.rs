//! Arbitrary valid packets of each version. They borrow from leaked memory, a few kilobytes a run.

use core::num::{NonZeroU16, NonZeroU32};

use fieldgate_mqtt::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V3), Just(Version::V4), Just(Version::V5)]
}

/// A version and a packet that it has.
pub(crate) fn packet() -> impl Strategy<Value = (Version, Packet<'static>)> {
    version().prop_flat_map(|version| (Just(version), packet_of(version)))
}

fn packet_of(version: Version) -> BoxedStrategy<Packet<'static>> {
    let v5 = version == Version::V5;
    let common = prop_oneof![
        2 => connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
        2 => connack(version).prop_map(|connack| Packet::ConnAck(Box::new(connack))),
        4 => publish(version).prop_map(Packet::Publish),
        1 => ack(v5, PUBACK).prop_map(Packet::PubAck),
        1 => ack(v5, PUBACK).prop_map(Packet::PubRec),
        1 => ack(v5, PUBREL).prop_map(Packet::PubRel),
        1 => ack(v5, PUBREL).prop_map(Packet::PubComp),
        2 => subscribe(v5).prop_map(Packet::Subscribe),
        1 => suback(v5).prop_map(Packet::SubAck),
        1 => unsubscribe(v5).prop_map(Packet::Unsubscribe),
        1 => unsuback(v5).prop_map(Packet::UnsubAck),
        1 => Just(Packet::PingReq),
        1 => Just(Packet::PingResp),
        1 => disconnect(v5).prop_map(Packet::Disconnect),
    ];
    if v5 {
        prop_oneof![14 => common, 1 => auth().prop_map(Packet::Auth)].boxed()
    } else {
        common.boxed()
    }
}

const PUBACK: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const PUBREL: &[u8] = &[0x00, 0x92];

fn chars(forbidden: &'static [char], min: usize) -> impl Strategy<Value = &'static str> {
    let allowed = any::<char>().prop_filter("forbidden", move |c| !forbidden.contains(c));
    vec(allowed, min..20).prop_map(|chars| &*chars.into_iter().collect::<String>().leak())
}

fn text() -> impl Strategy<Value = &'static str> {
    chars(&['\0'], 0)
}

fn topic() -> impl Strategy<Value = &'static str> {
    chars(&['\0', '+', '#'], 1)
}

/// Levels without wildcards, `+` and at the end perhaps `#`. No share name, which has rules of its own.
fn filter() -> impl Strategy<Value = &'static str> {
    let level = prop_oneof![chars(&['\0', '+', '#', '/', '$'], 1), Just("+"), Just("")];
    (topic(), vec(level, 0..4), any::<bool>()).prop_map(|(first, rest, all)| {
        let first = first.trim_start_matches('$');
        let end = all.then_some("#");
        let levels = [first].into_iter().chain(rest).chain(end);
        let filter: Vec<_> = levels.collect();
        match &*filter.join("/").leak() {
            "" => "/",
            filter => filter,
        }
    })
}

fn bytes() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..40).prop_map(|bytes| &*bytes.leak())
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<PacketId>()
}

fn qos() -> impl Strategy<Value = QoS> {
    (0..3u8).prop_map(|number| QoS::from_u8(number).unwrap())
}

fn reason(allowed: &'static [u8]) -> impl Strategy<Value = ReasonCode> {
    proptest::sample::select(allowed).prop_map(ReasonCode)
}

/// The value in MQTT 5.0, the default before.
fn if_v5<T: Clone + Default + std::fmt::Debug + 'static>(
    v5: bool,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if v5 {
        strategy.boxed()
    } else {
        Just(T::default()).boxed()
    }
}

fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..4).prop_map(|pairs| {
        let mut buf = UserPropertiesBuf::new();
        for (name, value) in pairs {
            buf.push(name, value).unwrap();
        }
        Box::leak(Box::new(buf)).as_properties()
    })
}

fn connect(version: Version) -> impl Strategy<Value = Connect<'static>> {
    let v5 = version == Version::V5;
    (
        (any::<bool>(), any::<bool>(), any::<u16>(), text()),
        option::of(will(v5)),
        option::of(text()),
        option::of(bytes()),
        if_v5(v5, connect_properties()),
    )
        .prop_map(
            move |(
                (bridge, clean, keep_alive, client_id),
                will,
                username,
                password,
                properties,
            )| {
                Connect {
                    version,
                    bridge: bridge && !v5,
                    clean_start: clean,
                    keep_alive,
                    client_id,
                    will,
                    username,
                    password: password.filter(|_| v5 || username.is_some()),
                    properties,
                }
            },
        )
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties<'static>> {
    (
        (
            any::<Option<u32>>(),
            any::<Option<NonZeroU16>>(),
            any::<Option<NonZeroU32>>(),
        ),
        (any::<u16>(), any::<bool>(), any::<bool>()),
        option::of((text(), option::of(bytes()))),
        user_properties(),
    )
        .prop_map(
            |((expiry, receive, size), (alias, response, problem), auth, user)| ConnectProperties {
                session_expiry: expiry,
                receive_maximum: receive,
                maximum_packet_size: size,
                topic_alias_maximum: alias,
                request_response_information: response,
                request_problem_information: problem,
                authentication_method: auth.map(|(method, _)| method),
                authentication_data: auth.and_then(|(_, data)| data),
                user_properties: user,
            },
        )
}

fn will(v5: bool) -> impl Strategy<Value = Will<'static>> {
    let properties = (
        (any::<u32>(), any::<Option<bool>>(), any::<Option<u32>>()),
        (option::of(text()), option::of(topic()), option::of(bytes())),
        user_properties(),
    )
        .prop_map(
            |((delay, utf8, expiry), (content, response, correlation), user)| WillProperties {
                delay,
                payload_format_utf8: utf8,
                message_expiry: expiry,
                content_type: content,
                response_topic: response,
                correlation_data: correlation,
                user_properties: user,
            },
        );
    (
        topic(),
        bytes(),
        qos(),
        any::<bool>(),
        if_v5(v5, properties),
    )
        .prop_map(|(topic, payload, qos, retain, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            properties,
        })
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck<'static>> {
    let reasons: &[u8] = match version {
        Version::V5 => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
        _ => &[0x00, 0x84, 0x85, 0x86, 0x87, 0x88],
    };
    let properties = if_v5(version == Version::V5, connack_properties());
    (any::<bool>(), reason(reasons), properties).prop_map(move |(present, reason, properties)| {
        ConnAck {
            session_present: present && !reason.is_error() && version > Version::V3,
            reason,
            properties,
        }
    })
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties<'static>> {
    (
        (
            any::<Option<u32>>(),
            any::<Option<NonZeroU16>>(),
            any::<Option<NonZeroU32>>(),
            any::<u16>(),
        ),
        (qos(), any::<[bool; 4]>(), any::<Option<u16>>()),
        (
            option::of(text()),
            option::of(text()),
            option::of(text()),
            option::of(text()),
        ),
        (option::of(text()), option::of(bytes()), user_properties()),
    )
        .prop_map(
            |((expiry, receive, size, alias), (qos, has, alive), texts, (method, data, user))| {
                ConnAckProperties {
                    session_expiry: expiry,
                    receive_maximum: receive,
                    maximum_qos: qos,
                    retain_available: has[0],
                    maximum_packet_size: size,
                    assigned_client_id: texts.0,
                    topic_alias_maximum: alias,
                    reason_string: texts.1,
                    wildcard_subscriptions: has[1],
                    subscription_ids: has[2],
                    shared_subscriptions: has[3],
                    server_keep_alive: alive,
                    response_information: texts.2,
                    server_reference: texts.3,
                    authentication_method: method,
                    authentication_data: data,
                    user_properties: user,
                }
            },
        )
}

pub(crate) fn publish(version: Version) -> impl Strategy<Value = Publish<'static>> {
    (
        (any::<bool>(), qos(), any::<bool>(), packet_id()),
        (topic(), any::<bool>()),
        if_v5(version == Version::V5, publish_properties()),
        bytes(),
    )
        .prop_map(
            |((dup, qos, retain, id), (topic, by_alias), properties, payload)| Publish {
                dup: dup && qos != QoS::AtMostOnce,
                qos,
                retain,
                topic: match by_alias && properties.topic_alias.is_some() {
                    true => "",
                    false => topic,
                },
                packet_id: (qos != QoS::AtMostOnce).then_some(id),
                properties,
                payload,
            },
        )
}

fn publish_properties() -> impl Strategy<Value = PublishProperties<'static>> {
    let ids = vec(1..=268_435_455u32, 0..4).prop_map(|ids| SubscriptionIds::from_list(ids.leak()));
    (
        (
            any::<Option<bool>>(),
            any::<Option<u32>>(),
            any::<Option<NonZeroU16>>(),
        ),
        (option::of(topic()), option::of(bytes()), option::of(text())),
        ids,
        user_properties(),
    )
        .prop_map(
            |((utf8, expiry, alias), (response, correlation, content), ids, user)| {
                PublishProperties {
                    payload_format_utf8: utf8,
                    message_expiry: expiry,
                    topic_alias: alias,
                    response_topic: response,
                    correlation_data: correlation,
                    content_type: content,
                    subscription_ids: ids,
                    user_properties: user,
                }
            },
        )
}

fn ack_properties() -> impl Strategy<Value = AckProperties<'static>> {
    (option::of(text()), user_properties()).prop_map(|(reason_string, user_properties)| {
        AckProperties {
            reason_string,
            user_properties,
        }
    })
}

fn ack(v5: bool, reasons: &'static [u8]) -> impl Strategy<Value = Ack<'static>> {
    let reasons = if v5 { reasons } else { &[0x00] };
    (packet_id(), reason(reasons), if_v5(v5, ack_properties())).prop_map(
        |(packet_id, reason, properties)| Ack {
            packet_id,
            reason,
            properties,
        },
    )
}

fn options(v5: bool) -> impl Strategy<Value = SubscriptionOptions> {
    (qos(), any::<bool>(), any::<bool>(), 0..3u8).prop_map(
        move |(qos, no_local, as_published, handling)| match v5 {
            false => SubscriptionOptions::new(qos),
            true => SubscriptionOptions {
                qos,
                no_local,
                retain_as_published: as_published,
                retain_handling: match handling {
                    0 => RetainHandling::SendAtSubscribe,
                    1 => RetainHandling::SendIfNew,
                    _ => RetainHandling::DoNotSend,
                },
            },
        },
    )
}

fn subscribe(v5: bool) -> impl Strategy<Value = Subscribe<'static>> {
    (
        packet_id(),
        if_v5(v5, option::of(1..=268_435_455u32)),
        if_v5(v5, user_properties()),
        vec((filter(), options(v5)), 1..4),
    )
        .prop_map(|(id, subscription_id, user_properties, filters)| {
            let mut subscribe = Subscribe::new(id, filters.leak());
            subscribe.subscription_id = subscription_id;
            subscribe.user_properties = user_properties;
            subscribe
        })
}

fn unsubscribe(v5: bool) -> impl Strategy<Value = Unsubscribe<'static>> {
    (
        packet_id(),
        if_v5(v5, user_properties()),
        vec(filter(), 1..4),
    )
        .prop_map(|(id, user_properties, filters)| {
            let mut unsubscribe = Unsubscribe::new(id, filters.leak());
            unsubscribe.user_properties = user_properties;
            unsubscribe
        })
}

fn codes(allowed: &'static [u8]) -> impl Strategy<Value = &'static [u8]> {
    vec(proptest::sample::select(allowed), 1..5).prop_map(|codes| &*codes.leak())
}

fn suback(v5: bool) -> impl Strategy<Value = SubAck<'static>> {
    let allowed: &[u8] = match v5 {
        true => &[
            0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
        false => &[0, 1, 2, 0x80],
    };
    (packet_id(), codes(allowed), if_v5(v5, ack_properties())).prop_map(
        |(packet_id, codes, properties)| SubAck {
            packet_id,
            codes,
            properties,
        },
    )
}

fn unsuback(v5: bool) -> impl Strategy<Value = UnsubAck<'static>> {
    let allowed = &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
    (
        packet_id(),
        if_v5(v5, codes(allowed)),
        if_v5(v5, ack_properties()),
    )
        .prop_map(|(packet_id, codes, properties)| UnsubAck {
            packet_id,
            codes,
            properties,
        })
}

fn disconnect(v5: bool) -> impl Strategy<Value = Disconnect<'static>> {
    let reasons: &[u8] = match v5 {
        true => &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93,
            0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1,
            0xA2,
        ],
        false => &[0x00],
    };
    let properties = (
        any::<Option<u32>>(),
        option::of(text()),
        option::of(text()),
        user_properties(),
    )
        .prop_map(|(session_expiry, reason_string, server_reference, user)| {
            DisconnectProperties {
                session_expiry,
                reason_string,
                server_reference,
                user_properties: user,
            }
        });
    (reason(reasons), if_v5(v5, properties))
        .prop_map(|(reason, properties)| Disconnect { reason, properties })
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    let full = (
        reason(&[0x00, 0x18, 0x19]),
        text(),
        option::of(bytes()),
        option::of(text()),
        user_properties(),
    )
        .prop_map(
            |(reason, method, data, reason_string, user_properties)| Auth {
                reason,
                method: Some(method),
                data,
                reason_string,
                user_properties,
            },
        );
    prop_oneof![4 => full, 1 => Just(Auth::default())]
}
