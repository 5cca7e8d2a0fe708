//! The broker stops.

use std::time::{Duration, Instant};

use fieldgate_broker::Config;
use fieldgate_mqtt::AckKind;

use crate::support::*;

#[test]
fn clients_are_told_that_the_broker_goes_and_get_what_was_underway() {
    let broker = broker();
    let mut publisher = Client::v5(&broker, "publisher");
    let mut clients = VERSIONS.map(|version| {
        let id = format!("{version:?}");
        let mut client = Client::open(&broker, &connect(version, &id));
        client.subscribe("t", QoS::AtMostOnce);
        client
    });
    publisher.publish("t", "last", QoS::AtLeastOnce);
    let address = broker.local_addrs()[0];
    wait_for(async {
        let shutdown = tokio::spawn(broker.shutdown());
        tokio::task::spawn_blocking(move || {
            for client in &mut clients {
                assert_eq!(client.message(), got("t", "last", 0));
                if client.version() == Version::V5 {
                    client.disconnected_with(ReasonCode::SERVER_SHUTTING_DOWN);
                } else {
                    assert_eq!(client.next(), Event::Closed);
                }
            }
            publisher.disconnected_with(ReasonCode::SERVER_SHUTTING_DOWN);
        })
        .await
        .unwrap();
        shutdown.await.unwrap();
    });
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_client_that_takes_nothing_holds_up_the_shutdown_no_longer_than_the_grace() {
    let broker = start(Config {
        shutdown_grace: Duration::from_millis(300),
        ..config()
    });
    let client = Client::v5(&broker, "keeps its connection open");
    let silent = Client::raw(&broker, Version::V5);
    let started = Instant::now();
    wait_for(broker.shutdown());
    assert!(started.elapsed() < Duration::from_secs(2));
    drop((client, silent));
}

#[test]
fn a_watchdog_sees_that_the_broker_answers() {
    let broker = broker();
    assert!(wait_for(broker.is_alive(Duration::from_secs(5))));
}

#[test]
fn an_acknowledged_message_was_handed_over_before_the_broker_went() {
    let broker = broker();
    let mut subscriber = Client::v5(&broker, "subscriber");
    subscriber.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = Client::v5(&broker, "publisher");
    for number in 0..100 {
        publisher.publish("t", &number.to_string(), QoS::AtLeastOnce);
    }
    let reader = std::thread::spawn(move || {
        let mut count = 0;
        loop {
            match subscriber.next() {
                Event::Publish(message) => {
                    count += 1;
                    subscriber.ack(AckKind::PubAck, message.id);
                }
                Event::Disconnect(reason) => {
                    assert_eq!(reason, ReasonCode::SERVER_SHUTTING_DOWN.0);
                    return count;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    drop(publisher);
    wait_for(broker.shutdown());
    assert_eq!(reader.join().unwrap(), 100);
}
