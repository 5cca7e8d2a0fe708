//! What the broker has to do for sessions at a certain time: wills with a delay, sessions that expire.

use std::sync::{Arc, Weak};

use super::session_slot::SessionSlot;

/// Something to do for a session, unless it has had another connection since.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) slot: Weak<SessionSlot>,
    /// The session's last connection when this was put down.
    pub(crate) epoch: u64,
    pub(crate) task: Task,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Publish the will.
    Will,
    /// End the session.
    End,
}

impl Due {
    pub(crate) fn new(slot: &Arc<SessionSlot>, epoch: u64, task: Task) -> Self {
        Self {
            slot: Arc::downgrade(slot),
            epoch,
            task,
        }
    }
}
