//! The journal: frames of the last minutes on the card, until a file has them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use fieldgate_spool::{Error, Log, STAMP, read_frame};

use crate::folder::JOURNAL;
use crate::head::{Frame, Head};

/// Frames begin at multiples of this.
const BLOCK: usize = 4_096;
/// What is set aside because it is damaged.
const DAMAGED: &str = "journal.damaged";
/// Bytes of a segment's file that are read at most.
const SEGMENT_MAX: u64 = 256 << 20;

/// What the journal had at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) readings: usize,
    /// Frames that could not be read.
    pub(crate) damaged: usize,
}

/// Opens the journal in `folder` and takes up into `head` what no file has: parts behind `done`.
pub(crate) fn open(folder: &Path, done: u64, head: &mut Head) -> Result<(Log, Replayed), Error> {
    let path = folder.join(JOURNAL);
    let mut frames = Vec::new();
    let opened = Log::open(&path).and_then(|log| {
        log.replay(|_, payload| {
            frames.push(payload.to_vec());
            Ok::<_, Error>(())
        })?;
        Ok(log)
    });
    match opened {
        Ok(log) => Ok((log, replay(&frames, done, head))),
        Err(Error::Damaged(why)) => {
            let aside = folder.join(DAMAGED);
            log::error!(
                "{}: {why}; it is set aside as {DAMAGED}, and what is whole of it is taken over",
                path.display()
            );
            let frames = salvage(&path)?;
            // An older one is worth less.
            let _ = fs::remove_dir_all(&aside);
            fs::rename(&path, &aside)?;
            let mut replayed = replay(&frames, done, head);
            replayed.damaged = replayed.damaged.max(1);
            let mut log = Log::open(&path)?;
            keep(&frames, done, &mut log)?;
            Ok((log, replayed))
        }
        Err(other) => Err(other),
    }
}

/// Takes frames up that no file has.
pub(crate) fn replay(frames: &[Vec<u8>], done: u64, head: &mut Head) -> Replayed {
    let mut replayed = Replayed::default();
    // A series has a number of its own in each part.
    let mut names: BTreeMap<u64, HashMap<u64, _>> = BTreeMap::new();
    for bytes in frames {
        let Some(frame) = Frame::of(bytes) else {
            replayed.damaged += 1;
            continue;
        };
        if frame.part <= done {
            continue;
        }
        head.part = head.part.max(frame.part);
        match head.replay(&frame, names.entry(frame.part).or_default()) {
            Some(readings) => replayed.readings += readings,
            None => replayed.damaged += 1,
        }
    }
    replayed
}

/// Writes the frames that still count to a new journal.
fn keep(frames: &[Vec<u8>], done: u64, log: &mut Log) -> Result<(), Error> {
    let counts = |bytes: &&Vec<u8>| Frame::of(bytes).is_some_and(|frame| frame.part > done);
    for frame in frames.iter().filter(counts) {
        log.append(frame, [0; STAMP])?;
    }
    Ok(())
}

/// All frames in the segments of a journal that are whole, in their order, also while another process writes to it.
pub(crate) fn salvage(journal: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut frames = BTreeMap::new();
    let entries = match fs::read_dir(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|suffix| suffix == "log");
        if !is_segment || fs::metadata(&path)?.len() > SEGMENT_MAX {
            continue;
        }
        let bytes = fs::read(&path)?;
        for at in (0..bytes.len()).step_by(BLOCK) {
            if let Some(frame) = bytes.get(at..).and_then(read_frame) {
                frames.insert(frame.number, frame.payload);
            }
        }
    }
    Ok(frames.into_values().collect())
}

/// Gives back the segments whose frames are all of parts up to `done`.
pub(crate) fn release(log: &mut Log, done: u64) -> Result<(), Error> {
    while log.segments() > 1 {
        let mut is_done = true;
        log.read_oldest(|_, payload| {
            is_done &= Frame::of(payload).is_none_or(|frame| frame.part <= done);
            Ok::<_, Error>(())
        })?;
        if !is_done {
            break;
        }
        log.retire_oldest();
    }
    Ok(())
}
