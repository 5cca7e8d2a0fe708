use super::*;
use crate::address::Address;
use crate::app::{Field, Function};
use fieldgate_bridge::{Claim, Defaults, Misfit};
use fieldgate_model::Decimal;
use std::time::Duration;

fn bus(yaml: &str) -> Result<MbusBusEntry, String> {
    serde_yaml::from_str(yaml).map_err(|error| error.to_string())
}

fn device(yaml: &str) -> Result<MbusConfig, Vec<Misfit>> {
    let entry: MbusEntry = serde_yaml::from_str(yaml).unwrap();
    entry.resolve("flat-12", None, &Defaults::default())
}

#[test]
fn a_bus_has_the_times_of_the_standard_if_nothing_else_is_said() {
    for (yaml, transport, timeout_ms, claim) in [
        (
            "{serial: /dev/ttyUSB0}",
            Transport::Serial("/dev/ttyUSB0".into()),
            337,
            Claim::new(&["serial"], "port", "/dev/ttyUSB0"),
        ),
        (
            "{serial: /dev/ttyUSB0, baud: 300}",
            Transport::Serial("/dev/ttyUSB0".into()),
            1_300,
            Claim::new(&["serial"], "port", "/dev/ttyUSB0"),
        ),
        (
            "{tcp: \"192.168.1.50:10001\"}",
            Transport::Tcp("192.168.1.50:10001".into()),
            1_187,
            Claim::new(&["tcp"], "address", "192.168.1.50:10001"),
        ),
        (
            "{tcp: \"converter:10001\", timeout: 2s, retries: 0}",
            Transport::Tcp("converter:10001".into()),
            2_000,
            Claim::new(&["tcp"], "address", "converter:10001"),
        ),
    ] {
        let bus = bus(yaml).unwrap();
        assert_eq!(bus.transport, transport);
        assert_eq!(bus.timeout.as_millis(), timeout_ms, "{yaml}");
        assert_eq!(bus.claims(), [claim]);
    }
    let slow = bus("{serial: /dev/ttyUSB0, baud: 300}").unwrap();
    assert_eq!(slow.times().frame.as_secs(), 19);
}

#[test]
fn a_wrong_bus_is_refused_by_key() {
    for (yaml, want) in [
        ("{}", "expected `serial` or `tcp`"),
        (
            "{serial: /p, tcp: \"a:1\"}",
            "tcp: the bus already has `serial`",
        ),
        ("{serial: ttyUSB0}", "serial: expected a path"),
        ("{tcp: converter}", "tcp: expected host:port"),
        ("{tcp: \"converter:0\"}", "tcp: port `0` is outside"),
        ("{serial: /p, baud: 1}", "baud: 1 is outside"),
        (
            "{serial: /p, timeout: 100ms}",
            "timeout: must be at least 187ms",
        ),
        ("{serial: /p, timeout: 61s}", "timeout: must be at most 60s"),
        ("{serial: /p, retries: 11}", "retries: must be at most 10"),
        (
            "{serial: /p, late: 100ms}",
            "late: must be at least `timeout`",
        ),
        (
            "{tcp: \"a:1\", parity: none}",
            "parity: only a serial port has it",
        ),
        ("{serial: /p, parity: high}", "unknown variant `high`"),
        ("{serial: /p, speed: 1}", "unknown field `speed`"),
    ] {
        let error = bus(yaml).unwrap_err();
        assert!(error.contains(want), "{yaml}: {error}");
    }
}

#[test]
fn a_meter_is_read_with_everything_decided() {
    let config = device(
        "
bus: heating
address: 12
points:
  energy: {quantity: energy, unit: kWh, deadband: 1}
  energy_by_number: {record: 0}
  due: {quantity: energy, storage: 1, tariff: 2, subunit: 3, function: maximum}
  serial_no: {header: id}
  back: {quantity: energy, qualifier: negative_only, unit: kWh}
  humidity: {text: \"%RH\", unit: \"%\"}
  phase: {vif: fdc9FF01, scale: 0.1, offset: -1, heartbeat: 60s}
  gas: {quantity: volume, scale: 10.5, unit: kWh}
",
    )
    .unwrap();
    assert_eq!(config.address, Address::Primary(12));
    assert_eq!(config.poll, Duration::from_secs(300));
    let source = |name: &str| {
        let point = config.points.iter().find(|(own, _)| own == name);
        point.unwrap().1.source.clone()
    };
    let selector = |what, qualifier: Option<&str>| Selector {
        what,
        storage: 0,
        tariff: 0,
        subunit: 0,
        function: Function::Instantaneous,
        qualifier: qualifier.map(str::to_owned),
    };
    let energy = || What::Quantity("energy".into());
    let due = Selector {
        storage: 1,
        tariff: 2,
        subunit: 3,
        function: Function::Maximum,
        ..selector(energy(), None)
    };
    for (name, want) in [
        ("energy", Source::Like(selector(energy(), None))),
        ("energy_by_number", Source::Record(0)),
        ("due", Source::Like(due)),
        ("serial_no", Source::Header(Field::Id)),
        (
            "back",
            Source::Like(selector(energy(), Some("negative_only"))),
        ),
        (
            "humidity",
            Source::Like(selector(What::Text("%RH".into()), None)),
        ),
        (
            "phase",
            Source::Like(selector(What::Vif(vec![0xFD, 0xC9, 0xFF, 1]), None)),
        ),
    ] {
        assert_eq!(source(name), want, "{name}");
    }
    let settings = config.settings(7);
    assert_eq!((settings.offline_after, settings.rules.len()), (3, 8));
    let models = config.model_points();
    assert_eq!(
        (models[0].unit.as_deref(), models[0].writable),
        (Some("kWh"), false)
    );
}

#[test]
fn all_mistakes_of_a_meter_are_told_at_once_with_their_place() {
    let misfits = device(
        "
bus: heating
address: 251
telegrams: 33
offline: {after: 0}
points:
  none: {unit: kWh}
  both: {record: 0, header: id}
  more: {record: 0, storage: 1}
  wrong: {quantity: enrgy}
  unfit: {quantity: energy, unit: m3}
  unitless: {header: id, unit: kWh}
  other: {quantity: energy, qualifier: negativ_only}
  hex: {vif: F}
  zero: {record: 0, scale: 0}
  names: {record: 0, enum: {on: true}}
",
    )
    .unwrap_err();
    let told: Vec<_> = misfits
        .iter()
        .map(|misfit| format!("{}: {}", misfit.path.join("."), misfit.message))
        .collect();
    for (told, want) in told.iter().zip([
        "address: 251 is outside 0..=250",
        "telegrams: expected 1 to 32",
        "offline.after: must be at least 1",
        "points.none: expected `quantity`, `record`, `header`, `text` or `vif`",
        "points.both.header: the point already has `record`",
        "points.more.storage: not with `record`, which names one by itself",
        "points.wrong.quantity: unknown quantity \"enrgy\"",
        "points.unfit.unit: energy cannot be given in `m3`; meters send it in J, Wh, cal",
        "points.unitless.unit: what is in the header has no unit",
        "points.other.qualifier: unknown qualifier \"negativ_only\"",
        "points.hex.vif: expected bytes such as \"FD47\"",
        "points.zero.scale: must not be 0",
        "points.names.enum: `on` is no number",
    ]) {
        assert!(told.starts_with(want), "{told}, not {want}");
    }
    assert_eq!(told.len(), 13, "{told:#?}");
    let (_, known) = misfits[6].known.as_ref().unwrap();
    assert!(known.iter().any(|name| name == "energy"));
}

#[test]
fn an_address_is_one_of_two_kinds() {
    let points = "points: {a: {record: 0}}";
    for (keys, want) in [
        ("", "expected `address` or `secondary`"),
        (
            "address: 1, secondary: \"12345678\",",
            "the device already has `address`",
        ),
        ("secondary: \"1234\",", "expected 8 digits"),
        ("address: -1,", "-1 is outside 0..=250"),
    ] {
        let misfits = device(&format!("{{bus: b, {keys} {points}}}")).unwrap_err();
        assert_eq!(misfits.len(), 1);
        assert!(misfits[0].message.starts_with(want), "{misfits:?}");
    }
    let config = device(&format!("{{bus: b, secondary: \"1234567F\", {points}}}")).unwrap();
    assert_eq!(config.address.to_string(), "secondary 1234567F");
    let misfits = device("{bus: b, address: 1}").unwrap_err();
    assert_eq!(misfits[0].path, ["points"]);
}

#[test]
fn a_type_gives_points_and_a_device_replaces_them_by_name() {
    let kind: MbusType = serde_yaml::from_str(
        "{poll: 1h, telegrams: 2, points: {energy: {record: 0}, volume: {record: 1}}}",
    )
    .unwrap();
    let entry: MbusEntry = serde_yaml::from_str(
        "{bus: b, type: heat, address: 1, points: {volume: {record: 5}, status: {header: status}}}",
    )
    .unwrap();
    assert_eq!(entry.kind.as_deref(), Some("heat"));
    let config = entry
        .resolve("a", Some(&kind), &Defaults::default())
        .unwrap();
    assert_eq!(
        (config.poll, config.telegrams),
        (Duration::from_secs(3600), 2)
    );
    let points: Vec<_> = config
        .points
        .iter()
        .map(|(name, point)| (name.as_str(), point.source.clone()))
        .collect();
    assert_eq!(
        points,
        [
            ("energy", Source::Record(0)),
            ("volume", Source::Record(5)),
            ("status", Source::Header(Field::Status)),
        ]
    );
    assert_eq!(config.points[0].1.scale, Decimal::ONE);
}
