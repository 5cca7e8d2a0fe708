//! `fieldgate user`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DEFAULT_FILE;

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a user. Without --read and --write it may do everything.
    Add(AddUser),
    /// Set another password.
    Passwd(NewPassword),
    /// Remove a user.
    Remove(NamedUser),
    /// List the users and what they may do.
    List(UsersFile),
}

#[derive(Args, Debug)]
pub(crate) struct AddUser {
    #[command(flatten)]
    pub(crate) user: NewPassword,
    /// Topics that it may read: a topic filter, where %c is the client identifier and %u the user
    /// name. May be given several times.
    #[arg(long, value_name = "FILTER")]
    pub(crate) read: Vec<String>,
    /// Topics that it may publish to, likewise.
    #[arg(long, value_name = "FILTER")]
    pub(crate) write: Vec<String>,
    /// What it may do in the web console. Without it, nothing.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub(crate) console: Option<ConsoleRole>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ConsoleRole {
    /// Look.
    View,
    /// Write to points.
    Operate,
    /// Everything.
    Admin,
}

#[derive(Args, Debug)]
pub(crate) struct NewPassword {
    #[command(flatten)]
    pub(crate) user: NamedUser,
    /// Read the password from the first line of standard input instead of asking for it twice.
    #[arg(long)]
    pub(crate) stdin: bool,
}

#[derive(Args, Debug)]
pub(crate) struct NamedUser {
    /// The user name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) file: UsersFile,
}

#[derive(Args, Debug)]
pub(crate) struct UsersFile {
    /// The users file. `user add` makes it if it is not there.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    /// The configuration whose broker.users names the users file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
}
