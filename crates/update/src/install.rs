//! How far an installation is.

use serde::{Deserialize, Serialize};

/// One step of an installation, as RAUC reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// In the words of RAUC.
    pub step: String,
}

/// What a line of `rauc install` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Progress(Progress),
    Error(&'a str),
    Other,
}

impl<'a> Line<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        let line = line.trim();
        if let Some(error) = line.strip_prefix("LastError:") {
            return Self::Error(error.trim());
        }
        let step = line.split_once("% ");
        let step = step.and_then(|(percent, step)| Some((percent.parse().ok()?, step.trim())));
        match step {
            Some((percent @ 0..=100, step)) => Self::Progress(Progress {
                percent,
                step: step.to_owned(),
            }),
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_rauc_are_steps_and_errors() {
        let step = |percent, step: &str| {
            let step = step.to_owned();
            Line::Progress(Progress { percent, step })
        };
        for (line, want) in [
            ("  0% Installing", step(0, "Installing")),
            (
                " 90% Copying image to rootfs.1",
                step(90, "Copying image to rootfs.1"),
            ),
            ("100% Installing done.", step(100, "Installing done.")),
            (
                "LastError: Compatible mismatch",
                Line::Error("Compatible mismatch"),
            ),
            ("300% of it", Line::Other),
            ("installing", Line::Other),
        ] {
            assert_eq!(Line::of(line), want, "{line}");
        }
    }
}
