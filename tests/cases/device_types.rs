//! The device types that come with the gateway, against register images that were worked out from
//! the makers' documents: `device_types/TYPE.txt` holds registers and what they mean.
//!
//! A line is a table, an address, the words there (hexadecimal, or bits as 0 and 1), and after `|`
//! the point they hold: `name = value unit`, the value as in JSON, or `bad`. What has no point is
//! there because the real device has it. All else is a hole that the device refuses.
//!
//! A hole is `bad` too. So each device has a twin with zeros where there is nothing but markers:
//! there the same points must be good.

mod harness;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::PathBuf,
    process::Command,
};

use fieldgate_sim::{Image, Table, Unit};
use serde_json::Value;

use harness::{
    Folder, free_port,
    gateway::{Gateway, configuration, fieldgate},
    modbus::Simulator,
    mqtt::Subscriber,
    repository,
};

fn types() -> PathBuf {
    repository().join("config/types")
}

/// The names of the files in a folder, without their ending.
fn names(folder: PathBuf, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries
        .map(|entry| {
            let name = entry.expect("a folder entry").file_name();
            let name = name.to_str().expect("a plain name").to_owned();
            let stem = name.strip_suffix(ending);
            stem.unwrap_or_else(|| panic!("{name} has no {ending}"))
                .to_owned()
        })
        .collect()
}

/// What a device type is expected to make of a register image.
struct Golden {
    name: String,
    unit: Unit,
    /// The same with zeros in the place of what makes a point bad.
    twin: Unit,
    /// Value as in JSON, or `bad`, and unit.
    points: BTreeMap<String, (String, String)>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let file = repository().join(format!("tests/cases/device_types/{name}.txt"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let mut golden = Self {
            name: name.to_owned(),
            unit: Unit::new(),
            twin: Unit::new(),
            points: BTreeMap::new(),
        };
        let mut seen = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (image, point) = match line.split_once('|') {
                Some((image, point)) => (image, Some(point)),
                None => (line, None),
            };
            let point = point.map(expected);
            let is_bad = point.as_ref().is_some_and(|(_, value, _)| value == "bad");
            golden.add_image(image, is_bad, &mut seen);
            if let Some((name, value, unit)) = point {
                let old = golden.points.insert(name.clone(), (value, unit));
                assert!(old.is_none(), "{file:?}: {name} is there twice");
            }
        }
        golden
    }

    fn add_image(&mut self, text: &str, is_bad: bool, seen: &mut HashMap<(String, u16), u16>) {
        let mut fields = text.split_whitespace();
        let (table, address) = (fields.next().expect("a table"), fields.next());
        let address = address.expect("an address");
        let address = match address.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16),
            None => address.parse(),
        };
        let address = address.unwrap_or_else(|error| panic!("{text}: {error}"));
        let words: Vec<u16> = fields
            .map(|word| u16::from_str_radix(word, 16).expect("a word"))
            .collect();
        assert!(!words.is_empty(), "{text}: no words");
        for (word, at) in words.iter().zip(address..) {
            let old = seen.insert((table.to_owned(), at), *word);
            assert!(old.is_none_or(|old| old == *word), "{text}: {at} differs");
        }
        let zeros = vec![0; words.len()];
        let twin = if is_bad { &zeros } else { &words };
        for (unit, words) in [(&mut self.unit, &words), (&mut self.twin, twin)] {
            let bits: Vec<bool> = words.iter().map(|word| *word == 1).collect();
            match table {
                "input" => unit.set_words(Table::Input, address, words),
                "holding" => unit.set_words(Table::Holding, address, words),
                "coil" => unit.set_bits(Table::Coil, address, &bits),
                "discrete" => unit.set_bits(Table::Discrete, address, &bits),
                _ => panic!("{text}: which table?"),
            }
        }
    }

    /// What is wrong with the payload of a point, or of its twin, if anything.
    fn complaint(&self, point: &str, payload: &str, is_twin: bool) -> Option<String> {
        let Some((value, unit)) = self.points.get(point) else {
            return Some(format!("{}: {point} has no golden value", self.name));
        };
        let json: Value = serde_json::from_str(payload).expect("JSON");
        let is_right = if value == "bad" && is_twin {
            json["quality"] == "good"
        } else if value == "bad" {
            json["value"].is_null() && json["quality"] == "bad"
        } else {
            is_same(value_text(payload), value) && json["quality"] == "good"
        };
        let is_right = is_right && json["unit"].as_str().unwrap_or_default() == unit;
        (!is_right).then(|| {
            format!(
                "{}: {point} = {value} {unit}, but {payload}{}",
                self.name,
                if is_twin { " of the twin" } else { "" }
            )
        })
    }
}

/// `name = value unit`.
fn expected(text: &str) -> (String, String, String) {
    let (name, rest) = text.split_once('=').expect("name = value");
    let rest = rest.trim();
    // A text may have spaces in it.
    let end = match rest.strip_prefix('"') {
        Some(text) => text.find('"').expect("an end of the text") + 2,
        None => rest.find(' ').unwrap_or(rest.len()),
    };
    let (value, unit) = rest.split_at(end);
    (
        name.trim().to_owned(),
        value.to_owned(),
        unit.trim().to_owned(),
    )
}

/// The text of the value in a payload, untouched: a JSON parser would pass it through a double.
fn value_text(payload: &str) -> &str {
    let rest = payload.strip_prefix("{\"value\":").expect("a value");
    &rest[..rest.find(",\"").expect("more members follow")]
}

/// Numbers are compared digit by digit; `50.0` is `50`.
fn is_same(got: &str, want: &str) -> bool {
    got == want || got.strip_suffix(".0") == Some(want)
}

/// The points of a type, in the only way in which our files write them.
fn points_of(name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(types().join(format!("{name}.yaml"))).expect("a type");
    let points = text.lines().skip_while(|line| *line != "points:");
    points
        .filter_map(|line| line.strip_prefix("  ")?.split_once(':'))
        .filter(|(name, _)| !name.starts_with([' ', '#']))
        .map(|(name, _)| name.trim_matches('"').to_owned())
        .collect()
}

/// How far the unit of the twin is from that of the device.
const TWIN: u8 = 120;

/// A gateway file that uses every type, a device and its twin of each on one bus, its types beside
/// it.
fn everything(folder: &Folder, port: u16, bus: u16, names: &BTreeSet<String>) -> String {
    let copies = folder.path().join("types");
    fs::create_dir(&copies).expect("a new folder");
    let mut text = format!("buses:\n  plant: {{tcp: \"127.0.0.1:{bus}\"}}\ndevices:\n");
    for (name, unit) in names.iter().zip(1u8..) {
        let file = format!("{name}.yaml");
        fs::copy(types().join(&file), copies.join(&file)).expect("a copy of a type");
        text += &format!("  {name}: {{type: {name}, bus: plant, unit: {unit}}}\n");
        let twin = unit + TWIN;
        text += &format!("  {name}-twin: {{type: {name}, bus: plant, unit: {twin}}}\n");
    }
    configuration(port, &text)
}

#[test]
fn every_type_says_what_it_is_and_where_that_is_from_and_has_a_golden_file_for_each_point() {
    let types = names(types(), ".yaml");
    let golden = names(repository().join("tests/cases/device_types"), ".txt");
    assert_eq!(types, golden, "types on the left, golden files right");
    assert!(types.len() >= 25, "{} types", types.len());
    let list = fs::read_to_string(repository().join("config/types.md")).expect("config/types.md");
    for name in &types {
        let text = fs::read_to_string(self::types().join(format!("{name}.yaml"))).expect("a type");
        for key in ["manufacturer", "model", "source"] {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            let value = value.unwrap_or_default().trim();
            assert!(value.len() > 1, "{name} has no {key}");
        }
        assert!(list.contains(&format!("| `{name}` |")), "{name}: types.md");
        let golden: BTreeSet<String> = Golden::read(name).points.into_keys().collect();
        assert_eq!(points_of(name), golden, "{name}: its points left");
    }
}

#[test]
fn check_accepts_a_file_that_uses_every_type() {
    let folder = Folder::new();
    let types = names(types(), ".yaml");
    let text = everything(&folder, 1883, 502, &types);
    let file = folder.write("gateway.yaml", &text);
    let output = Command::new(fieldgate()).arg("check").arg(file).output();
    let output = output.expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let points: usize = types
        .iter()
        .map(|name| 2 * Golden::read(name).points.len())
        .sum();
    let want = format!("{} devices, {points} points", 2 * types.len());
    assert!(said.contains(&want), "{said}: expected {want}");
}

#[test]
fn every_point_of_every_type_is_published_as_the_makers_documents_have_it() {
    let types = names(types(), ".yaml");
    let image = Image::new();
    let mut all = Vec::new();
    for (name, unit) in types.iter().zip(1u8..) {
        let mut golden = Golden::read(name);
        image.insert(unit, std::mem::take(&mut golden.unit));
        image.insert(unit + TWIN, std::mem::take(&mut golden.twin));
        all.push(golden);
    }
    let simulator = Simulator::start(image);
    let (folder, port) = (Folder::new(), free_port());
    let text = everything(&folder, port, simulator.port, &types);
    let gateway = Gateway::start_text(port, &text, folder);
    let mut wrong = Vec::new();
    for golden in &all {
        for (device, is_twin) in [("", false), ("-twin", true)] {
            let mut missing: BTreeSet<&str> = golden.points.keys().map(String::as_str).collect();
            let filter = format!("plant7/{}{device}/+", golden.name);
            let subscriber = Subscriber::start(gateway.port, "mqttv5", &filter);
            subscriber.wait(&filter, |topic, payload| {
                let point = topic.rsplit('/').next()?;
                if point.starts_with('$') {
                    return None;
                }
                if missing.remove(point) || !golden.points.contains_key(point) {
                    wrong.extend(golden.complaint(point, payload, is_twin));
                }
                missing.is_empty().then_some(())
            });
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
