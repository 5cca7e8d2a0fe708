//! The command line itself.

use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_of_every_command_names_the_exit_codes() {
    fn check(command: &mut clap::Command) {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Exit codes:"), "{help}");
        let own = command.get_subcommands_mut();
        own.filter(|command| command.get_name() != "help")
            .for_each(check);
    }
    check(&mut explained(Cli::command()));
}
