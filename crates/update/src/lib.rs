//! Updates of the appliance: signed bundles for two slots.
//!
//! RAUC checks and writes bundles, the boot loader counts starts. This crate asks RAUC with its own
//! program, which talks to its service, and says in plain words what it found: which release runs, what a
//! bundle holds, why one was refused, and what happens at the next start. It decides nothing about trust. A bundle that
//! RAUC cannot read from its address is downloaded first.

mod bundle;
mod download;
mod install;
mod outlook;
mod place;
mod rauc;
mod refusal;
mod release;
mod slot;
mod source;
mod status;
mod store;

pub use bundle::{Bundle, Fit};
pub use install::Progress;
pub use outlook::Outlook;
pub use place::Place;
pub use rauc::{Error, Updater};
pub use refusal::Refusal;
pub use release::Release;
pub use slot::Slot;
pub use source::{PLACES, Source};
pub use status::Status;
pub use store::room;
