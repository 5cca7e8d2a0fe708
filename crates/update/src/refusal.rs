//! Why a bundle was not taken, in words that say what to do.

use serde::Serialize;

/// Why a bundle was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// In our words.
    pub reason: String,
    /// What a person does about it.
    pub remedy: String,
    /// In those of who refused it: RAUC, the server, the system.
    pub detail: String,
    /// It is the bundle itself that is refused, and not the way to it.
    #[serde(skip)]
    pub(crate) is_final: bool,
}

/// What RAUC says, some of it at least with anything in the place of `…`, and what that means.
const KNOWN: [(&[&str], &str, &str); 18] = [
    (
        &["Failed to execute child process"],
        "this system has no program that RAUC needs",
        "install what RAUC names, or flash the card with a newer image",
    ),
    (
        &["not yet valid"],
        "its certificate is not valid yet by the clock of this board",
        "set the clock (`timedatectl`), and install again",
    ),
    (
        &["certificate has expired"],
        "the certificate that signed it has expired",
        "get a bundle that was signed with a newer one, or set the clock if it is wrong",
    ),
    (
        &["Verify error"],
        "it is signed with another key than this system trusts",
        "get the bundle from where this system came from",
    ),
    (
        &["signature verification failed"],
        "it is damaged, or signed with another key than this system trusts",
        "copy it again; if that does not help, get it from where this system came from",
    ),
    (
        &["Compatible mismatch", "incompatible"],
        "it is for another kind of board",
        "get the one for this board",
    ),
    (
        &["already processing", "Already processing"],
        "another update is being installed",
        "wait until that one is done: `fieldgate update status`",
    ),
    (
        &["Failed updating slot…No space left"],
        "it does not fit into the slot",
        "flash the card with an image of that release",
    ),
    (
        &["No space left"],
        "the data partition is full",
        "delete what you put below /data, and install again",
    ),
    (
        &["Unexpected dm-verity status"],
        "the RAUC of this system cannot use the dm-verity of its kernel",
        "get a bundle whose format is plain",
    ),
    (
        &["streaming mode"],
        "RAUC does not install a bundle of the format plain from an address",
        "copy it to /data, and install it from there",
    ),
    (
        &["Input/output error", "Failed to copy data", "verity"],
        "it is damaged inside",
        "copy it again, and install it again: the other slot is half written now, and the system that runs is untouched",
    ),
    (
        &[
            "Invalid bundle format",
            "Signature size",
            "Failed to identify",
            "too small",
            "not a valid bundle",
        ],
        "it is cut, or was never signed",
        "copy it again",
    ),
    (
        &["range requests"],
        "its server does not serve parts of a file",
        "use another server (nginx, Apache and Caddy do), or copy the bundle to /data",
    ),
    (
        &["HTTP error", "response code 404", "returned error"],
        "the server does not have it",
        "look whether the address is right",
    ),
    (
        &["resolve host", "Could not resolve", "Couldn't resolve"],
        "the server's name is not known",
        "look whether the name is right and the board has a DNS server (`resolvectl`)",
    ),
    (
        &[
            "Connection refused",
            "Couldn't connect",
            "Could not connect",
            "timed out",
            "Timeout was reached",
        ],
        "the server does not answer",
        "look whether it is reached from this board",
    ),
    (
        &["No such file", "Failed to open"],
        "it is not there",
        "look whether the name is right",
    ),
];

/// What a bundle is refused for wherever it is.
const FINAL: [&str; 6] = [
    "Verify error",
    "signature verification failed",
    "not yet valid",
    "has expired",
    "Compatible mismatch",
    "Invalid bundle format",
];

impl Refusal {
    /// One that is not RAUC's.
    pub(crate) fn told(reason: &str, remedy: &str, detail: String) -> Self {
        Self {
            reason: reason.to_owned(),
            remedy: remedy.to_owned(),
            detail,
            is_final: true,
        }
    }

    /// What `detail`, RAUC's words, means.
    pub(crate) fn of(detail: &str) -> Self {
        let means = |(words, ..): &&(&[&str], _, _)| {
            words
                .iter()
                .any(|word| word.split('…').all(|part| detail.contains(part)))
        };
        let (reason, remedy) = match KNOWN.iter().find(means) {
            Some((_, reason, remedy)) => (*reason, *remedy),
            None => (
                "RAUC does not take it",
                "`journalctl -u rauc` has the whole story",
            ),
        };
        Self {
            reason: reason.to_owned(),
            remedy: remedy.to_owned(),
            detail: format!("RAUC: {detail}"),
            is_final: FINAL.iter().any(|word| detail.contains(word)),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            reason,
            remedy,
            detail,
            ..
        } = self;
        write!(f, "{reason}; {remedy} ({detail})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RAUC 1.8 and 1.13 say it.
    #[test]
    fn what_rauc_says_is_told_with_what_to_do() {
        for (detail, want) in [
            (
                "Failed to extract manifest from bundle: Failed to run unsquashfs: Failed to execute child process “unsquashfs” (No such file or directory)",
                "no program that RAUC needs",
            ),
            (
                "signature verification failed: Verify error: self-signed certificate",
                "another key",
            ),
            (
                "signature verification failed: Verify error: unable to get local issuer certificate",
                "another key",
            ),
            (
                "signature verification failed: Verify error: certificate is not yet valid",
                "the clock",
            ),
            (
                "Compatible mismatch: Expected 'fieldgate-arm64' but bundle manifest has 'toaster'",
                "another kind of board",
            ),
            (
                "Invalid bundle format: Signature size (7234) exceeds bundle size",
                "it is cut",
            ),
            (
                "Installation error: Failed updating slot rootfs.1: Failed to copy data: Error reading from file: Input/output error",
                "damaged inside",
            ),
            (
                "Installation error: Error while writing status file: Failed to write file “/data/rauc/x”: write() failed: No space left on device",
                "data partition is full",
            ),
            (
                "Installation error: Failed updating slot rootfs.0: Failed splicing data: Error writing to file descriptor: No space left on device",
                "does not fit",
            ),
            (
                "Failed mounting bundle: Unexpected dm-verity status 'V -' (instead of '\\0')",
                "cannot use the dm-verity",
            ),
            (
                "Bundle format 'plain' not supported in streaming mode",
                "of the format plain from an address",
            ),
            (
                "signature verification failed: error:1700009E:CMS routines::verification failure",
                "it is damaged, or signed with another key",
            ),
            ("Something new", "RAUC does not take it"),
        ] {
            let refusal = Refusal::of(detail).to_string();
            assert!(
                refusal.contains(want) && refusal.contains(detail),
                "{refusal}"
            );
        }
    }
}
