//! `provision.yaml`, one item after the other: a mistake in one costs that one only.

use std::fs;
use std::path::{Path, PathBuf};

use fieldgate_config::users_file::{NotSet, set_password};
use fieldgate_config::yaml::{Kind, Node, parse, to_value};
use fieldgate_config::{self as config};

use super::report::Became;
use super::wanted::{ITEMS, MqttUser, Wanted};
use super::{ETC, FOLDER, GATEWAY, PROVISION, Run, ZONES, apply, plan, redact};

/// The key of an item, and why it is not taken.
type Wrong = (&'static str, String);

/// What became of the items.
#[derive(Default)]
struct Items {
    /// For the report.
    told: Vec<String>,
    taken: Vec<&'static str>,
    /// Taken at an earlier start, and not changed since.
    unchanged: Vec<&'static str>,
    refused: Vec<&'static str>,
}

impl Run {
    pub(super) fn take_provision(&mut self, staged: Option<&Path>) -> Result<(), NotSet> {
        let Some(text) = self.new_text(PROVISION) else {
            return Ok(());
        };
        let shown = format!("{FOLDER}/{PROVISION}");
        let before = self.refused.iter().count();
        let Some((wanted, root)) = config::read_parts(&shown, &text, &mut self.refused) else {
            self.story.add(PROVISION, Became::Refused);
            return Ok(());
        };
        let wanted: Wanted = wanted;
        let mut items = Items::default();
        for name in ITEMS.into_iter().filter(|name| root.entry(name).is_some()) {
            self.take_item(name, &wanted, &root, staged, &mut items)?;
        }
        let kept = self.redacted(&text, &mut items)?;
        for name in &items.taken {
            let item = parse(&kept)
                .root
                .as_ref()
                .and_then(|root| written(root, name));
            self.state
                .set(&key(name), item.unwrap_or_default().as_bytes());
        }
        let is_whole = self.refused.iter().count() == before;
        if is_whole {
            self.state.set(PROVISION, kept.as_bytes());
        }
        if !items.unchanged.is_empty() && !items.taken.is_empty() {
            items
                .told
                .push(format!("as before: {}", items.unchanged.join(", ")));
        }
        self.story.add(
            PROVISION,
            match (is_whole, items.taken.is_empty()) {
                (true, _) => Became::Taken(items.told),
                (false, false) => Became::TakenInPart(items.told),
                (false, true) if items.unchanged.is_empty() => Became::Refused,
                (false, true) => Became::RefusedInPart,
            },
        );
        Ok(())
    }

    /// Takes one item, if it is right and new.
    fn take_item(
        &mut self,
        name: &'static str,
        wanted: &Wanted,
        root: &Node,
        staged: Option<&Path>,
        items: &mut Items,
    ) -> Result<(), NotSet> {
        let one = wanted.only(name);
        if !is_usable(name, &one, root) {
            items.refused.push(name);
            return Ok(());
        }
        let is_whole = root.get(&[name]).is_some_and(Node::is_whole);
        let text = written(root, name).unwrap_or_default();
        if is_whole && self.state.is_taken(&key(name), text.as_bytes()) {
            items.unchanged.push(name);
            return Ok(());
        }
        let planned = self.planned(&one, staged);
        let (planned, users) = match planned {
            Ok(planned) => planned,
            Err((key, message)) => {
                let path: Vec<&str> = key.split('.').collect();
                let shown = format!("{FOLDER}/{PROVISION}");
                let mark = root.mark_of(&path);
                self.refused.add(&shown, Some(mark), key, message);
                items.refused.push(name);
                return Ok(());
            }
        };
        for change in &planned.changes {
            apply::apply(&self.root, change).map_err(NotSet::System)?;
        }
        items.told.extend(planned.told);
        if let (Some(mqtt), Some(file)) = (&one.mqtt, users) {
            items.told.extend(set_user(mqtt, &file)?);
        }
        if !is_whole {
            let text = "SSH: the keys with mistakes were left out";
            items.told.push(text.to_owned());
        }
        items.taken.push(name);
        Ok(())
    }

    /// What has to change for one item, and the file of its user.
    fn planned(
        &self,
        one: &Wanted,
        staged: Option<&Path>,
    ) -> Result<(plan::Plan, Option<PathBuf>), Wrong> {
        self.zone(one)?;
        let users = self.users_file(one, staged)?;
        let wpa = fs::read_to_string(self.root.join(plan::WPA_FILE)).ok();
        Ok((plan::plan(one, wpa.as_deref())?, users))
    }

    /// The file that the first user of the broker goes into: the one that the mapping names, or the usual one.
    fn users_file(&self, wanted: &Wanted, staged: Option<&Path>) -> Result<Option<PathBuf>, Wrong> {
        let Some(mqtt) = &wanted.mqtt else {
            return Ok(None);
        };
        let current = self.root.join(ETC).join(GATEWAY);
        // A mapping that cannot be parsed is refused, so that the one of before holds.
        let named = staged.into_iter().chain([current.as_path()]);
        let named = named
            .filter_map(|mapping| config::files_of_broker(mapping).ok())
            .next();
        let named = named.unwrap_or_default().into_iter();
        let file = named.into_iter().find(|(key, ..)| key == "broker.users");
        let file = file.map_or_else(
            || config::usual_users_file(Path::new("")),
            |(.., file)| file,
        );
        let file = self.inside(&file).map_err(|why| ("mqtt", why))?;
        if mqtt.password.is_none() {
            let users = config::load_users(&file).ok();
            if !users.is_some_and(|users| users.named.contains_key(&mqtt.user.0)) {
                let text = "is needed: there is no such user yet";
                return Err(("mqtt.password", text.to_owned()));
            }
        }
        Ok(Some(file))
    }

    fn zone(&self, wanted: &Wanted) -> Result<(), Wrong> {
        let zones = self.root.join(ZONES);
        match &wanted.timezone {
            Some(zone) if !zones.join(&zone.0).is_file() => {
                let text = format!("there is no time zone \"{}\" here", zone.0);
                Err(("timezone", text))
            }
            _ => Ok(()),
        }
    }

    /// Takes the passwords of the items that were taken out of the file on the card. Returns what is there then.
    fn redacted(&self, text: &str, items: &mut Items) -> Result<String, NotSet> {
        let settled: Vec<&str> = items
            .taken
            .iter()
            .chain(&items.unchanged)
            .copied()
            .collect();
        let Some(root) = parse(text).root else {
            return Ok(text.to_owned());
        };
        if !redact::has_secrets(&root, &settled) {
            return Ok(text.to_owned());
        }
        let bare = redact::bare(&root, &settled);
        let says_the_same =
            |text: &String| parse(text).root.is_some_and(|root| to_value(&root) == bare);
        let kept = redact::redact(text, &root, &settled).filter(says_the_same);
        let kept = kept
            .or_else(|| serde_yaml::to_string(&bare).ok())
            .unwrap_or_else(|| "version: 1\n".to_owned());
        apply::replace(&self.folder.join(PROVISION), kept.as_bytes(), 0o644, None)
            .map_err(NotSet::System)?;
        items.told.push(
            "The passwords were taken out of the file, since every computer can read this card. The gateway \
             keeps them. To set another one, write it there again."
                .to_owned(),
        );
        if redact::has_secrets(&root, &items.refused) {
            let text = "The password of an item with a mistake is still in the file.";
            items.told.push(text.to_owned());
        }
        Ok(kept)
    }
}

/// What the state remembers of an item.
fn key(item: &str) -> String {
    format!("{PROVISION}:{item}")
}

/// An item as it is written, whatever its form.
fn written(root: &Node, name: &str) -> Option<String> {
    serde_yaml::to_string(&to_value(root.get(&[name])?)).ok()
}

/// Whether an item can be taken. Of several SSH keys, those that are right can.
fn is_usable(name: &str, one: &Wanted, root: &Node) -> bool {
    let Some(entry) = root.entry(name).filter(|entry| entry.pruned.is_none()) else {
        return false;
    };
    if entry.value.is_whole() {
        // A key with nothing behind it is as good as none.
        return !one.is_empty();
    }
    let keys = entry.value.get(&["keys"]).map(|keys| &keys.kind);
    let others = entry.value.entries().len();
    matches!(keys, Some(Kind::List(_))) && others == 1 && one.has_keys()
}

/// Sets the password of a user; a new one may do everything.
fn set_user(mqtt: &MqttUser, file: &Path) -> Result<Option<String>, NotSet> {
    let Some(password) = &mqtt.password else {
        return Ok(None);
    };
    let name = &mqtt.user.0;
    set_password(file, name, password.0.as_bytes())?;
    Ok(Some(format!(
        "MQTT: the user \"{name}\" has this password now"
    )))
}
