//! Clients that we did not write over TLS, WebSocket and the Unix socket: QoS 2, sessions that
//! last, certificates of clients, and certificates that change while clients are connected.

use std::{fs, process::Command, sync::Arc, time::Duration};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::harness::{
    PATIENCE,
    mqtt::Peer,
    secure::{Secure, make_certificates},
};

/// Options of a session that outlives its connection, and those of the transport.
fn lasting(version: &str, transport: &Value) -> Value {
    let mut options = transport.clone();
    options["clean"] = json!(false);
    if version == "5" {
        options["expiry"] = json!(600);
    }
    options
}

/// QoS 2 through a session that lasts, by clients that `connect` makes of a name and a version.
fn check(what: &str, connect: impl Fn(&str, &str) -> (Peer, bool)) {
    for version in ["3.1.1", "5"] {
        let topic = format!("transport/{what}/{version}");
        let reader = format!("{what} reader {version}");
        let (mut peer, present) = connect(&reader, version);
        assert!(!present, "{reader}");
        peer.subscribe(&topic, 2);
        let (mut writer, _) = connect(&format!("{what} writer {version}"), version);
        writer.publish(&topic, "N", 2, json!({"count": 50}));
        let want: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        assert_eq!(peer.payloads(50), want, "{reader}");
        peer.disconnect();

        let long = "x".repeat(200_000);
        writer.publish(&topic, "away N", 2, json!({"count": 20}));
        writer.publish(&topic, &long, 2, json!({}));
        let (peer, present) = connect(&reader, version);
        assert!(present, "{reader}");
        let mut want: Vec<String> = (0..20).map(|n| format!("away {n}")).collect();
        want.push(long);
        assert!(peer.payloads(21) == want, "{reader}");
        peer.disconnect();
        writer.disconnect();
    }
}

#[test]
fn paho_does_qos_2_and_sessions_over_every_transport() {
    let secure = Secure::start("optional");
    let identity = secure.identity();
    let trust = json!({"ca": secure.file("ca.pem")});
    for (what, port, transport) in [
        ("tls", secure.tls, json!({"tls": trust})),
        ("client certificate", secure.tls, json!({"tls": identity})),
        ("ws", secure.websocket, json!({"transport": "websockets"})),
        (
            "wss",
            secure.websocket_tls,
            json!({"transport": "websockets", "tls": trust}),
        ),
        (
            "unix",
            1,
            json!({"transport": "unix", "host": secure.file("mqtt.sock")}),
        ),
    ] {
        check(what, |id, version| {
            Peer::connect(port, id, version, lasting(version, &transport))
        });
    }
}

#[test]
fn mqtt_js_does_qos_2_and_sessions_over_every_transport() {
    let secure = Secure::start("optional");
    let ca = secure.file("ca.pem");
    let identity = secure.identity();
    let url = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
    let mut with_certificate = identity.clone();
    with_certificate["url"] = json!(url("mqtts", secure.tls));
    for (what, transport) in [
        ("tcp", json!({"url": url("mqtt", secure.gateway.port)})),
        ("tls", json!({"url": url("mqtts", secure.tls), "ca": ca})),
        ("client certificate", with_certificate),
        ("ws", json!({"url": url("ws", secure.websocket)})),
        (
            "wss",
            json!({"url": format!("{}/some/path", url("wss", secure.websocket_tls)), "ca": ca}),
        ),
    ] {
        check(what, |id, version| {
            Peer::connect_js(id, version, lasting(version, &transport))
        });
    }
}

/// Runs a mosquitto client with options in one string; returns whether it was content, and what
/// it printed.
fn mosquitto(program: &str, port: u16, options: &str) -> (bool, String) {
    let output = Command::new("timeout")
        .args(["30", program, "-h", "127.0.0.1", "-p", &port.to_string()])
        .args(options.split_whitespace())
        .output()
        .expect("the mosquitto clients are there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[test]
fn mosquitto_does_qos_2_and_sessions_over_tls_and_the_unix_socket() {
    let secure = Secure::start("optional");
    let trust = format!("--cafile {}", secure.file("ca.pem"));
    let identity = format!(
        "{trust} --cert {} --key {}",
        secure.file("panel.pem"),
        secure.file("panel.key")
    );
    let socket = format!("--unix {}", secure.file("mqtt.sock"));
    for (what, options) in [
        ("tls", &trust),
        ("tls12", &format!("{trust} --tls-version tlsv1.2")),
        ("tls13", &format!("{trust} --tls-version tlsv1.3")),
        ("certificate", &identity),
        ("unix", &socket),
    ] {
        let run =
            |program, more: &str| mosquitto(program, secure.tls, &format!("{options} {more}"));
        let session = format!("-c -i {what} -q 2 -t mosquitto/{what}");
        assert!(run("mosquitto_sub", &format!("{session} -E")).0, "{what}");
        let publish = format!("-q 2 -t mosquitto/{what} -m");
        for text in ["one", "two"] {
            assert!(
                run("mosquitto_pub", &format!("{publish} {text}")).0,
                "{what}"
            );
        }
        let (_, got) = run("mosquitto_sub", &format!("{session} -C 2"));
        assert_eq!(got, "one\ntwo\n", "{what}");
    }
}

#[test]
fn a_client_that_cannot_be_verified_or_does_not_trust_the_broker_gets_nowhere() {
    let secure = Secure::start("required");
    let foreign = Secure::start("optional");
    let ours = format!("--cafile {}", secure.file("ca.pem"));
    let identity = |of: &Secure| {
        let (certificate, key) = (of.file("panel.pem"), of.file("panel.key"));
        format!("--cert {certificate} --key {key}")
    };
    for (options, want) in [
        (format!("{ours} {}", identity(&secure)), true),
        (ours.clone(), false),
        (format!("{ours} {}", identity(&foreign)), false),
        (
            format!("--cafile {} {}", foreign.file("ca.pem"), identity(&secure)),
            false,
        ),
    ] {
        let publish = format!("{options} -q 1 -t x -m x");
        let (content, _) = mosquitto("mosquitto_pub", secure.tls, &publish);
        assert_eq!(content, want, "{options}");
    }
}

#[test]
fn certificates_change_while_clients_stay_connected() {
    let secure = Secure::start("optional");
    let old = secure.gateway.folder.write(
        "old.pem",
        &fs::read_to_string(secure.file("ca.pem")).unwrap(),
    );
    let transport = json!({"tls": {"ca": old.to_str().unwrap()}});
    let (mut reader, _) = Peer::connect(secure.tls, "reader", "5", transport);
    reader.subscribe("reload", 2);
    let publish = |ca: &str, text: &str| {
        let options = format!("--cafile {ca} -q 2 -t reload -m {text}");
        mosquitto("mosquitto_pub", secure.tls, &options).0
    };
    let old = old.to_str().unwrap();

    fs::write(secure.file("broker.pem"), "nonsense").unwrap();
    secure.gateway.process.signal("HUP");
    secure
        .gateway
        .process
        .wait_line("still get the OLD certificate");
    assert!(publish(old, "one"));

    make_certificates(secure.gateway.folder.path());
    secure.gateway.process.signal("HUP");
    secure.gateway.process.wait_line("has been read again");
    assert!(!publish(old, "lost"));
    assert!(publish(&secure.file("ca.pem"), "two"));
    assert_eq!(reader.payloads(2), ["one", "two"]);
    reader.disconnect();
}

#[tokio::test]
async fn rumqttc_does_qos_2_and_sessions_over_tls() {
    let secure = Secure::start("required");
    let pem = |name: &str| fs::read(secure.file(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem("ca.pem")).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(&pem("panel.pem")).unwrap()],
            PrivateKeyDer::from_pem_slice(&pem("panel.key")).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let connect = |id: &str| {
        let mut options = MqttOptions::new(id, "127.0.0.1", secure.tls);
        let tls = TlsConfiguration::Rustls(Arc::clone(&config));
        options.set_transport(Transport::Tls(tls));
        options.set_clean_session(false);
        options.set_keep_alive(Duration::from_secs(60));
        AsyncClient::new(options, 10)
    };
    let (reader, mut events) = connect("reader");
    reader.subscribe("rumqttc", QoS::ExactlyOnce).await.unwrap();
    wait(&mut events, |packet| matches!(packet, Packet::SubAck(_))).await;
    drop((reader, events));

    let (writer, mut events) = connect("writer");
    let publish = writer.publish("rumqttc", QoS::ExactlyOnce, false, "kept");
    publish.await.unwrap();
    wait(&mut events, |packet| matches!(packet, Packet::PubComp(_))).await;

    let (_reader, mut events) = connect("reader");
    wait(
        &mut events,
        |packet| matches!(packet, Packet::ConnAck(connack) if connack.session_present),
    )
    .await;
    wait(
        &mut events,
        |packet| matches!(packet, Packet::Publish(publish) if publish.payload == "kept"),
    )
    .await;
}

async fn wait(events: &mut rumqttc::EventLoop, wanted: impl Fn(&Packet) -> bool) {
    let found = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.unwrap()
                && wanted(&packet)
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap();
}
