//! config/home-assistant.md with Home Assistant itself: its orders and its YAML are taken from the document.
//!
//! `tests/home-assistant` installs it and runs this.

mod harness;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io::Write, thread};

use fieldgate_sim::{Exception, Fault, Image, Table, Times, Unit};
use serde_json::{Value, json};

use harness::{
    Folder, free_port,
    gateway::{Gateway, fieldgate},
    http::Http,
    modbus::Simulator,
    process::Process,
    repository,
};

/// It starts in a second, and a busy machine may take its time.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";

/// The blocks of a language in the document.
fn blocks(language: &str) -> Vec<String> {
    let path = repository().join("config/home-assistant.md");
    let text = fs::read_to_string(path).expect("the document");
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    let ends = blocks.filter_map(|block| block.split_once("```"));
    ends.map(|(block, _)| block.to_owned()).collect()
}

/// Adds the document's user.
fn add_user(users: &str) {
    let order = blocks("sh").remove(0);
    let order = order.trim().replace("sudo fieldgate", "\"$FIELDGATE\"");
    let mut child = Command::new("sh")
        .args(["-c", &format!("{order} --stdin --file {users}")])
        .env("FIELDGATE", fieldgate())
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh is there");
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "{PASSWORD}").expect("it reads the password");
    drop(stdin);
    assert!(child.wait().expect("a child").success(), "{order}");
}

fn plant() -> Image {
    let image = Image::new();
    let mut meter = Unit::new();
    meter.set_words(Table::Holding, 0, &[1234, 0, 50_000]);
    image.insert(1, meter);
    let mut plc = Unit::new();
    plc.set_bits(Table::Coil, 0, &[false]);
    plc.set_words(Table::Holding, 5, &[200]);
    image.insert(2, plc);
    image
}

fn mapping(port: u16, bus: u16) -> String {
    format!(
        "version: 1
gateway: {{name: plant7}}
broker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}, users: users.yaml}}
mqtt: {{payload: device}}
defaults: {{poll: 200ms}}
buses:
  net: {{tcp: \"127.0.0.1:{bus}\", timeout: 300ms, offline: {{after: 2, backoff: 200ms..500ms}}}}
devices:
  main-meter:
    bus: net
    unit: 1
    points:
      power: {{holding: 0, as: u16, unit: W}}
      import: {{holding: 1, as: u32, scale: 0.01, unit: kWh}}
  plc:
    bus: net
    unit: 2
    points:
      pump: {{coil: 0, write: true}}
      setpoint: {{holding: 5, as: u16, scale: 0.1, write: true}}
"
    )
}

/// A running Home Assistant, and what its interface is asked with.
struct HomeAssistant {
    process: Process,
    http: Http,
    token: String,
}

impl HomeAssistant {
    /// Starts it with the document's YAML, as a person does who has just installed it.
    fn start(folder: &Folder) -> Self {
        let program = repository().join("tests/.home-assistant/bin/hass");
        assert!(
            program.exists(),
            "Home Assistant is missing: `tests/home-assistant` installs it"
        );
        let port = free_port();
        let text = format!(
            "http: {{server_host: 127.0.0.1, server_port: {port}}}\n{}",
            with_device_message(&blocks("yaml").remove(0))
        );
        folder.write("configuration.yaml", &text);
        let mut command = Command::new(program);
        command.arg("--config").arg(folder.path()).arg("--skip-pip");
        let process = Process::spawn("Home Assistant", &mut command);
        let http = Http {
            address: format!("127.0.0.1:{port}"),
            cookie: None,
        };
        let mut home = Self {
            process,
            http,
            token: String::new(),
        };
        home.wait_for_its_port();
        home.log_in();
        home
    }

    fn wait_for_its_port(&self) {
        let end = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(&self.http.address).is_err() {
            if Instant::now() > end {
                self.process.report();
                panic!("Home Assistant does not listen within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn send(&self, method: &str, path: &str, head: &[&str], body: &str) -> Value {
        let host = format!("Host: {}", self.http.address);
        let mut lines = vec![host.as_str(), "Accept-Encoding: identity"];
        lines.extend(head);
        let answer = self.http.send(method, path, &lines, body);
        if !(200..300).contains(&answer.status) {
            self.process.report();
            panic!("{method} {path}: {answer:?}");
        }
        answer.json()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let token = format!("Authorization: Bearer {}", self.token);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let head = [token.as_str(), "Content-Type: application/json"];
        self.send(method, path, &head, &body)
    }

    /// Makes its first user, as its first page does.
    fn log_in(&mut self) {
        let client = format!("http://{}/", self.http.address);
        let user = json!({"client_id": client, "name": "A", "username": "a", "password": PASSWORD, "language": "en"});
        let made = self.ask("POST", "/api/onboarding/users", &user);
        let code = made["auth_code"].as_str().expect("a code");
        let form = format!("grant_type=authorization_code&code={code}&client_id={client}");
        let head = ["Content-Type: application/x-www-form-urlencoded"];
        let granted = self.send("POST", "/auth/token", &head, &form);
        self.token = granted["access_token"]
            .as_str()
            .expect("a token")
            .to_owned();
    }

    /// *Settings*, *Devices & services*, *Add integration*, *MQTT*.
    fn add_mqtt(&self, port: u16) {
        let begun = self.ask(
            "POST",
            "/api/config/config_entries/flow",
            &json!({"handler": "mqtt"}),
        );
        let step = format!(
            "/api/config/config_entries/flow/{}",
            begun["flow_id"].as_str().expect("a flow")
        );
        let broker = json!({"broker": "127.0.0.1", "port": port, "username": "homeassistant", "password": PASSWORD});
        let added = self.ask("POST", &step, &broker);
        assert_eq!(added["type"], "create_entry", "{added}");
    }

    fn call(&self, service: &str, data: Value) {
        let path = format!("/api/services/{service}");
        self.ask("POST", &path, &data);
    }

    /// Waits until an entity has a state, and returns its attributes.
    fn wait(&self, entity: &str, state: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < end {
            let all = self.ask("GET", "/api/states", &Value::Null);
            let states = all.as_array().expect("a list");
            if let Some(found) = states.iter().find(|one| one["entity_id"] == entity) {
                last = found.clone();
                if found["state"] == state {
                    return found["attributes"].clone();
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.process.report();
        panic!("{entity} is not {state:?} within {PATIENCE:?}: {last}");
    }
}

/// The document's YAML, and a sensor of the device's message as it says below it.
fn with_device_message(yaml: &str) -> String {
    let template = "{{ value_json.points.power }}";
    let path = repository().join("config/home-assistant.md");
    let text = fs::read_to_string(path).expect("the document");
    assert!(text.contains(template), "{text}");
    let sensor = format!(
        "  sensor:\n    - name: Row\n      unique_id: row\n      state_topic: plant7/main-meter\n      value_template: \"{template}\"\n      unit_of_measurement: W\n"
    );
    assert!(yaml.contains("  sensor:\n"), "{yaml}");
    yaml.replacen("  sensor:\n", &sensor, 1)
}

#[test]
fn home_assistant_shows_values_switches_and_says_what_is_away() {
    let image = plant();
    let simulator = Simulator::start(image.clone());
    let (port, folder) = (free_port(), Folder::new());
    add_user(&folder.path().join("users.yaml").display().to_string());
    let text = mapping(port, simulator.port);
    let mut gateway = Gateway::start_text(port, &text, folder);

    let config = Folder::new();
    let home = HomeAssistant::start(&config);
    home.add_mqtt(port);

    let power = home.wait("sensor.power", "1234");
    assert_eq!(
        (&power["unit_of_measurement"], &power["device_class"]),
        (&json!("W"), &json!("power"))
    );
    let energy = home.wait("sensor.energy", "500");
    assert_eq!(energy["state_class"], "total_increasing");
    home.wait("sensor.row", "1234");
    image.with(1, |meter| meter.set_words(Table::Holding, 0, &[4321]));
    home.wait("sensor.power", "4321");
    home.wait("sensor.row", "4321");

    let failure = Fault::Exception(Exception::DeviceFailure);
    image.inject(1, failure, Times::Always);
    home.wait("sensor.power", "unknown");
    home.wait("sensor.row", "unknown");
    image.heal(1);
    home.wait("sensor.power", "4321");
    home.wait("sensor.row", "4321");

    home.wait("switch.pump", "off");
    home.call("switch/turn_on", json!({"entity_id": "switch.pump"}));
    home.wait("switch.pump", "on");
    let coil = image.with(2, |plc| plc.bits(Table::Coil, 0, 1, Duration::ZERO));
    assert_eq!(coil, Some(Some(vec![true])));
    home.wait("number.setpoint", "20");
    let wanted = json!({"entity_id": "number.setpoint", "value": 21.5});
    home.call("number/set_value", wanted);
    home.wait("number.setpoint", "21.5");
    let word = image.with(2, |plc| plc.words(Table::Holding, 5, 1, Duration::ZERO));
    assert_eq!(word, Some(Some(vec![215])));

    image.inject(2, failure, Times::Always);
    home.wait("switch.pump", "unknown");
    home.wait("number.setpoint", "unknown");
    image.inject(2, Fault::Silence, Times::Always);
    home.wait("switch.pump", "unavailable");
    home.wait("sensor.power", "4321");
    image.heal(2);
    home.wait("switch.pump", "on");

    gateway.process.kill();
    home.wait("sensor.power", "unavailable");
    let again = Folder::new();
    add_user(&again.path().join("users.yaml").display().to_string());
    let _gateway = Gateway::start_text(port, &text, again);
    home.wait("sensor.power", "4321");
    home.wait("switch.pump", "on");
}
