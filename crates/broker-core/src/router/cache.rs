//! One worker's memory of who gets which topic.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Matches, Recipient, Router};

/// Bytes, about, that a worker remembers. Past it the cache starts afresh, so that a client which
/// publishes to ever new topics costs time, not memory.
const BYTES_MAX: usize = 4 << 20;

/// Entries for which there stays room when the cache is cleared.
const KEEP: usize = 1024;

/// What an entry takes beside its topic and its matches, in bytes.
const ENTRY: usize = 80;

/// What a name takes beside its bytes.
const NAME: usize = 32;

/// Matches by topic, all of one generation of the subscriptions.
///
/// Most subscriptions do not tell topics apart by their last level. One entry holds for all topics with the same levels
/// above that, but for a few that filters name: a device has one entry, not one for each of its points.
#[derive(Debug)]
pub struct MatchCache<S> {
    generation: u64,
    /// By the levels above the last one.
    above: HashMap<Box<str>, General, RandomState>,
    /// For topics that differ from those beside them.
    topics: HashMap<Box<str>, usize, RandomState>,
    found: Vec<Arc<Matches<S>>>,
    bytes: usize,
    /// Of a topic that is not remembered: one that goes to no one, or one that alone would fill the cache.
    last: Arc<Matches<S>>,
}

/// What is true of all topics with some levels above their last one.
#[derive(Debug)]
struct General {
    /// Last levels for which it is not true.
    except: Box<[Box<str>]>,
    /// The place in the list of what was found.
    place: usize,
}

/// Who gets a topic.
#[derive(Debug)]
pub struct Found<'c, S> {
    pub matches: &'c Arc<Matches<S>>,
    /// Those with these last levels may go elsewhere; all others with the same levels above go where this one goes. `None`
    /// if that is not known.
    pub except: Option<&'c [Box<str>]>,
    /// It had to be found out, which may take long.
    pub is_new: bool,
}

impl<S> Found<'_, S> {
    /// Whether a topic with the same levels above and this last one goes where this one goes.
    pub fn suits(&self, level: &str) -> bool {
        let except = self.except.as_ref();
        except.is_some_and(|except| !except.iter().any(|named| **named == *level))
    }
}

impl<S> Default for MatchCache<S> {
    fn default() -> Self {
        Self {
            generation: 0,
            above: HashMap::default(),
            topics: HashMap::default(),
            found: Vec::new(),
            bytes: 0,
            last: Arc::default(),
        }
    }
}

impl<S: Recipient> MatchCache<S> {
    /// All that get `topic` now.
    pub fn matches(&mut self, router: &Router<S>, topic: &str) -> &Arc<Matches<S>> {
        self.look_up(router, topic).matches
    }

    /// The same, and how it was found.
    pub fn look_up(&mut self, router: &Router<S>, topic: &str) -> Found<'_, S> {
        let generation = router.generation();
        if generation != self.generation {
            self.clear();
            self.generation = generation;
        }
        match self.known(topic) {
            Some((place, is_general)) => self.found(topic, place, is_general),
            None => self.find(router, topic),
        }
    }

    /// Where it is in the list of what was found, and whether that is true of topics beside it.
    fn known(&self, topic: &str) -> Option<(usize, bool)> {
        let (above, level) = split(topic);
        let general = self.above.get(above);
        let is_named = |general: &&General| general.except.iter().any(|name| **name == *level);
        if let Some(general) = general.filter(|general| !is_named(general)) {
            return Some((general.place, true));
        }
        self.topics.get(topic).map(|place| (*place, false))
    }

    fn found(&self, topic: &str, place: usize, is_general: bool) -> Found<'_, S> {
        let general = self.above.get(split(topic).0).filter(|_| is_general);
        Found {
            matches: &self.found[place],
            except: general.map(|general| &*general.except),
            is_new: false,
        }
    }

    fn find(&mut self, router: &Router<S>, topic: &str) -> Found<'_, S> {
        let (matches, beside) = router.matches(topic);
        let bytes = ENTRY + topic.len() + matches.weight();
        let names = beside.iter().flatten();
        let bytes = bytes + names.map(|name| NAME + name.len()).sum::<usize>();
        // To find out anew that a topic goes to no one takes hardly longer than to remember it.
        if bytes > BYTES_MAX / 4 || (matches.is_empty() && beside.is_none()) {
            self.last = Arc::new(matches);
            return Found {
                matches: &self.last,
                except: None,
                is_new: true,
            };
        }
        if self.bytes + bytes > BYTES_MAX {
            self.clear();
        }
        self.bytes += bytes;
        let place = self.found.len();
        self.found.push(Arc::new(matches));
        let is_general = beside.is_some();
        if let Some(names) = beside {
            let except = names.into_boxed_slice();
            let above = split(topic).0.into();
            self.above.insert(above, General { except, place });
        } else {
            self.topics.insert(topic.into(), place);
        }
        Found {
            is_new: true,
            ..self.found(topic, place, is_general)
        }
    }

    fn clear(&mut self) {
        self.above.clear();
        self.above.shrink_to(KEEP);
        self.topics.clear();
        self.topics.shrink_to(KEEP);
        self.found.clear();
        self.found.shrink_to(KEEP);
        self.bytes = 0;
    }
}

/// The levels above the last one, with the separator behind each, and the last one.
pub fn split(topic: &str) -> (&str, &str) {
    let end = topic.bytes().rposition(|byte| byte == b'/');
    topic.split_at(end.map_or(0, |end| end + 1))
}

/// The last level of a topic that has these levels above it, as [`split`] gives them.
pub fn beside<'t>(topic: &'t str, above: &str) -> Option<&'t str> {
    let level = topic.strip_prefix(above)?;
    (!level.as_bytes().contains(&b'/')).then_some(level)
}
