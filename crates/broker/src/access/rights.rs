//! What one session may do: the rules of its user with its own names filled in.

use std::sync::Arc;

use fieldgate_mqtt::topic;

use super::filter::{covers, overlap};
use super::users::{Permission, Rule};
use fieldgate_broker_core::reserved::is_brokers;

/// The rights of one session. Cheap to copy; without rules there is nothing to look up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights(Option<Arc<[Clause]>>);

/// A rule for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    filter: Box<str>,
    permission: Permission,
    /// Levels at the beginning that are written out in the rule.
    named: usize,
}

/// What a client wants to do with a topic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Read,
    Write,
}

impl Permission {
    fn speaks_of(self, wish: Wish) -> bool {
        match self {
            Self::Read => wish == Wish::Read,
            Self::Write => wish == Wish::Write,
            Self::ReadWrite | Self::Deny => true,
        }
    }
}

impl Rights {
    /// Everything that a client may do at all.
    pub(crate) fn all() -> Self {
        Self(None)
    }

    pub(crate) fn none() -> Self {
        Self(Some([].into()))
    }

    pub(super) fn bind(rules: &[Rule], client_id: &str, user: Option<&str>) -> Self {
        let values = Values {
            client_id,
            user: user.unwrap_or_default(),
        };
        Self(Some(
            rules.iter().filter_map(|rule| values.fill(rule)).collect(),
        ))
    }

    pub(crate) fn are_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a message may be published to `topic`. `$` topics are the broker's own, but for those of bridges. Of a topic of the program's own
    /// `own` tells how many levels a rule must name to permit it.
    pub(crate) fn may_write(&self, topic: &str, own: Option<usize>) -> bool {
        !is_brokers(topic) && self.may(topic, Wish::Write, own)
    }

    /// Whether messages of `topic` may be delivered.
    pub(crate) fn may_read(&self, topic: &str) -> bool {
        self.may(topic, Wish::Read, None)
    }

    /// Whether all topics that differ from `topic` in the last of their levels, of which it has several, may be read if
    /// it may: no rule names such a level.
    pub(crate) fn reads_alike(&self, topic: &str) -> bool {
        let names_last = |clause: &Clause| {
            let mut levels = clause.filter.split('/');
            let mut above = topic.split('/');
            above.next_back();
            let leads = |level| matches!(levels.next(), Some(own) if own == level || own == "+");
            above.all(leads) && !matches!(levels.next(), None | Some("+" | "#"))
        };
        let clauses = self.0.iter().flat_map(|clauses| clauses.iter());
        clauses.into_iter().all(|clause| !names_last(clause))
    }

    fn may(&self, topic: &str, wish: Wish, own: Option<usize>) -> bool {
        let Some(clauses) = &self.0 else {
            return own.is_none();
        };
        let counts = |clause: &&Clause| {
            clause.permission == Permission::Deny || own.is_none_or(|own| clause.named >= own)
        };
        clauses
            .iter()
            .filter(counts)
            .find(|clause| {
                clause.permission.speaks_of(wish) && topic::matches(&clause.filter, topic)
            })
            .is_some_and(|clause| clause.permission != Permission::Deny)
    }

    /// Whether a subscription to `filter` makes sense: some of its topics may be read. Whether
    /// a message may is asked message by message.
    pub(crate) fn may_subscribe(&self, filter: &str) -> bool {
        let Some(clauses) = &self.0 else { return true };
        let filter = topic::parse_share(filter).map_or(filter, |(_, shared)| shared);
        let mut denied: Vec<&str> = Vec::new();
        for clause in clauses.iter() {
            match clause.permission {
                Permission::Deny => denied.push(&clause.filter),
                Permission::Write => {}
                Permission::Read | Permission::ReadWrite => {
                    let hidden = |deny: &&str| covers(deny, filter) || covers(deny, &clause.filter);
                    if overlap(&clause.filter, filter) && !denied.iter().any(hidden) {
                        return true;
                    }
                }
            }
        }
        false
    }
}

/// What `%c` and `%u` stand for in one session. Clients choose these: they are hostile.
struct Values<'a> {
    client_id: &'a str,
    /// Empty for an anonymous client.
    user: &'a str,
}

impl Values<'_> {
    /// The rule for this session, or `None` if it permits nothing there.
    fn fill(&self, rule: &Rule) -> Option<Clause> {
        let denies = rule.permission() == Permission::Deny;
        let mut levels = Vec::new();
        for level in rule.filter().split('/') {
            match self.fill_level(level) {
                Some(level) => levels.push(level),
                // No topic has such a value in one level. What is permitted there is nothing; what is
                // denied there must not become permitted by choosing an odd name.
                None if denies => levels.push("+".to_owned()),
                None => return None,
            }
        }
        let filter = levels.join("/");
        // A name must not lead into the broker's own topics.
        let escapes = filter.starts_with('$') && !rule.filter().starts_with('$');
        if escapes && !denies {
            return None;
        }
        let is_named = |level: &&str| !matches!(*level, "+" | "#") && !holds_value(level);
        Some(Clause {
            filter: filter.into(),
            permission: rule.permission(),
            named: rule.filter().split('/').take_while(is_named).count(),
        })
    }

    /// Fills in one level, in one pass: a value is not looked into again.
    fn fill_level(&self, level: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = level;
        while let Some(at) = rest.find('%') {
            let (before, tail) = rest.split_at(at);
            filled.push_str(before);
            let value = match tail.as_bytes().get(1) {
                Some(b'c') => self.client_id,
                Some(b'u') => self.user,
                _ => {
                    filled.push('%');
                    rest = tail.get(1..).unwrap_or_default();
                    continue;
                }
            };
            if value.is_empty() || value.contains(['/', '+', '#']) {
                return None;
            }
            filled.push_str(value);
            rest = tail.get(2..).unwrap_or_default();
        }
        filled.push_str(rest);
        Some(filled)
    }
}

/// Whether a level of a rule depends on what a client says of itself.
fn holds_value(level: &str) -> bool {
    level.contains("%c") || level.contains("%u")
}

#[cfg(test)]
mod tests;
