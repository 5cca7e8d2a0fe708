//! Which release a system or a bundle is.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A version and, where it is known, the build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Such as `0.2.0`, or `unknown`.
    pub version: String,
    /// Tells two builds of one version apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
}

impl Release {
    /// The release that an `os-release` file names (`os-release(5)`).
    #[must_use]
    pub fn of_system(os_release: &str) -> Self {
        let value = |key: &str| {
            let mut lines = os_release.lines();
            let found = lines.find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            let plain = found.map(|text| text.trim_matches(['"', '\'']));
            plain.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let version = value("IMAGE_VERSION").or_else(|| value("VERSION_ID"));
        Self {
            version: version.unwrap_or_else(|| "unknown".to_owned()),
            build: value("BUILD_ID"),
        }
    }

    /// How the versions compare: numbers as numbers, and a version with a suffix such as `-rc1` before the one
    /// without it (Semantic Versioning 2.0.0, section 11). Builds have no order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let (ours, our_suffix) = split(&self.version);
        let (theirs, their_suffix) = split(&other.version);
        ours.cmp(&theirs)
            .then_with(|| match (our_suffix, their_suffix) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(ours), Some(theirs)) => parts(ours).cmp(&parts(theirs)),
            })
    }
}

/// The numbers of a version, without zeros at the end, and what follows the first hyphen.
fn split(version: &str) -> (Vec<u64>, Option<&str>) {
    let version = version.split('+').next().unwrap_or(version);
    let (numbers, suffix) = match version.split_once('-') {
        Some((numbers, suffix)) => (numbers, Some(suffix)),
        None => (version, None),
    };
    let number = |part: &str| part.parse().unwrap_or(0);
    let mut numbers: Vec<u64> = numbers.split('.').map(number).collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    (numbers, suffix)
}

/// Parts of a suffix: numbers come before words.
fn parts(suffix: &str) -> Vec<(bool, u64, &str)> {
    let part = |text: &'_ str| text.parse().ok();
    let parts = suffix.split('.');
    parts
        .map(|text| match part(text) {
            Some(number) => (false, number, ""),
            None => (true, 0, text),
        })
        .collect()
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.build {
            Some(build) => write!(f, "{} (build {build})", self.version),
            None => f.write_str(&self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str) -> Release {
        Release {
            version: version.to_owned(),
            build: None,
        }
    }

    #[test]
    fn versions_are_ordered_as_people_count() {
        let ordered = [
            "0.1",
            "0.1.1",
            "0.2.0-rc1",
            "0.2.0",
            "0.10.0-2",
            "0.10.0-11",
            "0.10.0-rc",
            "0.10.0",
            "1.0.0",
        ];
        for (at, one) in ordered.iter().enumerate() {
            for (place, other) in ordered.iter().enumerate() {
                let found = release(one).compare(&release(other));
                assert_eq!(found, at.cmp(&place), "{one} {other}");
            }
        }
        assert_eq!(
            release("1.0").compare(&release("1.0.0+deb")),
            Ordering::Equal
        );
    }

    #[test]
    fn the_system_says_which_release_it_is() {
        for (text, want) in [
            (
                "ID=debian\nVERSION_ID=\"13\"\nIMAGE_VERSION=0.2.0\nBUILD_ID='5f'\n",
                "0.2.0 (build 5f)",
            ),
            ("VERSION_ID=\"13\"\nBUILD_ID=\n", "13"),
            ("XIMAGE_VERSION=2\n", "unknown"),
        ] {
            assert_eq!(Release::of_system(text).to_string(), want);
        }
    }
}
