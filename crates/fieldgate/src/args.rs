//! The command line.

mod board;
mod certificate;
mod history;
mod token;
mod update;
mod user;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use fieldgate_bridge::BAUDS;
use fieldgate_field_line::PortSettings;
use log::LevelFilter;

pub(crate) use board::{Network, Provision};
pub(crate) use certificate::{Certificate, MakeCertificate, SetCertificate};
pub(crate) use history::{By, Chosen, Counters, Events, Export, Format, History};
pub(crate) use token::{AddToken, RemoveToken, Token};
pub(crate) use update::{InstallUpdate, NextSlot, Shown, Update};
pub(crate) use user::{AddUser, ConsoleRole, NamedUser, NewPassword, User, UsersFile};

/// Where the service manager wants the daemon to keep its state, if it says so.
pub(crate) fn state_directory() -> Option<PathBuf> {
    let listed = std::env::var_os("STATE_DIRECTORY")?;
    // systemd lists all of them, separated by colons; the first is the daemon's own.
    std::env::split_paths(&listed).next()
}

/// Turns a Linux board into an MQTT gateway: an MQTT broker and the field-bus devices whose
/// points it publishes, in one daemon.
#[derive(Debug, Parser)]
#[command(name = "fieldgate", version = VERSION)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How much to log: error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: LevelFilter,
}

impl Cli {
    /// Reads the command line of this process. Ends the process if that is wrong, or only asks for help.
    pub(crate) fn read() -> Self {
        let matches = explained(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// A command with the exit codes below its help, and below that of all its parts.
fn explained(command: clap::Command) -> clap::Command {
    command.after_help(EXIT_CODES).mut_subcommands(explained)
}

/// Version and commit, from the build script.
const VERSION: &str = env!("FIELDGATE_VERSION");

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  the configuration is wrong; every mistake was printed with its line
  2  the command line is wrong
  3  an address cannot be listened on
  4  test, scan, read, write, monitor: the device did not answer, refused, or holds another value;
     health: the broker did not answer; update: the bundle was refused
  5  anything else that stops the program";

/// Where the image keeps the configuration.
const DEFAULT_FILE: &str = "/etc/fieldgate/gateway.yaml";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway: serve MQTT, poll the devices, carry out commands.
    ///
    /// SIGHUP makes it read the configuration again: devices that changed are restarted, the
    /// others go on. A file with mistakes changes nothing. SIGTERM stops it cleanly.
    Run(Run),
    /// Print the device types that come with the program, or the file of one.
    Types(Types),
    /// Check a configuration and print every mistake with file, line and column.
    Check(Check),
    /// Print a JSON Schema of the configuration, with which an editor completes keys and underlines mistakes.
    Schema,
    /// Poll one device once and show requests, raw words and decoded values.
    ///
    /// For a device on a bus it asks through the running gateway, if there is one. An instrument on a serial port of
    /// its own, a meter on M-Bus: stop the gateway first, since a port has one user. It shows frames and values.
    ///
    /// For a device with `simulated` the simulator is started for it.
    ///
    /// `test uplink NAME` connects to the remote of an uplink, publishes one message there, and shows what it allows.
    Test(Test),
    /// Show what comes in over a serial port: frames as text and in hexadecimal, with their times.
    ///
    /// It only listens. Ends with Ctrl-C.
    Monitor(Monitor),
    /// Add, change, remove and list the users of the MQTT broker.
    ///
    /// A running gateway applies a change within two seconds. It disconnects clients whose user was
    /// removed or whose password was changed.
    #[command(subcommand)]
    User(User),
    /// Make, remove and list tokens: what scripts show to the web console instead of a password.
    #[command(subcommand)]
    Token(Token),
    /// Show, replace and make the certificate of the gateway.
    #[command(subcommand)]
    Certificate(Certificate),
    /// Serve simulated devices with moving values for the devices of a configuration.
    Simulate(Simulate),
    /// Ask the running gateway whether it serves: its broker as an MQTT client, then its web console.
    Health(Health),
    /// Take `fieldgate/provision.yaml` and `fieldgate/gateway.yaml` from a boot partition.
    ///
    /// Each item of `provision.yaml` is checked and applied by itself, the mapping as a whole; both again
    /// when they change. `fieldgate/REPORT.txt` beside them says what was done. Needs root.
    Provision(Provision),
    /// Carry out what the web console asks for the network of the SD image. Its unit runs this.
    #[command(subcommand, hide = true)]
    Network(Network),
    /// Write the configuration and what belongs to it to one file.
    ///
    /// That is: the configuration, device types, users, certificates, the counts of GPIO devices, and, sealed with a
    /// password, private keys. The gateway goes on meanwhile.
    Backup(Backup),
    /// Take back what `backup` wrote.
    ///
    /// Everything in it is checked first, as `check` does; a backup with mistakes changes nothing. Files that it does
    /// not have stay.
    Restore(Restore),
    /// Look at, check and install updates of the SD image.
    ///
    /// An update is a signed bundle (NAME.raucb) for the slot that does not run. Needs root.
    #[command(subcommand)]
    Update(Update),
    /// Show what an uplink of the running gateway does, and what its remote did not take.
    #[command(subcommand)]
    Uplink(Uplink),
    /// Look at the readings that are kept on the card.
    #[command(subcommand)]
    History(History),
    /// Ask which units of a bus answer, and what they are.
    ///
    /// Goes through the running gateway, if there is one, when the bus has nothing else to do.
    Scan(Scan),
    /// Read registers or bits of a unit, and show what they can mean.
    Read(ReadTable),
    /// Write registers or bits of a unit, and read them back.
    Write(WriteTable),
}

/// Where a gateway has its files.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// The folder of the state. Without it systemd's STATE_DIRECTORY, or /var/lib/fieldgate if it is there.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// The file to write, such as plant7.tar.gz.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Leave private keys and passwords of uplinks out.
    #[arg(long)]
    pub(crate) without_keys: bool,
    /// Read the password of the keys from the first line of standard input instead of asking for it twice.
    #[arg(long, conflicts_with = "without_keys")]
    pub(crate) stdin: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The backup.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only look whether it can be taken, and what it would replace.
    #[arg(long)]
    pub(crate) check: bool,
    /// Leave private keys in the backup; those that are there stay.
    #[arg(long)]
    pub(crate) without_keys: bool,
    /// Read the password of the keys from the first line of standard input instead of asking for it.
    #[arg(long, conflicts_with = "without_keys")]
    pub(crate) stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Uplink {
    /// Show state and counters.
    Status(OfUplink),
    /// List the last messages that the remote did not take, and why, the newest first.
    Rejected(OfUplink),
}

/// An uplink of the running gateway.
#[derive(Args, Debug)]
pub(crate) struct OfUplink {
    /// The uplink, as the configuration names it.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// The control socket of the running gateway.
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Types {
    /// A device type, such as sdm630. Its file is printed: save it as types/NAME.yaml beside the configuration to
    /// change it.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// A bus of a configuration.
#[derive(Args, Debug)]
pub(crate) struct OnBus {
    /// The bus, as the configuration names it.
    #[arg(value_name = "BUS")]
    pub(crate) bus: String,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// The control socket of the running gateway.
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) on: OnBus,
    /// Which units or primary addresses, such as 1-20,100. Without it, all 247 units of a Modbus bus, or all meters of an
    /// M-Bus by their number.
    #[arg(long, value_name = "UNITS")]
    pub(crate) units: Option<String>,
    /// How long an answer may take, in milliseconds: 300 if not given, or what an M-Bus is configured for.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub(crate) timeout: Option<u32>,
    /// Baud rates to try on a serial line instead of the configured one, such as 9600,19200.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(i64::from(*BAUDS.start())..=i64::from(*BAUDS.end())))]
    pub(crate) baud: Vec<u32>,
    /// Parities to try on a serial line instead of the configured one.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) parity: Vec<Parity>,
}

/// A place in a unit.
#[derive(Args, Debug)]
pub(crate) struct At {
    #[command(flatten)]
    pub(crate) on: OnBus,
    /// The unit.
    #[arg(value_name = "UNIT")]
    pub(crate) unit: u8,
    /// coil, discrete, input or holding.
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
    /// The first register or bit, from 0 as on the wire, decimal or 0x...
    #[arg(value_name = "ADDRESS", value_parser = word)]
    pub(crate) address: u16,
    /// What the registers hold, such as f32 or string(12).
    #[arg(long = "as", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// The order of the bytes: ABCD, CDAB, BADC or DCBA.
    #[arg(long, value_name = "ORDER", requires = "kind")]
    pub(crate) order: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ReadTable {
    #[command(flatten)]
    pub(crate) at: At,
    /// How many registers or bits. Without it, those of one value of the type.
    #[arg(value_name = "COUNT")]
    pub(crate) count: Option<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct WriteTable {
    #[command(flatten)]
    pub(crate) at: At,
    /// The values: on or off for coils, words for registers, or what --as says.
    #[arg(value_name = "VALUE", required = true, allow_negative_numbers = true)]
    pub(crate) values: Vec<String>,
}

fn word(text: &str) -> Result<u16, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "expected a number from 0 to 65535, or 0x0 to 0xFFFF".to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct File {
    /// The configuration. Files in types/ beside it add device types, or replace those of the program.
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// The same, as all commands take it.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

impl File {
    /// The configuration.
    pub(crate) fn path(&self) -> &Path {
        self.config.as_deref().unwrap_or(&self.file)
    }
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) config: File,
    /// Play all buses and devices instead of reaching them, with values that move. Nothing of the file has to be
    /// changed for it: no port is opened and no address asked. Uplinks stay off, and systemd's STATE_DIRECTORY is not
    /// used.
    #[arg(long)]
    pub(crate) simulate: bool,
    /// Keep sessions, queued messages, retained values and pulse counts in this folder, so that they survive a
    /// restart and a power failure. Without it, and without systemd's STATE_DIRECTORY, they are lost.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// The Unix socket through which tools reach this gateway. Default: in the runtime directory.
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Health {
    #[command(flatten)]
    pub(crate) config: File,
    /// Ask again for so many seconds until it answers.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) wait: u64,
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
    /// The device, as topics name it; or `uplink` and the name of one.
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// The name of an uplink.
    #[arg(value_name = "NAME")]
    pub(crate) uplink: Option<String>,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// The control socket of the running gateway.
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Monitor {
    /// The port, best as /dev/serial/by-id/...
    #[arg(value_name = "PORT")]
    pub(crate) port: PathBuf,
    /// Baud rate.
    #[arg(long, default_value_t = 9600, value_parser = clap::value_parser!(u32).range(i64::from(*BAUDS.start())..=i64::from(*BAUDS.end())))]
    pub(crate) baud: u32,
    /// Data bits (5 to 8).
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(5..=8))]
    pub(crate) data_bits: u8,
    /// Parity.
    #[arg(long, value_enum, default_value_t = Parity::None)]
    pub(crate) parity: Parity,
    /// Stop bits (1 or 2).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) stop_bits: u8,
    /// Decode Modbus RTU: the requests and answers of other devices on the line. It only listens.
    #[arg(long, conflicts_with_all = ["frame", "gap", "data_bits"])]
    pub(crate) modbus: bool,
    /// What ends a frame.
    #[arg(long, value_enum, default_value_t = Framing::Silence)]
    pub(crate) frame: Framing,
    /// Silence that separates two frames, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) gap: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Parity {
    None,
    Even,
    Odd,
}

impl From<Parity> for fieldgate_field_line::Parity {
    fn from(parity: Parity) -> Self {
        match parity {
            Parity::None => Self::None,
            Parity::Even => Self::Even,
            Parity::Odd => Self::Odd,
        }
    }
}

impl Monitor {
    /// The port that is listened on.
    pub(crate) fn settings(&self) -> PortSettings {
        PortSettings {
            data_bits: self.data_bits,
            stop_bits: self.stop_bits,
            parity: self.parity.into(),
            ..PortSettings::new(self.port.to_string_lossy(), self.baud)
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Framing {
    /// A pause.
    Silence,
    /// The end of a line.
    Line,
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
mod tests;
