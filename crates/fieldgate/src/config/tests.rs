use proptest::prelude::*;

use std::path::Path;

use fieldgate_broker::Origins;

use super::report::Report;
use super::source::{Sources, file};
use super::{Address, Changes, Config, diff, document, resolve};

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
    let config = sources.and_then(|sources| resolve::resolve(sources, &mut report));
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
    let points = |device: &str| -> Vec<&str> {
        let points = &config.devices[device].points;
        points.iter().map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(points("meter-3"), ["power", "import"]);
    assert_eq!(points("tank"), ["level", "on"]);
    assert_eq!(config.devices["meter-4"].unit, 4);
    assert_eq!(
        config.devices["tank"].points[0].1.address, 7,
        "its own wins"
    );
    assert_eq!(config.devices["tank"].points[0].1.unit, None, "as a whole");
    assert!(config.buses["rtu"].simulated.is_some());
    assert!(config.buses["plc_net"].simulated.is_none());
}

#[test]
fn the_expanded_document_reads_back_as_the_same_configuration() {
    for (main, types) in [
        (PLANT, &[("em3", METER)][..]),
        ("version: 1\ndevices:\nbuses: {}", &[]),
        (SERIAL, &[]),
        (super::gpio::tests::PANEL, &[]),
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
fn five_mistakes_in_one_file_are_reported_together_each_at_its_line() {
    let text = r#"version: 1
gateway: {name: plant7}
defaults: {pol: 1s}
buses:
  plc_net: {tcp: "192.168.1.20:502", modbus: tcp}
devices:
  plc:
    bus: plc_nt
    unit: 300
    points:
      level: {input: 0, as: u17}
      pump: {discrete: 0, write: true}
"#;
    let want = r#"gateway.yaml:3:12: defaults.pol: unknown key; expected one of poll, publish, heartbeat; did you mean "poll"?
gateway.yaml:8:10: devices.plc.bus: unknown bus "plc_nt"; expected plc_net; did you mean "plc_net"?
gateway.yaml:9:11: devices.plc.unit: 300 does not fit: expected a whole number from 0 to 255
gateway.yaml:11:29: devices.plc.points.level.as: unknown name "u17"; expected one of bit(n), u8_high, u8_low, i16, u16, i24, u24, i32, u32, i64, u64, f16, f32, f64, bcd16, bcd32, string(n), bytes(n); did you mean "u16"?
gateway.yaml:12:34: devices.plc.points.pump.write: the discrete table is read-only
5 mistakes"#;
    assert_eq!(load(text, &[]).unwrap_err(), want);
}

#[test]
fn every_kind_of_mistake_has_its_words() {
    let file = |lines: &str| format!("version: 1\n{lines}");
    let device = |text: &str| {
        file(&format!(
            "buses: {{net: {{tcp: \"127.0.0.1:502\"}}}}\ndevices:\n  {text}"
        ))
    };
    for (text, want) in [
        (
            "gateway: {name: a}".to_owned(),
            ":1:1: the key \"version\" is missing; expected version: 1",
        ),
        (
            "version: 2".to_owned(),
            ":1:1: version: 2 is not known; this version reads 1",
        ),
        (
            "version: one".to_owned(),
            ":1:10: version: expected a whole number, not negative, found \"one\"",
        ),
        ("- 1".to_owned(), ":1:1: expected a mapping, found a list"),
        (
            file("gateway: {name: a/b}"),
            ":2:17: gateway.name: `a/b` cannot be part of a topic: `/`, `+` and `#` are not allowed",
        ),
        (
            file("broker: {store: {commit: 11s}}"),
            ":2:18: broker.store.commit: expected a time from 1ms to 10s",
        ),
        (
            file("broker: {store: {retained: 2h}}"),
            ":2:18: broker.store.retained: expected a time from 100ms to 1h",
        ),
        (
            file("broker: {listen: {tcp: 70000}}"),
            ":2:24: broker.listen.tcp: 70000 does not fit: expected a port 0..=65535 or \"address:port\" such as \"127.0.0.1:1883\" or \"[::1]:1883\", or a mapping of port or address, and allow_anonymous",
        ),
        (
            file("broker: {listen: {tls: 8883}}"),
            ":2:19: broker.listen.tls: needs broker.tls with a certificate and a key",
        ),
        (
            file("broker: {listen: {websocket: {prot: 8083}}}"),
            ":2:31: broker.listen.websocket.prot: unknown key; expected one of port, address, allow_anonymous, origins; did you mean \"port\"?",
        ),
        (
            file("broker: {listen: {tcp: {port: 1, origins: []}}}"),
            ":2:34: broker.listen.tcp.origins: unknown key; expected one of port, address, allow_anonymous",
        ),
        (
            file(
                "broker: {listen: {websocket: {port: 8083, origins: [\"https://a.example\", \"b.example\"]}}}",
            ),
            ":2:74: broker.listen.websocket.origins[1]: \"b.example\" does not fit: expected an origin as browsers send it, such as \"https://panel.example\" or \"http://192.168.1.20:8080\", without a path, or \"*\" for all",
        ),
        (
            file("broker: {listen: {websocket: {port: 8083, origins: [\"https://a.example/\"]}}}"),
            ":2:53: broker.listen.websocket.origins[0]: \"https://a.example/\" does not fit: expected an origin as browsers send it, such as \"https://panel.example\" or \"http://192.168.1.20:8080\", without a path, or \"*\" for all",
        ),
        (
            file("broker: {listen: {tcp: {allow_anonymous: true}}}"),
            ":2:19: broker.listen.tcp: expected `port` or `address`",
        ),
        (
            file("broker: {listen: {tcp: {port: 1, address: \"[::1]:1\"}}}"),
            ":2:43: broker.listen.tcp.address: either this or port, not both",
        ),
        (
            file("broker: {listen: {tcp: {address: localhost}}}"),
            ":2:34: broker.listen.tcp.address: \"localhost\" does not fit: expected \"address:port\" such as \"127.0.0.1:1883\" or \"[::1]:1883\"",
        ),
        (
            file("broker: {listen: {tcp: 1883, websocket: {address: \"127.0.0.1:1883\"}}}"),
            ":2:30: broker.listen.websocket: \"tcp\" already listens there",
        ),
        (
            file("broker: {listen: {unix: mqtt.sock}}"),
            ":2:25: broker.listen.unix: \"mqtt.sock\" does not fit: expected the whole path of a socket such as \"/run/fieldgate/mqtt.sock\"",
        ),
        (
            file("broker: {listen: {unix: {path: mqtt.sock}}}"),
            ":2:32: broker.listen.unix.path: expected a whole path, from / on",
        ),
        (
            file("broker: {listen: {tls: 8883}, tls: {certificate: a.pem}}"),
            ":2:31: broker.tls: the key \"key\" is missing",
        ),
        (
            file("broker: {tls: {certificate: a, key: b, client_certificates: optional}}"),
            ":2:61: broker.tls.client_certificates: needs client_ca, the authority that signs them",
        ),
        (
            file(
                "broker: {tls: {certificate: a, key: b, client_ca: c, client_certificates: maybe}}",
            ),
            ":2:75: broker.tls.client_certificates: unknown name \"maybe\"; expected one of required, optional",
        ),
        (
            file("broker: {users: [users.yaml]}"),
            ":2:17: broker.users: expected text, found a list",
        ),
        (
            file("broker: {allow_anonymous: on}"),
            ":2:27: broker.allow_anonymous: expected true or false, found \"on\"",
        ),
        (
            file("broker: {takeover: all}"),
            ":2:20: broker.takeover: unknown name \"all\"; expected one of same_user, any",
        ),
        (
            file("broker: {limits: {memory: 7M}}"),
            ":2:27: broker.limits.memory: expected a size from 8M to 64G",
        ),
        (
            file("broker: {limits: {memroy: 70M}}"),
            ":2:19: broker.limits.memroy: unknown key; expected one of memory, connections, connections_per_address, sessions, sessions_per_user, subscriptions, packet_size, inflight, receive_maximum, queued, queued_bytes, outbox, topic_aliases, connect_timeout, logins, failed_logins, keep_alive, backpressure, session_expiry; did you mean \"memory\"?",
        ),
        (
            file("broker: {limits: {inflight: 70000}}"),
            ":2:29: broker.limits.inflight: expected a number 1..=65535, found 70000",
        ),
        (
            file("mqtt: {payload: sparkplug}"),
            ":2:8: mqtt.payload: \"sparkplug\" is not available in this version",
        ),
        (
            file("mqtt: {topic: \"a/{device}\"}"),
            ":2:8: mqtt.topic: expected {point} once, as a level of its own",
        ),
        (
            file("uplinks: {}"),
            ":2:1: uplinks: not available in this version",
        ),
        (
            file("buses: {a: {serial: {port: /dev/x, baud: 49}, modbus: rtu}}"),
            ":2:42: buses.a.serial.baud: 49 is outside 50..=12000000",
        ),
        (
            file("buses: {a: {tcp: nowhere}}"),
            ":2:18: buses.a.tcp: expected host:port, got `nowhere`",
        ),
        (
            file("buses: {a: {tcp: \"plc:0\", simulated: true}}"),
            ":2:18: buses.a.tcp: a simulated bus listens on an address such as \"127.0.0.1:0\", found \"plc:0\"",
        ),
        (
            file("buses: {a: {tcp: \"plc:502\", simulated: 1}}"),
            ":2:40: buses.a.simulated: expected true or false, found 1",
        ),
        (
            device("a: {bus: nte, unit: 1, points: {p: {coil: 1}}}"),
            ":4:12: devices.a.bus: unknown bus \"nte\"; expected net; did you mean \"net\"?",
        ),
        (
            device("a: {bus: net, unit: 1, type: em4}"),
            ":4:32: devices.a.type: unknown device type \"em4\"; expected em3; did you mean \"em3\"?",
        ),
        (
            device("a: {bus: net, units: [1, 2], type: em3}"),
            ":4:17: devices.a.units: several units need {unit} in the device's name",
        ),
        (
            device("a: {bus: net, units: [1, 1], type: em3}"),
            ":4:24: devices.a.units: 1 is there twice",
        ),
        (
            device("\"a{unit}\": {bus: net, units: [1], unit: 1, type: em3}"),
            ":4:25: devices.a{unit}.units: the device already has `unit`",
        ),
        (
            device("\"a{units}\": {bus: net, unit: 1, type: em3}"),
            ":4:3: devices.a{units}: the only placeholder of a name is {unit}",
        ),
        (
            device("\"a#\": {bus: net, unit: 1, type: em3}"),
            ":4:3: devices.a#: `a#` cannot be part of a topic: `/`, `+` and `#` are not allowed",
        ),
        (
            device(
                "a1: {bus: net, unit: 1, type: em3}\n  \"a{unit}\": {bus: net, units: [1], type: em3}",
            ),
            ":5:3: devices.a{unit}: the device \"a1\" is there already, from a1",
        ),
        (
            device("a: {bus: net, unit: 1, points: {p: {coil: 1, as: bit(3)}}}"),
            ":4:52: devices.a.points.p.as: a coil is one bit and has no type",
        ),
        (
            device(
                "a: {bus: net, unit: 1, points: {p: {holding: 1, as: u16, write: {min: 9, max: 3}}}}",
            ),
            ":4:60: devices.a.points.p.write: min 9 is above max 3",
        ),
        (
            device("a: {bus: net, unit: 1, points: {p: {}}}"),
            ":4:35: devices.a.points.p: expected one of `input`, `holding`, `coil` or `discrete`",
        ),
        (
            device("a: {bus: net, unit: 1, points: {$p: {coil: 1}}}"),
            ":4:35: devices.a.points.$p: `$p` cannot be part of a topic: names that start with $ are reserved",
        ),
        (
            device("a: {bus: net, points: {p: {coil: 1}}}"),
            ":4:3: devices.a: unit: missing; expected `unit` or `units`",
        ),
        (
            device("a: {bus: net, units: [5-3], points: {p: {coil: 1}}}"),
            ":4:25: devices.a.units[0]: \"5-3\" does not fit: expected a unit number 0..=255 or a range such as \"3-10\"",
        ),
        (
            device("a: {serial: {port: COM1}, points: {w: {}}}"),
            ":4:22: devices.a.serial.port: expected a path such as /dev/serial/by-id/usb-…; `ls /dev/serial/by-id` lists them",
        ),
        (
            device("a: {serial: {port: /dev/x}, simulated: {says: []}, points: {w: {}}}"),
            ":4:43: devices.a.simulated.says: expected at least one text",
        ),
        (
            device("a: {serial: {port: /dev/x}, simulated: {say: [b]}, points: {w: {}}}"),
            ":4:43: devices.a.simulated.say: unknown key; expected one of says, every; did you mean \"says\"?",
        ),
        (
            device("a: {parse: nmea, points: {w: {sentence: GGA, field: lat}}}"),
            ":4:3: devices.a: the key \"serial\" is missing",
        ),
        (
            device(
                "a: {serial: {port: /dev/x}, parse: {regex: 'a(?P<kg>b'}, points: {w: {field: kg}}}",
            ),
            ":4:46: devices.a.parse.regex: at character 2: unclosed group",
        ),
        (
            device(
                "a: {serial: {port: /dev/x}, parse: {regex: '(?P<kg>.)'}, points: {w: {field: kgg}}}",
            ),
            ":4:73: devices.a.points.w.field: unknown field \"kgg\"; expected kg; did you mean \"kg\"?",
        ),
        (
            device("a: {serial: {port: /dev/x}, frame: {lime: x}, points: {w: {}}}"),
            ":4:39: devices.a.frame.lime: unknown key; expected one of line, delimiter, length, prefix, stx_etx, silence, start, max, gap, check; did you mean \"line\"?",
        ),
        (
            device(
                "a: {serial: {port: /dev/x}, points: {w: {}}}\n  b: {serial: {port: /dev/x}, points: {w: {}}}",
            ),
            ":5:16: devices.b.serial.port: the device \"a\" has this port already",
        ),
        (
            device("a: {serial: {port: /dev/x}, frame: {line: \"\\xFF\"}, points: {w: {}}}"),
            ":4:45: devices.a.frame.line: `ÿ` is no ASCII character; write its byte as '\\xB0', in single quotes",
        ),
        (
            device(
                "a1: {serial: {port: /dev/x}, points: {w: {}}}\n  \"a{unit}\": {bus: net, units: [1], type: em3}",
            ),
            ":4:3: devices.a1: another device's pattern makes this name",
        ),
        (
            file("types: {em3: {points: {p: {coil: 1}}}}"),
            ":2:9: types.em3: the type is already in types/em3.yaml",
        ),
        (
            file("types: {t: {model: 5, points: {p: {coil: 1}}}}"),
            ":2:20: types.t.model: expected text, found 5",
        ),
    ] {
        let error = load(&text, &[("em3", METER)]).expect_err(&text);
        let (error, _count) = error.rsplit_once('\n').unwrap();
        assert_eq!(error, format!("gateway.yaml{want}"), "{text}");
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
    let config = resolve::resolve(sources, &mut report).unwrap();
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
fn a_mistake_in_a_type_is_reported_with_the_types_file_and_once() {
    let text = "points:\n  power: {inptu: 1, as: f32}\n  import: {input: 1, as: f32, poll: soon}\n";
    let main = "version: 1\nbuses: {net: {tcp: \"h:1\"}}\ndevices: {\"m{unit}\": {type: em3, bus: net, units: 1-9}}";
    let error = load(main, &[("em3", text)]).unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(
        lines[0].starts_with("types/em3.yaml:2:11: points.power.inptu: unknown key"),
        "{error}"
    );
    assert!(
        lines[1].starts_with(
            "types/em3.yaml:3:37: points.import.poll: \"soon\" does not fit: expected a time"
        ),
        "{error}"
    );
}

#[test]
fn an_empty_type_is_a_mistake_even_when_nobody_uses_it() {
    let error = load("version: 1", &[("em3", "# nothing")]).unwrap_err();
    let want = "types/em3.yaml:1:1: the key \"points\" is missing\n1 mistake";
    assert_eq!(error, want);
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
