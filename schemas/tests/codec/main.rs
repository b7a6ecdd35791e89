//! The records' bytes: held to the schemas, to golden files of every released version, and to bad input.

#![expect(clippy::disallowed_methods, reason = "a test reads files")]

mod examples;
mod releases;

use examples::{coverage, element, envelope, hold, raw_records, some, sync, withheld};
use schemas::{
    change::{Envelope, Op, Source},
    codec::{self, DecodeError, Record, Registered, decode, encode},
    coverage::{Coverage, Hold, Withheld},
    element::{Account, Content, Element, ElementType, Ends, User, UserAssignedWorkspace},
    encoded::{EncodedElement, EnvelopeParts},
    graph_value::GraphValue,
    raw::{RawBody, RawRecord, Resource},
    resource::{
        decode_resource, encode_resource, listing_head, observed_ts_ms, resource_behind, resource_digest,
    },
    sync::Sync,
};
use serde_json::{Value, json};

#[test]
fn the_fingerprints_are_those_that_other_libraries_work_out() {
    // fastavro 1.13.1: fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    let expected = [
        ("RawRecord", 0x6f2a_524b_a287_11de_u64),
        ("Envelope", 0x9252_6b65_4404_099d),
        ("Element", 0xc962_f801_2ebe_d539),
        ("Coverage", 0xb1aa_060f_aa68_36be),
        ("Hold", 0xa287_97ec_0d36_9a4b),
        ("Withheld", 0xabff_e329_0e53_b087),
        ("Sync", 0xab7a_ae09_0c5f_f0fc),
    ];
    for (schema, (name, fingerprint)) in codec::schemas().into_iter().zip(expected) {
        assert!(schema.name.ends_with(name), "{name}");
        // Hexadecimal as fastavro prints it: the bytes in the order in which they are written.
        assert_eq!(schema.fingerprint.swap_bytes(), fingerprint, "{name}: {:016x}", schema.fingerprint);
    }
    let released: Vec<u64> = codec::schemas()
        .iter()
        .flat_map(|schema| &schema.released)
        .map(|released| released.fingerprint.swap_bytes())
        .collect();
    let earlier =
        [0x33f9_e0f5_11bb_9f91, 0x04b7_2bb5_679e_ab86, 0xde5c_c1f4_b300_f60a, 0x3440_8137_124f_415b];
    assert_eq!(released, earlier);
}

/// Holds a type to its schema both ways: what is written is what Avro's library writes, is read back through its own
/// generic value, and every field of the schema, at any depth, is there.
fn check_type<T: Record>(value: &T) {
    let schema = apache_avro::Schema::parse_str(T::schema().text).expect("a valid schema");
    let bytes = encode(value);
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build();
    let mut expected = Vec::new();
    writer.expect("a complete schema").write_ser(&mut expected, value).expect("Avro writes it");
    assert_eq!(bytes[10..], expected, "{}", T::schema().name);
    let mut body = &bytes[10..];
    let generic = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
        .build()
        .expect("a complete schema")
        .read_value(&mut body)
        .expect("Avro reads it");
    assert!(body.is_empty(), "{}: {} bytes are left", T::schema().name, body.len());
    assert!(generic.validate(&schema), "{}", T::schema().name);
}

#[test]
fn the_types_follow_the_schemas() {
    raw_records().iter().for_each(check_type);
    check_type(&envelope());
    check_type(&element());
    check_type(&coverage());
    check_type(&hold());
    check_type(&withheld());
    check_type(&sync());
}

fn named_record(schema: &serde_json::Value, name: &str) -> Option<serde_json::Value> {
    match schema {
        serde_json::Value::Object(object) => {
            if object.get("name").is_some_and(|it| it == name) && object.contains_key("fields") {
                return Some(schema.clone());
            }
            object.values().find_map(|value| named_record(value, name))
        }
        serde_json::Value::Array(values) => values.iter().find_map(|value| named_record(value, name)),
        _ => None,
    }
}

#[test]
fn an_element_is_the_same_wherever_it_is_nested() {
    let parse = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
    let element = parse(Element::schema().text);
    for nesting in [Envelope::schema(), Withheld::schema()] {
        assert_eq!(
            named_record(&parse(nesting.text), "Element").as_ref(),
            Some(&element),
            "{}",
            nesting.name
        );
    }
}

#[test]
fn no_schema_has_an_enum_or_a_union_but_of_null_and_one_type_and_every_field_is_explained() {
    fn check(schema: &serde_json::Value, path: &str) {
        match schema {
            serde_json::Value::Array(branches) => {
                assert_eq!(branches.len(), 2, "{path}");
                assert_eq!(branches[0], "null", "{path}");
                check(&branches[1], path);
            }
            serde_json::Value::Object(object) => {
                assert_ne!(object["type"], "enum", "{path}");
                for field in object.get("fields").and_then(|it| it.as_array()).into_iter().flatten() {
                    let path = format!("{path}.{}", field["name"].as_str().expect("a name"));
                    assert!(field["doc"].as_str().is_some_and(|doc| !doc.is_empty()), "{path} has no doc");
                    check(&field["type"], &path);
                }
                object.get("items").into_iter().chain(object.get("values")).for_each(|it| check(it, path));
            }
            _ => {}
        }
    }
    for schema in codec::schemas() {
        check(&serde_json::from_str(schema.text).expect("JSON"), schema.name);
    }
}

#[test]
fn the_fields_with_personal_data_say_so() {
    let text = RawRecord::schema().text;
    for field in ["email", "name", "partial_key_hint"] {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("\"name\": \"{field}\"")) && line.contains("\"pii\": true"));
        assert!(line.is_some(), "{field}");
    }
}

#[test]
fn a_registry_gets_the_same_schema_with_personal_data_tagged_as_confluent_does() {
    fn check(schema: &serde_json::Value, tagged: &mut usize) {
        if let Some(fields) = schema.as_object() {
            assert_eq!(fields.get("pii").is_some(), fields.get("confluent:tags").is_some(), "{schema}");
            *tagged += usize::from(fields.get("confluent:tags") == Some(&serde_json::json!(["PII"])));
            fields.values().for_each(|part| check(part, tagged));
        }
        schema.as_array().into_iter().flatten().for_each(|part| check(part, tagged));
    }
    for schema in codec::schemas() {
        let mut tagged = 0;
        let text = schema.registry_text();
        check(&serde_json::from_str(&text).expect("JSON"), &mut tagged);
        assert_eq!(tagged, schema.text.matches("\"pii\"").count(), "{}", schema.name);
        let again = Registered::new(schema.name, text.leak(), &[]);
        assert_eq!(again.fingerprint, schema.fingerprint, "{}", schema.name);
    }
}

#[test]
fn a_value_that_is_not_ours_is_distinguished_from_one_that_is_damaged() {
    let good = encode(&hold());
    assert!(matches!(decode::<Hold>(b""), Err(DecodeError::NotFramed)));
    assert!(matches!(decode::<Hold>(b"{}"), Err(DecodeError::NotFramed)));
    assert!(matches!(decode::<Hold>(&[0, 0, 0, 0, 7, 1]), Err(DecodeError::RegistryFraming)));
    assert!(matches!(decode::<Sync>(&good), Err(DecodeError::WrongSchema { .. })));
    let mut unknown = good.clone();
    unknown[5] ^= 0xff;
    assert!(matches!(decode::<Hold>(&unknown), Err(DecodeError::UnknownSchema(_))));
    let mut longer = good.clone();
    longer.push(0);
    assert!(matches!(decode::<Hold>(&longer), Err(DecodeError::TrailingBytes { left: 1, .. })));
}

#[test]
fn a_text_that_a_newer_version_wrote_in_a_closed_set_stays_as_it_was_written() {
    let known = coverage();
    let mut newer = known.clone();
    newer.latest.as_mut().expect("it was tried").outcome = "postponed".into();
    let read: Coverage = decode(&encode(&newer)).expect("a text that is not known is no damage");
    assert_eq!((&read, encode(&read)), (&newer, encode(&newer)));
    assert_ne!(read, known);
    for op in Op::ALL {
        assert_eq!(Op::from(op.as_str()), *op);
    }
}

#[test]
fn every_truncation_is_an_error_and_no_length_takes_the_memory() {
    let records = raw_records().map(|record| encode(&record));
    for good in &records {
        for length in 0..good.len() {
            assert!(decode::<RawRecord>(&good[..length]).is_err(), "{length}");
        }
    }
    // A string that claims 2^62 bytes.
    let mut hostile = records[0][..10].to_vec();
    hostile.extend_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(decode::<RawRecord>(&hostile).is_err());
}

#[test]
fn a_change_is_the_same_bytes_whether_its_elements_were_encoded_before_or_with_it() {
    let full = envelope();
    let bare = Envelope {
        before: None,
        after: None,
        changed: Vec::new(),
        reason: None,
        not_before_ts_ms: None,
        not_after_ts_ms: None,
        source: Source { listing_id: None, decision_by: None, ..full.source.clone() },
        ts_ms: -1,
        revision: i64::MAX,
        ..full.clone()
    };
    for envelope in [Envelope { before: Some(element()), after: Some(element()), ..full }, bare] {
        let [before, after] =
            [&envelope.before, &envelope.after].map(|it| it.as_ref().map(EncodedElement::of));
        let parts = EnvelopeParts {
            id: &envelope.id,
            op: &envelope.op,
            before: before.as_ref(),
            after: after.as_ref(),
            ts_ms: envelope.ts_ms,
            source: &envelope.source,
            revision: envelope.revision,
            kind: &envelope.kind,
            element_key: &envelope.element_key,
            element_type: &envelope.element_type,
            changed: &envelope.changed,
            reason: envelope.reason.as_ref(),
            not_before_ts_ms: envelope.not_before_ts_ms,
            not_after_ts_ms: envelope.not_after_ts_ms,
        };
        assert_eq!(parts.encode(), encode(&envelope));
    }
}

#[test]
fn an_element_is_of_its_type_if_it_has_what_the_type_has_and_is_kept_as_it_is_if_not() {
    let ends = || Ends { from_key: "a".to_owned(), to_key: "b".to_owned() };
    let contents = [
        Content::Account(Account::default()),
        Content::User(Box::default()),
        Content::Workspace(Box::default()),
        Content::ApiKey(Box::default()),
        Content::AccountHasUser(ends()),
        Content::AccountHasWorkspace(ends()),
        Content::UserAssignedWorkspace(ends(), UserAssignedWorkspace::default()),
        Content::UserCreatedApiKey(ends()),
        Content::WorkspaceHasApiKey(ends()),
    ];
    for (content, kind) in contents.into_iter().zip(ElementType::ALL) {
        let element = Element::new("o", "c", content);
        assert_eq!(element.kind(), kind.name());
        assert_eq!(decode::<Element>(&encode(&element)).expect("an element"), element);
        let whole = serde_json::to_value(&element).expect("JSON");
        for (field, value) in [
            ("type", json!("anthropic_robot")),
            ("class", json!("Robot")),
            ("from_key", if kind.is_relationship() { Value::Null } else { json!("a") }),
            ("to_key", if kind.is_relationship() { Value::Null } else { json!("b") }),
            ("account", if kind == ElementType::Account { Value::Null } else { json!(Account::default()) }),
            ("user", if kind == ElementType::User { Value::Null } else { json!(User::default()) }),
        ] {
            let mut other = whole.clone();
            other[field] = value;
            let read: Element = serde_json::from_value(other.clone()).expect("an element");
            assert!(matches!(read.content, Content::Other(_)), "{other}");
            assert_eq!(serde_json::to_value(&read).expect("JSON"), other);
            assert_eq!(decode::<Element>(&encode(&read)).expect("an element"), read);
        }
    }
}

#[test]
fn a_graph_value_is_recognized_by_its_schema() {
    for value in [
        GraphValue::Element(element().into()),
        GraphValue::Coverage(Box::new(coverage())),
        GraphValue::Hold(Box::new(hold())),
        GraphValue::Withheld(Box::new(withheld())),
    ] {
        assert_eq!(GraphValue::decode(&value.encode()).expect("a graph value"), value);
    }
    assert!(matches!(GraphValue::decode(&encode(&sync())), Err(DecodeError::WrongSchema { .. })));
}

#[test]
fn the_resource_digest_ignores_what_belongs_to_the_listing() {
    let first = raw_records()[6].clone();
    let second =
        RawRecord { listing_id: some("l-2"), poll_id: some("p-2"), observed_ts_ms: 1, ..first.clone() };
    let mut third = first.clone();
    let RawBody::Resource(Resource::ApiKey(api_key)) = &mut third.body else { panic!("no API key") };
    api_key.status = some("inactive");
    let digest = |record: &RawRecord| {
        let RawBody::Resource(resource) = &record.body else { panic!("no resource") };
        let value = encode(record);
        let encoded = resource_behind(&listing_head(record), &value).expect("it carries a resource");
        assert_eq!(encoded, encode_resource(resource));
        assert_eq!(decode_resource(encoded), *resource);
        assert_eq!(observed_ts_ms(&value), Some(record.observed_ts_ms));
        resource_digest(encoded)
    };
    assert_eq!(digest(&first), digest(&second));
    assert_ne!(digest(&first), digest(&third));
    assert_eq!(digest(&first).to_string().len(), 32);
}
