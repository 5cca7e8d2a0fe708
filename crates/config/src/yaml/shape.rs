//! What a type reads, found by letting it read: its keys, its names, and which kinds of values it takes.
//!
//! serde's types ask for what they want: a structure names its fields, an enumeration its variants, and the readers of
//! this project say in words what they expect. A probe takes part in that conversation down to one place, notes what
//! is asked for there, and breaks off. So there is no second list of keys that could be wrong.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

/// What a place takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Anything at all.
    Anything,
    /// True or false.
    Bool,
    /// Whole numbers, from the one to the other.
    Int(i128, i128),
    /// Any number.
    Number,
    /// Any text.
    Text,
    /// One of these.
    Names(Vec<&'static str>),
    /// A list of these.
    List(Box<Shape>),
    /// A mapping with keys of the writer's choice.
    Map(Box<Shape>),
    /// A mapping with these keys.
    Struct(Vec<(&'static str, Shape)>),
    /// One of several, and what the reader says that it expects.
    Either(Vec<Shape>, String),
}

/// What `T` reads.
pub fn shape<T: DeserializeOwned>() -> Shape {
    let ask = |path: &[Step]| {
        let asked = RefCell::new(None);
        let probe = Probe {
            path,
            asked: &asked,
        };
        // It breaks off where it was led to.
        let result = T::deserialize(probe);
        let is_taken = !matches!(result, Err(Broken::WrongType));
        (asked.into_inner(), is_taken)
    };
    explore(&ask, &mut Vec::new())
}

/// A step towards a place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// Into the value of this key.
    Field(&'static str),
    /// Into the value of any key.
    Entry,
    /// Into an element.
    Item,
    /// What the reader does with a value of this kind, where it takes several.
    Given(Given),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Given {
    Bool,
    Positive,
    Negative,
    Fraction,
    Text,
    List,
    Map,
}

/// What was asked for at a place.
#[derive(Clone, Debug)]
enum Asked {
    Anything,
    Bool,
    Int(i128, i128),
    Number,
    Text,
    Names(&'static [&'static str]),
    List,
    Map,
    Fields(&'static [&'static str]),
    /// Whatever is there; and what the reader says that it expects.
    Whatever(String),
}

/// Deeper than any key of ours: a type that holds itself ends here.
const DEPTH: usize = 20;
/// Stands for any key, and for any text.
const ANY: &str = "x";

/// Leads a probe to a place. Returns what was asked for there, and whether a value of the wrong type came of it.
type Ask<'a> = dyn Fn(&[Step]) -> (Option<Asked>, bool) + 'a;

fn explore(ask: &Ask<'_>, path: &mut Vec<Step>) -> Shape {
    let (asked, _) = ask(path);
    let asked = asked.filter(|_| path.len() < DEPTH);
    match asked {
        None | Some(Asked::Anything) => Shape::Anything,
        Some(Asked::Bool) => Shape::Bool,
        Some(Asked::Int(least, most)) => Shape::Int(least, most),
        Some(Asked::Number) => Shape::Number,
        Some(Asked::Text) => Shape::Text,
        Some(Asked::Names(names)) => Shape::Names(names.to_vec()),
        Some(Asked::List) => Shape::List(Box::new(inside(ask, path, Step::Item))),
        Some(Asked::Map) => Shape::Map(Box::new(inside(ask, path, Step::Entry))),
        Some(Asked::Fields(fields)) => {
            let fields = fields.iter();
            Shape::Struct(
                fields
                    .map(|field| (*field, inside(ask, path, Step::Field(field))))
                    .collect(),
            )
        }
        Some(Asked::Whatever(expected)) => whatever(ask, path, expected),
    }
}

fn inside(ask: &Ask<'_>, path: &mut Vec<Step>, step: Step) -> Shape {
    path.push(step);
    let shape = explore(ask, path);
    path.pop();
    shape
}

/// Tries each kind of value.
fn whatever(ask: &Ask<'_>, path: &mut Vec<Step>, expected: String) -> Shape {
    let takes = |path: &mut Vec<Step>, given| {
        path.push(Step::Given(given));
        let (asked, is_taken) = ask(path);
        path.pop();
        asked.is_some() || is_taken
    };
    let mut shapes = Vec::new();
    if takes(path, Given::Bool) {
        shapes.push(Shape::Bool);
    }
    let [positive, negative] = [Given::Positive, Given::Negative].map(|given| takes(path, given));
    match (takes(path, Given::Fraction), positive, negative) {
        (true, _, _) => shapes.push(Shape::Number),
        (false, true, false) => shapes.push(Shape::Int(0, u64::MAX.into())),
        (false, _, true) => shapes.push(Shape::Int(i64::MIN.into(), u64::MAX.into())),
        (false, false, false) => {}
    }
    if takes(path, Given::Text) {
        shapes.push(Shape::Text);
    }
    for given in [Given::List, Given::Map] {
        if takes(path, given) {
            shapes.push(inside(ask, path, Step::Given(given)));
        }
    }
    Shape::Either(shapes, expected)
}

/// Takes the place of a value.
#[derive(Clone, Copy)]
struct Probe<'p> {
    /// The steps that are left.
    path: &'p [Step],
    asked: &'p RefCell<Option<Asked>>,
}

/// Why the reading broke off.
#[derive(Debug)]
enum Broken {
    /// The reader takes no value of this type.
    WrongType,
    /// There is no such key; these are known.
    UnknownKey(&'static [&'static str]),
    /// The probe is where it was led to, or the reader found something else.
    Otherwise,
}

impl Probe<'_> {
    fn note<T>(self, asked: Asked) -> Result<T, Broken> {
        *self.asked.borrow_mut() = Some(asked);
        Err(Broken::Otherwise)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Broken {}

impl de::Error for Broken {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Otherwise
    }

    fn invalid_type(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self::WrongType
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownKey(expected)
    }
}

macro_rules! integers {
    ($($name:ident: $type:ty,)*) => {
        $(fn $name<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Broken> {
            self.note(Asked::Int(<$type>::MIN.into(), <$type>::MAX.into()))
        })*
    };
}

macro_rules! scalars {
    ($($name:ident: $asked:expr,)*) => {
        $(fn $name<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Broken> {
            self.note($asked)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Broken;

    integers! {
        deserialize_i8: i8, deserialize_i16: i16, deserialize_i32: i32, deserialize_i64: i64,
        deserialize_u8: u8, deserialize_u16: u16, deserialize_u32: u32, deserialize_u64: u64,
    }

    scalars! {
        deserialize_bool: Asked::Bool,
        deserialize_f32: Asked::Number,
        deserialize_f64: Asked::Number,
        deserialize_char: Asked::Text,
        deserialize_str: Asked::Text,
        deserialize_string: Asked::Text,
        deserialize_bytes: Asked::Text,
        deserialize_byte_buf: Asked::Text,
        deserialize_identifier: Asked::Text,
        deserialize_unit: Asked::Anything,
        deserialize_ignored_any: Asked::Anything,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        let Some((Step::Given(given), path)) = self.path.split_first() else {
            let expected = Expected(&visitor).to_string();
            return self.note(Asked::Whatever(expected));
        };
        let inner = Self { path, ..self };
        match given {
            Given::Bool => visitor.visit_bool(true),
            Given::Positive => visitor.visit_u64(1),
            Given::Negative => visitor.visit_i64(-1),
            Given::Fraction => visitor.visit_f64(1.5),
            Given::Text => visitor.visit_str(ANY),
            Given::List => inner.deserialize_seq(visitor),
            Given::Map => inner.deserialize_map(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: V,
    ) -> Result<V::Value, Broken> {
        self.note(Asked::Anything)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_seq(Elements(self, true))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Broken> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_map(Keys(self, true))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        match self.path {
            [] => self.note(Asked::Fields(fields)),
            _ => visitor.visit_map(Keys(self, true)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Broken> {
        self.note(Asked::Names(variants))
    }
}

/// What a visitor says that it expects.
struct Expected<'v, V>(&'v V);

impl<'de, V: Visitor<'de>> fmt::Display for Expected<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// Takes the place of a mapping with one entry.
struct Keys<'p>(Probe<'p>, bool);

impl<'de> MapAccess<'de> for Keys<'_> {
    type Error = Broken;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Broken> {
        if !std::mem::take(&mut self.1) {
            return Ok(None);
        }
        let key = match self.0.path.first() {
            Some(Step::Field(name)) => *name,
            Some(_) => ANY,
            None => {
                let key: StrDeserializer<'_, Broken> = ANY.into_deserializer();
                return self.0.note(match seed.deserialize(key) {
                    Err(Broken::UnknownKey(fields)) => Asked::Fields(fields),
                    _ => Asked::Map,
                });
            }
        };
        let key: StrDeserializer<'_, Broken> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Broken> {
        let path = self.0.path.get(1..).unwrap_or_default();
        seed.deserialize(Probe { path, ..self.0 })
    }
}

/// Takes the place of a list with one element.
struct Elements<'p>(Probe<'p>, bool);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Broken;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Broken> {
        if !std::mem::take(&mut self.1) {
            return Ok(None);
        }
        let Some((_, path)) = self.0.path.split_first() else {
            return self.0.note(Asked::List);
        };
        seed.deserialize(Probe { path, ..self.0 }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fieldgate_bridge::{Deadband, Defaults, Period, Publish};
    use serde::Deserialize;

    use super::*;

    #[test]
    fn keys_names_and_kinds_are_those_that_the_readers_ask_for() {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, try_from = "Raw")]
        struct Checked;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        #[allow(dead_code)]
        struct Raw {
            unit_number: u8,
            how: Option<Publish>,
            band: Option<Deadband>,
            #[serde(default)]
            inner: BTreeMap<String, Vec<bool>>,
        }
        impl TryFrom<Raw> for Checked {
            type Error = String;

            fn try_from(_: Raw) -> Result<Self, String> {
                Err("never".to_owned())
            }
        }
        let band = "a number that is not negative, or a percentage such as \"1%\"";
        let band = Shape::Either(vec![Shape::Number, Shape::Text], band.to_owned());
        let lists = Shape::List(Box::new(Shape::Bool));
        let want = vec![
            ("unit-number", Shape::Int(0, 255)),
            ("how", Shape::Names(vec!["on_change", "every_poll"])),
            ("band", band),
            ("inner", Shape::Map(Box::new(lists))),
        ];
        assert_eq!(shape::<Checked>(), Shape::Struct(want));
        let Shape::Either(kinds, expected) = shape::<Period>() else {
            panic!("a period is read by its own reader");
        };
        assert_eq!(kinds, [Shape::Text]);
        assert!(expected.contains("300ms"), "{expected}");
        let Shape::Struct(keys) = shape::<Defaults>() else {
            panic!("defaults have keys");
        };
        let keys: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["poll", "publish", "heartbeat", "together"]);
    }
}
