//! `fieldgate token`.

use clap::{Args, Subcommand};

use super::{ConsoleRole, UsersFile};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it. It is shown once.
    Add(AddToken),
    /// Remove a token. It ends at once.
    Remove(RemoveToken),
    /// List the tokens.
    List(UsersFile),
}

#[derive(Args, Debug)]
pub(crate) struct AddToken {
    /// The user for whom the script is taken. Its rules hold, and the token ends with it.
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// What the token is called, such as grafana.
    #[arg(value_name = "NAME")]
    pub(crate) token: String,
    /// What the script may do in the console, at most what its user may.
    #[arg(long, value_enum, value_name = "ROLE", default_value = "view")]
    pub(crate) role: ConsoleRole,
    /// The last day on which it is taken, such as 2027-01-31 (UTC). Without it, for ever.
    #[arg(long, value_name = "DAY")]
    pub(crate) until: Option<String>,
    #[command(flatten)]
    pub(crate) file: UsersFile,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveToken {
    /// The user.
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// The token.
    #[arg(value_name = "NAME")]
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) file: UsersFile,
}
