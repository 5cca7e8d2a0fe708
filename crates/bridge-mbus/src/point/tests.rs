use super::*;
use crate::app::{Function, parse};
use crate::config::{MbusConfig, MbusEntry};
use fieldgate_bridge::Defaults;

fn readout(records: &[u8]) -> Readout {
    let header = "12345678ELS0104".parse::<crate::Secondary>().unwrap();
    let mut data = header.bytes().to_vec();
    data.extend([7, 0x04, 0, 0]);
    data.extend(records);
    let telegram = parse(0x72, &data).unwrap();
    assert_eq!(telegram.broken, None);
    Readout {
        header: telegram.header,
        records: telegram.records,
        telegrams: 1,
        more: false,
        broken: None,
        own: Vec::new(),
    }
}

fn config(point: &str) -> MbusConfig {
    let yaml = format!("{{bus: b, address: 1, points: {{a: {point}}}}}");
    let entry: MbusEntry = serde_yaml::from_str(&yaml).unwrap();
    entry.resolve("meter", None, &Defaults::default()).unwrap()
}

fn shown(point: &str, readout: &Readout) -> String {
    match value(&config(point).points[0].1, readout) {
        Ok(value) => value.to_string(),
        Err(why) => format!("({why})"),
    }
}

#[test]
fn points_are_chosen_converted_and_scaled_exactly() {
    let readout = readout(&[
        0x0C, 0x06, 0x56, 0x34, 0x12, 0x00, // 0: energy 123456 kWh
        0x4C, 0x06, 0x00, 0x34, 0x12, 0x00, // 1: the same of a due date
        0x1A, 0x2D, 0x25, 0x01, // 2: maximum power 12.5 kW
        0x0C, 0x0E, 0x36, 0x00, 0x00, 0x00, // 3: energy 36 MJ
        0x04, 0x86, 0x3C, 0x05, 0x00, 0x00, 0x00, // 4: energy 5 kWh, other direction
        0x02, 0xFC, 0x03, 0x48, 0x52, 0x25, 0x74, 0x22, 0x15, // 5: humidity 54.1 %RH
        0x02, 0xFD, 0xC9, 0xFF, 0x01, 0xDF, 0x00, // 6: voltage 223 V of a phase
        0x02, 0x6C, 0xBF, 0x1C, // 7: a date
        0x0A, 0x5A, 0xFF, 0xFF, // 8: flow temperature, no value
        0x01, 0xFD, 0x17, 0x80, // 9: error flags
        0x02, 0x3B, 0x10, 0x27, // 10: volume flow 10 m³/h
        0x02, 0x3B, 0x11, 0x27, // 11: another
    ]);
    for (point, want) in [
        ("{record: 0}", "123456000"),
        ("{record: 0, unit: kWh}", "123456"),
        ("{record: 0, unit: MWh}", "123.456"),
        ("{record: 3, unit: kWh}", "10"),
        ("{quantity: energy, storage: 1, unit: kWh}", "123400"),
        (
            "{quantity: energy, qualifier: negative_only, unit: kWh}",
            "5",
        ),
        ("{quantity: power, function: maximum, unit: kW}", "12.5"),
        ("{quantity: power}", "(the meter sends no such record)"),
        ("{text: \"%RH\", unit: \"%RH\"}", "54.1"),
        ("{vif: FDC9FF01, unit: V}", "223"),
        ("{quantity: voltage, qualifier: own_01}", "223"),
        ("{quantity: date}", "2013-12-31"),
        ("{quantity: date, offset: 1}", "(the meter sends no number)"),
        (
            "{quantity: flow_temperature}",
            "(the meter marks the value as invalid)",
        ),
        ("{quantity: error_flags, enum: {128: leak}}", "leak"),
        (
            "{record: 0, scale: 0.000001, offset: -0.5, unit: GWh}",
            "122.956",
        ),
        (
            "{record: 0, unit: m3}",
            "(the meter sends `Wh`, which cannot be given in `m³`)",
        ),
        ("{record: 99}", "(the meter sends no such record)"),
        ("{header: id}", "12345678"),
        ("{header: manufacturer}", "ELS"),
        ("{header: medium}", "heat (outlet)"),
        ("{header: status}", "4"),
        ("{header: access}", "7"),
        ("{header: version}", "1"),
    ] {
        assert_eq!(shown(point, &readout), want, "{point}");
    }
    let several =
        "(records 10 and 11 are both like this; say which by `record`, `vif` or `qualifier`)";
    assert_eq!(shown("{quantity: volume_flow}", &readout), several);
    assert_eq!(readout.records[2].function, Function::Maximum);
}
