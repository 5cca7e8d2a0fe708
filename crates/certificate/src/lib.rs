//! Certificates: what one says of itself, whether a certificate and a key can be used by a server, and an authority of
//! one's own that signs a server's certificate.
//!
//! Everything here is bytes in and bytes out; the time is an argument, and only keys need random bytes of the system.
//! Where files are, and who serves with them, is not known here. `about` reads what may be hostile, `check` judges it,
//! `own` makes authorities and certificates.

mod about;
mod check;
mod own;

pub use about::{About, read};
pub use check::{Part, Wrong, check};
pub use own::{Failed, Name, Pair, SERVER_DAYS, authority, issue};

/// Seconds of a day.
pub const DAY: i64 = 86_400;
