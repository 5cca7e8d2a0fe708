//! The retained messages whose topics end below one node of the tree.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{KEPT, Kept, LINK, Name};
use crate::message::Message;

/// The messages of the topics that end below a node, by their last level, which is in the message already and need not
/// stand beside it. Those of one node are nearly always of one client, which then stands here once.
#[derive(Debug)]
pub(super) enum Leaves {
    /// All are of this client.
    Alike(Name, HashTable<Message>),
    /// They are of several.
    Mixed(HashTable<Kept>),
}

/// What became of a message that was put in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put {
    /// It took the place of another.
    pub(super) has_replaced: bool,
    /// Others may be elsewhere now.
    pub(super) has_moved: bool,
}

/// A retained message, where it is.
#[derive(Clone, Copy, Debug)]
pub struct KeptRef<'r> {
    /// The message itself.
    pub message: &'r Message,
    /// The client that published it.
    pub publisher: &'r Name,
}

impl<'r> KeptRef<'r> {
    /// The same, to be taken along.
    pub fn cloned(self) -> Kept {
        Kept::new(self.message.clone(), Arc::clone(self.publisher))
    }

    /// A link published it, so it always has room.
    pub(super) fn is_own(self) -> bool {
        self.publisher.starts_with(LINK)
    }

    pub(super) fn weight(self) -> usize {
        self.message.weight() + KEPT
    }

    /// The last level of its topic.
    pub(super) fn level(self) -> &'r str {
        super::split(self.message.topic()).1
    }
}

impl<'r> From<&'r Kept> for KeptRef<'r> {
    fn from(kept: &'r Kept) -> Self {
        Self {
            message: &kept.message,
            publisher: &kept.publisher,
        }
    }
}

/// The bytes of the last level of a message's topic.
fn level_of(message: &Message) -> &[u8] {
    let topic = message.topic_bytes();
    let end = topic.iter().rposition(|&byte| byte == b'/');
    &topic[end.map_or(0, |end| end + 1)..]
}

/// Whether the last level of a message's topic is this one.
fn ends_in(message: &Message, level: &[u8]) -> bool {
    let above = message.topic_bytes().strip_suffix(level);
    above.is_some_and(|above| matches!(above, [] | [.., b'/']))
}

impl Leaves {
    /// None, of which the first will be of `publisher`.
    pub(super) fn of(publisher: &Name) -> Self {
        Self::Alike(Arc::clone(publisher), HashTable::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Alike(_, messages) => messages.is_empty(),
            Self::Mixed(all) => all.is_empty(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = KeptRef<'_>> {
        let (alike, mixed) = match self {
            Self::Alike(publisher, messages) => (Some((publisher, messages)), None),
            Self::Mixed(all) => (None, Some(all)),
        };
        let alike = alike.into_iter().flat_map(|(publisher, messages)| {
            let messages = messages.iter();
            messages.map(move |message| KeptRef { message, publisher })
        });
        alike.chain(mixed.into_iter().flatten().map(KeptRef::from))
    }

    pub(super) fn find(&self, hash: u64, level: &str) -> Option<KeptRef<'_>> {
        let is_it = |message: &Message| ends_in(message, level.as_bytes());
        match self {
            Self::Alike(publisher, messages) => {
                let message = messages.find(hash, is_it)?;
                Some(KeptRef { message, publisher })
            }
            Self::Mixed(all) => Some(all.find(hash, |kept| is_it(&kept.message))?.into()),
        }
    }

    /// Where a message is, until one is put in or removed.
    pub(super) fn find_bucket(&self, hash: u64, level: &[u8]) -> Option<usize> {
        match self {
            Self::Alike(_, messages) => messages.find_bucket_index(hash, |it| ends_in(it, level)),
            Self::Mixed(all) => all.find_bucket_index(hash, |it| ends_in(&it.message, level)),
        }
    }

    /// What is there.
    pub(super) fn at_bucket(&mut self, bucket: usize) -> Option<(&mut Message, &Name)> {
        match self {
            Self::Alike(publisher, messages) => Some((messages.get_bucket_mut(bucket)?, publisher)),
            Self::Mixed(all) => {
                let Kept { message, publisher } = all.get_bucket_mut(bucket)?;
                Some((message, publisher))
            }
        }
    }

    /// Puts a message in.
    pub(super) fn put(&mut self, kept: Kept, hasher: &RandomState) -> Put {
        let is_mixed = self.mix_for(&kept.publisher, hasher);
        let hash_of = |message: &Message| hasher.hash_one(level_of(message));
        let hash = hash_of(&kept.message);
        let bucket = self.find_bucket(hash, level_of(&kept.message));
        match (self, bucket) {
            (Self::Alike(_, messages), Some(bucket)) => {
                if let Some(place) = messages.get_bucket_mut(bucket) {
                    *place = kept.message;
                }
            }
            (Self::Mixed(all), Some(bucket)) => {
                if let Some(place) = all.get_bucket_mut(bucket) {
                    *place = kept;
                }
            }
            (Self::Alike(_, messages), None) => {
                messages.insert_unique(hash, kept.message, hash_of);
            }
            (Self::Mixed(all), None) => {
                all.insert_unique(hash, kept, |kept| hash_of(&kept.message));
            }
        }
        Put {
            has_replaced: bucket.is_some(),
            has_moved: is_mixed || bucket.is_none(),
        }
    }

    /// Makes them of several clients, if they are all of one and this is another. Returns whether it has done so.
    fn mix_for(&mut self, publisher: &Name, hasher: &RandomState) -> bool {
        let Self::Alike(of, messages) = self else {
            return false;
        };
        if of == publisher {
            return false;
        }
        let hash_of = |message: &Message| hasher.hash_one(level_of(message));
        let mut all = HashTable::with_capacity(messages.len() + 1);
        for message in messages.drain() {
            let hash = hash_of(&message);
            let kept = Kept::new(message, Arc::clone(of));
            all.insert_unique(hash, kept, |kept| hash_of(&kept.message));
        }
        *self = Self::Mixed(all);
        true
    }

    pub(super) fn remove(&mut self, hash: u64, level: &str) -> Option<Kept> {
        let is_it = |message: &Message| ends_in(message, level.as_bytes());
        match self {
            Self::Alike(publisher, messages) => {
                let (message, _) = messages.find_entry(hash, is_it).ok()?.remove();
                Some(Kept::new(message, Arc::clone(publisher)))
            }
            Self::Mixed(all) => {
                let found = all.find_entry(hash, |kept| is_it(&kept.message));
                Some(found.ok()?.remove().0)
            }
        }
    }
}
