//! A log of frames in pre-written segments, for cards that wear out.
//!
//! A frame is durable when [`Log::append`] returns. It is padded to whole sectors, so that a
//! later frame never rewrites a sector that holds acknowledged data, and it goes to blocks that the
//! file system has allocated and written before, so that a sync writes the frame and nothing else.
//! Segments are used again for ever. What a frame holds is its owner's business.
//!
//! [`ring`] is the same for what waits for another machine: bounded, read in order and given back in order.

mod frame;
mod log;
pub mod ring;
mod segment;
#[cfg(test)]
mod tests;

pub use frame::{Frame, STAMP, read_frame};
pub use log::Log;

use std::io;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is on disk is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// Another process has it open.
    #[error("another process has it open")]
    InUse,
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}
