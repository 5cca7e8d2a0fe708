//! Topic filters as a tree of levels (MQTT 5.0 section 4.7).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use fieldgate_mqtt::topic;
use foldhash::fast::RandomState;

use super::levels::Levels;
use super::{Grant, Group, Matches, Recipient, Subscriber};
use crate::budget::{Pot, Share};

/// Subscriptions by filter. A lookup visits at most two branches a level.
#[derive(Debug)]
pub(crate) struct Trie<S> {
    /// `+` is a level like others: no topic has it.
    tree: Levels<Ends<S>>,
    plain: usize,
    shared: usize,
    share: Share,
}

#[derive(Debug)]
struct Ends<S> {
    /// Of filters that end here.
    here: Option<Box<Entries<S>>>,
    /// Of filters that go on from here with `#`.
    below: Option<Box<Entries<S>>>,
}

#[derive(Debug)]
struct Entries<S> {
    plain: HashMap<u64, (Arc<S>, Grant), RandomState>,
    groups: HashMap<Box<str>, Members<S>, RandomState>,
}

#[derive(Debug)]
struct Members<S> {
    /// In the order in which they came, so that turns are fair.
    list: Vec<(Arc<S>, Grant)>,
    turn: Arc<AtomicUsize>,
}

impl<S> Default for Ends<S> {
    fn default() -> Self {
        Self {
            here: None,
            below: None,
        }
    }
}

impl<S> Default for Entries<S> {
    fn default() -> Self {
        Self {
            plain: HashMap::default(),
            groups: HashMap::default(),
        }
    }
}

impl<S> Default for Members<S> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            turn: Arc::default(),
        }
    }
}

impl<S: Recipient> Trie<S> {
    /// What one subscription takes beside the names of its levels, in bytes, about.
    const ENTRY: usize = size_of::<Entries<S>>() + 2 * size_of::<(u64, (Arc<S>, Grant))>();

    /// Counted in `pot`.
    pub(crate) fn new(pot: &Arc<Pot>) -> Self {
        Self {
            tree: Levels::default(),
            plain: 0,
            shared: 0,
            share: Share::new(pot, 0),
        }
    }

    pub(crate) fn insert(&mut self, recipient: &Arc<S>, filter: &str, grant: Grant) -> bool {
        let (group, filter) = split(filter);
        let (path, is_all) = path(filter);
        let place = self.tree.make(levels(path));
        let entries = self
            .tree
            .value_mut(place)
            .of(is_all)
            .get_or_insert_default();
        let new = entries.insert(group, Arc::clone(recipient), grant);
        match group {
            _ if !new => {}
            None => self.plain += 1,
            Some(_) => self.shared += 1,
        }
        self.recount();
        new
    }

    pub(crate) fn remove(&mut self, recipient: u64, filter: &str) -> bool {
        let (group, filter) = split(filter);
        let (path, is_all) = path(filter);
        let Some(place) = self.tree.find(levels(path)) else {
            return false;
        };
        let slot = self.tree.value_mut(place).of(is_all);
        let found = slot
            .as_mut()
            .is_some_and(|entries| entries.remove(group, recipient));
        if slot.take_if(|entries| entries.is_empty()).is_some() {
            self.tree.prune(levels(path), Ends::is_empty);
            self.tree.tidy();
        }
        match group {
            _ if !found => {}
            None => self.plain -= 1,
            Some(_) => self.shared -= 1,
        }
        self.recount();
        found
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.plain, self.shared)
    }

    fn recount(&mut self) {
        let entries = (self.plain + self.shared) * Self::ENTRY;
        self.share.follow(self.tree.bytes() + entries);
    }

    /// Who gets `topic`, and who gets the topics beside it.
    pub(crate) fn matches(&self, topic: &str) -> (Matches<S>, Beside) {
        let mut found = Found {
            topic,
            matches: Matches::default(),
            places: HashMap::default(),
            // The first level of a `$` topic is matched by other rules.
            beside: Some(Vec::new()).filter(|_| topic.contains('/')),
        };
        let mut waiting = vec![(Levels::<Ends<S>>::ROOT, Some(topic))];
        while let Some((place, topic)) = waiting.pop() {
            // Not for the first level of a `$` topic (MQTT-4.7.2-1).
            let is_wild = place != Levels::<Ends<S>>::ROOT || !found.topic.starts_with('$');
            let ends = self.tree.value(place);
            // "a/#" matches "a" too.
            let below = ends.below.as_ref().filter(|_| is_wild);
            below.into_iter().for_each(|entries| found.add(entries));
            let Some(topic) = topic else {
                ends.here.iter().for_each(|entries| found.add(entries));
                continue;
            };
            let (level, rest) = match topic.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (topic, None),
            };
            if rest.is_none() {
                found.name(self.tree.children(place).map(|(level, _)| level), level);
            }
            let any = self.tree.child(place, "+").filter(|_| is_wild);
            waiting.extend(any.map(|child| (child, rest)));
            let child = self.tree.child(place, level);
            waiting.extend(child.map(|child| (child, rest)));
        }
        (found.matches, found.beside)
    }
}

/// The last levels for which it is not true that the topics beside one go where that goes: filters name them. `None` if
/// it is true of no topic, as filters or rights name its own, or too many.
pub(crate) type Beside = Option<Vec<Box<str>>>;

/// Names in a [`Beside`].
const NAMED_MAX: usize = 8;

/// The group of a shared subscription, and the filter that it shares.
fn split(filter: &str) -> (Option<&str>, &str) {
    match topic::parse_share(filter) {
        Some((group, filter)) => (Some(group), filter),
        None => (None, filter),
    }
}

/// The levels that lead to where a filter ends, and whether it goes on with `#` from there.
fn path(filter: &str) -> (Option<&str>, bool) {
    match filter.strip_suffix('#') {
        None => (Some(filter), false),
        Some("") => (None, true),
        Some(path) => (Some(path.strip_suffix('/').unwrap_or(path)), true),
    }
}

fn levels(path: Option<&str>) -> impl Iterator<Item = &str> {
    path.into_iter().flat_map(|path| path.split('/'))
}

impl<S: Recipient> Ends<S> {
    fn of(&mut self, is_all: bool) -> &mut Option<Box<Entries<S>>> {
        match is_all {
            true => &mut self.below,
            false => &mut self.here,
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_none() && self.below.is_none()
    }
}

/// What a lookup has found so far; several filters of one session become one subscriber.
struct Found<'t, S> {
    topic: &'t str,
    matches: Matches<S>,
    places: HashMap<u64, usize, RandomState>,
    beside: Beside,
}

impl<S: Recipient> Found<'_, S> {
    /// Notes the levels that filters have beside `own`, the topic's last one.
    fn name<'l>(&mut self, levels: impl Iterator<Item = &'l str>, own: &str) {
        for level in levels.filter(|level| *level != "+") {
            let Some(names) = &mut self.beside else {
                return;
            };
            if level == own || names.len() == NAMED_MAX {
                self.beside = None;
            } else if !names.iter().any(|known| **known == *level) {
                names.push(level.into());
            }
        }
    }

    fn add(&mut self, entries: &Entries<S>) {
        // One node's sessions differ from each other, so only a second node needs the index.
        let fresh = self.matches.plain.is_empty();
        for (&id, (recipient, grant)) in &entries.plain {
            self.beside.take_if(|_| !recipient.reads_alike(self.topic));
            if !recipient.may_read(self.topic) {
                continue;
            }
            if !fresh && self.places.is_empty() {
                let known = self.matches.plain.iter().enumerate();
                self.places = known
                    .map(|(at, known)| (known.recipient.number(), at))
                    .collect();
            }
            match self.places.get(&id) {
                Some(&at) => self.matches.plain[at].merge(*grant),
                None => {
                    if !fresh {
                        self.places.insert(id, self.matches.plain.len());
                    }
                    let subscriber = Subscriber::new(Arc::clone(recipient), *grant);
                    self.matches.plain.push(subscriber);
                }
            }
        }
        for members in entries.groups.values() {
            let subscribe =
                |(recipient, grant): &(_, _)| Subscriber::new(Arc::clone(recipient), *grant);
            let alike = |(recipient, _): &(Arc<S>, _)| recipient.reads_alike(self.topic);
            self.beside.take_if(|_| !members.list.iter().all(alike));
            let may_read = |(recipient, _): &&(Arc<S>, _)| recipient.may_read(self.topic);
            let permitted: Vec<_> = members
                .list
                .iter()
                .filter(may_read)
                .map(subscribe)
                .collect();
            if !permitted.is_empty() {
                self.matches.groups.push(Group {
                    members: permitted,
                    turn: Arc::clone(&members.turn),
                });
            }
        }
    }
}

impl<S: Recipient> Entries<S> {
    fn insert(&mut self, group: Option<&str>, recipient: Arc<S>, grant: Grant) -> bool {
        let Some(group) = group else {
            return self
                .plain
                .insert(recipient.number(), (recipient, grant))
                .is_none();
        };
        let members = &mut self.groups.entry(group.into()).or_default().list;
        match members
            .iter_mut()
            .find(|(member, _)| member.number() == recipient.number())
        {
            Some((_, old)) => {
                *old = grant;
                false
            }
            None => {
                members.push((recipient, grant));
                true
            }
        }
    }

    fn remove(&mut self, group: Option<&str>, recipient: u64) -> bool {
        let Some(group) = group else {
            return self.plain.remove(&recipient).is_some();
        };
        let Some(members) = self.groups.get_mut(group) else {
            return false;
        };
        let before = members.list.len();
        members
            .list
            .retain(|(member, _)| member.number() != recipient);
        let found = members.list.len() < before;
        if members.list.is_empty() {
            self.groups.remove(group);
        }
        found
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }
}
