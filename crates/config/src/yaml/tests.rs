use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::collect::{Mistake, read};
use super::parse::{BYTES_MAX, DEPTH_MAX, parse};
use super::write::to_value;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    unit: u8,
    #[serde(default)]
    wide: i128,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    list: Vec<u16>,
    #[serde(default)]
    pair: Option<(i8, bool)>,
    #[serde(default)]
    map: BTreeMap<String, Inner>,
    #[serde(default)]
    labels: BTreeMap<u16, String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    OnChange,
    EveryPoll,
    Every(u32),
    Window {
        low: i32,
        high: i32,
    },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(try_from = "RawInner")]
struct Inner {
    min: i64,
    max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInner {
    min: i64,
    max: i64,
    #[serde(default)]
    only: Vec<u8>,
}

impl TryFrom<RawInner> for Inner {
    type Error = String;

    fn try_from(raw: RawInner) -> Result<Self, String> {
        if raw.min > raw.max {
            return Err(format!("max: {} is below min", raw.max));
        }
        if raw.only.len() == 1 {
            return Err("one value is not enough".to_owned());
        }
        Ok(Self {
            min: raw.min,
            max: raw.max,
        })
    }
}

fn mistakes_of(text: &str) -> (Option<Sample>, Vec<String>) {
    let line = |mistake: &Mistake| {
        let Mistake {
            mark,
            path,
            message,
        } = mistake;
        format!("{}:{}: {path}: {message}", mark.line, mark.column)
    };
    let parsed = parse(text);
    let faults = parsed.faults.iter();
    let faults = faults.map(|(mark, why)| format!("{}:{}: {why}", mark.line, mark.column));
    let mut lines: Vec<String> = faults.collect();
    let value = parsed.root.and_then(|mut root| {
        let mut mistakes = Vec::new();
        let value = read(&mut root, &[(&[], &["extra"])], &mut mistakes);
        lines.extend(mistakes.iter().map(line));
        value
    });
    (value, lines)
}

#[test]
fn derived_types_read_every_kind_of_value() {
    let text = "
name: &n on
unit: 0xff
wide: -170141183460469231731687303715884105728
ratio: 3
mode: {every: 5}
list: [1, 0o17, 65535]
pair: [-1, true]
map: {*n : {min: 1, max: 2}}
labels: {1: day, 2: night}
";
    let (value, mistakes) = mistakes_of(text);
    assert_eq!(mistakes, [""; 0]);
    let inner = Inner { min: 1, max: 2 };
    let want = Sample {
        name: Some("on".to_owned()),
        unit: 255,
        wide: i128::MIN,
        ratio: 3.0,
        mode: Mode::Every(5),
        list: vec![1, 15, 65535],
        pair: Some((-1, true)),
        map: BTreeMap::from([("on".to_owned(), inner)]),
        labels: BTreeMap::from([(1, "day".to_owned()), (2, "night".to_owned())]),
    };
    assert_eq!(value, Some(want));
}

#[test]
fn variants_with_content_and_empty_containers_are_read() {
    let (value, mistakes) = mistakes_of("mode: {window: {low: -1, high: 1}}\nmap:\nlist:\nname: ~");
    assert_eq!(mistakes, [""; 0]);
    let value = value.unwrap();
    assert_eq!(value.mode, Mode::Window { low: -1, high: 1 });
    assert_eq!(
        (value.name, value.map.len(), value.list.len()),
        (None, 0, 0)
    );
}

#[test]
fn each_mistake_names_its_place_what_was_expected_and_the_nearest_name() {
    for (text, want) in [
        (
            "unti: 1",
            "1:1: unti: unknown key; expected one of name, unit, wide, ratio, mode, list, pair, map, labels, extra; did you mean \"unit\"?",
        ),
        (
            "unit: x",
            "1:7: unit: expected a whole number from 0 to 255, found \"x\"",
        ),
        (
            "unit: 256",
            "1:7: unit: invalid value 256; expected a whole number from 0 to 255",
        ),
        (
            "unit: 1.5",
            "1:7: unit: expected a whole number from 0 to 255, found 1.5",
        ),
        (
            "name: 12",
            "1:7: name: expected text, found 12 (text that looks like a number or like true and false needs quotes)",
        ),
        ("name: [a]", "1:7: name: expected text, found a list"),
        ("list: 5", "1:7: list: expected a list, found 5"),
        (
            "list: [1, 2, no]",
            "1:14: list[2]: expected a whole number from 0 to 65535, found \"no\"",
        ),
        (
            "mode: on_chnage",
            "1:7: mode: unknown name \"on_chnage\"; expected one of on_change, every_poll, every, window; did you mean \"on_change\"?",
        ),
        (
            "mode: 7",
            "1:7: mode: expected one of on_change, every_poll, every, window, found 7",
        ),
        (
            "mode: {every: x}",
            "1:15: mode.every: expected a whole number, not negative, found \"x\"",
        ),
        (
            "mode: every",
            "1:7: mode: expected every: with a value, found \"every\"",
        ),
        (
            "pair: [1]",
            "1:7: pair: 1 elements, expected a tuple of size 2",
        ),
        (
            "map:\n  a: {min: 3, max: 2}",
            "2:20: map.a.max: 2 is below min",
        ),
        (
            "map:\n  a: {min: 3, max: 4, only: [1]}",
            "2:3: map.a: one value is not enough",
        ),
        (
            "map:\n  a: {min: 3}",
            "2:3: map.a: the key \"max\" is missing",
        ),
        (
            "map: {3: {min: 3, max: 4}}",
            "1:7: map.3: invalid key 3; expected text (quotes make it text)",
        ),
        (
            "labels: {day: night}",
            "1:10: labels.day: invalid key \"day\"; expected u16",
        ),
        (
            "7: a",
            "1:1: 7: invalid key 7; expected text (quotes make it text)",
        ),
        ("[]", "1:1: : expected a mapping, found a list"),
    ] {
        assert_eq!(mistakes_of(text).1, [want], "{text}");
    }
}

#[test]
fn all_mistakes_are_found_and_consequences_are_not_reported() {
    let text = "
unit: many
list: [1, -1, 2, x]
map:
  a: {min: 1, mx: 2}
  b: {min: one, max: 2}
  c: {min: 1, max: 2}
  d: {colour: red}
";
    let (value, mistakes) = mistakes_of(text);
    let places: Vec<&str> = mistakes
        .iter()
        .map(|line| line.rsplit_once(": ").map_or("", |(place, _)| place))
        .map(|place| place.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        places,
        ["2:7", "3:11", "3:18", "5:15", "6:12", "8:7", "8:3"],
        "{mistakes:#?}"
    );
    let left = value.unwrap();
    assert_eq!((left.unit, left.list), (0, vec![1, 2]));
    assert_eq!(left.map.keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn what_stands_before_a_fault_or_beside_a_duplicate_key_is_still_read() {
    for (text, want) in [
        // The first one counts, and the other one is not looked at.
        (
            "unit: many\nunit: 5\nmap: {a: {min: x, max: 1}}\nname: n",
            &["2:1: the key", "1:7: unit: ", "3:16: map.a.min: "][..],
        ),
        // What is missing may come behind the fault.
        (
            "unit: many\nmap:\n  a: {min: x}\n  b: {min: 1, max: [",
            &["5:", "1:7: unit", "3:12: map.a.min"],
        ),
        ("list: [1, -1, 2\nunit: x: y", &["", "1:11: list[1]: "]),
        ("unit: many\n---\nunit: 3", &["", "1:7: unit: "]),
        ("]", &[""]),
    ] {
        let (_, mistakes) = mistakes_of(text);
        assert_eq!(mistakes.len(), want.len(), "{text}: {mistakes:#?}");
        for (mistake, want) in mistakes.iter().zip(want) {
            assert!(mistake.starts_with(want), "{text}: {mistakes:#?}");
        }
    }
}

#[test]
fn broken_text_is_reported_at_its_line() {
    let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    let laughs = (1..9).fold("l0: &l0 [x]\n".to_owned(), |text, level| {
        let inner = format!("*l{}, ", level - 1).repeat(10);
        format!("{text}l{level}: &l{level} [{inner}]\n")
    });
    for (text, line, words) in [
        ("a: 1\nb: 2\na: 3", 3, "already at line 1"),
        ("a: 1\n\tb: 2", 2, "tab"),
        ("a: 1\n \u{a0}b: 2\n", 2, "\\u{a0}, as web pages"),
        ("a: [1, 2", 1, "flow"),
        ("a: \"x", 1, "quote"),
        ("a: b: c", 1, "mapping values"),
        ("a: *nowhere", 1, "anchor"),
        ("a: &x [*x]", 1, "not complete"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: !env HOME", 1, "tag"),
        ("a: !!int x", 1, "no int"),
        ("? [1]\n: 2", 1, "cannot be a key"),
        (&deep, 1, "deeper"),
        (&laughs, 6, "values"),
        (&" ".repeat(BYTES_MAX + 1), 1, "larger"),
    ] {
        let faults = parse(text).faults;
        let (mark, message) = faults.last().unwrap();
        assert!(message.contains(words), "{words:?} not in {message:?}");
        assert!(mark.line >= line, "{words}: {mark:?} {message}");
        assert!(mark.line <= line + 1, "{words}: {mark:?}");
    }
}

#[test]
fn shipped_files_read_the_same_as_with_the_reference_reader() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
    let mut files = vec![];
    for folder in [config.to_owned(), format!("{config}/types")] {
        for file in std::fs::read_dir(folder).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let want: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let got = to_value(&parse(&text).root.unwrap());
        assert_eq!(got, want, "{}", path.display());
    }
}

#[test]
fn a_file_full_of_mistakes_is_cut_short_and_says_so() {
    let unknown: String = (0..1000).map(|n| format!("k{n}: 1\n")).collect();
    let wrong = format!("list: [{}]", vec!["x"; 1000].join(", "));
    let doubled = "unit: 1\n".repeat(1000);
    for text in [unknown, wrong, doubled] {
        let (_, mistakes) = mistakes_of(&text);
        assert_eq!(mistakes.len(), 101);
        let last = mistakes.last().unwrap();
        assert!(
            last.ends_with("there are more mistakes than are shown"),
            "{last}"
        );
    }
}

/// Texts made of pieces that mean something in YAML, so that many of them are nearly valid.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a: ", "b: ", "- ", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", "'x y'", "\"q\\n\"",
        "12", "0x1F", "1.5", "true", "~", "word", "&a ", "*a", "# c", "|", ">-", ": ", "? ", "%",
        "@", "\t", "---", "...", "!!str ", "!x ", "é", "<<: ", "\r\n", "\u{feff}", "\0",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A valid document, in the styles in which people write.
#[derive(Clone, Debug)]
enum Document {
    Scalar(&'static str),
    Literal,
    List { flow: bool, items: Vec<Document> },
    Map { flow: bool, values: Vec<Document> },
}

fn documents() -> impl Strategy<Value = Document> {
    let scalar = prop::sample::select(vec![
        "on",
        "no",
        "true",
        "False",
        "~",
        "null",
        "12",
        "-7",
        "+3",
        "0x1F",
        "0o17",
        "1.5",
        "-.5e3",
        ".inf",
        "1e3",
        "1_000",
        "12:30",
        "a b",
        "°C",
        "'it''s: [x]'",
        "\"q\\n\\u00b0\"",
        "\"12\"",
        "string(12)",
        "1s..60s",
        "plc.local:502",
    ]);
    let leaf = prop_oneof![
        9 => scalar.prop_map(Document::Scalar),
        1 => Just(Document::Literal),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let many = prop::collection::vec(inner, 0..6);
        let flow = any::<bool>();
        prop_oneof![
            (flow, many.clone()).prop_map(|(flow, items)| Document::List { flow, items }),
            (flow, many).prop_map(|(flow, values)| Document::Map { flow, values }),
        ]
    })
}

/// Writes a document, indented by so much if it takes lines of its own.
fn write(document: &Document, indent: usize, in_flow: bool) -> String {
    let pad = " ".repeat(indent);
    let inside = |document: &Document| write(document, indent + 2, in_flow);
    let flat = |document: &Document| write(document, indent + 2, true);
    match document {
        Document::Scalar(text) => (*text).to_owned(),
        Document::Literal if in_flow => "'one'".to_owned(),
        Document::Literal => format!("|\n{pad}  one # no comment\n{pad}  two"),
        Document::List { flow, items } if *flow || in_flow || items.is_empty() => {
            let items: Vec<String> = items.iter().map(flat).collect();
            format!("[{}]", items.join(", "))
        }
        Document::List { items, .. } => {
            let line = |item| format!("\n{pad}- {} # comment", inside(item));
            let lines: Vec<String> = items.iter().map(line).collect();
            lines.concat().replace("two # comment", "two")
        }
        Document::Map { flow, values } if *flow || in_flow || values.is_empty() => {
            let values = values.iter().enumerate();
            let entries: Vec<String> = values
                .map(|(index, value)| format!("k{index}: {}", flat(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Document::Map { values, .. } => {
            let values = values.iter().enumerate();
            let lines: Vec<String> = values
                .map(|(index, value)| format!("\n{pad}k{index}: {}", inside(value)))
                .collect();
            lines.concat()
        }
    }
}

/// Values that can be written down as YAML by the reference writer.
fn values() -> impl Strategy<Value = serde_yaml::Value> {
    use serde_yaml::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|value| Value::Number(value.into())),
        any::<u64>().prop_map(|value| Value::Number(value.into())),
        (-1e9..1e9).prop_map(|value: f64| Value::Number(value.into())),
        "[ -~é\n]{0,20}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Sequence),
            prop::collection::btree_map("[a-z:#,& ]{0,6}", inner, 0..6).prop_map(|map| {
                let pairs = map.into_iter().map(|(key, value)| (key.into(), value));
                Value::Mapping(pairs.collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = mistakes_of(&text);
    }

    #[test]
    fn no_nearly_valid_text_makes_the_reader_panic(text in pieces()) {
        let _ = mistakes_of(&text);
    }

    #[test]
    fn what_people_write_reads_the_same_as_with_the_reference_reader(document in documents()) {
        let text = write(&document, 0, false) + "\n";
        let theirs: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let ours = parse(&text);
        prop_assert!(ours.faults.is_empty(), "{:?}\n{}", ours, text);
        prop_assert_eq!(to_value(&ours.root.unwrap()), theirs, "{}", text);
    }

    #[test]
    fn what_the_reference_writes_is_read_back_equal(value in values()) {
        let text = serde_yaml::to_string(&value).unwrap();
        let ours = parse(&text);
        prop_assert!(ours.faults.is_empty(), "{:?}\n{}", ours, text);
        prop_assert_eq!(to_value(&ours.root.unwrap()), value, "{}", text);
    }
}
