//! Topic aliases, which replace a topic by a number on one connection (MQTT 5.0 section 3.3.2.3.4).

use std::collections::HashMap;
use std::num::NonZeroU16;

use fieldgate_mqtt::Publish;
use foldhash::fast::RandomState;

/// Aliases that the client set.
#[derive(Debug, Default)]
pub struct AliasesIn {
    maximum: u16,
    topics: Vec<Option<Box<str>>>,
    /// What they take, about.
    bytes: usize,
}

/// Why an alias cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasError {
    /// Above the maximum that the broker announced.
    TooHigh,
    /// Never set on this connection.
    Unknown,
}

impl AliasesIn {
    /// Up to `maximum`, as the client was told.
    pub fn new(maximum: u16) -> Self {
        Self {
            maximum,
            topics: Vec::new(),
            bytes: 0,
        }
    }

    /// The topic that an alias stands for.
    ///
    /// # Errors
    /// [`AliasError`], which ends the connection.
    pub fn get(&self, alias: NonZeroU16) -> Result<&str, AliasError> {
        if alias.get() > self.maximum {
            return Err(AliasError::TooHigh);
        }
        let topic = self.topics.get(usize::from(alias.get()) - 1);
        topic.and_then(Option::as_deref).ok_or(AliasError::Unknown)
    }

    /// The alias that `publish` sets, if it sets one that does not already stand for its topic.
    pub fn set_by(&self, publish: &Publish<'_>) -> Option<NonZeroU16> {
        let alias = publish.properties.topic_alias?;
        (!publish.topic.is_empty() && self.get(alias) != Ok(publish.topic)).then_some(alias)
    }

    /// What the topics take, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// From now on `alias` stands for `topic`.
    ///
    /// # Errors
    /// [`AliasError::TooHigh`].
    pub fn set(&mut self, alias: NonZeroU16, topic: &str) -> Result<(), AliasError> {
        if alias.get() > self.maximum {
            return Err(AliasError::TooHigh);
        }
        let index = usize::from(alias.get()) - 1;
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, || None);
        }
        let old = self.topics[index].replace(topic.into());
        let old = old.map_or(0, |old| old.len());
        self.bytes = self.bytes + topic.len() - old;
        Ok(())
    }
}

/// Aliases that the broker set: the first topics of a connection get one each and keep it.
#[derive(Debug)]
pub(crate) struct AliasesOut {
    maximum: u16,
    topics: HashMap<Box<str>, NonZeroU16, RandomState>,
    /// What they take, about.
    bytes: usize,
}

impl AliasesOut {
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            maximum,
            topics: HashMap::default(),
            bytes: 0,
        }
    }

    /// What they take, in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The alias to send with `topic`, if it has one, and whether the client knows it already.
    pub(crate) fn of(&mut self, topic: &str) -> (Option<NonZeroU16>, bool) {
        if let Some(&alias) = self.topics.get(topic) {
            return (Some(alias), true);
        }
        let next = u16::try_from(self.topics.len() + 1).ok();
        let next = next
            .filter(|&next| next <= self.maximum)
            .and_then(NonZeroU16::new);
        if let Some(alias) = next {
            self.topics.insert(topic.into(), alias);
            self.bytes += 2 * size_of::<(Box<str>, NonZeroU16)>() + topic.len();
        }
        (next, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn a_client_may_set_use_and_change_aliases_up_to_the_maximum() {
        let mut aliases = AliasesIn::new(2);
        assert_eq!(aliases.get(alias(1)), Err(AliasError::Unknown));
        assert_eq!(aliases.get(alias(3)), Err(AliasError::TooHigh));
        assert_eq!(aliases.set(alias(3), "a"), Err(AliasError::TooHigh));
        assert_eq!(aliases.set(alias(2), "a"), Ok(()));
        assert_eq!(aliases.get(alias(2)), Ok("a"));
        assert_eq!(aliases.set(alias(2), "b"), Ok(()));
        assert_eq!(aliases.get(alias(2)), Ok("b"));
        assert_eq!(aliases.get(alias(1)), Err(AliasError::Unknown));
    }

    #[test]
    fn the_first_topics_get_an_alias_and_the_rest_none() {
        let mut aliases = AliasesOut::new(2);
        for (topic, want) in [
            ("a", (Some(1), false)),
            ("b", (Some(2), false)),
            ("c", (None, false)),
            ("a", (Some(1), true)),
            ("b", (Some(2), true)),
            ("c", (None, false)),
        ] {
            let (found, known) = aliases.of(topic);
            assert_eq!((found.map(NonZeroU16::get), known), want, "{topic}");
        }
    }
}
