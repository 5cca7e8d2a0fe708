//! What is added to messages, so that consumers know duplicates and old ones, and loops end. Pure.
//!
//! MQTT 5.0 only: before it messages have no place for such things.

use fieldgate_mqtt::{UserProperties, UserPropertiesBuf};

/// Names a message, the same each time that it is sent.
pub(crate) const ID: &str = "fg-id";
/// The message had to wait on the card.
pub(crate) const LATE: &str = "fg-late";
/// The value is what is kept now, sent again after a connect.
pub(crate) const SYNC: &str = "fg-sync";
/// The gateways that the message has passed.
pub(crate) const VIA: &str = "fg-via";
/// Bytes that are added, but for the gateway's name: three pairs, and numbers.
const ADDED: usize = 72;
/// Gateways that a message may have passed.
pub(crate) const VIA_MAX: usize = 4;

/// Whether a message has been at this gateway, or at too many.
pub(crate) fn has_looped(user: UserProperties<'_>, gateway: &str) -> bool {
    let mut names = user
        .iter()
        .filter(|(name, _)| *name == VIA)
        .flat_map(|(_, value)| value.split(','));
    names.clone().count() >= VIA_MAX || names.any(|name| name == gateway)
}

/// The name of a message, if it has one.
pub(crate) fn name(user: UserProperties<'_>) -> Option<&str> {
    let mut pairs = user.iter();
    pairs.find(|(name, _)| *name == ID).map(|(_, value)| value)
}

/// Names a record.
pub(crate) fn id(gateway: &str, epoch: u32, seq: u64) -> String {
    format!("{gateway}:{epoch:x}:{seq}")
}

/// What kind of message it is, when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// With its epoch and number.
    New(u32, u64),
    Late(u32, u64),
    Sync,
}

/// The pairs of a message that is sent. A message that has a name already keeps it, wherever it comes from.
pub(crate) fn mark(user: UserProperties<'_>, gateway: &str, mark: Mark) -> UserPropertiesBuf {
    let mut marked =
        UserPropertiesBuf::with_capacity(user.encoded_len() + ADDED + 2 * gateway.len());
    let (mut has_id, mut via) = (false, None);
    let mut push = |name: &str, value: &str| {
        // Both come from packets or are short.
        let _ = marked.push(name, value);
    };
    for (name, value) in user {
        match name {
            VIA => {
                via = Some(match via {
                    None => value.to_owned(),
                    Some(before) => format!("{before},{value}"),
                });
                continue;
            }
            ID => has_id = true,
            _ => {}
        }
        push(name, value);
    }
    let (key, kind) = match mark {
        Mark::New(epoch, seq) => (Some((epoch, seq)), None),
        Mark::Late(epoch, seq) => (Some((epoch, seq)), Some(LATE)),
        Mark::Sync => (None, Some(SYNC)),
    };
    if let Some((epoch, seq)) = key.filter(|_| !has_id) {
        push(ID, &id(gateway, epoch, seq));
    }
    if let Some(kind) = kind {
        push(kind, "1");
    }
    match via {
        None => push(VIA, gateway),
        Some(before) => push(VIA, &format!("{before},{gateway}")),
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> UserPropertiesBuf {
        let mut user = UserPropertiesBuf::new();
        for (name, value) in list {
            user.push(name, value).unwrap();
        }
        user
    }

    #[test]
    fn a_message_gets_a_name_once_and_collects_gateways() {
        for (before, kind, want) in [
            (
                &[][..],
                Mark::New(255, 7),
                &[(ID, "g:ff:7"), (VIA, "g")][..],
            ),
            (
                &[],
                Mark::Late(1, 7),
                &[(ID, "g:1:7"), (LATE, "1"), (VIA, "g")],
            ),
            (
                &[("a", "b")],
                Mark::Sync,
                &[("a", "b"), (SYNC, "1"), (VIA, "g")],
            ),
            (
                &[(VIA, "x"), (ID, "x:1:1")],
                Mark::New(1, 2),
                &[(ID, "x:1:1"), (VIA, "x,g")],
            ),
        ] {
            let marked = mark(pairs(before).as_properties(), "g", kind);
            let found: Vec<_> = marked.as_properties().iter().collect();
            assert_eq!(found, want, "{before:?}");
        }
    }

    #[test]
    fn a_message_that_was_here_or_at_too_many_gateways_has_looped() {
        for (via, want) in [
            (&[][..], false),
            (&[(VIA, "a")], false),
            (&[(VIA, "a,g")], true),
            (&[(VIA, "a"), (VIA, "g")], true),
            (&[(VIA, "a,b,c")], false),
            (&[(VIA, "a,b,c,d")], true),
        ] {
            assert_eq!(has_looped(pairs(via).as_properties(), "g"), want, "{via:?}");
        }
    }
}
