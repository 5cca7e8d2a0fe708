use super::*;
use crate::{Data, DeviceEntry, decode};
use fieldgate_bridge::Defaults;

/// A device whose points are written as in the file.
fn device(points: &str) -> DeviceConfig {
    let text = format!("{{bus: b, unit: 3, points: {{{points}}}}}");
    let entry: DeviceEntry = serde_yaml::from_str(&text).unwrap();
    entry.resolve("d", 3, None, &Defaults::default()).unwrap()
}

/// What the simulated device answers for each of its points.
fn values(device: &DeviceConfig, unit: &Unit, now: Duration) -> Vec<String> {
    let read = |point: &PointConfig| {
        let count = point.kind.registers();
        let at = (table(point.table), point.address);
        if point.table.is_bits() {
            let bits = unit.bits(at.0, at.1, count, now)?;
            Some(Data::Bits(bits))
        } else {
            let words = unit.words(at.0, at.1, count, now)?;
            Some(Data::Words(words))
        }
    };
    let points = device.points.iter();
    points
        .map(|(name, point)| {
            let data = read(point).unwrap_or_else(|| panic!("{name} is a hole"));
            let value = decode(point, &data);
            value
                .unwrap_or_else(|error| panic!("{name}: {error}"))
                .to_string()
        })
        .collect()
}

#[test]
fn points_of_every_type_and_order_decode_and_move() {
    let mut points = vec![
        "c: {coil: 0}".to_owned(),
        "d: {discrete: 9}".to_owned(),
        "small: {input: 500, as: u16, scale: 0.001, unit: V}".to_owned(),
        "cold: {input: 501, as: i16, scale: 0.1, offset: -40, unit: \"°C\", invalid: 0x7FFF}"
            .to_owned(),
        "mode: {input: 502, as: u16, enum: {1: day, 2: night}}".to_owned(),
        "high: {input: 503, as: u8_high}".to_owned(),
        "low: {input: 503, as: u8_low}".to_owned(),
        "energy: {input: 504, as: u64, order: CDAB, scale: 0.01, unit: Wh}".to_owned(),
    ];
    let mut address = 0;
    for order in ["ABCD", "CDAB", "BADC", "DCBA"] {
        for kind in [
            "bit(3)", "i16", "u16", "i24", "u24", "i32", "u32", "i64", "u64", "f16", "f32", "f64",
            "bcd16", "bcd32",
        ] {
            let name = format!("{kind}_{order}");
            points.push(format!(
                "\"{name}\": {{input: {address}, as: {kind}, order: {order}}}"
            ));
            address += 4;
        }
    }
    let device = device(&points.join(", "));
    let unit = unit([&device].into_iter());
    let first = values(&device, &unit, Duration::ZERO);
    let mut still: Vec<&str> = device
        .points
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for seconds in 1..20 {
        let now = values(&device, &unit, Duration::from_secs(seconds));
        let moved = |name: &str| {
            let index = device.points.iter().position(|(other, _)| other == name);
            index.is_some_and(|index| now[index] != first[index])
        };
        still.retain(|name| !moved(name));
    }
    assert_eq!(still, [""; 0]);
}

#[test]
fn what_clients_set_and_what_is_read_once_stands_still() {
    let device = device(
        "valve: {coil: 1, write: true}, \
         setpoint: {holding: 0, as: f32, write: {min: 0, max: 80}}, \
         mode: {holding: 2, as: u16, write: true, enum: {4: \"off\", 5: day}}, \
         flag: {holding: 3, as: bit(0), write: true}, \
         name: {holding: 10, as: string(4), poll: once}, \
         raw: {holding: 20, as: bytes(3), poll: once}",
    );
    let unit = unit([&device].into_iter());
    let first = values(&device, &unit, Duration::ZERO);
    assert_eq!(first, ["false", "1", "off", "false", "NAME", "5a5a5a"]);
    for seconds in 1..30 {
        assert_eq!(values(&device, &unit, Duration::from_secs(seconds)), first);
    }
}

#[test]
fn factors_stand_at_1_so_that_what_they_scale_is_plausible() {
    let device =
        device("power: {holding: 0, as: i16, unit: W, scale_from: sf}, sf: {holding: 1, as: i16}");
    let unit = unit([&device].into_iter());
    for seconds in 0..30 {
        assert_eq!(values(&device, &unit, Duration::from_secs(seconds))[1], "0");
    }
}

#[test]
fn registers_between_points_are_no_holes_unless_they_are_far_apart() {
    let device =
        device("a: {input: 0, as: u16}, b: {input: 40, as: u16}, c: {input: 400, as: u16}");
    let unit = unit([&device].into_iter());
    assert!(unit.words(SimTable::Input, 0, 41, Duration::ZERO).is_some());
    assert!(unit.words(SimTable::Input, 41, 1, Duration::ZERO).is_none());
}
