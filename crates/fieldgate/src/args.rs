//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use log::LevelFilter;

/// Turns a Linux board into an MQTT gateway: an MQTT broker and the field-bus devices whose
/// points it publishes, in one daemon.
#[derive(Debug, Parser)]
#[command(name = "fieldgate", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How much to log: error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: LevelFilter,
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  the configuration is wrong; every mistake was printed with its line
  2  the command line is wrong
  3  an address cannot be listened on
  4  `test`: the device did not answer, or refused
  5  anything else that stops the program";

/// Where the image keeps the configuration.
const DEFAULT_FILE: &str = "/etc/fieldgate/gateway.yaml";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway: serve MQTT, poll the devices, carry out commands.
    ///
    /// SIGHUP makes it read the configuration again: devices that changed are restarted, the
    /// others go on; a file with mistakes changes nothing. SIGTERM ends it in order.
    Run(Run),
    /// Check a configuration and print every mistake with file, line and column.
    Check(Check),
    /// Poll one device once and show requests, raw words and decoded values.
    ///
    /// For a device on a bus with `simulated: true` the simulator is started for it.
    Test(Test),
    /// Add, change, remove and list the users of the MQTT broker.
    ///
    /// A running gateway takes a change over within two seconds; clients whose user has gone or
    /// whose password is another now are disconnected.
    #[command(subcommand)]
    User(User),
    /// Serve simulated Modbus devices with moving values for the devices of a configuration.
    Simulate(Simulate),
}

#[derive(Args, Debug)]
pub(crate) struct File {
    /// The configuration; device types are read from types/*.yaml beside it.
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) config: File,
    /// Keep sessions, queued messages and retained values here, so that they survive a restart
    /// and a power failure. Without it, and without systemd's STATE_DIRECTORY, they do not.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) config: File,
    /// Print the configuration as the gateway sees it: types and patterns applied.
    #[arg(long)]
    pub(crate) expand: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Test {
    /// The device, as topics name it.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
}

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

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    #[command(flatten)]
    pub(crate) config: File,
    /// Listen here instead of at each bus's own address; for a configuration with several buses,
    /// each further one takes the next port.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
