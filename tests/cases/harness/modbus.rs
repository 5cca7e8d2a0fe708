//! Modbus servers: one that we did not write, pymodbus through `peers/modbus_server.py`, and our
//! simulator, which can be told to fail.

use std::{collections::HashMap, path::Path, process::Command, sync::mpsc, thread};

use fieldgate_sim::{Image, ModbusServer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{gateway::Gateway, mqtt::Subscriber, process::Process, python, repository};

/// A running server and what it says that it holds.
pub struct Pymodbus {
    pub process: Process,
    pub port: u16,
    /// The points: name, table, address, keys (of the mapping), text (of the value, as JSON).
    pub points: Vec<Value>,
}

impl Pymodbus {
    /// A server that holds a value of every type and order.
    pub fn values() -> Self {
        Self::start(&["0"])
    }

    /// A server whose registers count their own reads; `port` 0 takes a free one.
    pub fn counter(port: u16) -> Self {
        Self::start(&[&port.to_string(), "--counter"])
    }

    /// As [`Self::values`], with RTU on a serial port.
    pub fn values_on(port: &Path) -> Self {
        Self::start(&[port.to_str().expect("a plain path")])
    }

    /// A server whose unit `n` says exception `n`, twice, when its holding register 0 is written;
    /// its input register 0 is 1111 before and 2222 after. `place` is a serial port, or 0.
    pub fn exceptions(place: &str) -> Self {
        Self::start(&[place, "--exceptions"])
    }

    /// The address of the point whose name ends like this.
    pub fn place(&self, name: &str) -> Value {
        let mut points = self.points.iter();
        let point = points.find(|point| point["name"].as_str().unwrap().ends_with(name));
        point.unwrap_or_else(|| panic!("{name}"))["address"].clone()
    }

    /// A gateway reads all points over `bus` (what stands behind a bus's name): what it publishes is what the server
    /// holds.
    pub fn compare_all(&self, bus: &str) {
        let mut config = format!(
            "buses:\n  plant: {bus}\ndevices:\n  all:\n    bus: plant\n    unit: 1\n    points:\n"
        );
        let mut wanted = HashMap::new();
        for point in &self.points {
            let text = |key: &str| point[key].as_str().unwrap();
            let (name, table, keys) = (text("name"), text("table"), text("keys"));
            let comma = if keys.is_empty() { "" } else { ", " };
            config += &format!(
                "      {name}: {{{table}: {}{comma}{keys}}}\n",
                point["address"]
            );
            wanted.insert(format!("plant7/all/{name}"), text("text").to_owned());
        }
        assert!(wanted.len() > 180, "{} points", wanted.len());
        let gateway = Gateway::start(&config);
        let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/all/+");
        let mut wrong = Vec::new();
        subscriber.wait("value of every point", |topic, payload| {
            // The others that this filter sees are `$state`.
            let want = wanted.get(topic)?;
            let reading: Value = serde_json::from_str(payload).expect("JSON");
            let expected = if want == "null" { "bad" } else { "good" };
            if !same(value_text(payload), want) || reading["quality"] != expected {
                wrong.push(format!("{topic}: {payload}, but the server holds {want}"));
            }
            wanted.remove(topic);
            wanted.is_empty().then_some(())
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn start(arguments: &[&str]) -> Self {
        let script = repository().join("tests/peers/modbus_server.py");
        let mut command = Command::new(python());
        let process = Process::spawn("pymodbus", command.arg(script).args(arguments));
        let listing: Value = process.wait("listing", |line| serde_json::from_str(line).ok());
        Self {
            process,
            port: listing["port"].as_u64().unwrap() as u16,
            points: listing["points"].as_array().unwrap().clone(),
        }
    }
}

/// The text of the value in a payload, untouched: a JSON parser would pass it through a double.
pub fn value_text(payload: &str) -> &str {
    let rest = payload
        .strip_prefix("{\"value\":")
        .expect("the value is first");
    let end = rest.find(",\"").expect("more members follow");
    rest.get(..end).unwrap()
}

/// Whether two JSON texts are the same value: integers digit by digit, fractions as the doubles that Python printed.
fn same(got: &str, want: &str) -> bool {
    let is_fraction = want.contains(['.', 'e']) && !want.starts_with('"');
    got == want || is_fraction && got.parse::<f64>().ok() == want.parse::<f64>().ok()
}

/// The simulator on a thread of its own; it stops when this goes out of scope.
pub struct Simulator {
    pub port: u16,
    cancel: CancellationToken,
}

impl Simulator {
    pub fn start(image: Image) -> Self {
        let cancel = CancellationToken::new();
        let (stop, (send, port)) = (cancel.clone(), mpsc::channel());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let server = ModbusServer::bind("127.0.0.1:0")
                    .await
                    .expect("a free port");
                let port = server.local_addr().expect("it is bound").port();
                send.send(port).expect("the case waits for it");
                server.run(image, stop).await;
            });
        });
        let port = port.recv().expect("the server is bound");
        Self { port, cancel }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
