//! Updates of the SD image.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Update {
    /// Show what runs, what the slots hold, and what the next start does.
    Status(Shown),
    /// Check the signature of bundles and compare them with what runs. Nothing is changed.
    Check(CheckUpdate),
    /// Install a bundle into the slot that does not run. The gateway goes on meanwhile.
    ///
    /// Of several bundles the newest is taken. After the next start the new system has three starts
    /// to come up, or the old one runs again.
    Install(InstallUpdate),
    /// Have the next start take a slot, such as the one that ran before the last update.
    Next(NextSlot),
    /// Take what the web console asks for out of the gateway's folder. A unit runs this, as the next two.
    #[command(hide = true)]
    Take,
    /// Carry out what the web console asks for.
    #[command(hide = true)]
    Act,
    /// Tell the web console that what was not carried out will not be.
    #[command(hide = true)]
    Settle,
}

#[derive(Args, Debug)]
pub(crate) struct NextSlot {
    /// Its name: A or B.
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
}

#[derive(Args, Debug)]
pub(crate) struct Shown {
    /// Print JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CheckUpdate {
    /// A bundle, a folder with bundles, or an http or https address of a bundle. By default the card's first
    /// partition and /data.
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct InstallUpdate {
    /// A bundle, a folder with bundles, or an http or https address of a bundle. By default the card's first
    /// partition and /data.
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Restart the board when it is installed.
    #[arg(long)]
    pub(crate) restart: bool,
    #[command(flatten)]
    pub(crate) shown: Shown,
}
