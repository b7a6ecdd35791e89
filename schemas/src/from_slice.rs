//! Decodes an Avro value that lies whole in memory into a Rust type
//! (Avro specification 1.12, "Binary encoding").
//!
//! apache-avro 0.22 reads from a stream, byte by byte, and takes nearly twice as long. It stays the judge of what is not a
//! value: whatever cannot be read here is read by it again, and the error is its own.

use std::fmt;

use apache_avro::{Schema, schema::ResolvedSchema};
use serde::{
    de::{
        self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess,
        Visitor, value::BorrowedStrDeserializer, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use crate::field_reader::{Blocks, FieldReader};

/// The value of these bytes, of that schema; `None` where they are not one.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(
    schema: &ResolvedSchema<'static>,
    bytes: &'de [u8],
) -> Option<T> {
    let mut rest = FieldReader(bytes);
    let root = schema.get_schemata().first()?;
    let value = T::deserialize(Datum { rest: &mut rest, schema: root, all: schema }).ok()?;
    rest.0.is_empty().then_some(value)
}

/// Why bytes are not a value: apache-avro says it.
#[derive(Debug)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unreadable")
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// A value at the front of the bytes.
struct Datum<'a, 'de> {
    rest: &'a mut FieldReader<'de>,
    schema: &'a Schema,
    /// Where a schema's names lead to.
    all: &'a ResolvedSchema<'static>,
}

impl<'a, 'de> Datum<'a, 'de> {
    fn of(self, schema: &'a Schema) -> Self {
        Self { schema, ..self }
    }

    /// The value's branch of a union.
    fn branch(self) -> Result<Self, Unreadable> {
        let Schema::Union(union) = self.schema else { return Ok(self) };
        let branch = self.rest.long().and_then(|branch| usize::try_from(branch).ok());
        let schema = branch.and_then(|branch| union.variants().get(branch)).ok_or(Unreadable)?;
        Ok(self.of(schema))
    }

    fn text(&mut self) -> Result<&'de str, Unreadable> {
        self.rest.text().ok_or(Unreadable)
    }
}

impl<'de> Deserializer<'de> for Datum<'_, 'de> {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.schema {
            Schema::Null => visitor.visit_unit(),
            Schema::Boolean => visitor.visit_bool(self.rest.boolean().ok_or(Unreadable)?),
            Schema::Int => {
                let value = self.rest.long().and_then(|value| i32::try_from(value).ok());
                visitor.visit_i32(value.ok_or(Unreadable)?)
            }
            Schema::Long | Schema::TimestampMillis => visitor.visit_i64(self.rest.long().ok_or(Unreadable)?),
            Schema::Double => visitor.visit_f64(self.rest.double().ok_or(Unreadable)?),
            Schema::String => visitor.visit_borrowed_str(self.text()?),
            Schema::Union(_) => self.branch()?.deserialize_any(visitor),
            Schema::Record(record) => {
                let fields = record.fields.iter();
                let fields = fields.map(|field| (field.name.as_str(), &field.schema));
                visitor.visit_map(Fields { left: fields, rest: self.rest, value: None, all: self.all })
            }
            Schema::Array(array) => visitor.visit_seq(Items {
                rest: self.rest,
                blocks: Blocks::default(),
                schema: &array.items,
                all: self.all,
            }),
            Schema::Map(map) => visitor.visit_map(Items {
                rest: self.rest,
                blocks: Blocks::default(),
                schema: &map.types,
                all: self.all,
            }),
            Schema::Ref { name } => {
                let schema = *self.all.get_names().get(name).ok_or(Unreadable)?;
                self.of(schema).deserialize_any(visitor)
            }
            _ => Err(Unreadable),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.branch()? {
            Self { schema: Schema::Null, .. } => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    /// One of a set of strings.
    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let Schema::String = self.schema else { return Err(Unreadable) };
        let text: StrDeserializer<'_, Unreadable> = self.text()?.into_deserializer();
        visitor.visit_enum(text)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// A record's fields.
struct Fields<'a, 'de, F> {
    left: F,
    rest: &'a mut FieldReader<'de>,
    /// Of the field whose name was read.
    value: Option<&'a Schema>,
    all: &'a ResolvedSchema<'static>,
}

impl<'a, 'de, F: Iterator<Item = (&'a str, &'a Schema)>> MapAccess<'de> for Fields<'a, 'de, F> {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unreadable> {
        let Some((name, schema)) = self.left.next() else { return Ok(None) };
        self.value = Some(schema);
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unreadable> {
        let schema = self.value.take().ok_or(Unreadable)?;
        seed.deserialize(Datum { rest: &mut *self.rest, schema, all: self.all })
    }
}

/// What an array or a map has.
struct Items<'a, 'de> {
    rest: &'a mut FieldReader<'de>,
    blocks: Blocks,
    schema: &'a Schema,
    all: &'a ResolvedSchema<'static>,
}

impl Items<'_, '_> {
    fn has_next(&mut self) -> Result<bool, Unreadable> {
        self.blocks.has_next(self.rest).ok_or(Unreadable)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Unreadable;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unreadable> {
        if !self.has_next()? {
            return Ok(None);
        }
        seed.deserialize(Datum { rest: &mut *self.rest, schema: self.schema, all: self.all }).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unreadable> {
        if !self.has_next()? {
            return Ok(None);
        }
        let key = self.rest.text().ok_or(Unreadable)?;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unreadable> {
        seed.deserialize(Datum { rest: &mut *self.rest, schema: self.schema, all: self.all })
    }
}
