//! Encodes a Rust type as an Avro value (Avro specification 1.12, "Binary encoding").
//!
//! apache-avro 0.22 looks each field up by its name and takes several times as long. Here a type has its schema's fields in
//! their order. Tests compare the bytes of the two.

use std::{fmt, slice};

use apache_avro::{
    Schema,
    schema::{RecordField, ResolvedSchema},
};
use serde::{
    Serialize,
    ser::{Error, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer},
};

use crate::field_reader::{put_long, put_text};

/// Appends the value.
pub(crate) fn append<T: Serialize>(
    schema: &ResolvedSchema<'static>,
    bytes: &mut Vec<u8>,
    value: &T,
) -> Result<(), Unfit> {
    let root = schema.get_schemata().first().ok_or(Unfit)?;
    value.serialize(Place { bytes, schema: root, all: schema })
}

/// The value does not fit the schema, or has its fields in another order.
#[derive(Debug, thiserror::Error)]
#[error("the value does not fit the schema")]
pub(crate) struct Unfit;

impl Error for Unfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Where a value goes, and the schema that it must have there.
struct Place<'a> {
    bytes: &'a mut Vec<u8>,
    schema: &'a Schema,
    /// Where a schema's names lead to.
    all: &'a ResolvedSchema<'static>,
}

impl Place<'_> {
    /// Writes the branch of a union that is not null, and follows a name.
    fn present(mut self) -> Result<Self, Unfit> {
        if let Schema::Union(union) = self.schema {
            let [Schema::Null, schema] = union.variants() else { return Err(Unfit) };
            put_long(self.bytes, 1);
            self.schema = schema;
        }
        if let Schema::Ref { name } = self.schema {
            self.schema = self.all.get_names().get(name).copied().ok_or(Unfit)?;
        }
        Ok(self)
    }
}

macro_rules! unfit {
    ($($method:ident($type:ty)),*) => {
        $(fn $method(self, _: $type) -> Result<(), Unfit> {
            Err(Unfit)
        })*
    };
}

impl<'a> Serializer for Place<'a> {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Impossible<(), Unfit>;
    type SerializeTupleStruct = Impossible<(), Unfit>;
    type SerializeTupleVariant = Impossible<(), Unfit>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<(), Unfit>;

    unfit! {
        serialize_i8(i8), serialize_i16(i16), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32),
        serialize_u64(u64), serialize_f32(f32), serialize_char(char), serialize_bytes(&[u8]), serialize_unit_struct(&'static str)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unfit> {
        let Self { bytes, schema: Schema::Boolean, .. } = self.present()? else { return Err(Unfit) };
        bytes.push(value.into());
        Ok(())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unfit> {
        let Self { bytes, schema: Schema::Int, .. } = self.present()? else { return Err(Unfit) };
        put_long(bytes, value.into());
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unfit> {
        let Self { bytes, schema: Schema::Long | Schema::TimestampMillis, .. } = self.present()? else {
            return Err(Unfit);
        };
        put_long(bytes, value);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unfit> {
        let Self { bytes, schema: Schema::Double, .. } = self.present()? else { return Err(Unfit) };
        bytes.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Unfit> {
        let Self { bytes, schema: Schema::String, .. } = self.present()? else { return Err(Unfit) };
        put_text(bytes, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        match self.schema {
            Schema::Union(union) if matches!(union.variants(), [Schema::Null, _]) => {
                put_long(self.bytes, 0);
                Ok(())
            }
            _ => Err(Unfit),
        }
    }

    fn serialize_unit(self) -> Result<(), Unfit> {
        Err(Unfit)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items<'a>, Unfit> {
        let Self { bytes, schema: Schema::Array(array), all } = self.present()? else { return Err(Unfit) };
        Items::begin(bytes, &array.items, all, length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Items<'a>, Unfit> {
        let Self { bytes, schema: Schema::Map(map), all } = self.present()? else { return Err(Unfit) };
        Items::begin(bytes, &map.types, all, length)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Unfit> {
        let Self { bytes, schema: Schema::Record(record), all } = self.present()? else { return Err(Unfit) };
        Ok(Fields { bytes, left: record.fields.iter(), all })
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Unfit> {
        Err(Unfit)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unfit> {
        Err(Unfit)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unfit> {
        Err(Unfit)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Unfit> {
        Err(Unfit)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unfit> {
        Err(Unfit)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unfit> {
        Err(Unfit)
    }
}

/// A record's fields, of which the first ones are written.
struct Fields<'a> {
    bytes: &'a mut Vec<u8>,
    left: slice::Iter<'a, RecordField>,
    all: &'a ResolvedSchema<'static>,
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unfit> {
        let field = self.left.next().filter(|field| field.name == name).ok_or(Unfit)?;
        value.serialize(Place { bytes: self.bytes, schema: &field.schema, all: self.all })
    }

    fn end(mut self) -> Result<(), Unfit> {
        if self.left.next().is_none() { Ok(()) } else { Err(Unfit) }
    }
}

/// What an array or a map has, in one block.
struct Items<'a> {
    bytes: &'a mut Vec<u8>,
    schema: &'a Schema,
    all: &'a ResolvedSchema<'static>,
    /// How many are to come.
    left: usize,
}

impl<'a> Items<'a> {
    fn begin(
        bytes: &'a mut Vec<u8>,
        schema: &'a Schema,
        all: &'a ResolvedSchema<'static>,
        length: Option<usize>,
    ) -> Result<Self, Unfit> {
        let left = length.ok_or(Unfit)?;
        if left > 0 {
            put_long(bytes, i64::try_from(left).map_err(|_| Unfit)?);
        }
        Ok(Self { bytes, schema, all, left })
    }

    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(Place { bytes: self.bytes, schema: self.schema, all: self.all })
    }

    fn one_less(&mut self) -> Result<(), Unfit> {
        self.left = self.left.checked_sub(1).ok_or(Unfit)?;
        Ok(())
    }

    fn finish(self) -> Result<(), Unfit> {
        if self.left > 0 {
            return Err(Unfit);
        }
        put_long(self.bytes, 0);
        Ok(())
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.one_less()?;
        self.put(value)
    }

    fn end(self) -> Result<(), Unfit> {
        self.finish()
    }
}

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        self.one_less()?;
        key.serialize(Place { bytes: self.bytes, schema: &Schema::String, all: self.all })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.put(value)
    }

    fn end(self) -> Result<(), Unfit> {
        self.finish()
    }
}
