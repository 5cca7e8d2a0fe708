//! Mistakes in a configuration: all of them, each at its place and in its words.

use super::*;

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
    let want = r#"gateway.yaml:3:12: defaults.pol: unknown key; expected one of poll, publish, heartbeat, together; did you mean "poll"?
gateway.yaml:8:10: devices.plc.bus: unknown bus "plc_nt"; expected plc_net; did you mean "plc_net"?
gateway.yaml:9:11: devices.plc.unit: invalid value 300; expected a whole number from 0 to 255
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
            file("broker: {local_networks: [\"172.17.0.0/16\", \"172.18.0.0\"]}"),
            ":2:44: broker.local_networks[1]: expected a network such as 172.17.0.0/16",
        ),
        (
            file("buses: {net: {tcp: \"127.0.0.1:1883\", simulated: true}}"),
            ":2:15: buses.net.tcp: broker.listen.tcp already listens there: its port is 1883 where it is not written",
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
            ":2:24: broker.listen.tcp: invalid value 70000; expected a port 0..=65535 or \"address:port\" such as \"127.0.0.1:1883\" or \"[::1]:1883\", or a mapping of port or address, and allow_anonymous",
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
            ":2:74: broker.listen.websocket.origins[1]: invalid value \"b.example\"; expected an origin as browsers send it, such as \"https://panel.example\" or \"http://192.168.1.20:8080\", without a path, or \"*\" for all",
        ),
        (
            file("broker: {listen: {websocket: {port: 8083, origins: [\"https://a.example/\"]}}}"),
            ":2:53: broker.listen.websocket.origins[0]: invalid value \"https://a.example/\"; expected an origin as browsers send it, such as \"https://panel.example\" or \"http://192.168.1.20:8080\", without a path, or \"*\" for all",
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
            ":2:34: broker.listen.tcp.address: invalid value \"localhost\"; expected \"address:port\" such as \"127.0.0.1:1883\" or \"[::1]:1883\"",
        ),
        (
            file("broker: {listen: {tcp: 1883, websocket: {address: \"127.0.0.1:1883\"}}}"),
            ":2:30: broker.listen.websocket: broker.listen.tcp at line 2 already listens there",
        ),
        (
            file("broker: {listen: {unix: mqtt.sock}}"),
            ":2:25: broker.listen.unix: invalid value \"mqtt.sock\"; expected the whole path of a socket such as \"/run/fieldgate/mqtt.sock\"",
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
            file("mqtt: {points: false}"),
            ":2:8: mqtt.points: without payload: device nothing would be published",
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
            ":4:32: devices.a.type: unknown device type \"em4\"; expected em3, or one that `fieldgate types` lists; did you mean \"em3\"?",
        ),
        (
            device("a: {bus: net, units: [1, 2], type: em3}"),
            ":4:17: devices.a.units: several units need {unit} in the device's name",
        ),
        (
            device("a: {bus: net, units: [1, 1], type: em3}"),
            ":4:24: devices.a.units: duplicate unit 1",
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
            ":4:25: devices.a.units[0]: invalid value \"5-3\"; expected a unit number 0..=255 or a range such as \"3-10\"",
        ),
        (
            device("a: {serial: {port: COM1}, points: {w: {}}}"),
            ":4:22: devices.a.serial.port: expected a path such as /dev/serial/by-id/usb-…, got `COM1`; `ls /dev/serial/by-id` lists them",
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
            ":5:16: devices.b.serial.port: this port is already in use by devices.a.serial.port at line 4",
        ),
        (
            device("a: {serial: {port: /dev/x}, frame: {line: \"\\xFF\"}, points: {w: {}}}"),
            ":4:45: devices.a.frame.line: `ÿ` is no ASCII character; write its bytes as '\\xFF', in single quotes",
        ),
        (
            device(
                "a1: {serial: {port: /dev/x}, points: {w: {}}}\n  \"a{unit}\": {bus: net, units: [1], type: em3}",
            ),
            ":5:3: devices.a{unit}: the device \"a1\" is there already, from a1",
        ),
        (
            file("types: {em3: {points: {p: {coil: 1}}}}"),
            ":2:9: types.em3: the type is already in types/em3.yaml",
        ),
        (
            file("types: {t: {model: 5, points: {p: {coil: 1}}}}"),
            ":2:20: types.t.model: expected text, found 5",
        ),
        (
            file("buses: {net: {protocol: modbuss, tcp: \"h:1\"}}"),
            ":2:25: buses.net.protocol: unknown protocol \"modbuss\"; expected one of mbus, modbus; did you mean \"modbus\"?",
        ),
        (
            file(
                "buses: {net: {protocol: mbus, tcp: \"h:1\"}}\ndevices: {m: {bus: net, address: 1, type: em3}}",
            ),
            ":3:37: devices.m.type: this is a type of modbus; the device speaks mbus",
        ),
        (
            file(
                "buses: {net: {protocol: mbus, tcp: \"h:1\"}}\ndevices: {m: {bus: net, address: 999, points: {e: {quantity: energy}}}}",
            ),
            ":3:25: devices.m.address: 999 is outside 0..=250",
        ),
        (
            file("types: {t: {protocol: gpio, points: {p: {coil: 1}}}}"),
            ":2:23: types.t.protocol: unknown protocol \"gpio\"; expected one of mbus, modbus",
        ),
    ] {
        let error = load(&text, &[("em3", METER)]).expect_err(&text);
        let (error, _count) = error.rsplit_once('\n').unwrap();
        assert_eq!(error, format!("gateway.yaml{want}"), "{text}");
    }
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
            "types/em3.yaml:3:37: points.import.poll: invalid value \"soon\"; expected a time"
        ),
        "{error}"
    );
}

#[test]
fn an_empty_type_is_a_mistake_even_if_no_device_uses_it() {
    let error = load("version: 1", &[("em3", "# nothing")]).unwrap_err();
    let want = "types/em3.yaml:1:1: the key \"points\" is missing\n1 mistake";
    assert_eq!(error, want);
}

#[test]
fn what_two_want_is_found_over_all_bridges_with_both_places() {
    let port = "{port: /dev/ttyUSB0}";
    let text = format!(
        r#"version: 1
broker: {{listen: {{tcp: 1883}}}}
buses:
  first: {{serial: {port}, modbus: rtu}}
  second: {{serial: {port}, modbus: rtu}}
  played: {{serial: {port}, modbus: rtu, simulated: true}}
  near: {{tcp: "127.0.0.1:1883", modbus: tcp, simulated: true}}
  any: {{tcp: "127.0.0.1:0", modbus: tcp, simulated: true}}
  other: {{tcp: "127.0.0.1:0", modbus: tcp, simulated: true}}
devices:
  scale: {{serial: {port}, points: {{w: {{}}}}}}
  drill: {{serial: {port}, simulated: {{says: [x]}}, points: {{w: {{}}}}}}
  panel: {{gpio: {{}}, points: {{a: {{in: GPIO17}}, b: {{in: GPIO17}}}}}}
  board: {{gpio: {{chip: x}}, points: {{a: {{out: GPIO17}}, b: {{in: GPIO18}}}}}}
  apart: {{gpio: {{simulated: true}}, points: {{a: {{in: GPIO17}}}}}}
"#
    );
    let want = "gateway.yaml:5:21: buses.second.serial.port: this port is already in use by buses.first.serial.port at line 4
gateway.yaml:7:10: buses.near.tcp: broker.listen.tcp at line 2 already listens there
gateway.yaml:11:20: devices.scale.serial.port: this port is already in use by buses.first.serial.port at line 4
gateway.yaml:13:51: devices.panel.points.b.in: this line is already in use by devices.panel.points.a.in at line 13
gateway.yaml:14:41: devices.board.points.a.out: this line is already in use by devices.panel.points.a.in at line 13
5 mistakes";
    assert_eq!(load(&text, &[]).unwrap_err(), want);
}

#[test]
fn all_that_does_not_fit_in_a_modbus_device_is_told_at_once_each_at_its_line() {
    let kind = "points:
  power: {input: 1, as: i16, scale_from: fs}
  energy: {input: 2, as: u64}
  sf: {input: 9, as: i16}
";
    let text = r#"version: 1
buses: {net: {tcp: "h:1"}}
types:
  inline: {points: {a: {input: 1, as: i16, scale_from: b}}}
devices:
  "m{unit}":
    {type: em3, bus: net, units: 1-3, modbus: {max_registers: 2}}
  plc:
    bus: net
    unit: 1
    modbus: {max_registers: 3}
    points:
      a: {input: 0, as: i16, scale_from: bb}
      b: {input: 1, as: f32}
      c: {input: 0, as: i16, scale_from: b}
      d: {holding: 0, as: string(8)}
  tank: {type: inline, bus: net, unit: 9}
"#;
    let want = r#"gateway.yaml:4:44: types.inline.points.a.scale_from: unknown point "b"
gateway.yaml:7:48: devices.m{unit}.modbus.max_registers: the point `energy` needs 4 registers
gateway.yaml:13:30: devices.plc.points.a.scale_from: unknown point "bb"
gateway.yaml:15:30: devices.plc.points.c.scale_from: `b` is no plain integer
gateway.yaml:16:23: devices.plc.points.d.as: needs 4 registers, more than max_registers 3
types/em3.yaml:2:30: points.power.scale_from: unknown point "fs"; expected one of energy, sf; did you mean "sf"?
6 mistakes"#;
    assert_eq!(load(text, &[("em3", kind)]).unwrap_err(), want);
}

#[test]
fn a_duplicate_key_or_a_broken_line_hides_none_of_the_mistakes_before_it() {
    let good = "version: 1
gateway: {name: a/b}
buses: {net: {tcp: nowhere}}
types: {tank: {points: {p: {input: 0, as: u17}}}}
devices:
  plc:
    bus: net
    unit: 300
    points:
      pump: {discrete: 0, write: true}
";
    let places = [":2:17:", ":3:20:", ":4:43:", ":8:11:", ":10:34:"];
    for (more, own) in [
        (
            "  plc: {bus: net}\n",
            vec![":11:3: the key \"plc\" is already at line 6"],
        ),
        (
            "    unit: 4\n",
            vec![":11:5: the key \"unit\" is already at line 8"],
        ),
        // Where the file breaks off, nothing is missed: not a bus, a point, a version or a bridge's own key.
        ("  a: {bus: later, unit: 1, points: {p: {", vec![":12:"]),
        ("  a: {timeout: 1s, serial\n  b: c: d\n", vec![":12:"]),
        ("broker: {listen: {tls: 8883}, \n", vec![":12:"]),
        ("  scale: {serial: {port: 5}\n", vec![":12:", ":11:26:"]),
    ] {
        let error = load(&format!("{good}{more}"), &[]).unwrap_err();
        let mut want: Vec<&str> = places.into_iter().chain(own).collect();
        let lines: Vec<&str> = error.lines().collect();
        want.retain(|want| {
            !lines
                .iter()
                .any(|line| line.starts_with(&format!("gateway.yaml{want}")))
        });
        assert_eq!(want, [""; 0], "{more}: {error}");
        let count = places.len() + if more.contains("scale") { 2 } else { 1 };
        assert_eq!(lines.len(), count + 1, "{more}: {error}");
    }
    let error = load("buses: {a: {tcp: nowhere}}\nversion: 1: 2", &[]).unwrap_err();
    assert!(error.ends_with("2 mistakes"), "{error}");
}
