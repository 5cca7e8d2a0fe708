//! Examples of the documents, given to the program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::markdown::Block;

/// Whether it went well, and what it printed.
pub(crate) fn fieldgate(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout) + &text(output.stderr),
    )
}

/// A folder with everything that examples name; it goes when this goes.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("fieldgate-documents-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(path.join("types")).unwrap();
        let folder = Self(path);
        let identity = rcgen::generate_simple_self_signed(["plant7".to_owned()]).unwrap();
        for name in [
            "broker.pem",
            "ca.pem",
            "AmazonRootCA1.pem",
            "plant7.pem.crt",
            "plant7.pem",
        ] {
            folder.write(name, &identity.cert.pem());
        }
        for name in ["broker.key", "plant7.private.pem.key", "plant7.key"] {
            folder.write(name, &identity.signing_key.serialize_pem());
        }
        folder.write("cloud.pw", "secret\n");
        folder.write("users.yaml", "users: {}\n");
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Checks a text as `gateway.yaml`; what it needs and does not have is added.
    fn check(&self, text: &str) -> Result<(), String> {
        let value: serde_yaml::Value =
            serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let mut text = text.to_owned();
        let devices = value
            .get("devices")
            .and_then(|devices| devices.as_mapping());
        let mut buses = BTreeMap::new();
        for device in devices.into_iter().flat_map(|devices| devices.values()) {
            let Some(bus) = device.get("bus").and_then(|bus| bus.as_str()) else {
                continue;
            };
            let is_mbus = device.get("address").is_some() || device.get("secondary").is_some();
            let is_all = device.get("unit").and_then(serde_yaml::Value::as_u64) == Some(0);
            let kind = match (is_mbus, is_all) {
                (true, _) => "{protocol: mbus, tcp: \"192.0.2.1:10001\"}",
                (_, true) => "{tcp: \"192.0.2.1:502\", modbus: rtu}",
                _ => "{tcp: \"192.0.2.1:502\"}",
            };
            if value
                .get("buses")
                .and_then(|buses| buses.get(bus))
                .is_none()
            {
                buses.insert(bus.to_owned(), kind);
            }
        }
        if !buses.is_empty() {
            assert!(value.get("buses").is_none(), "a part of the buses is there");
            text += "\nbuses:\n";
            for (name, bus) in buses {
                text += &format!("  {name}: {bus}\n");
            }
        }
        if value.get("version").is_none() {
            text = format!("version: 1\n{text}");
        }
        let file = self.write("gateway.yaml", &text);
        match fieldgate(&["check", &file]) {
            (true, _) => Ok(()),
            (false, said) => Err(said),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The hash of a password, in the place of one that is cut short.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$NDVzYWx0c2FsdA$\
                    1l0Hq3Cw0mI3o0S1nV9m1E0qkC2lqF0sZf4w0b1m2nY";

pub(crate) fn check_block(folder: &Folder, block: &Block) -> Result<(), String> {
    let text = &block.text;
    let first = text.lines().next().unwrap_or_default();
    let own = first
        .strip_prefix("# ")
        .filter(|name| name.starts_with("types/"));
    let mark = own.unwrap_or(&block.mark);
    if mark.starts_with("of ") {
        let read = serde_yaml::from_str::<serde_yaml::Value>(text);
        return read.map(|_| ()).map_err(|error| error.to_string());
    }
    if mark == "users.yaml" {
        let whole = text.split_whitespace().fold(text.clone(), |text, word| {
            let is_hash = word.starts_with("$argon2id$") && word.ends_with("...");
            if is_hash {
                text.replace(word, HASH)
            } else {
                text
            }
        });
        let file = folder.write("examples.yaml", &whole);
        let (is_good, said) = fieldgate(&["user", "list", "--file", &file]);
        return if is_good { Ok(()) } else { Err(said) };
    }
    if let Some(name) = mark.strip_prefix("types/") {
        folder.write(mark, text);
        let name = name.trim_end_matches(".yaml");
        let (bus, device) = match text.contains("protocol: mbus") {
            true => ("protocol: mbus, tcp: \"192.0.2.1:10001\"", "address: 1"),
            false => ("tcp: \"192.0.2.1:502\"", "unit: 1"),
        };
        let text = format!(
            "buses: {{b: {{{bus}}}}}\ndevices: {{d: {{type: {name}, bus: b, {device}}}}}\n"
        );
        return folder.check(&text);
    }
    if let Some(name) = mark.strip_prefix("below uplinks.") {
        return folder.check(&format!("uplinks:\n  {name}:\n{text}"));
    }
    folder.check(text)
}
