//! `fieldgate provision`: what became of the card's folder, told to the journal.

use crate::args;
use crate::kinds::KINDS;
use crate::stop::Stop;
use fieldgate_journal::ANSWER;

/// Takes what is new.
///
/// # Errors
///
/// [`Stop::Config`] with everything that was refused; what the system refuses.
pub(crate) fn act(args: &args::Provision) -> Result<(), Stop> {
    let done = fieldgate_provision::provision(&args.boot, &args.root, KINDS);
    let Some(done) = done.map_err(Stop::Other)? else {
        log::info!(
            "{}: no folder for the gateway, nothing to take",
            args.boot.display()
        );
        return Ok(());
    };
    for line in &done.lines {
        match (line.is_refused, line.is_detail) {
            (true, _) => log::error!("{}", line.text),
            (false, true) => log::info!(target: ANSWER, "{}", line.text),
            (false, false) => log::info!("{}", line.text),
        }
    }
    match done.refused.is_empty() {
        true => Ok(()),
        false => Err(Stop::Config(done.refused)),
    }
}
