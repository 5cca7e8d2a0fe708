//! What the daemon does about its certificate by itself: it makes one if the console needs it, and renews what its own
//! authority has signed, before it ends and when the machine has another name or address.

use std::path::{Path, PathBuf};

use fieldgate_certificate::{About, Name};
use fieldgate_config::Config;

use super::{NotPut, Place, machine, now};

/// A certificate is renewed when it is valid for less than this, in days.
const RENEW: i64 = 30;
/// Names of a certificate. With more, those are left out that this machine has no longer.
const NAMES_MAX: usize = 32;

/// Looks after the certificate of one configuration.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    /// Of the console, beside those of the machine.
    names: Vec<String>,
    /// The console listens with a certificate that the configuration does not name.
    is_asked_for: bool,
    /// What went wrong the last time, which is said once.
    said: Option<String>,
}

impl Keeper {
    /// For a configuration that was read from `path`.
    pub(crate) fn new(path: &Path, config: &Config) -> Self {
        let console = config.console.as_ref();
        let names = console.map(|console| console.names().map(str::to_owned).collect());
        let has_https = console.is_some_and(|console| console.listen.https().is_some());
        Self {
            path: path.to_owned(),
            names: names.unwrap_or_default(),
            is_asked_for: has_https && config.tls.is_none(),
            said: None,
        }
    }

    /// Does what is due. Returns whether there is a new certificate. What cannot be done is in the log.
    pub(crate) fn look(&mut self) -> bool {
        let done = self.keep();
        let (is_new, said) = match done {
            Ok(is_new) => (is_new, None),
            Err(error) => (false, Some(error)),
        };
        if let Some(text) = said
            .as_ref()
            .filter(|text| Some(*text) != self.said.as_ref())
        {
            log::error!("the certificate of this gateway is not made or renewed: {text}");
        }
        self.said = said;
        is_new
    }

    fn keep(&self) -> Result<bool, String> {
        // A configuration with mistakes is told elsewhere.
        let Ok(place) = Place::of(&self.path) else {
            return Ok(false);
        };
        let look = place.look();
        let own = machine::names(&self.names);
        let wanted = match look.certificate {
            Ok(None) if self.is_asked_for && !place.key.exists() => own,
            Ok(Some(about)) if look.is_own => match due(&about, &own, now()) {
                Some(names) => names,
                None => return Ok(false),
            },
            _ => return Ok(false),
        };
        place
            .make(&wanted, false)
            .map_err(|error: NotPut| error.to_string())?;
        if let Ok(Some(about)) = place.look().certificate {
            log::warn!(
                "a new certificate for {}; its SHA-256 is {}",
                about.names.join(", "),
                about.fingerprint_text()
            );
        }
        Ok(true)
    }
}

/// The names of the next certificate, if it is time for it.
fn due(about: &About, own: &[Name], now: i64) -> Option<Vec<Name>> {
    let had: Vec<Name> = about
        .names
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    let is_missing = own.iter().any(|name| !had.contains(name));
    if !is_missing && about.days_left(now) >= RENEW {
        return None;
    }
    let mut names = own.to_vec();
    let old = had.into_iter().filter(|name| !own.contains(name));
    names.extend(old);
    names.truncate(NAMES_MAX.max(own.len()));
    Some(names)
}

#[cfg(test)]
mod tests {
    use fieldgate_certificate::{DAY, SERVER_DAYS, authority, issue, read};

    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_its_last_month_and_for_a_new_name() {
        let now = 1_800_000_000;
        let parse = |names: &[&str]| -> Vec<Name> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let root = authority("plant7", now).unwrap();
        let pair = issue(&root, &parse(&["plant7.local", "10.0.0.1"]), now).unwrap();
        let about = read(pair.certificate.as_bytes()).unwrap().remove(0);
        let late = now + (SERVER_DAYS - RENEW) * DAY;
        for (own, at, want) in [
            (vec!["plant7.local"], now, None),
            (vec!["plant7.local", "10.0.0.1"], late - 2 * DAY, None),
            (
                vec!["plant7.local"],
                late,
                Some(vec!["plant7.local", "10.0.0.1"]),
            ),
            (
                vec!["plant8.local", "10.0.0.2"],
                now,
                Some(vec!["plant8.local", "10.0.0.2", "plant7.local", "10.0.0.1"]),
            ),
        ] {
            let found = due(&about, &parse(&own), at);
            assert_eq!(found, want.map(|names| parse(&names)), "{own:?}");
        }
        let many: Vec<String> = (0..40).map(|number| format!("10.0.1.{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            due(&about, &parse(&many), now).map(|names| names.len()),
            Some(40)
        );
        assert_eq!(
            due(&about, &parse(&many[..31]), now).map(|names| names.len()),
            Some(NAMES_MAX)
        );
    }
}
