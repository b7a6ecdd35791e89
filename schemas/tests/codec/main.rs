//! The records' bytes: held to the schemas, to golden files of every released version, and to bad input.

#![expect(clippy::disallowed_methods, reason = "a test reads files")]

mod examples;
mod releases;

use examples::{coverage, element, envelope, hold, raw_record, some, sync, withheld};
use schemas::{
    change::Envelope,
    codec::{self, DecodeError, GraphValue, Record, decode, encode},
    coverage::{Hold, Withheld},
    element::Element,
    raw::RawRecord,
    sync::Sync,
};

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
        ("Sync", 0x3440_8137_124f_415b),
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
    assert_eq!(released, [0x33f9_e0f5_11bb_9f91, 0x04b7_2bb5_679e_ab86, 0xde5c_c1f4_b300_f60a]);
}

/// Holds a type to its schema both ways: what serde writes is read back through Avro's own generic value, and every
/// field of the schema, at any depth, is there.
fn check_type<T: Record>(value: &T) {
    let schema = apache_avro::Schema::parse_str(T::schema().text).expect("a valid schema");
    let bytes = encode(value);
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
    check_type(&raw_record());
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
fn a_value_that_is_not_ours_is_told_from_one_that_is_damaged() {
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
fn every_truncation_is_an_error_and_no_length_takes_the_memory() {
    let good = encode(&raw_record());
    for length in 0..good.len() {
        assert!(decode::<RawRecord>(&good[..length]).is_err(), "{length}");
    }
    // A string that claims 2^62 bytes.
    let mut hostile = good[..10].to_vec();
    hostile.extend_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(decode::<RawRecord>(&hostile).is_err());
}

#[test]
fn a_graph_value_is_told_by_its_schema() {
    for value in [
        GraphValue::Element(Box::new(element())),
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
    let first = raw_record();
    let second = RawRecord {
        listing_id: some("l-2"),
        poll_id: some("p-2"),
        observed_ts_ms: 1,
        manifest: None,
        ..first.clone()
    };
    let mut third = first.clone();
    third.resource.as_mut().expect("a resource").user.as_mut().expect("a user").role = some("user");
    let digest =
        |record: &RawRecord| codec::decode_raw(&encode(record)).expect("a raw record").resource_digest;
    assert_eq!(digest(&first), digest(&second));
    assert_ne!(digest(&first), digest(&third));
    assert_eq!(digest(&first).len(), 32);
}
