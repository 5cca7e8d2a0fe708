//! What units of the SD image run.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(crate) struct Provision {
    /// Where the boot partition is mounted.
    #[arg(long, value_name = "DIR")]
    pub(crate) boot: PathBuf,
    /// The root of the system to provision.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    /// Take what is asked for out of the gateway's folder, so that the next one can be asked for.
    Take,
    /// Try the setting that is asked for, and keep it once it is confirmed.
    Try,
    /// Bring the old setting back if one is being tried.
    Return,
}
