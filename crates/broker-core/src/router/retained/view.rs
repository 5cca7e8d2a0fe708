//! Retained messages as a person who looks sees them.

use std::collections::BTreeMap;

use super::{KeptRef, Retained, levels};

/// Bytes of a payload that a person who looks is told.
pub const PAYLOAD_MAX: usize = 4096;

/// A level of the topics of retained messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelView {
    /// Its name.
    pub level: String,
    /// Whether there are topics below it.
    pub has_more: bool,
    /// The message of the topic that ends here.
    pub message: Option<RetainedView>,
}

/// A retained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedView {
    /// The first bytes of its payload.
    pub payload: Vec<u8>,
    /// How many there are.
    pub bytes: usize,
    /// Its quality of service.
    pub qos: u8,
    /// The client that published it.
    pub publisher: String,
}

impl Retained {
    /// The levels below a prefix, by name, from behind `after` on, at most `limit`.
    pub fn levels_below(
        &self,
        prefix: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<LevelView> {
        let Some(place) = self.tree.find(levels(prefix)) else {
            return Vec::new();
        };
        let mut found: BTreeMap<&str, (bool, Option<KeptRef<'_>>)> = BTreeMap::new();
        let ending = self.leaves(place).map(|kept| (kept.level(), Some(kept)));
        let further = self.tree.children(place).map(|(level, _)| (level, None));
        for (level, kept) in ending.chain(further) {
            if after.is_some_and(|after| level <= after) {
                continue;
            }
            let (has_more, message) = found.entry(level).or_default();
            match kept {
                Some(kept) => *message = Some(kept),
                None => *has_more = true,
            }
            if found.len() > limit {
                found.pop_last();
            }
        }
        let told = found
            .into_iter()
            .map(|(level, (has_more, kept))| LevelView {
                level: level.to_owned(),
                has_more,
                message: kept.map(|kept| {
                    let payload = kept.message.payload();
                    RetainedView {
                        payload: payload.iter().take(PAYLOAD_MAX).copied().collect(),
                        bytes: payload.len(),
                        qos: kept.message.qos() as u8,
                        publisher: kept.publisher.to_string(),
                    }
                }),
            });
        told.collect()
    }
}
