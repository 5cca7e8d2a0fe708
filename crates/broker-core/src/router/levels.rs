//! A tree of topic levels.
//!
//! Its nodes stand in one list and name each other by their places in it. Names come from clients and may have tens of
//! thousands of levels, so nothing here recurses, neither to look something up nor to drop it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// What an allocation takes beside what it holds, in bytes, about.
const ALLOCATION: usize = 16;

/// Lists shorter than this are left as they are.
const TIDY_FROM: usize = if cfg!(test) { 8 } else { 1024 };

/// A node's place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// Values of type `T` at the nodes of a tree whose edges are topic levels.
#[derive(Debug)]
pub(super) struct Levels<T> {
    nodes: Vec<Node<T>>,
    free: Vec<Place>,
    /// What the levels' names take, in bytes.
    names: usize,
}

#[derive(Debug, Default)]
struct Node<T> {
    children: Children,
    value: T,
}

/// Nearly always few, and on the way to a long name one.
#[derive(Debug, Default)]
enum Children {
    #[default]
    None,
    One(Box<str>, Place),
    // A map is five words, which nearly all nodes would have for nothing.
    #[expect(clippy::box_collection)]
    Many(Box<HashMap<Box<str>, Place, RandomState>>),
}

impl<T: Default> Default for Levels<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            names: 0,
        }
    }
}

impl<T: Default> Levels<T> {
    pub(super) const ROOT: Place = Place(0);

    /// A node, and its parent's note of it.
    const NODE: usize = size_of::<Node<T>>() + size_of::<(Box<str>, Place)>();

    pub(super) fn value(&self, place: Place) -> &T {
        &self.nodes[place.0 as usize].value
    }

    pub(super) fn value_mut(&mut self, place: Place) -> &mut T {
        &mut self.nodes[place.0 as usize].value
    }

    pub(super) fn child(&self, place: Place, level: &str) -> Option<Place> {
        match &self.nodes[place.0 as usize].children {
            Children::None => None,
            Children::One(name, child) => (**name == *level).then_some(*child),
            Children::Many(children) => children.get(level).copied(),
        }
    }

    /// The levels below a node, in no order.
    pub(super) fn children(&self, place: Place) -> impl Iterator<Item = (&str, Place)> {
        let (one, many) = match &self.nodes[place.0 as usize].children {
            Children::None => (None, None),
            Children::One(name, child) => (Some((&**name, *child)), None),
            Children::Many(children) => (None, Some(children.iter())),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(name, &child)| (&**name, child)))
    }

    /// The node that `levels` lead to from the root, if it exists.
    pub(super) fn find<'l>(&self, mut levels: impl Iterator<Item = &'l str>) -> Option<Place> {
        levels.try_fold(Self::ROOT, |place, level| self.child(place, level))
    }

    /// The node that `levels` lead to from the root, made if need be.
    pub(super) fn make<'l>(&mut self, levels: impl Iterator<Item = &'l str>) -> Place {
        let mut place = Self::ROOT;
        for level in levels {
            place = match self.child(place, level) {
                Some(child) => child,
                None => self.grow(place, level),
            };
        }
        place
    }

    fn grow(&mut self, parent: Place, level: &str) -> Place {
        let child = match self.free.pop() {
            Some(place) => place,
            None => {
                self.nodes.push(Node::default());
                // Memory ends long before the numbers do: a node takes more than ten bytes.
                Place(u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.names += name_bytes(level);
        self.nodes[parent.0 as usize].children.add(level, child);
        child
    }

    /// Removes the node that `levels` lead to, and those above it, as long as they lead nowhere else and hold nothing.
    pub(super) fn prune<'l>(
        &mut self,
        levels: impl Iterator<Item = &'l str>,
        is_empty: impl Fn(&T) -> bool,
    ) {
        let mut path = Vec::new();
        let mut place = Self::ROOT;
        for level in levels {
            let Some(child) = self.child(place, level) else {
                return;
            };
            path.push((place, level, child));
            place = child;
        }
        for (parent, level, child) in path.into_iter().rev() {
            let node = &mut self.nodes[child.0 as usize];
            if !matches!(node.children, Children::None) || !is_empty(&node.value) {
                return;
            }
            *node = Node::default();
            self.free.push(child);
            self.names -= name_bytes(level);
            self.nodes[parent.0 as usize].children.remove(level);
        }
    }

    /// Gives memory back, if most of it is free. Changes all places.
    pub(super) fn tidy(&mut self) {
        let used = self.nodes.len() - self.free.len();
        if self.nodes.len() < TIDY_FROM || used * 4 > self.nodes.len() {
            return;
        }
        let mut tidy = Self::default();
        let mut waiting = vec![(Self::ROOT, Self::ROOT)];
        while let Some((from, to)) = waiting.pop() {
            let Node { children, value } = std::mem::take(&mut self.nodes[from.0 as usize]);
            *tidy.value_mut(to) = value;
            for (name, child) in children.into_all() {
                waiting.push((child, tidy.grow(to, &name)));
            }
        }
        *self = tidy;
    }

    /// What one more name would take here, in bytes.
    pub(super) fn cost<'l>(&self, levels: impl Iterator<Item = &'l str>) -> usize {
        let mut place = Some(Self::ROOT);
        let missing = |level| {
            place = place.and_then(|place| self.child(place, level));
            match place {
                Some(_) => 0,
                None => name_bytes(level) + Self::NODE,
            }
        };
        levels.map(missing).sum()
    }

    /// What the nodes and their names take, in bytes, give or take the allocator. Their values' own allocations are not in it.
    pub(super) fn bytes(&self) -> usize {
        let used = self.nodes.len() - self.free.len() - 1;
        self.names + used * Self::NODE
    }

    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.nodes.len() - self.free.len() == 1 && self.names == 0
    }
}

fn name_bytes(level: &str) -> usize {
    level.len() + ALLOCATION
}

impl Children {
    /// Adds a level that is not there.
    fn add(&mut self, level: &str, child: Place) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(level.into(), child),
            Self::One(name, first) => {
                let both = [(name, first), (level.into(), child)];
                Self::Many(Box::new(both.into_iter().collect()))
            }
            Self::Many(mut children) => {
                children.insert(level.into(), child);
                Self::Many(children)
            }
        };
    }

    fn into_all(self) -> impl Iterator<Item = (Box<str>, Place)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(name, child) => (Some((name, child)), None),
            Self::Many(children) => (None, Some(children.into_iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn remove(&mut self, level: &str) {
        match self {
            Self::None => {}
            Self::One(name, _) => {
                if **name == *level {
                    *self = Self::None;
                }
            }
            Self::Many(children) => {
                children.remove(level);
                if children.len() > 1 {
                    return;
                }
                let last = children.drain().next();
                *self = last.map_or(Self::None, |(name, child)| Self::One(name, child));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_name_of_the_most_levels_costs_no_stack_and_leaves_nothing_behind() {
        let name = "/".repeat(65_535);
        let mut levels: Levels<u8> = Levels::default();
        let place = levels.make(name.split('/'));
        *levels.value_mut(place) = 1;
        assert_eq!(levels.find(name.split('/')), Some(place));
        assert!(levels.bytes() < 10_000_000, "{}", levels.bytes());
        *levels.value_mut(place) = 0;
        levels.prune(name.split('/'), |value| *value == 0);
        levels.tidy();
        assert!(levels.is_bare());
        assert!(levels.cost(name.split('/')) > 65_535);
        levels.make(name.split('/'));
        assert_eq!(levels.cost(name.split('/')), 0);
        drop(levels);
    }

    proptest! {
        #[test]
        fn the_tree_agrees_with_a_map_by_name(
            steps in prop::collection::vec(("[ab]?(/[ab]?){0,3}", 0u8..3), 0..60),
            tidies in any::<bool>(),
        ) {
            let mut levels: Levels<u8> = Levels::default();
            let mut model: BTreeMap<String, u8> = BTreeMap::new();
            for (name, value) in steps {
                let place = levels.make(name.split('/'));
                prop_assert_eq!(*levels.value(place), model.get(&name).copied().unwrap_or(0));
                *levels.value_mut(place) = value;
                levels.prune(name.split('/'), |value| *value == 0);
                if tidies {
                    levels.tidy();
                }
                if value == 0 {
                    model.remove(&name);
                } else {
                    model.insert(name, value);
                }
                let found: Vec<u8> = all(&levels);
                let mut want: Vec<u8> = model.values().copied().collect();
                want.sort_unstable();
                prop_assert_eq!(found, want);
            }
            prop_assert_eq!(levels.is_bare(), model.is_empty());
        }
    }

    fn all(levels: &Levels<u8>) -> Vec<u8> {
        let mut waiting = vec![Levels::<u8>::ROOT];
        let mut found = Vec::new();
        while let Some(place) = waiting.pop() {
            found.extend(Some(*levels.value(place)).filter(|value| *value > 0));
            waiting.extend(levels.children(place).map(|(_, child)| child));
        }
        found.sort_unstable();
        found
    }
}
