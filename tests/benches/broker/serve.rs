//! What the re-executed bench does as a broker: serve one port of 127.0.0.1 until the bench is gone.

use std::collections::HashMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fieldgate_tests::bench::process::{
    Broker, CONNECTIONS_MAX, INFLIGHT_MAX, QUEUED_MAX, wait_for_parent,
};

/// Serves as `broker`. Returns only when the bench has ended or the broker could not start.
pub fn serve(broker: Broker, port: u16) -> Result<(), Box<dyn Error>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match broker {
        Broker::Fieldgate => fieldgate(address),
        Broker::Rumqttd => rumqttd(address),
        Broker::Mosquitto => Err("mosquitto is a program of its own".into()),
    }
}

fn fieldgate(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut config = fieldgate_broker::Config {
        listeners: vec![fieldgate_broker::Listener::tcp(address)],
        allow_anonymous: true,
        // As mosquitto's, which is off: the figures are of the load alone.
        sys_interval: Duration::ZERO,
        ..Default::default()
    };
    config.limits.inflight = INFLIGHT_MAX;
    config.limits.queued = QUEUED_MAX;
    let broker = fieldgate_broker::Broker::start(config)?;
    wait_for_parent();
    drop(broker);
    Ok(())
}

/// Segments and batches are those of the `rumqttd.toml` that the crate ships.
fn rumqttd(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let server = rumqttd::ServerSettings {
        name: "bench".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: rumqttd::ConnectionSettings {
            connection_timeout_ms: 60_000,
            max_payload_size: 20_480,
            max_inflight_count: INFLIGHT_MAX.into(),
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: CONNECTIONS_MAX,
            max_outgoing_packet_count: 200,
            max_segment_size: 104_857_600,
            max_segment_count: 10,
            ..Default::default()
        },
        v4: Some(HashMap::from([("1".to_owned(), server)])),
        ..Default::default()
    };
    std::thread::spawn(move || {
        if let Err(error) = rumqttd::Broker::new(config).start() {
            eprintln!("rumqttd: {error}");
            std::process::exit(1);
        }
    });
    wait_for_parent();
    Ok(())
}
