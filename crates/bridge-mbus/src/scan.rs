//! Looks for meters: at every primary address, or by secondary address with wildcards.
//!
//! Each step is one readout of the bus, so that the polls of a running gateway get their turns.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use fieldgate_bridge::{Cause, Tell};
use tokio::time::Instant;

use crate::address::{Address, Secondary};
use crate::app::Header;
use crate::bus::{MbusBusHandle, MbusError};
use crate::probe::who;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A meter.
    Meter {
        /// Where.
        at: Address,
        /// Who it is, if it says so.
        header: Option<Header>,
    },
    /// Answers that cannot be read: several meters at one address.
    Several(Address),
    /// Something that acknowledges, and gives no readings.
    Mute(Address),
}

/// Asks at each primary address. `found` is told at once.
///
/// # Errors
///
/// If the line is lost or cannot be opened. Silence is no error.
pub async fn scan_primary(
    bus: &MbusBusHandle,
    range: RangeInclusive<u8>,
    mut found: impl FnMut(Found),
) -> Result<(), MbusError> {
    for address in range {
        let at = Address::Primary(address);
        match bus.greet(at).await {
            Ok(()) => {}
            Err(error) if error.is_garbled => {
                found(Found::Several(at));
                continue;
            }
            Err(error) if is_of_line(&error) => return Err(error),
            Err(_) => continue,
        }
        match bus.look(at).await {
            Ok(readout) => found(Found::Meter {
                at,
                header: readout.header,
            }),
            Err(error) if is_of_line(&error) => return Err(error),
            Err(error) if error.is_garbled => found(Found::Several(at)),
            Err(_) => found(Found::Mute(at)),
        }
    }
    Ok(())
}

/// Why a search by secondary address ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that answer were found.
    Complete,
    /// The time was over.
    TimedOut,
}

/// Digits of an identification number.
const DIGITS: usize = 8;

/// Searches by secondary address: first for any meter, and where several answer at once, with each
/// digit of the identification number in turn, from the left. Ends after `limit`.
///
/// Meters with the same eight digits are told as [`Found::Several`]. A meter that answers after
/// another one has ended, without a collision, is not seen.
///
/// # Errors
///
/// If the line is lost or cannot be opened.
pub async fn scan_secondary(
    bus: &MbusBusHandle,
    limit: Duration,
    mut found: impl FnMut(Found),
) -> Result<End, MbusError> {
    let end = Instant::now() + limit;
    // What still has to be looked at, and how many of its digits are set. At most ten for each
    // digit wait here.
    let mut masks = vec![(Secondary::ANY, 0)];
    while let Some((mask, digits)) = masks.pop() {
        if Instant::now() >= end {
            return Ok(End::TimedOut);
        }
        let at = Address::Secondary(mask);
        match bus.look(at).await {
            Ok(readout) => {
                let header = readout.header;
                let own = header.as_ref().and_then(|header| header.address);
                found(Found::Meter {
                    at: own.map_or(at, Address::Secondary),
                    header,
                });
                continue;
            }
            Err(error) => match error.cause {
                Cause::Open | Cause::Lost => return Err(error),
                Cause::Timeout => continue,
                Cause::Protocol if error.is_garbled => {}
                Cause::Protocol | Cause::Refused => {
                    found(Found::Mute(at));
                    continue;
                }
            },
        }
        if digits == DIGITS {
            found(Found::Several(at));
            continue;
        }
        masks.extend(next(mask, digits));
    }
    Ok(End::Complete)
}

/// The ten masks with the next digit set, the smallest last: it is taken first.
fn next(mask: Secondary, digits: usize) -> impl Iterator<Item = (Secondary, usize)> {
    let digit = move |digit: u8| (mask.with_digit(digits, digit), digits + 1);
    (0..10).rev().map(digit)
}

/// How long a search by secondary address may take.
const SEARCH: Duration = Duration::from_secs(600);

/// Asks these primary addresses, or all meters for their secondary address, and tells what it finds.
///
/// # Errors
///
/// If the line is lost or cannot be opened.
pub(crate) async fn look_around(
    bus: &MbusBusHandle,
    units: &[u8],
    timeout: Duration,
    tell: &mut Tell<'_>,
) -> Result<(), MbusError> {
    let begun = Instant::now();
    let mut count = 0;
    let mut ended = "";
    let mut found = |tell: &mut Tell<'_>, found: &Found| {
        count += u32::from(matches!(found, Found::Meter { .. }));
        tell(&format!("{found}\n"));
    };
    if units.is_empty() {
        tell("searching all meters by their number\n");
        if scan_secondary(bus, SEARCH, |one| found(tell, &one)).await? == End::TimedOut {
            ended = "; the search is not complete, it ended after 10 minutes";
        }
    } else {
        let millis = timeout.as_millis();
        tell(&format!(
            "asking {} addresses, {millis} ms each\n",
            units.len()
        ));
        for unit in units {
            scan_primary(bus, *unit..=*unit, |one| found(tell, &one)).await?;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    tell(&format!("{count} found in {took:.1} s{ended}\n"));
    Ok(())
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meter { at, header } => write!(f, "{at}: {}", who(header.as_ref())),
            Self::Several(at) => write!(
                f,
                "{at}: answers that cannot be read; several meters, or noise"
            ),
            Self::Mute(at) => write!(f, "{at}: acknowledges, and gives no readings"),
        }
    }
}

fn is_of_line(error: &MbusError) -> bool {
    matches!(error.cause, Cause::Open | Cause::Lost)
}
