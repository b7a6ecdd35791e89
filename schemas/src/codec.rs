//! Avro single-object encoding of the records, from the schemas in `avro/`.
//!
//! A value is `C3 01`, the CRC-64-AVRO fingerprint of its schema's parsing canonical form (8 bytes, little endian),
//! and the Avro binary encoding (Avro specification 1.12, "Single-object encoding").
//!
//! Values are written with the current schema, `avro/*.avsc`. They are read with the schema that wrote them, which the
//! fingerprint names: the current one, or one of an earlier release (`avro/released`).

use std::{fmt, sync::LazyLock};

use apache_avro::{
    Schema, rabin::Rabin, reader::datum::GenericDatumReader, schema::ResolvedSchema,
    util::max_allocation_bytes,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

use crate::{
    change::Envelope,
    coverage::{Coverage, Hold, Withheld},
    element::Element,
    field_reader::MAX_ALLOCATION,
    framing::{self, DATA_SCHEMA, HEADER_LEN, MARKER, is_registry},
    from_slice::from_slice,
    raw::{Misfit, RawRecord},
    sync::Sync,
    to_vec::append,
    topics::Topic,
    wire::ReadRawRecord,
};

/// Length of a digest (bytes): 128 bits of SHA-256.
const DIGEST_LEN: usize = 16;

/// Why a value could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The value is of Confluent's wire format, and its record has no header that names the schema.
    #[error(
        "the value begins with the ID of a schema registry, but its record has no header {} that names the \
         schema, so another program wrote it",
        DATA_SCHEMA
    )]
    RegistryFraming,
    /// The value does not begin as a framed Avro value does.
    #[error("the value is not Avro in single-object encoding, which begins with c3 01")]
    NotFramed,
    /// The fingerprint is of no schema that this version knows: the reader is outdated, and the value is good.
    #[error(
        "the value has a schema that version {} does not know (fingerprint {:016x}), so a newer version wrote it; \
         upgrade this service, which then continues with this value",
        env!("CARGO_PKG_VERSION"),
        .0.swap_bytes()
    )]
    UnknownSchema(u64),
    /// The value is of a known schema, but not of one that belongs here.
    #[error("the value is a {found}, which is not allowed here")]
    WrongSchema {
        /// The schema's full name.
        found: &'static str,
    },
    /// The bytes after the header are not what the schema says.
    #[error("the value does not follow its schema {schema}")]
    Malformed {
        /// The schema's full name.
        schema: &'static str,
        /// What Avro's reader says.
        #[source]
        source: Box<apache_avro::Error>,
    },
    /// Bytes are left over.
    #[error("{left} bytes follow the value of schema {schema}")]
    TrailingBytes {
        /// The schema's full name.
        schema: &'static str,
        /// How many.
        left: usize,
    },
    /// The value follows the schema of a raw record and is none.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// A schema with what is needed to read and write its values.
pub struct Registered {
    /// Its full name.
    pub name: &'static str,
    /// Its text, with the definitions of all records.
    pub text: &'static str,
    /// Its CRC-64-AVRO fingerprint.
    pub fingerprint: u64,
    /// What earlier releases wrote its values with.
    pub released: Vec<Released>,
    schema: &'static Schema,
    reader: Reader,
}

/// The schema of an earlier release.
pub struct Released {
    /// Its text.
    pub text: &'static str,
    /// Its CRC-64-AVRO fingerprint.
    pub fingerprint: u64,
    reader: Reader,
}

impl Released {
    fn new(text: &'static str) -> Self {
        Self { text, fingerprint: fingerprint(text), reader: Reader::new(leaked(text)) }
    }
}

/// Reads values of one schema.
struct Reader {
    names: ResolvedSchema<'static>,
    avro: GenericDatumReader<'static>,
}

impl Reader {
    fn new(schema: &'static Schema) -> Self {
        Self {
            names: ResolvedSchema::new(schema).expect("the schema is complete"),
            avro: GenericDatumReader::builder(schema).build().expect("the schema is complete"),
        }
    }

    /// The value that a body is, of the schema by that name.
    fn read<T: DeserializeOwned>(&self, name: &'static str, mut body: &[u8]) -> Result<T, DecodeError> {
        if let Some(value) = from_slice(&self.names, body) {
            return Ok(value);
        }
        match self.avro.read_deser(&mut body) {
            Err(source) => Err(DecodeError::Malformed { schema: name, source: Box::new(source) }),
            Ok(_) if !body.is_empty() => Err(DecodeError::TrailingBytes { schema: name, left: body.len() }),
            Ok(value) => Ok(value),
        }
    }
}

impl Registered {
    /// The schema of that text. `released` are the schemas of earlier releases.
    pub fn new(name: &'static str, text: &'static str, released: &[&'static str]) -> Self {
        // Avro keeps the limit that was set first; every way into the codec passes here.
        max_allocation_bytes(MAX_ALLOCATION);
        let schema = leaked(text);
        Self {
            name,
            text,
            fingerprint: fingerprint(text),
            released: released.iter().map(|text| Released::new(text)).collect(),
            schema,
            reader: Reader::new(schema),
        }
    }

    /// The text for a schema registry, in which Confluent's tag marks personal data in addition to our own attribute.
    pub fn registry_text(&self) -> String {
        self.text.replace(r#""pii": true"#, r#""pii": true, "confluent:tags": ["PII"]"#)
    }

    /// The value's bytes in single-object encoding.
    ///
    /// # Panics
    /// If the value does not fit the schema.
    pub fn encode<T: Serialize>(&self, value: &T) -> Vec<u8> {
        let mut bytes = self.header(256);
        self.write(&mut bytes, value);
        bytes
    }

    /// What each of its values begins with, with room for so many bytes more.
    pub(crate) fn header(&self, room: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + room);
        bytes.extend_from_slice(&MARKER);
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        bytes
    }

    /// Appends the value without a header.
    pub(crate) fn write<T: Serialize>(&self, bytes: &mut Vec<u8>, value: &T) {
        append(&self.reader.names, bytes, value).expect("the type fits its schema");
    }

    /// The schema as Avro's library has it.
    pub(crate) fn parsed(&self) -> &'static Schema {
        self.schema
    }

    /// Whether a value was written with this schema, not with one of an earlier release.
    pub(crate) fn is_current(&self, value: &[u8]) -> bool {
        split(value).is_ok_and(|(fingerprint, _)| fingerprint == self.fingerprint)
    }

    /// Some of the fields of a body without a header, which has this schema; `None` where they are not there.
    pub(crate) fn read_part<'de, T: Deserialize<'de>>(&self, body: &'de [u8]) -> Option<T> {
        from_slice(&self.reader.names, body)
    }

    /// The value of a body without a header.
    pub(crate) fn read_body<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, DecodeError> {
        self.read(self.fingerprint, body).expect("it is the schema's own fingerprint")
    }

    /// The value of these bytes.
    pub fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let (fingerprint, body) = split(bytes)?;
        self.read(fingerprint, body).unwrap_or_else(|| Err(unexpected(fingerprint)))
    }

    /// The value of this body; `None` where the fingerprint is of no version of this schema.
    ///
    /// A schema gains nullable fields whose default is null, and nothing else. So reading with the writer's schema, where
    /// serde fills in null for what is not there, is what Avro's schema resolution would give. A test compares the two.
    /// apache-avro 0.22 can resolve its generic values only, which costs several times as much, and takes a value that
    /// is cut off for one whose last fields are null.
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        fingerprint: u64,
        body: &[u8],
    ) -> Option<Result<T, DecodeError>> {
        let reader = if fingerprint == self.fingerprint {
            &self.reader
        } else {
            &self.released.iter().find(|released| released.fingerprint == fingerprint)?.reader
        };
        Some(reader.read(self.name, body))
    }

    pub(crate) fn knows(&self, fingerprint: u64) -> bool {
        fingerprint == self.fingerprint
            || self.released.iter().any(|released| released.fingerprint == fingerprint)
    }
}

fn leaked(text: &str) -> &'static Schema {
    Box::leak(Box::new(parse(text)))
}

fn fingerprint(text: &str) -> u64 {
    let canonical = parse(&without_logical_types(text));
    let digest: [u8; 8] =
        canonical.fingerprint::<Rabin>().bytes.try_into().expect("a Rabin fingerprint has 8 bytes");
    u64::from_le_bytes(digest)
}

/// The schema's text without its logical types, which the Parsing Canonical Form has not: apache-avro 0.22 takes the
/// attribute away but leaves `{"type":"long"}` where the form wants `"long"`, so its own fingerprint of a schema with
/// logical types is used nowhere else.
fn without_logical_types(text: &str) -> String {
    fn strip(schema: &mut serde_json::Value) {
        match schema {
            serde_json::Value::Object(attributes) => {
                attributes.remove("logicalType");
                attributes.values_mut().for_each(strip);
            }
            serde_json::Value::Array(schemas) => schemas.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut schema = serde_json::from_str(text).expect("the repository's schemas are JSON");
    strip(&mut schema);
    schema.to_string()
}

fn parse(text: &str) -> Schema {
    Schema::parse_str(text).expect("the repository's schemas are valid")
}

/// A record type with a schema of its own.
pub trait Record: Serialize + DeserializeOwned {
    /// Its schema.
    fn schema() -> &'static Registered;

    /// The value of these bytes.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::schema().decode(bytes)
    }
}

/// The complete schema of a file. The record `Element` is defined in a file of its own, and a schema that contains it has
/// its name. Avro wants the definition in the first of these places.
fn bundled(text: &'static str) -> &'static str {
    const NAME: &str = "\"anthropic_graph.graph.Element\"";
    let Some((before, after)) = text.split_once(NAME) else { return text };
    [before, include_str!("../avro/element.avsc").trim_end(), after].concat().leak()
}

macro_rules! record {
    ($type:ty, $name:literal, $file:literal $(, $release:literal)* $(; $decode:item)?) => {
        impl Record for $type {
            fn schema() -> &'static Registered {
                static REGISTERED: LazyLock<Registered> = LazyLock::new(|| {
                    let released = [$(include_str!(concat!("../avro/released/", $release, "/", $file))),*];
                    Registered::new($name, bundled(include_str!(concat!("../avro/", $file))), &released)
                });
                &REGISTERED
            }

            $($decode)?
        }
    };
}

record!(
    RawRecord, "anthropic_graph.raw.RawRecord", "raw_record.avsc";
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let read: ReadRawRecord = Self::schema().decode(bytes)?;
        Ok(read.try_into()?)
    }
);
record!(Envelope, "anthropic_graph.changes.Envelope", "envelope.avsc", "1");
record!(Element, "anthropic_graph.graph.Element", "element.avsc", "1");
record!(Coverage, "anthropic_graph.graph.Coverage", "coverage.avsc");
record!(Hold, "anthropic_graph.graph.Hold", "hold.avsc");
record!(Withheld, "anthropic_graph.graph.Withheld", "withheld.avsc", "1");
record!(Sync, "anthropic_graph.sync.Sync", "sync.avsc", "1");

/// Every schema.
pub fn schemas() -> [&'static Registered; 7] {
    [
        RawRecord::schema(),
        Envelope::schema(),
        Element::schema(),
        Coverage::schema(),
        Hold::schema(),
        Withheld::schema(),
        Sync::schema(),
    ]
}

/// The schemas of a topic's values.
pub fn schemas_of(topic: Topic) -> Vec<&'static Registered> {
    match topic {
        Topic::Raw => vec![RawRecord::schema()],
        Topic::Changes => vec![Envelope::schema()],
        Topic::Graph => vec![Element::schema(), Coverage::schema(), Hold::schema(), Withheld::schema()],
        Topic::Sync => vec![Sync::schema()],
        // The failed bytes, whatever they are.
        Topic::DeadLetters => Vec::new(),
    }
}

/// The value's bytes in single-object encoding.
///
/// # Panics
/// If the type does not fit its schema, which a test rules out.
pub fn encode<T: Record>(value: &T) -> Vec<u8> {
    T::schema().encode(value)
}

/// The value of these bytes.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::decode(bytes)
}

/// Refuses a value that a newer version wrote ([`DecodeError::UnknownSchema`]). Any other value passes, whatever it is.
pub fn check_known(bytes: &[u8]) -> Result<(), DecodeError> {
    match split(bytes) {
        Ok((fingerprint, _)) if !is_known(fingerprint) => Err(DecodeError::UnknownSchema(fingerprint)),
        _ => Ok(()),
    }
}

/// 128 bits of SHA-256 over parts, each preceded by its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; DIGEST_LEN]);

impl Digest {
    /// The digest of these parts.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        use sha2::Digest as _;

        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(*hash.finalize().first_chunk().expect("SHA-256 has 32 bytes"))
    }

    /// Whether the text begins with it, in hexadecimal.
    pub fn begins(&self, text: &str) -> bool {
        text.as_bytes().get(..2 * DIGEST_LEN) == Some(&self.hexadecimal())
    }

    fn hexadecimal(&self) -> [u8; 2 * DIGEST_LEN] {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut text = [0; 2 * DIGEST_LEN];
        for (digits, byte) in text.chunks_exact_mut(2).zip(self.0) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 0xf)];
        }
        text
    }
}

/// In hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hexadecimal()).expect("hexadecimal digits are ASCII"))
    }
}

/// A digest of parts in hexadecimal.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    Digest::of(parts).to_string()
}

pub(crate) fn split(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    framing::split(bytes)
        .ok_or_else(|| if is_registry(bytes) { DecodeError::RegistryFraming } else { DecodeError::NotFramed })
}

fn is_known(fingerprint: u64) -> bool {
    schemas().into_iter().any(|schema| schema.knows(fingerprint))
}

pub(crate) fn unexpected(fingerprint: u64) -> DecodeError {
    schemas()
        .into_iter()
        .find(|schema| schema.knows(fingerprint))
        .map_or(DecodeError::UnknownSchema(fingerprint), |schema| DecodeError::WrongSchema {
            found: schema.name,
        })
}
