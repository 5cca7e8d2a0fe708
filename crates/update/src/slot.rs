//! One of the two systems on the card.

use serde::{Deserialize, Serialize};

/// One of the two systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// `A` or `B`.
    pub name: String,
    /// `None` in a slot that came with the card, which tells its release only while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When a bundle was written into it, as RAUC says it (ISO 8601, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// It runs now.
    pub is_running: bool,
    /// The next start takes it.
    pub is_next: bool,
    /// The boot loader may start it.
    pub is_good: bool,
    /// A bundle was written into it from beginning to end, or it is as the card came.
    pub is_whole: bool,
    /// Starts that the boot loader still gives it before it takes the other slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_left: Option<u32>,
}
