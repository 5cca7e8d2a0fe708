//! How a meter is read: greeted or selected, then asked until it has told all.
//!
//! A greeting is also what tells late answers from own ones. A meter answers in the order in
//! which it is asked, so an answer to an earlier request comes before the acknowledgement of the
//! greeting, and what comes after it answers what is asked then. A meter that owes an answer and
//! does not acknowledge is asked nothing more until it has rested.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::address::{Address, SELECTED, Secondary};
use crate::app::{self, Header, Record};
use crate::line::{Fault, Line, Verdict};
use crate::link::{FCB, Frame, REQ_UD2, SND_NKE, SND_UD};

/// Selects meters by the secondary address that follows.
const SELECT: u8 = 0x52;

/// What a meter told.
#[derive(Clone, Debug, PartialEq)]
pub struct Readout {
    /// Who it is; of the first telegram that has a header.
    pub header: Option<Header>,
    /// All records, in the order in which they came.
    pub records: Vec<Record>,
    /// How many telegrams they were in.
    pub telegrams: usize,
    /// The meter has more telegrams than were asked for.
    pub more: bool,
    /// Why the records of a telegram ended early, if they did.
    pub broken: Option<app::Broken>,
    /// The maker's own data, of all telegrams.
    pub own: Vec<u8>,
}

/// How much is asked of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effort {
    /// How often a request without an answer is sent again.
    pub(crate) retries: u8,
    /// How many telegrams are asked for at most.
    pub(crate) telegrams: usize,
}

/// Until when meters that have not answered may still do so.
#[derive(Debug, Default)]
pub(crate) struct Debts(BTreeMap<Address, Instant>);

/// Meters that owe something at a time; more than a line has.
const DEBTS_MAX: usize = 1024;

impl Debts {
    fn owes(&self, who: Address) -> bool {
        self.0
            .get(&who)
            .is_some_and(|until| *until > Instant::now())
    }

    fn settle(&mut self, who: Address) {
        self.0.remove(&who);
    }

    fn note(&mut self, who: Address, late: Duration) {
        let now = Instant::now();
        if self.0.len() >= DEBTS_MAX {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() < DEBTS_MAX {
            self.0.insert(who, now + late);
        }
    }
}

/// Reads a meter.
pub(crate) async fn read(
    line: &mut Line,
    who: Address,
    effort: Effort,
    debts: &mut Debts,
    late: Duration,
) -> Result<Readout, Fault> {
    let mut effort = effort;
    let mut greeted = greet(line, who).await;
    // Only what was spoilt is worth another try: a meter that is silent would cost the line twice.
    if matches!(greeted, Err(Fault::Garbled | Fault::Foreign(_))) && effort.retries > 0 {
        line.tally.retries += 1;
        greeted = greet(line, who).await;
    }
    match greeted {
        Ok(()) => debts.settle(who),
        // Some meters do not acknowledge a reset of their link. What is selected always does.
        Err(Fault::Timeout) if matches!(who, Address::Primary(_)) && !debts.owes(who) => {
            effort.retries = 0;
        }
        Err(fault) => return Err(fault),
    }
    let result = collect(line, who, effort).await;
    if matches!(
        result,
        Err(Fault::Timeout | Fault::Garbled | Fault::Foreign(_))
    ) {
        debts.note(who, late);
    }
    result
}

/// Resets the link of a meter, or selects it.
pub(crate) async fn greet(line: &mut Line, who: Address) -> Result<(), Fault> {
    let request = match who {
        Address::Primary(address) => Frame::Short {
            control: SND_NKE,
            address,
        },
        Address::Secondary(secondary) => Frame::Long {
            control: SND_UD,
            address: SELECTED,
            ci: SELECT,
            data: secondary.bytes().to_vec(),
        },
    };
    let limit = line.timeout();
    let judge = |frame: &Frame| match frame {
        Frame::Ack => Verdict::Own,
        frame if frame.is_response() && is_of(who, frame) => Verdict::Late,
        _ => Verdict::Foreign,
    };
    line.ask(&request, limit, judge).await.map(drop)
}

/// Whether an answer can be of this meter.
fn is_of(who: Address, frame: &Frame) -> bool {
    let Frame::Long {
        address, ci, data, ..
    } = frame
    else {
        return false;
    };
    match who {
        Address::Primary(own) => *address == own,
        // A selected meter answers with its primary address or with 253; only the header tells.
        Address::Secondary(mask) => match app::parse(*ci, data) {
            Ok(read) => {
                let header = read.header.and_then(|header| header.address);
                // The fixed structure names no maker and no version.
                header.is_none_or(|meter| matches(mask, meter, *ci))
            }
            Err(_) => true,
        },
    }
}

fn matches(mask: Secondary, meter: Secondary, ci: u8) -> bool {
    let is_fixed = matches!(ci, 0x73 | 0x77);
    let mut bytes = mask.bytes();
    if is_fixed {
        for byte in bytes.iter_mut().skip(4) {
            *byte = 0xFF;
        }
    }
    Secondary::from_bytes(bytes).matches(meter)
}

/// Asks for telegrams until the meter has no more.
async fn collect(line: &mut Line, who: Address, effort: Effort) -> Result<Readout, Fault> {
    let mut readout = Readout {
        header: None,
        records: Vec::new(),
        telegrams: 0,
        more: true,
        broken: None,
        own: Vec::new(),
    };
    let mut count_bit = FCB;
    let mut before = None;
    while readout.more && readout.telegrams < effort.telegrams {
        let frame = request(line, who, count_bit, before.as_ref(), effort.retries).await?;
        let Frame::Long { ci, data, .. } = &frame else {
            return Err(Fault::Empty);
        };
        let telegram = app::parse(*ci, data).map_err(|why| {
            line.tally.unreadable += 1;
            Fault::Unreadable(why)
        })?;
        if telegram.broken.is_some() {
            line.tally.unreadable += 1;
            readout.broken = telegram.broken;
        }
        readout.header = readout.header.or(telegram.header);
        readout.records.extend(telegram.records);
        readout.own.extend(telegram.own);
        readout.more = telegram.more;
        readout.telegrams += 1;
        count_bit ^= FCB;
        before = Some(frame);
    }
    Ok(readout)
}

/// One telegram. The frame count bit stays the same when it is asked for again, so that the meter
/// repeats what was lost and does not go on.
async fn request(
    line: &mut Line,
    who: Address,
    count_bit: u8,
    before: Option<&Frame>,
    retries: u8,
) -> Result<Frame, Fault> {
    let address = match who {
        Address::Primary(address) => address,
        Address::Secondary(_) => SELECTED,
    };
    let request = Frame::Short {
        control: REQ_UD2 | count_bit,
        address,
    };
    let judge = |frame: &Frame| match frame {
        Frame::Ack => Verdict::Empty,
        // The answer to a request that was repeated, once more.
        frame if before == Some(frame) => Verdict::Late,
        frame if frame.is_response() && is_of(who, frame) => Verdict::Own,
        _ => Verdict::Foreign,
    };
    let mut left = retries;
    loop {
        let limit = line.timeout();
        match line.ask(&request, limit, judge).await {
            Err(fault) if left > 0 && !fault.ends_line() => {
                line.tally.retries += 1;
                left -= 1;
            }
            other => return other,
        }
    }
}
