//! Fetches a bundle by HTTP, for a RAUC that cannot read it from its address.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error, Timeout};

use crate::install::Progress;
use crate::refusal::Refusal;
use crate::store::{Store, Stored};

/// Time until a server's name is known, until it is connected, and until it begins to answer, each; and between two
/// pieces of what it sends.
const SILENCE: Duration = Duration::from_secs(30);

/// Time for all of a bundle: 300 MB at 25 kB/s, slower than which a mobile network hardly is.
const WHOLE: Duration = Duration::from_secs(4 * 3_600);

/// Servers that may send on to another one, in a row.
const REDIRECTS: u32 = 5;

/// Bytes of a bundle. The image's slots are smaller.
const MOST: u64 = 4 << 30;

/// How the manifest of such a bundle names its format.
const VERITY: &[u8] = b"format=verity";

/// Bytes that are read at once.
const PIECE: usize = 64 * 1_024;

const MEBI: u64 = 1 << 20;

/// Bytes of a bundle's signature, which is at its end, with the bundle's manifest in it if its format is `verity`.
/// RAUC takes no more.
const SIGNATURE: u64 = 64 << 10;

/// Bytes behind the signature that say how long it is.
const SIGNATURE_SIZE: u64 = 8;

/// Whether RAUC can read what is at `url` from there: its format is `verity`, and its server serves parts of it.
///
/// # Errors
///
/// The server is not reached, is not who it should be, or does not have it.
pub(crate) fn is_streamed(url: &str) -> Result<bool, Refusal> {
    let agent = agent();
    let end = |bytes: u64| -> Result<Option<Vec<u8>>, Refusal> {
        let answer = agent.get(url).header("Range", format!("bytes=-{bytes}"));
        match answer.call() {
            Ok(answer) if answer.status() == StatusCode::PARTIAL_CONTENT => {
                let mut end = Vec::new();
                let source = answer.into_body().into_reader();
                let read = source.take(bytes).read_to_end(&mut end);
                read.map_err(|error| refused(&Error::from(error), false))?;
                Ok(Some(end))
            }
            // It is shorter than that.
            Ok(_) | Err(Error::StatusCode(416)) => Ok(None),
            Err(error) => Err(refused(&error, false)),
        }
    };
    let size = end(SIGNATURE_SIZE)?.and_then(|size| size.try_into().ok());
    let Some(size @ 1..=SIGNATURE) = size.map(u64::from_be_bytes) else {
        return Ok(false);
    };
    let signature = end(size + SIGNATURE_SIZE)?.unwrap_or_default();
    Ok(signature.windows(VERITY.len()).any(|bytes| bytes == VERITY))
}

/// Copies what is at `url` into `store`, and tells `follow` of each percent.
///
/// # Errors
///
/// As [`is_streamed`]; there is no room; the server goes silent or away.
pub(crate) fn fetch(
    url: &str,
    store: &Store,
    mut follow: impl FnMut(&Progress),
) -> Result<Stored, Refusal> {
    let answer = agent().get(url).call();
    let body = answer.map_err(|error| refused(&error, false))?.into_body();
    let whole = body.content_length();
    let (mut file, room) = store.open()?;
    let most = room.min(MOST);
    if let Some(whole) = whole.filter(|whole| *whole > most) {
        return Err(too_big(whole, room));
    }
    let mut source = body.into_reader();
    let done = copy(&mut source, &mut file, whole, most, &mut follow)?;
    if done > most {
        return Err(too_big(done, room));
    }
    if let Some(whole) = whole.filter(|whole| *whole != done) {
        return Err(cut(format!("{done} of {whole} bytes came")));
    }
    Stored::of(file).map_err(|error| not_written(&error))
}

/// The bytes of what came, which is at most one piece more than `most`.
fn copy(
    source: &mut impl Read,
    file: &mut File,
    whole: Option<u64>,
    most: u64,
    follow: &mut impl FnMut(&Progress),
) -> Result<u64, Refusal> {
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    let mut told = None;
    loop {
        let progress = progress(done, whole);
        if told.as_ref() != Some(&progress) {
            follow(&progress);
            told = Some(progress);
        }
        let length = match source.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| refused(&Error::from(error), done > 0))?,
        };
        done += length as u64;
        if length == 0 || done > most {
            return Ok(done);
        }
        let written = file.write_all(piece.get(..length).unwrap_or_default());
        written.map_err(|error| not_written(&error))?;
    }
}

/// In whole percents, or where the server does not say how much it is, in megabytes.
fn progress(done: u64, whole: Option<u64>) -> Progress {
    let percent = whole.map_or(0, |whole| done.saturating_mul(100) / whole.max(1));
    let step = match whole {
        Some(whole) => format!("Downloading {} MB", whole.div_ceil(MEBI)),
        None => format!("Downloading, {} MB so far", done / MEBI),
    };
    Progress {
        percent: u8::try_from(percent.min(100)).unwrap_or(100),
        step,
    }
}

fn agent() -> Agent {
    let limit = Some(SILENCE);
    let config = Agent::config_builder()
        .max_redirects(REDIRECTS)
        .timeout_resolve(limit)
        .timeout_connect(limit)
        .timeout_recv_response(limit)
        .timeout_per_read(limit)
        .timeout_per_write(limit)
        .timeout_global(Some(WHOLE))
        .user_agent(concat!("fieldgate/", env!("CARGO_PKG_VERSION")))
        .tls_config(trust());
    config.build().new_agent()
}

/// The certificates that this system trusts.
fn trust() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("certificates of this system: {error}");
    }
    let certs = found.certs.iter();
    let certs: Vec<_> = certs
        .map(|cert| Certificate::from_der(cert).to_owned())
        .collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certs)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

fn too_big(bytes: u64, room: u64) -> Refusal {
    if bytes > MOST {
        let detail = format!("it has {} MB or more", bytes / MEBI);
        return Refusal::told(
            "it is too big for a bundle",
            "look whether the address is right",
            detail,
        );
    }
    Refusal::told(
        "the data partition has no room for it",
        "delete what you put below /data, and install again",
        format!(
            "it has {} MB or more, and {} MB are free for it",
            bytes.div_ceil(MEBI),
            room / MEBI
        ),
    )
}

fn not_written(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::StorageFull => Refusal::told(
            "the data partition has no room for it",
            "delete what you put below /data, and install again",
            error.to_string(),
        ),
        _ => Refusal::told(
            "it cannot be kept on this board while it is installed",
            "see what is wrong with the data partition",
            error.to_string(),
        ),
    }
}

fn cut(detail: String) -> Refusal {
    Refusal::told(
        "the server ended before all of it came",
        "install again; the system that runs is untouched",
        detail,
    )
}

const UNKNOWN_NAME: (&str, &str) = (
    "the server's name is not known",
    "look whether the name is right and the board has a DNS server (`resolvectl`)",
);

/// What an error of HTTP means; `is_begun` when a part of the bundle had come.
fn refused(error: &Error, is_begun: bool) -> Refusal {
    let detail = error.to_string();
    let is_clock = ["not valid yet", "NotValidYet", "expired", "Expired"]
        .iter()
        .any(|word| detail.contains(word));
    let (reason, remedy) = match error {
        _ if detail.contains("invalid peer certificate") && is_clock => (
            "its server's certificate is not valid by the clock of this board",
            "set the clock (`timedatectl`) if it is wrong, and install again",
        ),
        _ if detail.contains("invalid peer certificate") => (
            "its server is not known to the authorities that this system trusts",
            "look whether the address is right; an authority of your own goes into /etc/ssl/certs/ca-certificates.crt",
        ),
        Error::StatusCode(500..) => ("the server cannot give it now", "install again later"),
        Error::StatusCode(_) => (
            "the server does not have it",
            "look whether the address is right",
        ),
        Error::TooManyRedirects | Error::RedirectFailed => (
            "the server sends from one address to the next",
            "name the last of them",
        ),
        Error::HostNotFound | Error::Timeout(Timeout::Resolve) => UNKNOWN_NAME,
        _ if detail.contains("failed to lookup address") => UNKNOWN_NAME,
        Error::BadUri(_) | Error::Http(_) => ("that is no address", "look how it is written"),
        Error::Timeout(Timeout::Global) => (
            "it did not come within four hours",
            "copy the bundle to /data another way, and install it from there",
        ),
        Error::Timeout(_) if is_begun => (
            "the server went silent before all of it came",
            "install again; the system that runs is untouched",
        ),
        _ if is_begun => return cut(detail),
        _ => (
            "the server does not answer",
            "look whether it is reached from this board",
        ),
    };
    Refusal::told(reason, remedy, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_percents_or_megabytes() {
        for (done, whole, percent, step) in [
            (0, Some(0), 0, "Downloading 0 MB"),
            (0, Some(1), 0, "Downloading 1 MB"),
            (MEBI, Some(3 * MEBI), 33, "Downloading 3 MB"),
            (3 * MEBI, Some(3 * MEBI), 100, "Downloading 3 MB"),
            (u64::MAX, Some(1), 100, "Downloading 1 MB"),
            (5 * MEBI + 1, None, 0, "Downloading, 5 MB so far"),
        ] {
            let step = step.to_owned();
            assert_eq!(progress(done, whole), Progress { percent, step });
        }
    }

    #[test]
    fn what_http_says_is_told_with_what_to_do() {
        let tls = |text: &str| {
            Error::from(io::Error::other(format!(
                "invalid peer certificate: {text}"
            )))
        };
        for (error, is_begun, want) in [
            (tls("UnknownIssuer"), false, "not known to the authorities"),
            (
                tls("certificate not valid yet: verification time 1 (UNIX)"),
                false,
                "by the clock of this board",
            ),
            (Error::StatusCode(404), false, "does not have it"),
            (Error::StatusCode(503), false, "cannot give it now"),
            (
                Error::TooManyRedirects,
                false,
                "from one address to the next",
            ),
            (Error::HostNotFound, false, "name is not known"),
            (Error::Timeout(Timeout::Connect), false, "does not answer"),
            (Error::Timeout(Timeout::PerRead), true, "went silent"),
            (Error::Timeout(Timeout::Global), true, "within four hours"),
            (
                Error::from(io::Error::from(io::ErrorKind::ConnectionReset)),
                true,
                "ended before all of it came",
            ),
            (
                Error::from(io::Error::from(io::ErrorKind::ConnectionRefused)),
                false,
                "does not answer",
            ),
        ] {
            let told = refused(&error, is_begun).to_string();
            assert!(told.contains(want), "{told}");
        }
    }

    #[test]
    fn what_is_too_big_is_told_with_its_bound() {
        for (bytes, room, want) in [
            (
                200 * MEBI,
                100 * MEBI,
                "200 MB or more, and 100 MB are free",
            ),
            (MOST + 1, u64::MAX, "too big for a bundle"),
        ] {
            let told = too_big(bytes, room).to_string();
            assert!(told.contains(want), "{told}");
        }
    }
}
