//! The recipe of config/console.md with a real Prometheus, and the query of config/databases.md.

use std::{
    fmt::Write as _,
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use fieldgate_sim::{Fault, Image, Table, Times, Unit};
use serde_json::Value;

use crate::harness::{
    Folder, PATIENCE, free_port, gateway::Gateway, http::Http, modbus::Simulator, process::Process,
    repository,
};

/// The block of a document that has this language and contains this text.
pub fn block(document: &str, language: &str, has: &str) -> String {
    let text = fs::read_to_string(repository().join("config").join(document)).expect(document);
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    let mut blocks = blocks.filter_map(|block| Some(block.split_once("```")?.0));
    let found = blocks.find(|block| block.contains(has));
    found
        .unwrap_or_else(|| panic!("{document}: no {language} with {has}"))
        .to_owned()
}

/// A running Prometheus of Debian.
struct Prometheus {
    process: Process,
    http: Http,
    /// What it stores.
    _folder: Folder,
}

impl Prometheus {
    /// Starts it with the document's lines, and with a console at this address.
    fn start(console: &str) -> Self {
        let program = repository().join("tests/.prometheus/usr/bin/prometheus");
        assert!(
            program.exists(),
            "Prometheus is missing: `tests/run` unpacks it"
        );
        let recipe = block("console.md", "yaml", "scrape_configs");
        let shown = "127.0.0.1:8080";
        assert!(recipe.contains(shown), "{recipe}");
        // It reads every minute unless it is told otherwise.
        let text = format!(
            "global: {{scrape_interval: 200ms}}\n{}",
            recipe.replace(shown, console)
        );
        let folder = Folder::new();
        let file = folder.write("prometheus.yml", &text);
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::spawn("Prometheus", &mut command);
        process.wait_line("Server is ready to receive web requests");
        let cookie = None;
        Self {
            process,
            http: Http { address, cookie },
            _folder: folder,
        }
    }

    /// What a query finds.
    fn query(&self, query: &str) -> Vec<Value> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02x}").expect("a string");
        }
        let host = format!("Host: {}", self.http.address);
        let answer = self.http.send("GET", &path, &[&host], "");
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let found = answer.json()["data"]["result"].clone();
        serde_json::from_value(found).expect("a list")
    }

    /// Waits until a query finds these values, each of a point or a device.
    fn wait(&self, query: &str, want: &[&str]) {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.query(query);
            let values = found.iter().map(|one| one["value"][1].as_str());
            if values.eq(want.iter().map(|text| Some(*text))) {
                return;
            }
            if Instant::now() > end {
                self.process.report();
                panic!("{query}: {found:?}, not {want:?}, within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn prometheus_stores_good_values_in_base_units_and_none_of_a_silent_device() {
    let image = Image::new();
    let mut meter = Unit::new();
    meter.set_words(Table::Holding, 0, &[1234, 0, 50_001]);
    image.insert(1, meter);
    let simulator = Simulator::start(image.clone());
    let gateway = Gateway::start(&format!(
        "console: {{listen: {{http: \"127.0.0.1:0\"}}}}
defaults: {{poll: 200ms}}
buses:
  net: {{tcp: \"127.0.0.1:{}\", timeout: 300ms, offline: {{after: 2, backoff: 200ms..500ms}}}}
devices:
  main-meter:
    bus: net
    unit: 1
    points:
      power: {{holding: 0, as: u16, unit: W}}
      import: {{holding: 1, as: u32, scale: 0.01, unit: kWh}}
",
        simulator.port
    ));
    let console = Http::of(&gateway);
    let prometheus = Prometheus::start(&console.address);
    let power = block("databases.md", "promql", "fieldgate_point_watts");
    let energy = "fieldgate_point_watthours{device=\"main-meter\",point=\"import\"}";

    prometheus.wait(&power, &["1234"]);
    prometheus.wait(energy, &["500010"]);
    image.with(1, |meter| meter.set_words(Table::Holding, 0, &[4321]));
    prometheus.wait(&power, &["4321"]);

    image.inject(1, Fault::Silence, Times::Always);
    prometheus.wait("fieldgate_device_up", &["0"]);
    prometheus.wait(&power, &[]);
    image.heal(1);
    prometheus.wait("fieldgate_device_up", &["1"]);
    prometheus.wait(&power, &["4321"]);

    let stored = prometheus.query(&format!("{}[10m]", power.trim()));
    let rows = stored[0]["values"].as_array().expect("a list");
    let mut values: Vec<_> = rows.iter().map(|row| row[1].as_str()).collect();
    values.dedup();
    assert_eq!(values, [Some("1234"), Some("4321")]);
}
