//! Lets any `serde::Deserialize` type read a tree.
//!
//! Pruned entries and elements do not exist here. Empty values (`devices:` and nothing after it)
//! are empty mappings and lists where a mapping or a list is wanted, because that is what is left
//! when a person comments everything out.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::error::{Error, Problem};
use super::tree::{Entry, Item, Kind, Node, Step};

/// A reader that stands at one node.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de> {
    pub node: &'de Node,
}

impl<'de> Reader<'de> {
    /// The error of a reader that wanted something else than this node.
    fn refuse(self, visitor: &impl Visitor<'de>) -> Error {
        // What was found is printed from the node, so it is not said twice.
        Error::invalid_type(Unexpected::Other(""), visitor)
    }

    fn integer<V: Visitor<'de>>(self, value: i128, visitor: V) -> Result<V::Value, Error> {
        if let Ok(value) = u64::try_from(value) {
            visitor.visit_u64(value)
        } else if let Ok(value) = i64::try_from(value) {
            visitor.visit_i64(value)
        } else {
            visitor.visit_i128(value)
        }
    }

    fn map<V: Visitor<'de>>(self, entries: &'de [Entry], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Map {
            entries,
            next: 0,
            value: None,
        })
    }

    fn list<V: Visitor<'de>>(self, items: &'de [Item], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(List { items, next: 0 })
    }

    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) => self.integer(*value, visitor),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(value) => visitor.visit_borrowed_str(value),
            Kind::List(items) => self.list(items, visitor),
            Kind::Map(entries) => self.map(entries, visitor),
        }
    }

    /// Takes what the reader asked for. Without this a reader of an integer would be offered a
    /// list, and would say the same, later.
    fn exactly<V: Visitor<'de>>(
        self,
        fits: impl FnOnce(&Kind) -> bool,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = if fits(&self.node.kind) {
            self.any(visitor)
        } else {
            Err(self.refuse(&visitor))
        };
        result.map_err(|error| error.about(self.node))
    }
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.exactly(|kind| matches!(kind, Kind::Int(_) | Kind::Float(_)), visitor)
        }
    )*};
}

macro_rules! texts {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.exactly(|kind| matches!(kind, Kind::Text(_)), visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    texts! {
        deserialize_char deserialize_str deserialize_string deserialize_identifier
        deserialize_bytes deserialize_byte_buf
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor).map_err(|error| error.about(self.node))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.exactly(|kind| matches!(kind, Kind::Bool(_)), visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|error| error.about(self.node))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.exactly(|kind| matches!(kind, Kind::Null), visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| error.about(self.node))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::List(items) => self.list(items, visitor),
            Kind::Null => self.list(&[], visitor),
            _ => Err(self.refuse(&visitor)),
        }
        .map_err(|error| error.about(self.node))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Map(entries) => self.map(entries, visitor),
            Kind::Null => self.map(&[], visitor),
            _ => Err(self.refuse(&visitor)),
        }
        .map_err(|error| error.about(self.node))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Text(name) => visitor.visit_enum(Variant { name, value: None }),
            Kind::Map(entries) => {
                let mut left = entries
                    .iter()
                    .enumerate()
                    .filter(|(_, entry)| entry.pruned.is_none());
                match (left.next(), left.next()) {
                    (Some((index, entry)), None) => match entry.key.text() {
                        Some(name) => visitor.visit_enum(Variant {
                            name,
                            value: Some((index, &entry.value)),
                        }),
                        None => Err(self.refuse(&visitor)),
                    },
                    _ => Err(Error::new(Problem::Kind {
                        expected: format!("exactly one of {}", names.join(", ")),
                    })),
                }
            }
            _ => Err(Error::new(Problem::Kind {
                expected: format!("one of {}", names.join(", ")),
            })),
        }
        .map_err(|error| error.about(self.node))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

struct Map<'de> {
    entries: &'de [Entry],
    next: usize,
    value: Option<(usize, &'de Node)>,
}

impl<'de> MapAccess<'de> for Map<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        while let Some(entry) = self.entries.get(self.next) {
            let index = self.next;
            self.next += 1;
            if entry.pruned.is_some() {
                continue;
            }
            self.value = Some((index, &entry.value));
            return seed
                .deserialize(Reader { node: &entry.key })
                .map(Some)
                .map_err(|error| error.about_key(&entry.key).via(Step::Entry(index)));
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((index, node)) = self.value.take() else {
            return Err(Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader { node })
            .map_err(|error| error.about(node).via(Step::Entry(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        let left = self.entries.get(self.next..).unwrap_or_default();
        Some(left.iter().filter(|entry| entry.pruned.is_none()).count())
    }
}

struct List<'de> {
    items: &'de [Item],
    next: usize,
}

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        while let Some(item) = self.items.get(self.next) {
            let index = self.next;
            self.next += 1;
            if item.pruned {
                continue;
            }
            let node = &item.value;
            return seed
                .deserialize(Reader { node })
                .map(Some)
                .map_err(|error| error.about(node).via(Step::Item(index)));
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        let left = self.items.get(self.next..).unwrap_or_default();
        Some(left.iter().filter(|item| !item.pruned).count())
    }
}

/// A variant as a bare name, or as the only key of a mapping.
struct Variant<'de> {
    name: &'de str,
    value: Option<(usize, &'de Node)>,
}

impl<'de> Variant<'de> {
    /// Reads what stands behind the name; nothing stands there when the name is bare.
    fn content<T>(
        self,
        read: impl FnOnce(Reader<'de>) -> Result<T, Error>,
        kind: &'static str,
    ) -> Result<T, Error> {
        let Some((index, node)) = self.value else {
            return Err(Error::new(Problem::Kind {
                expected: format!("{}: with {kind}", self.name),
            }));
        };
        read(Reader { node }).map_err(|error| error.about(node).via(Step::Entry(index)))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Error::new(Problem::Kind {
                expected: format!("the bare name \"{}\"", self.name),
            })),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.content(|reader| seed.deserialize(reader), "a value")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content(|reader| reader.deserialize_seq(visitor), "a list")
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content(|reader| reader.deserialize_map(visitor), "a mapping")
    }
}
