//! The board as a system: what runs, what the next start takes, updates that are uploaded, restarts.

use bytes::Bytes;
use serde::Serialize;

use crate::files::NotDone;
use crate::later::Later;

/// A release of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReleaseView {
    /// Its version.
    pub version: String,
    /// Tells two builds of one version apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
}

/// One of the two systems on the card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotView {
    /// `A` or `B`.
    pub name: String,
    /// What is in it; not known of one that came with the card and does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When an update was written into it, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// It runs now.
    pub running: bool,
    /// The next start takes it.
    pub next: bool,
    /// The boot loader may start it.
    pub good: bool,
    /// An update was written into it from beginning to end.
    pub whole: bool,
    /// Starts that it still has before the other one is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_left: Option<u32>,
}

/// What the next start does, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutlookView {
    /// `stays`, `trial`, `switches`, `fell_back`, `half_written` or `none_good`.
    pub state: &'static str,
    /// For people.
    pub text: String,
}

/// An update that was uploaded, and whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleView {
    /// What it brings.
    #[serde(flatten)]
    pub release: ReleaseView,
    /// `newer`, `same` or `older` than what runs.
    pub fit: &'static str,
}

/// What was asked for last, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkView {
    /// `check`, `install`, `next`, `restart_gateway` or `restart_board`.
    pub act: &'static str,
    /// `busy`, `done` or `refused`.
    pub state: &'static str,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// What is done just now, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why it was refused, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What is known of the board.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ApplianceView {
    /// Whether it can be changed here; else the owner of the system does it.
    pub managed: bool,
    /// Bytes that an update may have.
    pub room: u64,
    /// What runs; none if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<ReleaseView>,
    /// By name. Empty where there are none, or that is not known yet.
    pub slots: Vec<SlotView>,
    /// What happens next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlook: Option<OutlookView>,
    /// Why slots or room are not known, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What can be installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleView>,
    /// What was asked for last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkView>,
}

/// What can be asked of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Install what was uploaded into the slot that does not run.
    Install,
    /// Have the next start take a slot.
    Next(String),
    /// Restart the gateway's program.
    RestartGateway,
    /// Restart the board.
    RestartBoard,
}

/// An update that is coming. What has come is away when this is dropped before it is whole.
pub trait Upload: Send {
    /// Takes some more of it.
    fn take(&mut self, bytes: Bytes) -> Later<'_, Result<(), NotDone>>;

    /// All of it has come. It is looked at from now on.
    fn whole(self: Box<Self>) -> Later<'static, Result<(), NotDone>>;
}

/// The board. What may take long says so by its type.
pub trait Appliance: Send + Sync {
    /// How it is.
    fn look(&self) -> Later<'_, ApplianceView>;

    /// Takes an update of so many bytes, in the place of one that was uploaded before.
    fn upload(&self, bytes: u64) -> Later<'_, Result<Box<dyn Upload>, NotDone>>;

    /// Removes what was uploaded.
    fn discard(&self) -> Later<'_, Result<(), NotDone>>;

    /// Begins something.
    fn begin(&self, task: Task) -> Later<'_, Result<(), NotDone>>;
}
