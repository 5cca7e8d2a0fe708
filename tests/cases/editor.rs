//! The JSON Schema of the configuration, in the language server that editors use for YAML.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Folder, repository};

/// What an editor shows of a file: one value first with what it underlines, then one for each place with what it offers.
fn edit(file: &Path, places: &[&str]) -> Vec<Value> {
    let modules = repository().join("tests/.node/node_modules");
    assert!(
        modules.join("yaml-language-server").exists(),
        "yaml-language-server is missing: `tests/run` installs it"
    );
    let output = Command::new("node")
        .arg(repository().join("tests/peers/yaml_editor.js"))
        .arg(repository().join("config/gateway.schema.json"))
        .arg(file)
        .args(places)
        .env("NODE_PATH", modules)
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().expect("a list").iter();
    list.filter_map(Value::as_str).collect()
}

#[test]
fn an_editor_underlines_nothing_in_the_files_that_the_gateway_takes() {
    for name in ["demo.yaml", "gateway.yaml"] {
        let shown = edit(&repository().join("config").join(name), &[]);
        assert_eq!(texts(&shown[0]["underlined"]), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn an_editor_underlines_mistakes_and_completes_the_keys_of_each_bridge() {
    let folder = Folder::new();
    let file = folder.path().join("gateway.yaml");
    let text = "version: 1
buses:
  net: {tcp: \"h:502\", timout: 1s}
devices:
  plc:
    bus: net
    unit: 300
    points:
      p: {input: 1, as: u16, publish: sometimes}
      q:
        \n  panel:
    gpio: {}
    points:
      r:
        \n";
    fs::write(&file, text).expect("the file is written");
    let shown = edit(&file, &["11:9", "16:9"]);
    let mut underlined = texts(&shown[0]["underlined"]);
    underlined.sort_unstable();
    for (line, want) in underlined.iter().zip([
        "3:23 Property timout is not allowed",
        "7:11 Value is above the maximum of 255",
        "9:39 Value is not accepted. Valid values: \"on_change\", \"every_poll\"",
    ]) {
        assert!(line.starts_with(want), "{underlined:?}");
    }
    assert_eq!(underlined.len(), 3, "{underlined:?}");
    for (place, has, has_not) in [(1, "holding", "debounce"), (2, "debounce", "holding")] {
        let offered = texts(&shown[place]["completed"]);
        assert!(offered.contains(&has), "{offered:?}");
        assert!(!offered.contains(&has_not), "{offered:?}");
    }
}
