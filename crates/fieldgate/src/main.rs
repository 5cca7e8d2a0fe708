//! The gateway daemon and its tools.
//!
//! Only this crate knows where files are, and which bridges there are. It wires bridges to the broker; what a sample, a
//! topic or a packet is, is none of its business.

mod allocator;
mod args;
mod backup;
mod certificates;
mod clock;
mod commands;
mod console;
mod control;
mod daemon;
mod handover;
mod health;
mod history;
mod kinds;
mod network;
mod notify;
mod output;
mod provision;
mod rates;
mod serial;
mod stop;
mod tokens;
mod tools;
mod update;
mod uplinks;
mod users;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use fieldgate_console::Logs;

use args::{Cli, Command};
use stop::Stop;

/// How many sockets are looked after before what came from them is worked through. A thousand devices answer within a
/// few milliseconds: without a bound all their readings would be in memory at once, and not in the processor's cache.
const ANSWERS_AT_ONCE: usize = 16;

fn main() -> ExitCode {
    let cli = Cli::read();
    let done = act(cli);
    // What was left out of the log is told before the process is gone.
    log::logger().flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            commands::complain(&stop);
            ExitCode::from(stop.exit_code())
        }
    }
}

fn act(cli: Cli) -> Result<(), Stop> {
    let logs = matches!(cli.command, Command::Run(_)).then(Logs::default);
    fieldgate_journal::install(cli.log, logs.clone()).map_err(Stop::Other)?;
    match cli.command {
        Command::Run(run) => {
            allocator::tune();
            block_on(daemon::run(&run, logs.unwrap_or_default()))
        }
        Command::Check(check) => commands::check(check.config.path(), check.expand),
        Command::Types(types) => commands::types(types.name.as_deref()),
        Command::Schema => commands::schema(),
        Command::Test(test) => block_on(commands::test(&test)),
        Command::Health(health) => health::check(&health),
        Command::Provision(provision) => provision::act(&provision),
        Command::Network(command) => network::act(&command),
        Command::Backup(wanted) => backup::make(&wanted),
        Command::Restore(wanted) => backup::take(&wanted),
        Command::Update(update) => update::act(&update),
        Command::User(user) => users::act(&user),
        Command::Token(command) => tokens::act(&command),
        Command::Certificate(command) => certificates::act(&command),
        Command::History(wanted) => history::act(&wanted),
        Command::Uplink(uplink) => block_on(tools::uplink::act(&uplink)),
        Command::Scan(scan) => block_on(tools::scan::scan(&scan)),
        Command::Read(read) => block_on(tools::registers::read(&read)),
        Command::Write(write) => block_on(tools::registers::write(&write)),
        Command::Monitor(monitor) if monitor.modbus => block_on(tools::monitor::monitor(&monitor)),
        Command::Monitor(monitor) => block_on(serial::monitor(&monitor)),
        Command::Simulate(simulate) => {
            block_on(commands::simulate(simulate.config.path(), simulate.listen))
        }
    }
}

/// Runs to the end, and does not wait for what hangs behind it.
///
/// One thread serves all bridges, as most of what they do is to wait, and threads that hand each
/// other work spend more on that than on the work. The broker has threads of its own.
fn block_on(work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(ANSWERS_AT_ONCE)
        .build()
        .map_err(Stop::Other)?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
