//! Certificates that change while clients are connected.

use std::fs;

use fieldgate_broker::{Broker, Listener, QoS, StartError};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ALL_VERSIONS;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::authority::{Authority, Identity};
use crate::client::Client;
use crate::{Folder, any_port, config, start};

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_get_the_new_certificate_and_old_ones_go_on() {
    let (folder, old, new) = (Folder::new(), Authority::new(), Authority::new());
    let settings = old.settings(&folder, None);
    let broker = start(vec![Listener {
        tls: Some(settings.clone()),
        ..Listener::tcp(any_port())
    }]);
    let connect = async |authority: &Authority| {
        let stream = TcpStream::connect(broker.local_addrs()[0]).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = authority.connector(ALL_VERSIONS, None);
        connector.connect(name, stream).await
    };
    let stream = connect(&old).await.unwrap();
    let (mut client, _) = Client::connect(Box::new(stream), "client").await;

    fs::write(&settings.certificate, "nonsense").unwrap();
    broker.reload_certificates();
    assert!(connect(&old).await.is_ok(), "a broken file changes nothing");

    let Identity { certificate, key } = new.issue("board");
    fs::write(&settings.certificate, certificate).unwrap();
    fs::write(&settings.key, key).unwrap();
    broker.reload_certificates();
    assert!(connect(&old).await.is_err());
    let stream = connect(&new).await.unwrap();
    let (mut other, _) = Client::connect(Box::new(stream), "other").await;
    other
        .publish("client/x", b"new to old", QoS::AtLeastOnce)
        .await;
    assert_eq!(client.message(QoS::AtLeastOnce).await, b"new to old");
    client
        .publish("other/x", b"old to new", QoS::ExactlyOnce)
        .await;
    assert_eq!(other.message(QoS::ExactlyOnce).await, b"old to new");
}

#[test]
fn a_broker_does_not_start_with_a_file_of_no_use_and_names_it() {
    let folder = Folder::new();
    let settings = Authority::new().settings(&folder, None);
    fs::write(&settings.key, "").unwrap();
    let started = Broker::start(config(vec![Listener {
        tls: Some(settings.clone()),
        ..Listener::tcp(any_port())
    }]));
    let Err(StartError::Tls(error)) = started else {
        panic!("{started:?}");
    };
    assert_eq!(error.file, settings.key);
    let want = format!("key {}: no PEM private key in it", settings.key.display());
    assert!(error.to_string().starts_with(&want), "{error}");
}
