//! Elements and changes as they are written. A program that carries an element from one place to another, and looks at
//! a field or two on the way, needs no more than its bytes.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::Deserialize;

use crate::{
    change::{Envelope, Kind, Op, Reason, Source},
    codec::{DecodeError, Record as _, decode, encode},
    element::Element,
    field_reader::{Blocks, FieldReader, put_long, put_optional, put_text},
    framing::HEADER_LEN,
};

/// An element's bytes in single-object encoding, of the current schema, as its writer encoded it. A clone shares
/// them.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedElement {
    bytes: Arc<[u8]>,
    /// Whether it has ends, which is asked more often than the bytes are in the processor's cache.
    is_relationship: bool,
}

/// The fields that an element's bytes begin with. Each becomes text when it is asked for: most are not.
pub struct Head<'a> {
    kind: &'a [u8],
    organization_id: &'a [u8],
    collection: &'a [u8],
    digest: &'a [u8],
    /// What is before and after the digest.
    around_digest: [&'a [u8]; 2],
    ends: [Option<&'a [u8]>; 2],
    account_name: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// The collection that owns it.
    pub fn collection(&self) -> &'a str {
        text(self.collection)
    }

    /// Keys of its ends; none for an entity.
    pub fn ends(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.ends.into_iter().flatten().map(text)
    }
}

impl EncodedElement {
    fn new(bytes: Arc<[u8]>) -> Self {
        let mut element = Self { bytes, is_relationship: false };
        element.is_relationship = element.head().ends[0].is_some();
        element
    }

    /// The bytes of that element.
    pub fn of(element: &Element) -> Self {
        Self::new(encode(element).into())
    }

    /// The element of these bytes, checked against its schema. What an earlier release wrote becomes what this version
    /// would have written.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let schema = Element::schema();
        if schema.is_current(bytes) {
            let mut rest = FieldReader(&bytes[HEADER_LEN..]);
            if rest.skip(schema.parsed()).is_some() && rest.0.is_empty() {
                return Ok(Self::new(bytes.into()));
            }
        }
        Ok(Self::of(&decode(bytes)?))
    }

    /// The element.
    pub fn decode(&self) -> Element {
        decode(&self.bytes).expect("an encoded element was checked or encoded here")
    }

    /// Some of its fields, in a type that has no others: most of what it costs to decode an element is its strings.
    ///
    /// # Panics
    /// If the schema has not the type's fields.
    pub fn part<'a, T: Deserialize<'a>>(&'a self) -> T {
        Element::schema().read_part(self.body().0).expect("the schema has the type's fields")
    }

    /// Its bytes, as a value of the graph topic.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its key.
    pub fn key(&self) -> &str {
        text(self.key_bytes())
    }

    /// Whether that is its key.
    pub fn has_key(&self, key: &str) -> bool {
        self.key_bytes() == key.as_bytes()
    }

    /// Its type.
    pub fn kind(&self) -> &str {
        text(self.head().kind)
    }

    /// The organization that it belongs to.
    pub fn organization_id(&self) -> &str {
        text(self.head().organization_id)
    }

    /// The collection that owns it.
    pub fn collection(&self) -> &str {
        self.head().collection()
    }

    /// What it came from.
    pub fn digest(&self) -> &str {
        text(self.head().digest)
    }

    /// Keys of its ends; none for an entity.
    pub fn ends(&self) -> impl Iterator<Item = &str> {
        self.head().ends()
    }

    /// What an entity is tagged with.
    pub fn account_name(&self) -> Option<&str> {
        self.head().account_name.map(text)
    }

    /// Whether it has ends.
    pub fn is_relationship(&self) -> bool {
        self.is_relationship
    }

    /// Whether the other says the same to a reader: all but the digest, which only says what it came from. Other programs
    /// may encode the same in other bytes, so two that differ are decoded.
    pub fn same_as(&self, other: &Self) -> bool {
        let is_equal = || {
            let element = self.decode();
            Element { digest: element.digest.clone(), ..other.decode() } == element
        };
        self.bytes == other.bytes || self.head().around_digest == other.head().around_digest || is_equal()
    }

    fn of_body(body: &[u8]) -> Self {
        let mut bytes = Element::schema().header(body.len());
        bytes.extend_from_slice(body);
        Self::new(bytes.into())
    }

    fn body(&self) -> FieldReader<'_> {
        FieldReader(&self.bytes[HEADER_LEN..])
    }

    fn key_bytes(&self) -> &[u8] {
        self.body().bytes().expect("an element begins with its key")
    }

    /// What several of these ask for at once.
    pub fn head(&self) -> Head<'_> {
        let mut rest = self.body();
        let whole = rest.0;
        let mut read = || {
            let [_key, kind, _class, _display_name, organization_id, collection] =
                [rest.bytes()?, rest.bytes()?, rest.bytes()?, rest.bytes()?, rest.bytes()?, rest.bytes()?];
            let before = &whole[..whole.len() - rest.0.len()];
            let digest = rest.bytes()?;
            let after = rest.0;
            let [from, to, account_name] = [
                rest.optional(FieldReader::bytes)?,
                rest.optional(FieldReader::bytes)?,
                rest.optional(FieldReader::bytes)?,
            ];
            let (around_digest, ends) = ([before, after], [from, to]);
            Some(Head { kind, organization_id, collection, digest, around_digest, ends, account_name })
        };
        read().expect("an encoded element was checked or encoded here")
    }
}

/// A field of an element, which was checked to be text when the element was.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("an encoded element was checked or encoded here")
}

impl fmt::Debug for EncodedElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decode().fmt(f)
    }
}

impl From<Element> for EncodedElement {
    fn from(element: Element) -> Self {
        Self::of(&element)
    }
}

/// A change that was read, its elements still encoded.
#[derive(Debug, Clone)]
pub struct EncodedChange<Text = String> {
    /// All but its elements.
    pub envelope: Envelope<Text>,
    /// The envelope's `before`.
    pub before: Option<EncodedElement>,
    /// The envelope's `after`.
    pub after: Option<EncodedElement>,
}

impl<'a> EncodedChange<Cow<'a, str>> {
    /// The change of these bytes, checked against its schema.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if Envelope::schema().is_current(bytes)
            && let Some(change) = Self::read_fields(FieldReader(&bytes[HEADER_LEN..]))
        {
            return Ok(change);
        }
        Ok(decode::<Envelope>(bytes)?.map_texts(Cow::Owned).into())
    }

    /// Copies the texts that it borrows.
    pub fn into_owned(self) -> EncodedChange {
        let Self { envelope, before, after } = self;
        EncodedChange { envelope: envelope.map_texts(Cow::into_owned), before, after }
    }

    /// The change of this body, field by field: a decoder that takes any schema takes many times as long.
    fn read_fields(mut rest: FieldReader<'a>) -> Option<Self> {
        let (id, op) = (rest.text()?.into(), rest.text()?.into());
        let [before, after] = [read_element(&mut rest)?, read_element(&mut rest)?];
        let ts_ms = rest.long()?;
        let source = read_source(&mut rest)?;
        let (revision, kind) = (rest.long()?, rest.text()?.into());
        let [element_key, element_type] = [rest.text()?.into(), rest.text()?.into()];
        let mut changed = Vec::new();
        let mut blocks = Blocks::default();
        while blocks.has_next(&mut rest)? {
            changed.push(rest.text()?.into());
        }
        let reason = rest.optional(FieldReader::text)?.map(Into::into);
        let [not_before_ts_ms, not_after_ts_ms] =
            [rest.optional(FieldReader::long)?, rest.optional(FieldReader::long)?];
        let envelope = Envelope {
            id,
            op,
            before: None,
            after: None,
            ts_ms,
            source,
            revision,
            kind,
            element_key,
            element_type,
            changed,
            reason,
            not_before_ts_ms,
            not_after_ts_ms,
        };
        rest.0.is_empty().then_some(Self { envelope, before, after })
    }
}

impl<Text> From<Envelope<Text>> for EncodedChange<Text> {
    fn from(mut envelope: Envelope<Text>) -> Self {
        let [before, after] = [envelope.before.take(), envelope.after.take()];
        Self { envelope, before: before.map(Into::into), after: after.map(Into::into) }
    }
}

#[expect(clippy::option_option, reason = "unreadable, null, or an element")]
fn read_element(rest: &mut FieldReader<'_>) -> Option<Option<EncodedElement>> {
    rest.optional(|rest| {
        let begin = rest.0;
        rest.skip(Element::schema().parsed())?;
        Some(EncodedElement::of_body(&begin[..begin.len() - rest.0.len()]))
    })
}

fn read_source<'a>(rest: &mut FieldReader<'a>) -> Option<Source<Cow<'a, str>>> {
    let [version, connector, name] = [rest.text()?.into(), rest.text()?.into(), rest.text()?.into()];
    let ts_ms = rest.long()?;
    let snapshot = rest.text()?.into();
    let [organization_id, collection] = [rest.text()?.into(), rest.text()?.into()];
    let [listing_id, decision_by] = [rest.optional(FieldReader::text)?, rest.optional(FieldReader::text)?]
        .map(|text| text.map(Cow::Borrowed));
    Some(Source {
        version,
        connector,
        name,
        ts_ms,
        snapshot,
        organization_id,
        collection,
        listing_id,
        decision_by,
    })
}

/// An [`Envelope`] whose elements are encoded already.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as in the envelope")]
pub struct EnvelopeParts<'a> {
    pub id: &'a str,
    pub op: &'a Op,
    pub before: Option<&'a EncodedElement>,
    pub after: Option<&'a EncodedElement>,
    pub ts_ms: i64,
    pub source: &'a Source,
    pub revision: i64,
    pub kind: &'a Kind,
    pub element_key: &'a str,
    pub element_type: &'a str,
    pub changed: &'a [String],
    pub reason: Option<&'a Reason>,
    pub not_before_ts_ms: Option<i64>,
    pub not_after_ts_ms: Option<i64>,
}

impl EnvelopeParts<'_> {
    /// The envelope's bytes in single-object encoding. An element in a change has the bytes that it has by itself, without
    /// their header.
    pub fn encode(&self) -> Vec<u8> {
        let elements = [self.before, self.after].into_iter().flatten();
        let room = elements.map(|element| element.bytes.len()).sum::<usize>() + 512;
        let mut bytes = Envelope::schema().header(room);
        put_text(&mut bytes, self.id);
        put_text(&mut bytes, self.op.as_str());
        put_optional(&mut bytes, self.before, |bytes, it| bytes.extend_from_slice(it.body().0));
        put_optional(&mut bytes, self.after, |bytes, it| bytes.extend_from_slice(it.body().0));
        put_long(&mut bytes, self.ts_ms);
        put_source(&mut bytes, self.source);
        put_long(&mut bytes, self.revision);
        put_text(&mut bytes, self.kind.as_str());
        put_text(&mut bytes, self.element_key);
        put_text(&mut bytes, self.element_type);
        if !self.changed.is_empty() {
            put_long(&mut bytes, i64::try_from(self.changed.len()).expect("an element has few properties"));
            self.changed.iter().for_each(|name| put_text(&mut bytes, name));
        }
        put_long(&mut bytes, 0);
        put_optional(&mut bytes, self.reason.map(Reason::as_str), put_text);
        put_optional(&mut bytes, self.not_before_ts_ms, put_long);
        put_optional(&mut bytes, self.not_after_ts_ms, put_long);
        bytes
    }
}

fn put_source(bytes: &mut Vec<u8>, source: &Source) {
    let Source {
        version,
        connector,
        name,
        ts_ms,
        snapshot,
        organization_id,
        collection,
        listing_id,
        decision_by,
    } = source;
    put_text(bytes, version);
    put_text(bytes, connector);
    put_text(bytes, name);
    put_long(bytes, *ts_ms);
    put_text(bytes, snapshot.as_str());
    put_text(bytes, organization_id);
    put_text(bytes, collection);
    put_optional(bytes, listing_id.as_deref(), put_text);
    put_optional(bytes, decision_by.as_deref(), put_text);
}
