//! Mappings whose order counts, such as points, and the names in them.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use fieldgate_model::check_name;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// A name that is one level of a topic.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct TopicName(String);

impl TryFrom<String> for TopicName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match check_name(&name) {
            Ok(()) => Ok(Self(name)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0
    }
}

/// Reads a mapping of points, in order.
///
/// # Errors
///
/// A name that cannot be a level of a topic, or a duplicate one, at its place.
pub fn points<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<(String, T)>, D::Error> {
    ordered::<TopicName, T, D>(deserializer, "a table of points")
}

/// Reads a mapping with any names, in order.
///
/// # Errors
///
/// A duplicate name, at its place.
pub fn entries<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<(String, T)>, D::Error> {
    ordered::<String, T, D>(deserializer, "a table of names")
}

/// Reads a mapping with names of a kind, in order. `expected` says what it is in a message.
///
/// # Errors
///
/// A name that is wrong or duplicate, at its place.
pub fn ordered<'de, K, T, D>(
    deserializer: D,
    expected: &'static str,
) -> Result<Vec<(String, T)>, D::Error>
where
    K: Deserialize<'de> + Into<String>,
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(Entries::<K, T>(expected, PhantomData))
}

struct Entries<K, T>(&'static str, PhantomData<(K, T)>);

impl<'de, K: Deserialize<'de> + Into<String>, T: Deserialize<'de>> Visitor<'de> for Entries<K, T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = BTreeSet::new();
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<K>()? {
            let name: String = name.into();
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("duplicate name `{name}`")));
            }
            entries.push((name, map.next_value()?));
        }
        Ok(entries)
    }
}
