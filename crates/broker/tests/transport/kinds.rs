//! MQTT is the same over every kind of listener.

use std::time::Duration;

use fieldgate_broker::{Broker, Listener, QoS};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::authority::Authority;
use crate::client::{AnyStream, Client, websocket};
use crate::{Folder, any_port, config};

/// A broker with every kind of listener, and what clients need for them.
struct Board {
    broker: Broker,
    authority: Authority,
    folder: Folder,
}

/// One way in, and how long the frames of a WebSocket client are.
#[derive(Clone, Copy, Debug)]
enum Way {
    Tcp,
    Unix,
    Tls(&'static SupportedProtocolVersion),
    Ws(usize),
    Wss(usize),
}

const WAYS: [Way; 7] = [
    Way::Tcp,
    Way::Unix,
    Way::Tls(&TLS12),
    Way::Tls(&TLS13),
    Way::Ws(1000),
    Way::Ws(7),
    Way::Wss(60_000),
];

impl Board {
    fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        let settings = authority.settings(&folder, None);
        let over_tcp = |tls: bool, websocket: bool| Listener {
            tls: tls.then(|| settings.clone()),
            websocket,
            ..Listener::tcp(any_port())
        };
        let mut config = config(vec![
            over_tcp(false, false),
            Listener::unix(folder.path().join("socket")),
            over_tcp(true, false),
            over_tcp(false, true),
            over_tcp(true, true),
        ]);
        // Room for what a client that does not read is sent.
        config.limits.queued_bytes = 64 << 20;
        config.limits.outbox_bytes = 64 << 20;
        config.limits.backpressure = Duration::from_millis(20);
        let broker = Broker::start(config).unwrap();
        Self {
            broker,
            authority,
            folder,
        }
    }

    async fn open(&self, way: Way) -> AnyStream {
        let [tcp, tls, ws, wss] = self.broker.local_addrs() else {
            panic!("{:?}", self.broker.local_addrs());
        };
        let connect = async |address| {
            let stream = TcpStream::connect(address).await.unwrap();
            Box::new(stream) as AnyStream
        };
        match way {
            Way::Tcp => connect(tcp).await,
            Way::Unix => {
                let path = self.folder.path().join("socket");
                Box::new(UnixStream::connect(path).await.unwrap())
            }
            Way::Tls(version) => self.encrypt(connect(tls).await, version).await,
            Way::Ws(size) => websocket(connect(ws).await, *ws, size).await,
            Way::Wss(size) => {
                let stream = self.encrypt(connect(wss).await, &TLS13).await;
                websocket(stream, *wss, size).await
            }
        }
    }

    async fn encrypt(
        &self,
        stream: AnyStream,
        version: &'static SupportedProtocolVersion,
    ) -> AnyStream {
        let connector = self.authority.connector(&[version], None);
        let name = ServerName::try_from("localhost").unwrap();
        Box::new(connector.connect(name, stream).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_qos_and_a_session_that_lasts_work_over_every_kind_of_listener() {
    let board = Board::new();
    for way in WAYS {
        let name = format!("{way:?}");
        let topic = format!("{name}/topic");
        let (mut client, present) = Client::connect(board.open(way).await, &name).await;
        assert!(!present, "{name}");
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for size in [0, 100, 100_000] {
                // One writes while the other reads, or both would wait for room.
                let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
                let (mut writer, _) = Client::connect(board.open(way).await, "writer").await;
                let (got, ()) =
                    tokio::join!(client.message(qos), writer.publish(&topic, &payload, qos));
                assert!(got == payload, "{name}, {qos:?}, {size} bytes");
            }
        }
        drop(client);
        let (mut writer, _) = Client::connect(board.open(way).await, "writer").await;
        writer
            .publish(&topic, b"while away", QoS::ExactlyOnce)
            .await;
        let (mut client, present) = Client::reconnect(board.open(way).await, &name).await;
        assert!(present, "{name}");
        let got = client.message(QoS::ExactlyOnce).await;
        assert_eq!(got, b"while away", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_did_not_read_for_a_while_gets_everything_over_every_kind_of_listener() {
    let board = Board::new();
    for way in WAYS {
        let name = format!("{way:?}");
        let topic = format!("{name}/topic");
        let (mut client, _) = Client::connect(board.open(way).await, &name).await;
        let (mut writer, _) = Client::connect(board.open(Way::Tcp).await, "writer").await;
        // More than the buffers of the sockets hold.
        let payload = |n: usize| [n.to_string().into_bytes(), vec![b'.'; 200_000]].concat();
        for n in 0..100 {
            writer.publish(&topic, &payload(n), QoS::AtLeastOnce).await;
        }
        for n in 0..100 {
            let got = client.message(QoS::AtLeastOnce).await;
            assert!(got == payload(n), "{name}: message {n}");
        }
    }
}
