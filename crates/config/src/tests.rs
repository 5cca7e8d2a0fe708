mod console;
mod gpio;
mod history;
mod mistakes;

use proptest::prelude::*;

use std::path::Path;

use fieldgate_bridge_gpio::Lines;
use fieldgate_bridge_modbus::Buses;
use fieldgate_bridge_serial::Instruments;
use fieldgate_broker::Origins;

use super::kinds::{Kinds, Of};
use super::report::Report;
use super::source::{Sources, file};
use super::{Address, Changes, Config, diff, document, resolve};

/// The bridges of the daemon.
pub(crate) const KINDS: Kinds = Kinds(&[
    Of::<Lines>::KIND,
    Of::<Instruments>::KIND,
    Of::<fieldgate_bridge_mbus::MbusLines>::KIND,
    Of::<Buses>::KIND,
]);

/// Device types as if they were files beside the main one.
fn sources(main: &str, types: &[(&str, &str)], report: &mut Report) -> Option<Sources> {
    let main = file("gateway.yaml", main, report)?;
    let types = types.iter().filter_map(|(name, text)| {
        let file = file(&format!("types/{name}.yaml"), text, report)?;
        Some(((*name).to_owned(), file))
    });
    let types = types.collect();
    Some(Sources {
        main,
        types,
        broken: Vec::new(),
    })
}

/// The configuration of a main file and of device types, or its mistakes as they are printed.
pub(crate) fn load(main: &str, types: &[(&str, &str)]) -> Result<Config, String> {
    let mut report = Report::default();
    let sources = sources(main, types, &mut report);
    let config = sources.and_then(|sources| resolve::resolve(sources, KINDS, &mut report));
    match config {
        Some(config) if report.is_empty() => Ok(config),
        _ => Err(report.to_string()),
    }
}

const METER: &str = "
manufacturer: ACME
model: EM3
source: manual, table 4
modbus: {order: CDAB, max_gap: 4}
points:
  power: {input: 0x34, as: f32, unit: W, deadband: 5}
  import: {input: 0x48, as: f32, unit: kWh, poll: 10s}
";

const PLANT: &str = r#"
version: 1
gateway: {name: plant7}
broker: {listen: {tcp: "127.0.0.1:1883"}, allow_anonymous: true}
mqtt: {topic: "site/{gateway}/{device}/{point}", payload: raw}
defaults: {poll: 2s, heartbeat: 60s}
types:
  tank: {points: {level: {input: 0, as: u16, scale: 0.01, unit: m}}}
buses:
  rtu: {tcp: "127.0.0.1:0", modbus: tcp, simulated: true, offline: {after: 2, backoff: 2s..30s}}
  plc_net: {tcp: "192.168.1.20:502"}
devices:
  meter-{unit}: {type: em3, bus: rtu, units: [1, "3-4"]}
  tank: {type: tank, bus: plc_net, unit: 9, points: {level: {input: 7, as: u16}, "on": {coil: 2}}}
  plc:
    bus: plc_net
    unit: 1
    modbus: {order: BADC}
    points:
      pump: {coil: 0, write: true, readback: 2s}
      setpoint: {holding: 10, as: f32, unit: "°C", write: {min: 0, max: 80}}
"#;

const SERIAL: &str = r#"
version: 1
devices:
  scale:
    serial: {port: /dev/ttyUSB0}
    frame: {line: "\r\n", max: 64}
    request: {send: "P\r\n", every: 1s, timeout: 500ms}
    parse: {regex: '^(?P<st>ST|US),GS,\s*(?P<kg>[-+]?\d+\.\d+)\s*kg$'}
    points:
      weight: {field: kg, as: decimal, unit: kg, deadband: 0.002}
      stable: {field: st, enum: {"ST": true, "US": false}}
  gps:
    serial: {port: /dev/gps0}
    parse: nmea
    points:
      position: {sentence: GGA, fields: [lat, lon, alt, sats]}
"#;

#[test]
fn a_reload_restarts_the_serial_devices_that_changed() {
    let old = load(SERIAL, &[]).unwrap();
    assert!(diff(&old, &old).is_empty());
    let names = |names: &std::collections::BTreeSet<String>| -> Vec<String> {
        names.iter().cloned().collect()
    };
    for (from, to, want) in [
        ("alt, sats", "alt", [vec![], vec!["gps"], vec![]]),
        (
            "parse: nmea",
            "parse: nmea\n    simulated: {says: [a]}",
            [vec![], vec!["gps"], vec![]],
        ),
        ("every: 1s", "every: 2s", [vec![], vec!["scale"], vec![]]),
        ("gps:", "boat:", [vec!["boat"], vec![], vec!["gps"]]),
    ] {
        let new = load(&SERIAL.replace(from, to), &[]).unwrap();
        let changes = diff(&old, &new);
        let got = [&changes.added, &changes.changed, &changes.removed].map(names);
        assert_eq!(got, want, "{from}");
    }
}

#[test]
fn types_patterns_and_defaults_are_applied() {
    let config = load(PLANT, &[("em3", METER)]).unwrap();
    let names: Vec<&str> = config.devices.keys().map(String::as_str).collect();
    assert_eq!(names, ["meter-1", "meter-3", "meter-4", "plc", "tank"]);
    assert_eq!(config.topics.point("plc", "pump"), "site/plant7/plc/pump");
    let points = |device: &str| config.points(device);
    assert_eq!(points("meter-3"), ["power", "import"]);
    assert_eq!(points("tank"), ["level", "on"]);
    let modbus = |name: &str| config.devices[name].of::<Buses>().unwrap();
    assert_eq!(modbus("meter-4").unit, 4);
    let level = &modbus("tank").points[0].1;
    assert_eq!(level.address, 7, "its own wins");
    assert_eq!(level.unit, None, "as a whole");
    assert!(config.buses["rtu"].simulated.is_some());
    assert!(config.buses["plc_net"].simulated.is_none());
}

#[test]
fn the_expanded_document_reads_back_as_the_same_configuration() {
    for (main, types) in [
        (PLANT, &[("em3", METER)][..]),
        ("version: 1\ndevices:\nbuses: {}", &[]),
        (SERIAL, &[]),
        (gpio::PANEL, &[]),
    ] {
        let mut report = Report::default();
        let sources = sources(main, types, &mut report).unwrap();
        let text = serde_yaml::to_string(&document(&sources)).unwrap();
        assert!(
            !text.contains("type:") && !text.contains("{unit}"),
            "{text}"
        );
        assert_eq!(load(&text, &[]), load(main, types), "{text}");
    }
}

#[test]
fn listeners_are_ports_addresses_paths_or_mappings_of_them() {
    let text = r#"
version: 1
broker:
  listen:
    tcp: {address: "127.0.0.1:1883"}
    tls: 8883
    websocket: {port: 8083, allow_anonymous: true, origins: ["https://a.example", "http://[::1]:8080", "null"]}
    websocket_tls: "[::1]:8084"
    unix: {path: /run/fieldgate/mqtt.sock, allow_anonymous: false}
  tls: {certificate: broker.pem, key: /etc/key.pem, client_ca: ca.pem, client_certificates: optional}
"#;
    let config = load(text, &[]).unwrap();
    let listeners: Vec<_> = config
        .listen
        .addressed()
        .map(|(key, entry)| {
            (
                key,
                entry.place.address,
                entry.allow_anonymous,
                entry.place.origins,
            )
        })
        .collect();
    let one = |text: &str| Address::One(text.parse().unwrap());
    let named = ["https://a.example", "http://[::1]:8080", "null"];
    let named = Origins::These(named.map(String::from).into());
    let want = [
        ("tcp", one("127.0.0.1:1883"), None, Origins::SameHost),
        ("tls", Address::Port(8883), None, Origins::SameHost),
        ("websocket", Address::Port(8083), Some(true), named),
        ("websocket_tls", one("[::1]:8084"), None, Origins::SameHost),
    ];
    assert_eq!(listeners, want);
    let any = text.replace("\"null\"]", "\"*\"]");
    let any = load(&any, &[]).unwrap().listen.websocket.unwrap();
    assert_eq!(any.place.origins, Origins::Any);
    let unix = config.listen.unix.unwrap();
    assert_eq!(unix.place.0, Path::new("/run/fieldgate/mqtt.sock"));
    assert_eq!(unix.allow_anonymous, Some(false));
    let tls = config.tls.unwrap();
    let client_ca = tls.client_ca.unwrap();
    assert_eq!(tls.key, Path::new("/etc/key.pem"));
    assert!(!client_ca.required);

    // The files are beside the configuration's, wherever that is.
    let mut report = Report::default();
    let mut sources = sources(text, &[], &mut report).unwrap();
    sources.main.name = "/etc/fieldgate/gateway.yaml".to_owned();
    let config = resolve::resolve(sources, KINDS, &mut report).unwrap();
    let certificate = config.tls.unwrap().certificate;
    assert_eq!(certificate, Path::new("/etc/fieldgate/broker.pem"));

    let text = "version: 1\nbroker: {listen: {unix: /run/s}}";
    let config = load(text, &[]).unwrap();
    assert_eq!(config.listen.addressed().count(), 0, "tcp is named or off");
    let required = "version: 1\nbroker: {tls: {certificate: a, key: b, client_ca: c}}";
    let tls = load(required, &[]).unwrap().tls.unwrap();
    assert!(tls.client_ca.unwrap().required);
}

#[test]
fn a_reload_touches_only_what_changed() {
    let types = [("em3", METER)];
    let old = load(PLANT, &types).unwrap();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (from, to, want) in [
        ("", "", Changes::default()),
        ("# nothing", "# else", Changes::default()),
        ("scale: 0.01", "scale: 0.1", Changes::default()),
        (
            "max: 80",
            "max: 90",
            Changes {
                changed: set(&["plc"]),
                ..Changes::default()
            },
        ),
        (
            "unit: 9",
            "unit: 8",
            Changes {
                changed: set(&["tank"]),
                ..Changes::default()
            },
        ),
        (
            "\"3-4\"",
            "3, 5",
            Changes {
                removed: set(&["meter-4"]),
                added: set(&["meter-5"]),
                ..Changes::default()
            },
        ),
        (
            "after: 2",
            "after: 3",
            Changes {
                changed: set(&["meter-1", "meter-3", "meter-4"]),
                buses: set(&["rtu"]),
                ..Changes::default()
            },
        ),
        (
            "poll: 2s",
            "poll: 3s",
            Changes {
                changed: set(&["meter-1", "meter-3", "meter-4", "plc", "tank"]),
                ..Changes::default()
            },
        ),
        (
            "1883",
            "1884",
            Changes {
                need_restart: vec!["broker.listen"],
                ..Changes::default()
            },
        ),
        (
            "allow_anonymous: true",
            "allow_anonymous: true, takeover: any",
            Changes {
                need_restart: vec!["broker.takeover"],
                ..Changes::default()
            },
        ),
        (
            "allow_anonymous: true",
            "allow_anonymous: true, limits: {memory: 64M}",
            Changes {
                need_restart: vec!["broker.limits"],
                ..Changes::default()
            },
        ),
        (
            "plant7",
            "plant8",
            Changes {
                need_restart: vec!["gateway.name"],
                ..Changes::default()
            },
        ),
        (
            "payload: raw",
            "payload: json",
            Changes {
                need_restart: vec!["mqtt.payload"],
                ..Changes::default()
            },
        ),
    ] {
        let text = PLANT.replace(from, to);
        let mut new = load(&text, &types).unwrap();
        let changes = diff(&old, &new);
        assert_eq!(changes, want, "{from} -> {to}");
        new.keep(&old);
        assert!(diff(&old, &new).need_restart.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What an editor, a slip of the hand or a bad card makes of a good file.
    #[test]
    fn a_spoilt_file_is_read_or_reported_and_never_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..30, "[ -~\n\t]{0,8}|units|-1|0x|\\{|\\}|: |[0-9]{1,40}"), 1..4),
    ) {
        let mut text: Vec<char> = PLANT.chars().collect();
        for (at, length, with) in cuts {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(report) = load(&text, &[("em3", METER)]) {
            let (lines, count) = report.rsplit_once('\n').unwrap();
            let lines = lines.lines().count().to_string();
            prop_assert_eq!(count.split(' ').next(), Some(lines.as_str()), "{}", report);
        }
    }
}
