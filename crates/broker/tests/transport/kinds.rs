//! MQTT is the same over every kind of listener.

use fieldgate_broker::{Listener, QoS};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::authority::Authority;
use crate::client::{AnyStream, Client, websocket};
use crate::{Folder, any_port, start};

#[tokio::test(flavor = "multi_thread")]
async fn every_qos_and_a_session_that_lasts_work_over_every_kind_of_listener() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let settings = authority.settings(&folder, None);
    let socket = folder.path().join("socket");
    let over_tcp = |tls: bool, websocket: bool| Listener {
        tls: tls.then(|| settings.clone()),
        websocket,
        ..Listener::tcp(any_port())
    };
    let broker = start(vec![
        over_tcp(false, false),
        Listener::unix(&socket),
        over_tcp(true, false),
        over_tcp(false, true),
        over_tcp(true, true),
    ]);
    let [tcp, tls, ws, wss] = broker.local_addrs() else {
        panic!("{:?}", broker.local_addrs());
    };
    let tls12 = authority.connector(&[&TLS12], None);
    let tls13 = authority.connector(&[&TLS13], None);
    for (name, address, connector, frames) in [
        ("tcp", Some(tcp), None, None),
        ("unix", None, None, None),
        ("tls12", Some(tls), Some(&tls12), None),
        ("tls13", Some(tls), Some(&tls13), None),
        ("ws", Some(ws), None, Some(1000)),
        ("small frames", Some(ws), None, Some(7)),
        ("wss", Some(wss), Some(&tls13), Some(60_000)),
    ] {
        let open = async || {
            let Some(&address) = address else {
                let stream = UnixStream::connect(&socket).await.unwrap();
                return Box::new(stream) as AnyStream;
            };
            let mut stream: AnyStream = Box::new(TcpStream::connect(address).await.unwrap());
            if let Some(connector) = connector {
                stream = encrypt(stream, connector).await;
            }
            match frames {
                Some(size) => websocket(stream, address, size).await,
                None => stream,
            }
        };
        let topic = format!("{name}/topic");
        let (mut client, present) = Client::connect(open().await, name).await;
        assert!(!present, "{name}");
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for size in [0, 100, 100_000] {
                // One writes while the other reads, or both would wait for room.
                let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
                let writer = format!("writer of {name}");
                let (mut writer, _) = Client::connect(open().await, &writer).await;
                let (got, ()) =
                    tokio::join!(client.message(qos), writer.publish(&topic, &payload, qos));
                assert!(got == payload, "{name}, {qos:?}, {size} bytes");
            }
        }
        drop(client);
        let (mut writer, _) = Client::connect(open().await, "writer").await;
        writer
            .publish(&topic, b"while away", QoS::ExactlyOnce)
            .await;
        let (mut client, present) = Client::reconnect(open().await, name).await;
        assert!(present, "{name}");
        let got = client.message(QoS::ExactlyOnce).await;
        assert_eq!(got, b"while away", "{name}");
    }
}

async fn encrypt(stream: AnyStream, connector: &TlsConnector) -> AnyStream {
    let name = ServerName::try_from("localhost").unwrap();
    Box::new(connector.connect(name, stream).await.unwrap())
}
