//! Asks the option structs themselves whether one value may stand at one path: there is no second list of options.
//!
//! A document with nothing but that value is deserialised into [`Config`]. All options have defaults, so whatever fails
//! is the value or its path. serde hands over the known keys and words with its errors; [`Mismatch`] keeps them apart
//! instead of making a sentence of them. Never looks at files or variables.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use serde::Deserialize as _;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::DeValue;

use super::Config;

/// Tables whose keys are names that the administrator chooses.
pub(super) const NAMED: [&str; 2] = ["tenant", "mailbox"];
/// The table whose keys are those of a mailbox.
pub(super) const MAILBOX_DEFAULTS: &str = "mailbox_defaults";

/// What a struct says about a value that it does not take.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub kind: Kind,
    /// The bytes of the file, where the mistake lies inside of the value.
    pub span: Option<Range<usize>>,
    /// The path segment that is wrong itself, or whose value is.
    pub depth: Option<usize>,
    /// Whether the path segment itself is wrong.
    pub is_key: bool,
}

/// The kinds of mismatch.
#[derive(Debug)]
pub(super) enum Kind {
    Key { key: String, known: &'static [&'static str] },
    Word { word: String, known: &'static [&'static str] },
    Type { found: String, expected: String },
    Other(String),
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A secret: hidden, and overridden as a whole.
    Secret,
    /// A list.
    List,
    /// Anything else.
    Other,
}

/// The value at the end of a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    /// A table of which only the path counts.
    Table,
    /// The value of a file.
    Toml(&'a Spanned<DeValue<'a>>),
    /// The text of a variable; it is read as the type that is wanted.
    Text(&'a str),
}

/// Whether `end` may stand at `path`, and what stands there.
pub(super) fn check(path: &[String], end: End<'_>) -> (Result<(), Mismatch>, Shape) {
    let shape = Cell::new(Shape::Other);
    let mut real = path.to_vec();
    if real.first().is_some_and(|first| first == MAILBOX_DEFAULTS) {
        real.splice(..1, ["mailbox".to_owned(), "defaults".to_owned()]);
    }
    let shift = real.len().saturating_sub(path.len());
    let node = Node { path: &real, depth: 0, end, shape: &shape };
    let shifted = |m: Mismatch| Mismatch { depth: m.depth.map(|depth| depth.saturating_sub(shift)), ..m };
    (Config::deserialize(node).map(drop).map_err(shifted), shape.get())
}

/// The value as the `config` crate wants it.
pub(super) fn value(value: &Spanned<DeValue<'_>>) -> Result<::config::Value, Mismatch> {
    ::config::Value::deserialize(Toml(value))
}

#[derive(Clone, Copy)]
struct Node<'a> {
    path: &'a [String],
    depth: usize,
    end: End<'a>,
    shape: &'a Cell<Shape>,
}

impl<'a> Node<'a> {
    /// The next key of the path as a table with one key.
    fn table<'de, V: Visitor<'de>>(self, key: &'a str, rest: &'a [String], visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_map(OneKey {
            key: Some(key),
            below: Node { path: rest, depth: self.depth.saturating_add(1), ..self },
        })
    }

    /// The text of a variable at the end of the path, if that is what stands there.
    fn text(&self) -> Option<&'a str> {
        match self.end {
            End::Text(text) if self.path.is_empty() => Some(text),
            End::Text(_) | End::Table | End::Toml(_) => None,
        }
    }

    fn note(&self, shape: Shape) {
        if self.path.is_empty() {
            self.shape.set(shape);
        }
    }
}

/// Reads the text of a variable as the wanted type; everything else is as `deserialize_any`.
macro_rules! from_text {
    ($($method:ident $visit:ident $type:ty),+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            match self.text().map(|text| (text, text.parse::<$type>())) {
                Some((_, Ok(value))) => visitor.$visit(value),
                Some((text, Err(_))) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
                None => self.deserialize_any(visitor),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match (self.path.split_first(), self.end) {
            (Some((key, rest)), _) => self.table(key, rest, visitor),
            (None, End::Table) => visitor.visit_map(Empty),
            (None, End::Toml(value)) => Toml(value).deserialize_any(visitor),
            (None, End::Text(text)) => visitor.visit_str(text),
        }
    }

    from_text!(deserialize_bool visit_bool bool, deserialize_u16 visit_i64 i64, deserialize_u32 visit_i64 i64,
        deserialize_u64 visit_u64 u64, deserialize_f64 visit_f64 f64);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if name == super::secret::NAME {
            self.note(Shape::Secret);
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.note(Shape::List);
        match self.text() {
            Some(text) => visitor.visit_seq(de::value::SeqDeserializer::new(list(text).into_iter())),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.end {
            _ if !self.path.is_empty() => Err(de::Error::invalid_type(Unexpected::Map, &"a string")),
            End::Table => Err(de::Error::invalid_type(Unexpected::Map, &"a string")),
            End::Toml(value) => Toml(value).deserialize_enum(name, variants, visitor),
            End::Text(text) => visitor.visit_enum(StrDeserializer::new(text)),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        identifier ignored_any
    }
}

/// The items of a list in a variable: a TOML array, or texts with commas between them.
pub(super) fn list(text: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Items {
        items: Vec<String>,
    }
    if text.trim_start().starts_with('[')
        && let Ok(read) = toml::from_str::<Items>(&format!("items = {text}"))
    {
        return read.items;
    }
    text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

struct OneKey<'a> {
    key: Option<&'a str>,
    below: Node<'a>,
}

impl<'de> MapAccess<'de> for OneKey<'_> {
    type Error = Mismatch;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let depth = self.below.depth.checked_sub(1);
        let at = |m: Mismatch| Mismatch { depth: m.depth.or(depth), is_key: true, ..m };
        self.key.take().map(|key| seed.deserialize(StrDeserializer::new(key)).map_err(at)).transpose()
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        let depth = self.below.depth.checked_sub(1);
        seed.deserialize(self.below).map_err(|m| Mismatch { depth: m.depth.or(depth), ..m })
    }
}

struct Empty;

impl<'de> MapAccess<'de> for Empty {
    type Error = Mismatch;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, Mismatch> {
        Ok(None)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, _: S) -> Result<S::Value, Mismatch> {
        Err(de::Error::custom("there is no value"))
    }
}

/// A value of a file. What goes wrong inside of it is named by its place in the file.
struct Toml<'a>(&'a Spanned<DeValue<'a>>);

impl<'de> Deserializer<'de> for Toml<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Other(number.as_str()), &visitor)),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Other(number.as_str()), &visitor)),
            },
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Datetime(_) => Err(de::Error::invalid_type(Unexpected::Other("a date"), &visitor)),
            DeValue::Array(items) => visitor.visit_seq(Items(items.iter())),
            DeValue::Table(table) => visitor.visit_map(Entries { left: table.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_enum(text.as_ref().into_deserializer()),
            other => Err(de::Error::invalid_type(unexpected(other), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Spanned<DeValue<'a>>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mismatch;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        self.0.next().map(|item| seed.deserialize(Toml(item)).map_err(|m| m.within(item.span()))).transpose()
    }
}

struct Entries<'a> {
    left: toml::map::Iter<'a, Spanned<std::borrow::Cow<'a, str>>, Spanned<DeValue<'a>>>,
    value: Option<&'a Spanned<DeValue<'a>>>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Mismatch;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let Some((key, value)) = self.left.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(StrDeserializer::new(key.get_ref())).map(Some).map_err(|m: Mismatch| m.within(key.span()))
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        let value = self.value.take().ok_or_else(|| de::Error::custom("there is no value"))?;
        seed.deserialize(Toml(value)).map_err(|m| m.within(value.span()))
    }
}

fn unexpected<'a>(value: &'a DeValue<'_>) -> Unexpected<'a> {
    match value {
        DeValue::String(text) => Unexpected::Str(text),
        DeValue::Integer(number) => Unexpected::Other(number.as_str()),
        DeValue::Float(number) => Unexpected::Other(number.as_str()),
        DeValue::Boolean(value) => Unexpected::Bool(*value),
        DeValue::Datetime(_) => Unexpected::Other("a date"),
        DeValue::Array(_) => Unexpected::Seq,
        DeValue::Table(_) => Unexpected::Map,
    }
}

impl Mismatch {
    fn new(kind: Kind) -> Self {
        Self { kind, span: None, depth: None, is_key: false }
    }

    /// The innermost place wins.
    fn within(mut self, span: Range<usize>) -> Self {
        self.span.get_or_insert(span);
        self
    }
}

/// `` `text` ``, `30`, `a list`: what was found.
fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Str(text) => format!("the text \"{}\"", text.chars().take(60).collect::<String>().escape_debug()),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Other(text) => text.to_owned(),
        other => other.to_string(),
    }
}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Kind::Other(text.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Kind::Type { found: found(unexpected), expected: expected.to_string() })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::Word { word: word.to_owned(), known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::Key { key: key.to_owned(), known })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Mismatch {}
