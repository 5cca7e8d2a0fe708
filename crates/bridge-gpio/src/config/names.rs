//! Points in the order of the file.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use fieldgate_model::check_name;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// A name that is one level of a topic.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_name(&name).map_err(|error| error.to_string())?;
        Ok(Self(name))
    }
}

pub(super) fn points<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<(String, T)>, D::Error> {
    deserializer.deserialize_map(Points(PhantomData))
}

struct Points<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Points<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of points")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = BTreeSet::new();
        let mut points = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("`{name}` is there twice")));
            }
            points.push((name, map.next_value()?));
        }
        Ok(points)
    }
}
