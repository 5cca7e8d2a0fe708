//! The retained messages whose topics end below one node of the tree.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

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
        let is_it = |message: &Message| level_of(message) == level.as_bytes();
        match self {
            Self::Alike(publisher, messages) => {
                let message = messages.find(hash, is_it)?;
                Some(KeptRef { message, publisher })
            }
            Self::Mixed(all) => Some(all.find(hash, |kept| is_it(&kept.message))?.into()),
        }
    }

    pub(super) fn find_mut(&mut self, hash: u64, level: &str) -> Option<(&mut Message, &Name)> {
        let is_it = |message: &Message| level_of(message) == level.as_bytes();
        match self {
            Self::Alike(publisher, messages) => Some((messages.find_mut(hash, is_it)?, publisher)),
            Self::Mixed(all) => {
                let Kept { message, publisher } =
                    all.find_mut(hash, |kept| is_it(&kept.message))?;
                Some((message, publisher))
            }
        }
    }

    /// Puts a message in. Returns whether it took the place of another.
    pub(super) fn put(&mut self, kept: Kept, hasher: &RandomState) -> bool {
        let hash_of = |message: &Message| hasher.hash_one(level_of(message));
        if let Self::Alike(publisher, messages) = self
            && *publisher != kept.publisher
        {
            let mut all = HashTable::with_capacity(messages.len() + 1);
            for message in messages.drain() {
                let hash = hash_of(&message);
                let kept = Kept::new(message, Arc::clone(publisher));
                all.insert_unique(hash, kept, |kept| hash_of(&kept.message));
            }
            *self = Self::Mixed(all);
        }
        let hash = hash_of(&kept.message);
        match self {
            Self::Alike(_, messages) => {
                let same = |other: &Message| level_of(other) == level_of(&kept.message);
                set(messages.entry(hash, same, hash_of), kept.message)
            }
            Self::Mixed(all) => {
                let same = |other: &Kept| level_of(&other.message) == level_of(&kept.message);
                let entry = all.entry(hash, same, |kept| hash_of(&kept.message));
                set(entry, kept)
            }
        }
    }

    pub(super) fn remove(&mut self, hash: u64, level: &str) -> Option<Kept> {
        let is_it = |message: &Message| level_of(message) == level.as_bytes();
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

/// Whether there was another.
fn set<T>(entry: Entry<'_, T>, item: T) -> bool {
    match entry {
        Entry::Occupied(mut entry) => {
            *entry.get_mut() = item;
            true
        }
        Entry::Vacant(entry) => {
            entry.insert(item);
            false
        }
    }
}
