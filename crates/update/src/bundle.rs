//! What a bundle says of itself, once its signature has been checked.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::release::Release;

/// A bundle whose signature this system trusts.
#[derive(Clone, Debug, Serialize)]
pub struct Bundle {
    /// Where it is. If it was downloaded, it stays on the board as long as this does.
    pub place: Place,
    /// What it would bring.
    pub release: Release,
    /// The kind of board that it is for.
    pub compatible: String,
    /// How it compares with what runs.
    pub fit: Fit,
}

/// Whether it makes sense to install a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// A version after the one that runs.
    Newer,
    /// The version that runs, perhaps built anew.
    Same,
    /// A version before the one that runs.
    Older,
    /// It is for another kind of board.
    Foreign,
}

/// As `rauc info --output-format=json` prints it.
#[derive(Deserialize)]
struct Told {
    compatible: String,
    version: Option<String>,
    build: Option<String>,
}

impl Bundle {
    /// `told` is RAUC's description of the bundle at `place` as JSON.
    ///
    /// # Errors
    ///
    /// The JSON is not of that form.
    pub(crate) fn of(
        place: &Place,
        told: &str,
        running: &Release,
        compatible: Option<&str>,
    ) -> Result<Self, serde_json::Error> {
        let told: Told = serde_json::from_str(told)?;
        let release = Release {
            version: told.version.unwrap_or_else(|| "unknown".to_owned()),
            build: told.build,
        };
        let fit = match release.compare(running) {
            _ if compatible.is_some_and(|ours| ours != told.compatible) => Fit::Foreign,
            Ordering::Greater => Fit::Newer,
            Ordering::Equal => Fit::Same,
            Ordering::Less => Fit::Older,
        };
        Ok(Self {
            place: place.clone(),
            release,
            compatible: told.compatible,
            fit,
        })
    }
}

impl Fit {
    /// In words that fit behind the release.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Newer => "newer than what runs",
            Self::Same => "the version that runs",
            Self::Older => "older than what runs",
            Self::Foreign => "for another kind of board",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_compared_with_what_runs() {
        let running = Release {
            version: "0.2.0".into(),
            build: None,
        };
        for (version, compatible, want) in [
            ("0.3.0", "fieldgate-arm64", Fit::Newer),
            ("0.2.0", "fieldgate-arm64", Fit::Same),
            ("0.1.9", "fieldgate-arm64", Fit::Older),
            ("0.3.0", "toaster", Fit::Foreign),
        ] {
            let told = format!(
                r#"{{"compatible":"{compatible}","version":"{version}","description":null,"build":null,"hooks":[],"images":[]}}"#
            );
            let bundle = Bundle::of(
                &Place::named("/data/x.raucb"),
                &told,
                &running,
                Some("fieldgate-arm64"),
            );
            assert_eq!(bundle.expect("as RAUC tells it").fit, want, "{version}");
        }
    }
}
