//! The certificate of the gateway: looked at, replaced, made with an authority of its own, and renewed in time. The
//! command line, the console and the daemon do it with this code.
//!
//! `place` knows the files, `keeper` what the daemon does by itself, `machine` under which names this machine can be
//! asked for.

mod keeper;
mod machine;
mod place;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use fieldgate_certificate::{About, Name};

use crate::args::{Certificate, MakeCertificate, SetCertificate};
use crate::output::print;
use crate::stop::Stop;

pub(crate) use keeper::Keeper;
pub(crate) use machine::{names, own as machine_names};
pub(crate) use place::{NotPut, Place};

/// Seconds since 1970, as certificates count them.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

impl From<NotPut> for Stop {
    fn from(not_put: NotPut) -> Self {
        match not_put {
            NotPut::System(error) => Self::Other(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

/// Carries out `fieldgate certificate ...`.
///
/// # Errors
///
/// A configuration that cannot be read, files that cannot be used, and what the system refuses.
pub(crate) fn act(command: &Certificate) -> Result<(), Stop> {
    match command {
        Certificate::Show(of) => show(&Place::of(&of.config).map_err(Stop::Config)?),
        Certificate::Set(set) => self::set(set),
        Certificate::Make(make) => self::make(make),
    }
}

fn show(place: &Place) -> Result<(), Stop> {
    let look = place.look();
    match &look.certificate {
        Ok(Some(about)) => print(&told(&place.certificate.display().to_string(), about)),
        Ok(None) => print("there is no certificate; `fieldgate certificate make` makes one\n"),
        Err(text) => {
            let text = format!("{}: {text}", place.certificate.display());
            return Err(Stop::Usage(text));
        }
    }
    if let Some(authority) = &look.authority {
        print(&told(&place.authority.display().to_string(), authority));
    }
    Ok(())
}

fn told(file: &str, about: &About) -> String {
    let names = match about.names.is_empty() {
        true => "none".to_owned(),
        false => about.names.join(", "),
    };
    format!(
        "{file}: {}\n  names:   {names}\n  issuer:  {}\n  valid:   {} more days\n  SHA-256: {}\n",
        about.subject,
        about.issuer,
        about.days_left(now()),
        about.fingerprint_text()
    )
}

fn set(set: &SetCertificate) -> Result<(), Stop> {
    let place = Place::of(&set.of.config).map_err(Stop::Config)?;
    let read = |path: &std::path::PathBuf| {
        let bytes = fs::read(path);
        bytes.map_err(|error| Stop::Usage(format!("{}: {error}", path.display())))
    };
    place.put(&read(&set.certificate)?, &read(&set.key)?)?;
    print("a running gateway uses it within 30 seconds\n");
    show(&place)
}

fn make(make: &MakeCertificate) -> Result<(), Stop> {
    let place = Place::of(&make.of.config).map_err(Stop::Config)?;
    let mut wanted = Vec::new();
    for name in &make.names {
        wanted.push(name.parse::<Name>().map_err(Stop::Usage)?);
    }
    wanted.extend(names(&[]));
    place.make(&wanted, make.new_authority)?;
    print("a running gateway uses it within 30 seconds; clients need ca.pem\n");
    show(&place)
}
