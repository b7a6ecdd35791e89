//! Avro single-object encoding of the records, from the schemas in `avro/`.
//!
//! A value is `C3 01`, the CRC-64-AVRO fingerprint of its schema's parsing canonical form (8 bytes, little endian),
//! and the Avro binary encoding (Avro specification 1.12, "Single-object encoding").
//!
//! Values are written with the current schema, `avro/*.avsc`. They are read with the schema that wrote them, which the
//! fingerprint names: the current one, or one of an earlier release (`avro/released`).

use std::sync::LazyLock;

use apache_avro::{
    Schema, rabin::Rabin, reader::datum::GenericDatumReader, util::max_allocation_bytes,
    writer::datum::GenericDatumWriter,
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    change::Envelope,
    coverage::{Coverage, Hold, Withheld},
    element::Element,
    raw::{RawRecord, Resource},
    sync::Sync,
};

/// What a value of single-object encoding begins with.
const MARKER: [u8; 2] = [0xc3, 0x01];
/// Marker and fingerprint (bytes).
const HEADER_LEN: usize = 10;
/// No string, array or map of a value may claim more than this (bytes): a hostile length must not take the memory.
/// Larger than any message a broker accepts by its defaults.
const MAX_ALLOCATION: usize = 16 * 1024 * 1024;
/// Length of a digest in hexadecimal digits: 128 bits of SHA-256.
const DIGEST_LEN: usize = 32;

/// Why a value could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The value is of Confluent's wire format, which names its schema by a registry's id.
    #[error("the value is framed by a schema registry's id; only single-object encoding can be read")]
    RegistryFraming,
    /// The value does not begin as a framed Avro value does.
    #[error("the value is no single-object encoded Avro (it should begin with c3 01)")]
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
    #[error("the value is a {found}, which does not belong here")]
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
}

/// A schema with what is needed to read and write its values.
pub struct Registered {
    /// Its full name.
    pub name: &'static str,
    /// Its text, as in the `.avsc` file.
    pub text: &'static str,
    /// Its CRC-64-AVRO fingerprint.
    pub fingerprint: u64,
    /// What earlier releases wrote its values with.
    pub released: Vec<Released>,
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

/// The schema of an earlier release.
pub struct Released {
    /// Its text.
    pub text: &'static str,
    /// Its CRC-64-AVRO fingerprint.
    pub fingerprint: u64,
    reader: GenericDatumReader<'static>,
}

impl Released {
    fn new(text: &'static str) -> Self {
        Self { text, fingerprint: fingerprint(text), reader: reader(text) }
    }
}

impl Registered {
    /// The schema of that text. `released` are the texts that earlier releases had in its place.
    pub fn new(name: &'static str, text: &'static str, released: &[&'static str]) -> Self {
        // Avro keeps the limit that was set first; every way into the codec passes here.
        max_allocation_bytes(MAX_ALLOCATION);
        Self {
            name,
            text,
            fingerprint: fingerprint(text),
            released: released.iter().map(|text| Released::new(text)).collect(),
            reader: reader(text),
            writer: GenericDatumWriter::builder(leaked(text)).build().expect("the schema is complete"),
        }
    }

    /// The value's bytes in single-object encoding.
    ///
    /// # Panics
    /// If the value does not fit the schema.
    pub fn encode<T: Serialize>(&self, value: &T) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&MARKER);
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        self.writer.write_ser(&mut bytes, value).expect("the type fits its schema");
        bytes
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
    fn read<T: DeserializeOwned>(&self, fingerprint: u64, mut body: &[u8]) -> Option<Result<T, DecodeError>> {
        let reader = if fingerprint == self.fingerprint {
            &self.reader
        } else {
            &self.released.iter().find(|released| released.fingerprint == fingerprint)?.reader
        };
        Some(match reader.read_deser(&mut body) {
            Err(source) => Err(DecodeError::Malformed { schema: self.name, source: Box::new(source) }),
            Ok(_) if !body.is_empty() => {
                Err(DecodeError::TrailingBytes { schema: self.name, left: body.len() })
            }
            Ok(value) => Ok(value),
        })
    }

    fn knows(&self, fingerprint: u64) -> bool {
        fingerprint == self.fingerprint
            || self.released.iter().any(|released| released.fingerprint == fingerprint)
    }
}

fn leaked(text: &str) -> &'static Schema {
    Box::leak(Box::new(parse(text)))
}

fn reader(text: &str) -> GenericDatumReader<'static> {
    GenericDatumReader::builder(leaked(text)).build().expect("the schema is complete")
}

fn fingerprint(text: &str) -> u64 {
    let canonical = parse(&without_logical_types(text));
    let digest: [u8; 8] =
        canonical.fingerprint::<Rabin>().bytes.try_into().expect("a Rabin fingerprint has 8 bytes");
    u64::from_le_bytes(digest)
}

/// The schema's text without its logical types, which the Parsing Canonical Form has not: apache-avro 0.22 takes the
/// attribute away but leaves `{"type":"long"}` where the form wants `"long"`, so its own fingerprint of a schema with
/// logical types is nobody else's.
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
}

macro_rules! record {
    ($type:ty, $name:literal, $file:literal $(, $release:literal)*) => {
        impl Record for $type {
            fn schema() -> &'static Registered {
                static REGISTERED: LazyLock<Registered> = LazyLock::new(|| {
                    let released = [$(include_str!(concat!("../avro/released/", $release, "/", $file))),*];
                    Registered::new($name, include_str!(concat!("../avro/", $file)), &released)
                });
                &REGISTERED
            }
        }
    };
}

record!(RawRecord, "anthropic_graph.raw.RawRecord", "raw_record.avsc");
record!(Envelope, "anthropic_graph.changes.Envelope", "envelope.avsc", "1");
record!(Element, "anthropic_graph.graph.Element", "element.avsc", "1");
record!(Coverage, "anthropic_graph.graph.Coverage", "coverage.avsc");
record!(Hold, "anthropic_graph.graph.Hold", "hold.avsc");
record!(Withheld, "anthropic_graph.graph.Withheld", "withheld.avsc", "1");
record!(Sync, "anthropic_graph.sync.Sync", "sync.avsc");

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

/// The value's bytes in single-object encoding.
///
/// # Panics
/// If the type does not fit its schema, which a test rules out.
pub fn encode<T: Record>(value: &T) -> Vec<u8> {
    T::schema().encode(value)
}

/// The value of these bytes.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::schema().decode(bytes)
}

/// Refuses a value that a newer version wrote ([`DecodeError::UnknownSchema`]). Any other value passes, whatever it is.
pub fn check_known(bytes: &[u8]) -> Result<(), DecodeError> {
    match split(bytes) {
        Ok((fingerprint, _)) if !is_known(fingerprint) => Err(DecodeError::UnknownSchema(fingerprint)),
        _ => Ok(()),
    }
}

/// A value of the graph topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphValue {
    /// An entity or a relationship.
    Element(Box<Element>),
    /// What is known of a collection or of the polls.
    Coverage(Box<Coverage>),
    /// A deletion kept back.
    Hold(Box<Hold>),
    /// A relationship with a missing end.
    Withheld(Box<Withheld>),
}

impl GraphValue {
    /// The value's bytes in single-object encoding.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Element(element) => encode(element.as_ref()),
            Self::Coverage(coverage) => encode(coverage.as_ref()),
            Self::Hold(hold) => encode(hold.as_ref()),
            Self::Withheld(withheld) => encode(withheld.as_ref()),
        }
    }

    /// The value of these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (fingerprint, body) = split(bytes)?;
        let element = Element::schema().read(fingerprint, body).map(|it| it.map(Self::Element));
        element
            .or_else(|| Some(Coverage::schema().read(fingerprint, body)?.map(Self::Coverage)))
            .or_else(|| Some(Withheld::schema().read(fingerprint, body)?.map(Self::Withheld)))
            .or_else(|| Some(Hold::schema().read(fingerprint, body)?.map(Self::Hold)))
            .unwrap_or_else(|| Err(unexpected(fingerprint)))
    }
}

/// A raw record with the digest of its resource's encoded bytes; the digest of a record without one is of nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// The record.
    pub record: RawRecord,
    /// 32 hexadecimal digits of SHA-256 over the encoded resource: same bytes, same resource.
    pub resource_digest: String,
}

/// The raw record of these bytes.
pub fn decode_raw(bytes: &[u8]) -> Result<Raw, DecodeError> {
    let record: RawRecord = decode(bytes)?;
    let resource_digest = resource_digest(record.resource.as_ref());
    Ok(Raw { record, resource_digest })
}

/// The digest of a resource's encoded bytes.
///
/// # Panics
/// If the type does not fit its schema, which a test rules out.
pub fn resource_digest(resource: Option<&Resource>) -> String {
    static RESOURCE: LazyLock<Registered> =
        LazyLock::new(|| Registered::new("anthropic_graph.raw.RawRecord.resource", resource_schema(), &[]));
    let mut body = Vec::with_capacity(256);
    RESOURCE.writer.write_ser(&mut body, &resource).expect("the type fits its schema");
    digest([body.as_slice()])
}

/// The schema of the last field of a raw record.
fn resource_schema() -> &'static str {
    let record: serde_json::Value =
        serde_json::from_str(RawRecord::schema().text).expect("the repository's schemas are JSON");
    let resource = record["fields"].as_array().and_then(|fields| fields.last()).expect("a record has fields");
    assert_eq!(resource["name"], "resource", "the resource comes last");
    Box::leak(resource["type"].to_string().into_boxed_str())
}

/// 128 bits of SHA-256 over parts, each preceded by its length, in hexadecimal.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut text = String::with_capacity(DIGEST_LEN);
    for byte in &hash.finalize()[..DIGEST_LEN / 2] {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
    }
    text
}

fn split(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    match bytes.split_first_chunk::<HEADER_LEN>() {
        Some((header, body)) if header[..2] == MARKER => {
            let fingerprint = header[2..].try_into().expect("a header has 8 bytes after its marker");
            Ok((u64::from_le_bytes(fingerprint), body))
        }
        _ if bytes.first() == Some(&0) => Err(DecodeError::RegistryFraming),
        _ => Err(DecodeError::NotFramed),
    }
}

fn is_known(fingerprint: u64) -> bool {
    schemas().into_iter().any(|schema| schema.knows(fingerprint))
}

fn unexpected(fingerprint: u64) -> DecodeError {
    schemas()
        .into_iter()
        .find(|schema| schema.knows(fingerprint))
        .map_or(DecodeError::UnknownSchema(fingerprint), |schema| DecodeError::WrongSchema {
            found: schema.name,
        })
}
