//! A resource as its raw record carries it: the record's last field, found without decoding the record.

use std::sync::LazyLock;

use crate::{
    codec::{Digest, Record as _, Registered},
    collection::Collection,
    field_reader::{FieldReader, put_optional, put_text},
    framing::HEADER_LEN,
    raw::{RawRecord, Resource},
};

/// Branch of a value that is there, in a union that has null first.
const PRESENT: u8 = 2;
/// Mark, manifest and decision of a raw record that carries a resource: each is null.
const ABSENT_PARTS: [u8; 3] = [0; 3];

/// Type of the last field of a raw record.
static RESOURCE: LazyLock<Registered> = LazyLock::new(|| {
    let record: serde_json::Value =
        serde_json::from_str(RawRecord::schema().text).expect("the repository's schemas are JSON");
    let resource = record["fields"].as_array().and_then(|fields| fields.last()).expect("a record has fields");
    assert_eq!(resource["name"], "resource", "the resource comes last");
    let text = Box::leak(resource["type"].to_string().into_boxed_str());
    Registered::new("anthropic_graph.raw.RawRecord.resource", text, &[])
});

/// The resource's bytes as the last field of a raw record.
pub fn encode_resource(resource: &Resource) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    RESOURCE.write(&mut bytes, &Some(resource));
    bytes
}

/// The resource of these bytes.
///
/// # Panics
/// If [`encode_resource`] did not make them.
pub fn decode_resource(bytes: &[u8]) -> Resource {
    let resource: Option<Resource> = RESOURCE.read_body(bytes).expect("the bytes were encoded here");
    resource.expect("a resource was encoded")
}

/// Names what a resource says: same bytes, same resource.
pub fn resource_digest(encoded: &[u8]) -> Digest {
    Digest::of([encoded])
}

/// What the values of a listing's raw records begin with, up to the time.
pub fn listing_head(record: &RawRecord) -> Vec<u8> {
    let mut bytes = RawRecord::schema().header(256);
    put_text(&mut bytes, &record.organization_id);
    put_text(&mut bytes, &record.organization_name);
    put_text(&mut bytes, &record.collection);
    put_optional(&mut bytes, record.poll_id.as_deref(), put_text);
    put_optional(&mut bytes, record.listing_id.as_deref(), put_text);
    bytes
}

/// When a raw record was observed (ms since 1970), by the beginning of its value; `None` where that is another one's.
pub fn observed_ts_ms(value: &[u8]) -> Option<i64> {
    let mut rest = FieldReader(value.get(HEADER_LEN..).filter(|_| RawRecord::schema().is_current(value))?);
    for _ in ["organization_id", "organization_name", "collection"] {
        rest.text()?;
    }
    for _ in ["poll_id", "listing_id"] {
        if rest.is_present()? {
            rest.text()?;
        }
    }
    rest.long()
}

/// The encoded resource of a raw record's value that begins like this; `None` where it has another beginning or carries
/// something else. The resource itself is not checked: only one that is known by its digest needs no check.
pub fn resource_behind<'a>(head: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = FieldReader(value);
    rest.prefix(head)?;
    rest.long()?;
    rest.prefix(&ABSENT_PARTS)?;
    (*rest.0.first()? == PRESENT).then_some(rest.0)
}

/// The ID of an encoded resource of that collection; `None` if it is of another one.
pub fn encoded_id<'a>(encoded: &'a [u8], collection: &Collection) -> Option<&'a str> {
    let place = collection.family() as usize;
    let mut rest = FieldReader(encoded);
    rest.prefix(&[PRESENT])?;
    rest.prefix(&[0; 4][..place])?;
    rest.prefix(&[PRESENT])?;
    rest.text()
}

#[cfg(test)]
mod tests {
    use super::RESOURCE;
    use crate::collection::Collection;

    #[test]
    fn a_collection_s_place_is_that_of_its_resource_among_the_fields() {
        let schema: serde_json::Value = serde_json::from_str(RESOURCE.text).expect("JSON");
        let fields = schema[1]["fields"].as_array().expect("null and a record");
        let names: Vec<&str> = fields.iter().filter_map(|field| field["name"].as_str()).collect();
        let members = Collection::Members("w".to_owned());
        let families = Collection::SINGLE.into_iter().chain([members]).map(|it| it.family());
        let places: Vec<&str> = families.map(|family| names[family as usize]).collect();
        assert_eq!(places, ["organization", "user", "workspace", "api_key", "member"]);
        assert_eq!(names.len(), places.len());
    }
}
