//! What the slots hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outlook::Outlook;
use crate::release::Release;
use crate::slot::Slot;

/// How the board stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What runs now.
    pub running: Release,
    /// What bundles must be made for.
    pub compatible: String,
    /// In the order of their names.
    pub slots: Vec<Slot>,
    /// What happens next.
    pub outlook: Outlook,
}

/// As `rauc status --detailed --output-format=json` prints it.
#[derive(Deserialize)]
struct Told {
    compatible: String,
    booted: Option<String>,
    boot_primary: Option<String>,
    slots: Vec<BTreeMap<String, ToldSlot>>,
}

#[derive(Deserialize)]
struct ToldSlot {
    bootname: Option<String>,
    boot_status: Option<String>,
    state: Option<String>,
    #[serde(default)]
    slot_status: ToldStatus,
}

#[derive(Default, Deserialize)]
struct ToldStatus {
    bundle: Option<ToldBundle>,
    installed: Option<ToldTime>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct ToldBundle {
    version: Option<String>,
}

#[derive(Deserialize)]
struct ToldTime {
    timestamp: Option<String>,
}

impl Status {
    /// `told` is RAUC's status as JSON; `starts_left` says what the boot loader has for a slot.
    ///
    /// # Errors
    ///
    /// The JSON is not of that form.
    pub(crate) fn of(
        told: &str,
        running: Release,
        starts_left: impl Fn(&str) -> Option<u32>,
    ) -> Result<Self, serde_json::Error> {
        let told: Told = serde_json::from_str(told)?;
        let mut slots = Vec::new();
        for (key, slot) in told.slots.into_iter().flatten() {
            let Some(name) = slot.bootname else { continue };
            let is_running =
                slot.state.as_deref() == Some("booted") || told.booted.as_ref() == Some(&name);
            let written = slot.slot_status;
            let of_bundle = written.bundle.and_then(|bundle| bundle.version);
            slots.push(Slot {
                version: if is_running {
                    Some(running.version.clone())
                } else {
                    of_bundle
                },
                installed: written.installed.and_then(|time| time.timestamp),
                is_running,
                is_next: told.boot_primary.as_ref() == Some(&key),
                is_good: slot.boot_status.as_deref() == Some("good"),
                is_whole: written.status.is_none_or(|status| status == "ok"),
                starts_left: starts_left(&name),
                name,
            });
        }
        slots.sort_by(|one, other| one.name.cmp(&other.name));
        let outlook = Outlook::of(&slots);
        Ok(Self {
            running,
            compatible: told.compatible,
            slots,
            outlook,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One slot as RAUC 1.8 and 1.13 tell it.
    fn slot(number: u32, state: &str, boot_status: &str, written: &str) -> String {
        let name = ["A", "B"][number as usize];
        format!(
            r#"{{"rootfs.{number}":{{"class":"rootfs","device":"/dev/x","type":"ext4","bootname":"{name}",
            "state":"{state}","parent":null,"mountpoint":null,"boot_status":"{boot_status}","slot_status":{written}}}}}"#
        )
    }

    fn status(booted: &str, primary: &str, slots: [&str; 2], left: [u32; 2]) -> Status {
        let told = format!(
            r#"{{"compatible":"fieldgate-arm64","variant":"","booted":"{booted}","boot_primary":{primary},
            "slots":[{},{}]}}"#,
            slots[1], slots[0]
        );
        let running = Release {
            version: "0.1.0".into(),
            build: None,
        };
        let left = |name: &str| Some(left[usize::from(name == "B")]);
        Status::of(&told, running, left).expect("as RAUC tells it")
    }

    const FLASHED: &str = r#"{"bundle":{"compatible":null}}"#;
    const WRITTEN: &str = r#"{"bundle":{"compatible":"fieldgate-arm64","version":"0.2.0"},"checksum":{"sha256":"f1","size":4194304},
        "installed":{"timestamp":"2026-11-28T04:32:18Z","count":1},"activated":{"timestamp":"2026-11-28T04:32:18Z","count":1},"status":"ok"}"#;
    const HALF: &str =
        r#"{"bundle":{"compatible":"fieldgate-arm64","version":"0.2.0"},"status":"failed"}"#;

    #[test]
    fn what_happens_next_follows_from_the_slots() {
        let on = |boot_status, written| slot(0, "booted", boot_status, written);
        let other = |boot_status, written| slot(1, "inactive", boot_status, written);
        let a = r#""rootfs.0""#;
        let b = r#""rootfs.1""#;
        for (primary, running, idle, left, want) in [
            (
                a,
                on("good", FLASHED),
                other("good", FLASHED),
                [3, 3],
                "0.1.0 in slot A stays",
            ),
            (
                b,
                on("good", FLASHED),
                other("good", WRITTEN),
                [3, 3],
                "the next start takes 0.2.0 in slot B: it has three starts",
            ),
            (
                a,
                on("good", FLASHED),
                other("bad", WRITTEN),
                [3, 0],
                "0.2.0 in slot B did not come up, so 0.1.0 in slot A runs again",
            ),
            (
                a,
                on("good", FLASHED),
                other("bad", HALF),
                [3, 3],
                "slot B is half written",
            ),
            (
                a,
                on("good", WRITTEN),
                other("good", WRITTEN),
                [2, 3],
                "0.1.0 in slot A is on trial",
            ),
            (
                "null",
                on("bad", FLASHED),
                other("bad", FLASHED),
                [0, 0],
                "no slot counts as good",
            ),
        ] {
            let status = status("A", primary, [&running, &idle], left);
            let outlook = status.outlook.to_string();
            assert!(outlook.starts_with(want), "{outlook}");
            assert_eq!(status.slots[0].version.as_deref(), Some("0.1.0"));
        }
    }

    #[test]
    fn what_is_not_a_status_is_an_error() {
        for told in ["", "{}", r#"{"compatible":1,"slots":[]}"#] {
            assert!(
                Status::of(told, Release::default(), |_| None).is_err(),
                "{told}"
            );
        }
    }
}
