//! How often memory is asked for on the way from a register to a subscriber's socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use fieldgate_broker::Listener;

use super::*;

/// What is counted after all memory has been found that is kept.
const POLLS: usize = 50;

/// A Modbus TCP server whose registers are others at each request, on a thread of its own. Tells each request.
fn meter() -> (SocketAddr, UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = unbounded_channel();
    thread::spawn(move || {
        let (mut gateway, _) = listener.accept().unwrap();
        let mut request = [0; 12];
        let mut round = 0u16;
        while gateway.read_exact(&mut request).is_ok() {
            round = round.wrapping_add(1);
            let bytes = request[11] * 2;
            let mut answer = request[..4].to_vec();
            answer.extend([0, bytes + 3, request[6], request[7], bytes]);
            answer.extend((0..bytes / 2).flat_map(|at| (round + u16::from(at)).to_be_bytes()));
            // The gateway has ended, or the test.
            if gateway.write_all(&answer).is_err() || tell.send(()).is_err() {
                break;
            }
        }
    });
    (address, told)
}

/// Subscribes to everything with QoS 0, and reads on a thread of its own.
fn subscriber(address: SocketAddr) {
    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01s")
        .unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    client.write_all(b"\x82\x06\x00\x01\x00\x01#\x00").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    thread::spawn(move || {
        let mut page = [0; 65536];
        while client.read(&mut page).is_ok_and(|len| len > 0) {}
    });
}

/// How often a poll of so many points asks for memory, from the request to what is ready to be written to the subscriber.
fn allocations_of_a_poll(points: usize) -> u64 {
    let (meter, mut told) = meter();
    let points: String = (0..points)
        .map(|n| format!("p{n}: {{input: {n}, as: u16}}, "))
        .collect();
    let text = format!(
        "version: 1\ngateway: {{name: t}}\ndefaults: {{poll: 5ms}}\nbuses: {{b: {{tcp: \"{meter}\"}}}}\n\
         devices:\n  d: {{bus: b, unit: 1, points: {{{points}}}}}\n"
    );
    let broker = Broker::start(Config {
        listeners: vec![Listener::tcp("127.0.0.1:0".parse().unwrap())],
        allow_anonymous: true,
        ..Config::default()
    });
    let broker = broker.unwrap();
    subscriber(broker.local_addrs()[0]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let publisher = Publisher::new(broker.link("gateway"), &load(&text).unwrap());
    let changed = Arc::new(Notify::new());
    let config = load(&text).unwrap();
    let mut supervisor = Supervisor::new(&config, None, publisher, Plant::default(), changed, None);
    runtime.block_on(supervisor.change(config)).unwrap();
    let mut polls = |count: usize| {
        runtime.block_on(async {
            for _ in 0..count {
                tokio::time::timeout(PATIENCE, told.recv()).await.unwrap();
            }
        });
    };
    polls(POLLS);
    let counted = allocation_counter::measure(|| polls(POLLS));
    runtime.block_on(supervisor.drain());
    counted.count_total / POLLS as u64
}

#[test]
fn a_poll_asks_for_memory_a_few_times_and_not_for_each_sample() {
    let (few, many) = (allocations_of_a_poll(10), allocations_of_a_poll(110));
    // Lists of eleven times the length grow three or four times more.
    assert!(many <= few + 15, "{few} with 10 points, {many} with 110");
    assert!(few <= 60, "{few} with 10 points");
}
