//! Rights that change while their owners are here.

use std::sync::Arc;

use fieldgate_mqtt::ReasonCode;

use super::session_slot::{SessionSlot, Standing};
use crate::access::Policy;
use crate::hub::Hub;
use fieldgate_broker_core::journal::Journal;

impl Hub {
    /// From now on `policy` holds, for those who are here as well: rights are taken and given,
    /// and who may not be here any more is told so and disconnected.
    pub(crate) fn set_access(&self, policy: Policy) {
        let policy = self.access.replace(policy);
        let slots = self.slots();
        let mut limited = Vec::new();
        let mut unwelcome = Vec::new();
        for slot in &slots {
            let (changed, welcome) = self.review(slot, &policy);
            limited.extend(changed.then_some(slot));
            unwelcome.extend((!welcome).then_some(slot));
        }
        if !limited.is_empty() {
            self.router.rights_changed();
        }
        limited.into_iter().for_each(|slot| self.revoke(slot));
        for slot in unwelcome {
            slot.kick(ReasonCode::NOT_AUTHORIZED);
        }
    }

    /// The same for one session that may have been attached under an older policy.
    pub(crate) fn catch_up(&self, slot: &Arc<SessionSlot>, known: &Arc<Policy>) {
        let policy = self.access.policy();
        if Arc::ptr_eq(&policy, known) {
            return;
        }
        let (changed, welcome) = self.review(slot, &policy);
        if changed {
            self.router.rights_changed();
            self.revoke(slot);
        }
        if !welcome {
            slot.kick(ReasonCode::NOT_AUTHORIZED);
        }
    }

    /// Takes from a session what it may not have any more.
    fn revoke(&self, slot: &SessionSlot) {
        let rights = slot.rights();
        let mut inner = slot.lock();
        let mut journal = Journal::default();
        let session = &mut inner.session;
        session.revoke(|topic| rights.may_read(topic), &mut journal);
        let own = self.access.own();
        if let Some(topic) = inner.will.as_ref().map(|will| will.message.topic())
            && !rights.may_write(topic, own.levels_of(topic))
        {
            inner.will = None;
        }
        journal.changes.extend(self.record(slot, &inner));
        self.keep(&mut journal);
    }

    /// Gives a session its rights. Returns whether they changed, and whether it may be here.
    fn review(&self, slot: &SessionSlot, policy: &Policy) -> (bool, bool) {
        let principal = slot.principal();
        let (rights, denial) = policy.review(&principal, slot.client_id());
        (slot.stand(Standing { principal, rights }), denial.is_none())
    }
}
