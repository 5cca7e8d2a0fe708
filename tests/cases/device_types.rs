//! The device types that come with the gateway, against register images that were worked out from
//! the makers' documents: `device_types/TYPE.txt` holds registers and what they mean.
//!
//! A line is a table, an address, the words there (hexadecimal, or bits as 0 and 1), and after `|`
//! the point they hold: `name = value unit`, the value as in JSON, or `bad`. After another `|` are
//! the words by which the device says that it has no value; each point with `invalid` needs them.
//! Words without a point are there because the real device has them. All else is a hole.
//!
//! A hole is `bad`, too. So there are three devices of each type: one with the words of the file;
//! one with zeros instead of what makes a point bad, where it must be good; and one with all the
//! words for "no value", where those points must be bad.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::PathBuf,
    process::Command,
};

use fieldgate_sim::{Image, Table, Unit};
use serde_json::Value;

use crate::harness::{
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

/// Which words a device of a type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Given,
    NothingBad,
    NothingGood,
}

/// The devices of each type: the ending of the name and where the units begin.
const DEVICES: [(Words, &str, u8); 3] = [
    (Words::Given, "", 1),
    (Words::NothingBad, "-good", 81),
    (Words::NothingGood, "-bad", 161),
];

struct Point {
    /// As in JSON, or `bad`.
    value: String,
    unit: String,
    has_marker: bool,
}

/// What a device type is expected to make of a register image.
struct Golden {
    name: String,
    /// In the order of [`DEVICES`].
    units: [Unit; 3],
    points: BTreeMap<String, Point>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let file = repository().join(format!("tests/cases/device_types/{name}.txt"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let mut golden = Self {
            name: name.to_owned(),
            units: [Unit::new(), Unit::new(), Unit::new()],
            points: BTreeMap::new(),
        };
        let mut seen = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('|');
            let image = columns.next().expect("a first column");
            let point = columns.next().map(expected);
            let marker = columns.next().map(words);
            let is_bad = point
                .as_ref()
                .is_some_and(|(_, point)| point.value == "bad");
            golden.add_image(image, is_bad, marker.as_deref(), &mut seen);
            if let Some((name, mut point)) = point {
                point.has_marker = marker.is_some();
                let old = golden.points.insert(name.clone(), point);
                assert!(old.is_none(), "{file:?}: {name} is there twice");
            }
        }
        golden
    }

    fn add_image(
        &mut self,
        text: &str,
        is_bad: bool,
        marker: Option<&[u16]>,
        seen: &mut HashMap<(String, u16), u16>,
    ) {
        let (table, rest) = text.trim().split_once(' ').expect("a table");
        let (address, rest) = rest.trim().split_once(' ').expect("an address");
        let address = match address.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16),
            None => address.parse(),
        };
        let address = address.unwrap_or_else(|error| panic!("{text}: {error}"));
        let given = words(rest);
        for (word, at) in given.iter().zip(address..) {
            let old = seen.insert((table.to_owned(), at), *word);
            assert!(old.is_none_or(|old| old == *word), "{text}: {at} differs");
        }
        let zeros = vec![0; given.len()];
        let good = if is_bad { &zeros } else { &given };
        let bad = marker.unwrap_or(&given);
        assert_eq!(bad.len(), given.len(), "{text}: the length of the marker");
        for (unit, words) in self.units.iter_mut().zip([&given, good, bad]) {
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

    /// What is wrong with the payload of a point, if anything.
    fn complaint(&self, device: Words, name: &str, payload: &str) -> Option<String> {
        let Some(point) = self.points.get(name) else {
            return Some(format!("{}: {name} has no golden value", self.name));
        };
        let json: Value = serde_json::from_str(payload).expect("JSON");
        let is_bad = json["value"].is_null() && json["quality"] == "bad";
        let is_good = !json["value"].is_null() && json["quality"] == "good";
        let is_right = match device {
            Words::Given if point.value == "bad" => is_bad,
            Words::Given => is_good && is_same(value_text(payload), &point.value),
            Words::NothingBad => is_good,
            Words::NothingGood => is_bad || !point.has_marker,
        };
        let is_right = is_right && json["unit"].as_str().unwrap_or_default() == point.unit;
        let want = format!("{name} = {} {}", point.value, point.unit);
        (!is_right).then(|| format!("{}, {device:?}: {want}, but {payload}", self.name))
    }
}

fn words(text: &str) -> Vec<u16> {
    let words = text.split_whitespace();
    words
        .map(|word| u16::from_str_radix(word, 16).unwrap_or_else(|_| panic!("{text}: {word}")))
        .collect()
}

/// `name = value unit`.
fn expected(text: &str) -> (String, Point) {
    let (name, rest) = text.split_once('=').expect("name = value");
    let rest = rest.trim();
    // A text may have spaces in it.
    let end = match rest.strip_prefix('"') {
        Some(text) => text.find('"').expect("an end of the text") + 2,
        None => rest.find(' ').unwrap_or(rest.len()),
    };
    let (value, unit) = rest.split_at(end);
    let point = Point {
        value: value.to_owned(),
        unit: unit.trim().to_owned(),
        has_marker: false,
    };
    (name.trim().to_owned(), point)
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

/// The points of a type and whether they have `invalid`, in the only way in which our files write
/// them: two spaces before a name, more before what follows it on lines of its own.
fn points_of(name: &str) -> BTreeMap<String, bool> {
    let text = fs::read_to_string(types().join(format!("{name}.yaml"))).expect("a type");
    let mut points: BTreeMap<String, bool> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().skip_while(|line| *line != "points:").skip(1) {
        let line = line.strip_prefix("  ").expect("a point");
        if !line.starts_with(' ') {
            last = line.split(':').next().expect("a name").to_owned();
        }
        *points.entry(last.clone()).or_default() |= line.contains("invalid: ");
    }
    points
}

/// A gateway file that uses every type, its devices on one bus, its types beside it.
fn everything(folder: &Folder, port: u16, bus: u16, names: &BTreeSet<String>) -> String {
    let copies = folder.path().join("types");
    fs::create_dir(&copies).expect("a new folder");
    let mut text = format!("buses:\n  plant: {{tcp: \"127.0.0.1:{bus}\"}}\ndevices:\n");
    for (name, index) in names.iter().zip(0..) {
        let file = format!("{name}.yaml");
        fs::copy(types().join(&file), copies.join(&file)).expect("a copy of a type");
        for (_, ending, first) in DEVICES {
            let unit = first + index;
            text += &format!("  {name}{ending}: {{type: {name}, bus: plant, unit: {unit}}}\n");
        }
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
        let golden = Golden::read(name).points.into_iter();
        let golden = golden.map(|(name, point)| (name, point.has_marker));
        let golden: BTreeMap<String, bool> = golden.collect();
        assert_eq!(
            points_of(name),
            golden,
            "{name}: its points and markers left"
        );
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
        .map(|name| DEVICES.len() * Golden::read(name).points.len())
        .sum();
    let want = format!("{} devices, {points} points", DEVICES.len() * types.len());
    assert!(said.contains(&want), "{said}: expected {want}");
}

#[test]
fn every_point_of_every_type_is_published_as_the_makers_documents_have_it() {
    let types = names(types(), ".yaml");
    let image = Image::new();
    let mut all = Vec::new();
    for (name, index) in types.iter().zip(0..) {
        let mut golden = Golden::read(name);
        for (unit, (_, _, first)) in golden.units.iter_mut().zip(DEVICES) {
            image.insert(first + index, std::mem::take(unit));
        }
        all.push(golden);
    }
    let simulator = Simulator::start(image);
    let (folder, port) = (Folder::new(), free_port());
    let text = everything(&folder, port, simulator.port, &types);
    let gateway = Gateway::start_text(port, &text, folder);
    let mut wrong = Vec::new();
    for golden in &all {
        for (device, ending, _) in DEVICES {
            let mut missing: BTreeSet<&str> = golden.points.keys().map(String::as_str).collect();
            let filter = format!("plant7/{}{ending}/+", golden.name);
            let subscriber = Subscriber::start(gateway.port, "mqttv5", &filter);
            subscriber.wait(&filter, |topic, payload| {
                let point = topic.rsplit('/').next()?;
                if point.starts_with('$') {
                    return None;
                }
                if missing.remove(point) || !golden.points.contains_key(point) {
                    wrong.extend(golden.complaint(device, point, payload));
                }
                missing.is_empty().then_some(())
            });
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
