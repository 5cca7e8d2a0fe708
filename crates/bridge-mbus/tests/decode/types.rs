//! The mappings in the user's document, against the telegrams of their meters.

use std::fs;
use std::path::Path;

use fieldgate_bridge::Defaults;
use fieldgate_bridge_mbus::{MbusEntry, MbusType, Readout, point};
use serde_yaml::Value;

use super::meters::telegram;

/// The type under this name in `config/mbus.md`, without what the reader of the file takes.
fn documented(name: &str) -> MbusType {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/mbus.md");
    let text = fs::read_to_string(path).unwrap();
    let title = format!("# types/{name}.yaml");
    let mut blocks = text.split("```yaml\n").skip(1);
    let block = blocks.find(|block| block.starts_with(&title)).unwrap();
    let block = block.split("```").next().unwrap();
    let mut tree: serde_yaml::Mapping = serde_yaml::from_str(block).unwrap();
    for key in ["protocol", "manufacturer", "model", "source"] {
        tree.remove(key).unwrap();
    }
    serde_yaml::from_value(Value::Mapping(tree)).unwrap()
}

fn values(name: &str, file: &str) -> Vec<String> {
    let kind = documented(name);
    let entry: MbusEntry =
        serde_yaml::from_str("{bus: b, type: t, address: 1, points: {}}").unwrap();
    let config = entry
        .resolve("m", Some(&kind), &Defaults::default())
        .unwrap();
    let telegram = telegram(file);
    let readout = Readout {
        header: telegram.header,
        records: telegram.records,
        telegrams: 1,
        more: false,
        broken: None,
        own: Vec::new(),
    };
    let shown = config.points.iter().map(|(name, point)| {
        let value = point::value(point, &readout).unwrap();
        format!(
            "{name} {value} {}",
            point.unit.as_deref().unwrap_or_default()
        )
    });
    shown.map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn the_documented_types_read_the_telegrams_of_their_meters() {
    for (name, file, want) in [
        (
            "multical-601",
            "kamstrup_multical_601",
            &[
                "energy 37351 kWh",
                "volume 561.08 m³",
                "hours 985 h",
                "flow_temp 101.69 °C",
                "return_temp 46.16 °C",
                "temp_difference 55.53 K",
                "power 34.7 kW",
                "power_max 44.8 kW",
                "flow 543 l/h",
                "energy_due 33361 kWh",
                "due_date 2010-12-31",
                "number 06855817",
            ][..],
        ),
        (
            "cyble",
            "ACW_Itron-CYBLE-M-Bus-14",
            &[
                "volume 0.031 m³",
                "volume_due 0.031 m³",
                "clock 2014-03-13T14:26",
                "customer 09LA076755",
                "battery_days 2516",
                "number 09011523",
            ],
        ),
        (
            "emmod206",
            "gmc_emmod206",
            &[
                "voltage_l1 86.4 V",
                "voltage_l2 95.9 V",
                "voltage_l3 105.6 V",
                "current_l1 0.957 A",
                "current_l2 1.055 A",
                "current_l3 1.15 A",
                "energy_t1 103.88 kWh",
                "energy_t2 150 kWh",
            ],
        ),
    ] {
        assert_eq!(values(name, file), want, "{name}");
    }
}
