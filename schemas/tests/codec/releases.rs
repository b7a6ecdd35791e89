//! The values of every release, read by this version; and those of the next one, of which this version knows nothing.
//!
//! `golden/<release>` has the bytes of the examples as that release wrote them, `avro/released/<release>` the schemas
//! that it had and this version no longer has.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use apache_avro::{
    Schema, from_value, reader::datum::GenericDatumReader, schema_compatibility::SchemaCompatibility,
};
use schemas::{
    change::Envelope,
    codec::{self, DecodeError, Record, Registered, check_known, decode, encode},
    coverage::Withheld,
    element::{Content, Element},
    graph_value::GraphValue,
    raw::{Misfit, RawRecord, Resource},
    resource::encode_resource,
    sync::{Finished, Sync},
};

use crate::examples::{coverage, element, envelope, hold, raw_records, some, sync, withheld};

/// What the release added is not in the values of the releases before it.
fn before_2(element: &mut Element) {
    let Content::Other(other) = &mut element.content else { panic!("it has columns of all types") };
    other.workspace.as_mut().expect("a workspace").user_profile_id = None;
}

fn element_1() -> Element {
    let mut element = element();
    before_2(&mut element);
    element
}

fn envelope_1() -> Envelope {
    Envelope { before: Some(element_1()), after: Some(element_1()), ..envelope() }
}

fn sync_1() -> Sync {
    let finished = sync().finished.map(|finished| Finished { nhi_class: None, ..finished });
    Sync { finished, wait: None, ..sync() }
}

fn withheld_1() -> Withheld {
    Withheld { element: element_1(), ..withheld() }
}

fn resource_of(record: &RawRecord) -> Resource {
    record.body.clone().resource().expect("a resource")
}

fn golden(release: &str, name: &str) -> PathBuf {
    let name = name.rsplit('.').next().expect("a name").to_lowercase();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(release).join(format!("{name}.avro"))
}

/// Golden bytes are never rewritten: a schema that changes gets bytes of its own, under the next release. With
/// `WRITE_GOLDEN=1`, those that do not exist yet are written.
fn check_golden<T: Record + PartialEq + std::fmt::Debug>(release: &str, value: &T) {
    let path = golden(release, T::schema().name);
    if std::env::var_os("WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(&path, encode(value)).expect("the file can be written");
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(decode::<T>(&golden).expect("golden bytes are read"), *value, "{}", path.display());
}

/// The same, and this version writes these bytes.
fn check_current<T: Record + PartialEq + std::fmt::Debug>(release: &str, value: &T) {
    check_golden(release, value);
    let golden = std::fs::read(golden(release, T::schema().name)).expect("it was read before");
    assert_eq!(encode(value), golden, "{}", T::schema().name);
}

#[test]
fn the_values_of_every_release_are_read_as_what_they_said() {
    check_golden("1", &envelope_1());
    check_golden("1", &element_1());
    check_golden("1", &withheld_1());
    check_golden("1", &sync_1());
}

#[test]
fn the_current_bytes_are_those_of_the_release_that_last_changed_the_schema() {
    check_current("1", &coverage());
    check_current("1", &hold());
    check_current("2", &sync());
    check_current("2", &envelope());
    check_current("2", &element());
    check_current("2", &withheld());
}

/// The golden raw record has all that a raw record may carry at once, as no real one has.
#[test]
fn raw_records_have_the_bytes_that_the_first_release_gave_their_bodies() {
    let golden = std::fs::read(golden("1", RawRecord::schema().name)).expect("a file");
    assert!(matches!(decode::<RawRecord>(&golden), Err(DecodeError::Misfit(Misfit::Parts(4)))));
    let records = raw_records();
    for record in &records {
        assert_eq!(decode::<RawRecord>(&encode(record)).expect("a raw record"), *record);
    }
    let values = records.map(|record| encode(&record));
    let [mark, manifest, decision, resources @ ..] = &values;
    // The mark is the first of the four, so the values of the others differ from its value there.
    let head = mark.iter().zip(manifest).take_while(|(one, other)| one == other).count();
    // Each null is a byte.
    let part =
        |value: &[u8], before: usize, behind: usize| value[head + before..value.len() - behind].to_vec();
    let bodies = [part(mark, 0, 3), part(manifest, 1, 2), part(decision, 2, 1), vec![2]];
    let resources = resources.iter().enumerate().map(|(place, value)| part(value, 4 + place, 4 - place));
    let all: Vec<Vec<u8>> = [mark[..head].to_vec()].into_iter().chain(bodies).chain(resources).collect();
    assert_eq!(all.concat(), golden);
}

#[test]
fn a_value_with_no_kind_or_two_kinds_is_not_a_raw_record() {
    let record = &raw_records()[6];
    let key = encode(record);
    // Behind the three other bodies: a resource is there, and the first four of its kinds.
    let place = key.len() - encode_resource(&resource_of(record)).len();
    let mut none = key[..place].to_vec();
    none.extend([2, 0, 0, 0, 0, 0]);
    let mut two = key.clone();
    // A member whose strings are empty.
    two.splice(key.len() - 1.., [2, 0, 0, 0, 0, 0]);
    for value in [none, two] {
        let error = decode::<RawRecord>(&value).expect_err("no raw record");
        assert!(matches!(&error, DecodeError::Misfit(Misfit::Kind(name)) if name == "api_keys"), "{error}");
    }
}

#[test]
fn every_golden_file_and_every_released_schema_is_known() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &Path| -> Vec<PathBuf> {
        let releases = std::fs::read_dir(root.join(folder)).expect("a folder");
        let releases = releases.map(|release| release.expect("a release").path());
        releases
            .flat_map(|release| std::fs::read_dir(release).expect("a folder"))
            .map(|file| file.expect("a file").path())
            .collect()
    };
    for file in files(Path::new("golden")) {
        let bytes = std::fs::read(&file).expect("a file");
        assert!(check_known(&bytes).is_ok(), "{}", file.display());
    }
    let texts: Vec<&str> = codec::schemas().iter().flat_map(|it| &it.released).map(|it| it.text).collect();
    let files = files(Path::new("avro/released"));
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a file");
        assert!(texts.contains(&text.as_str()), "no reader of {} is in codec.rs", file.display());
    }
    assert_eq!(files.len(), texts.len());
}

/// Names of the fields of all records, with their schemas, by their paths.
fn fields(path: &str, schema: &serde_json::Value, found: &mut BTreeMap<String, serde_json::Value>) {
    match schema {
        serde_json::Value::Array(branches) => branches.iter().for_each(|branch| fields(path, branch, found)),
        serde_json::Value::Object(object) => {
            for field in object.get("fields").and_then(|it| it.as_array()).into_iter().flatten() {
                let path = format!("{path}.{}", field["name"].as_str().expect("a name"));
                fields(&path, &field["type"], found);
                found.insert(path, field.clone());
            }
            object
                .get("items")
                .into_iter()
                .chain(object.get("values"))
                .for_each(|it| fields(path, it, found));
        }
        _ => {}
    }
}

fn fields_of(text: &str) -> BTreeMap<String, serde_json::Value> {
    let mut found = BTreeMap::new();
    fields("", &serde_json::from_str(text).expect("JSON"), &mut found);
    found
}

#[test]
fn a_schema_gains_nullable_fields_whose_default_is_null_and_loses_none() {
    for schema in codec::schemas() {
        let current = fields_of(schema.text);
        for released in &schema.released {
            let released = fields_of(released.text);
            let is_new = |path: &str| !released.contains_key(path);
            // The fields of a record that is new itself are free: no version has written or read it without them.
            let parent = |path: &str| path.rsplit_once('.').map(|(parent, _)| parent.to_owned());
            let is_free = |path: &str| {
                parent(path).is_some_and(|parent| current.contains_key(&parent) && is_new(&parent))
            };
            for (path, field) in &current {
                if is_new(path) && !is_free(path) {
                    assert_eq!(field["type"][0], "null", "{}{path}", schema.name);
                    assert!(
                        field.get("default").is_some_and(serde_json::Value::is_null),
                        "{}{path}",
                        schema.name
                    );
                }
            }
            let lost: Vec<&String> = released.keys().filter(|path| !current.contains_key(*path)).collect();
            assert_eq!(lost, Vec::<&String>::new(), "{}", schema.name);
        }
    }
}

#[test]
fn every_two_versions_of_a_schema_can_read_each_other() {
    for schema in codec::schemas() {
        let released = schema.released.iter().map(|released| released.text);
        let versions: Vec<Schema> = released
            .chain([schema.text])
            .map(|text| Schema::parse_str(text).expect("a valid schema"))
            .collect();
        for one in &versions {
            for other in &versions {
                assert!(SchemaCompatibility::can_read(one, other).is_ok(), "{}", schema.name);
            }
        }
    }
}

#[test]
fn a_value_of_an_earlier_release_is_read_as_avro_resolves_it() {
    fn check<T: Record + PartialEq + std::fmt::Debug>() {
        let current = Schema::parse_str(T::schema().text).expect("a valid schema");
        for (release, released) in T::schema().released.iter().enumerate() {
            let bytes = std::fs::read(golden(&(release + 1).to_string(), T::schema().name)).expect("a file");
            let writer = Schema::parse_str(released.text).expect("a valid schema");
            let reader = GenericDatumReader::builder(&writer).reader_schema(&current).build();
            let resolved = reader.expect("complete schemas").read_value(&mut &bytes[10..]).expect("a value");
            assert_eq!(
                decode::<T>(&bytes).expect("a value"),
                from_value::<T>(&resolved).expect("the type follows the schema")
            );
        }
    }
    check::<Envelope>();
    check::<Element>();
    check::<Withheld>();
}

#[test]
fn a_graph_value_of_an_earlier_release_is_recognized_by_its_schema() {
    for (name, value) in [
        ("element", GraphValue::Element(element_1().into())),
        ("withheld", GraphValue::Withheld(Box::new(withheld_1()))),
    ] {
        let bytes = std::fs::read(golden("1", name)).expect("a file");
        assert_eq!(GraphValue::decode(&bytes).expect("a graph value"), value);
        assert!(matches!(decode::<RawRecord>(&bytes), Err(DecodeError::WrongSchema { .. })));
    }
}

#[test]
fn damaged_values_of_an_earlier_release_are_refused() {
    let good = std::fs::read(golden("1", "element")).expect("a file");
    for length in 10..good.len() {
        assert!(decode::<Element>(&good[..length]).is_err(), "{length}");
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert!(matches!(decode::<Element>(&longer), Err(DecodeError::TrailingBytes { left: 1, .. })));
}

/// The schema of a later version: a raw record with one more field.
fn later() -> &'static str {
    let field = r#"{"name": "later", "type": ["null", "string"], "default": null, "doc": "Unknown today."},
  {"name": "resource","#;
    let text = RawRecord::schema().text.replacen(r#"{"name": "resource","#, field, 1);
    assert_ne!(text, RawRecord::schema().text);
    text.leak()
}

#[derive(serde::Serialize)]
struct Later {
    later: Option<String>,
    #[serde(flatten)]
    record: RawRecord,
}

#[test]
fn a_value_of_a_later_version_is_not_damaged_but_asks_for_an_upgrade_after_which_it_is_read() {
    let current = RawRecord::schema();
    let upgraded = Registered::new(current.name, later(), &[current.text]);
    let value = Later { later: some("a value"), record: raw_records()[6].clone() };
    let schema = apache_avro::Schema::parse_str(later()).expect("a valid schema");
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build();
    let mut bytes = [&[0xc3, 0x01][..], &upgraded.fingerprint.to_le_bytes()].concat();
    writer.expect("a complete schema").write_ser(&mut bytes, &value).expect("it fits");

    let error = decode::<RawRecord>(&bytes).expect_err("an unknown schema");
    assert!(matches!(error, DecodeError::UnknownSchema(_)), "{error}");
    assert!(matches!(check_known(&bytes), Err(DecodeError::UnknownSchema(_))));
    let text = error.to_string();
    let fingerprint = format!("{:016x}", upgraded.fingerprint.swap_bytes());
    assert!(text.contains(&fingerprint) && text.contains("upgrade this service"), "{text}");

    // The upgraded service reads it, and what this one wrote.
    let record = raw_records()[6].clone();
    assert_eq!(upgraded.decode::<RawRecord>(&bytes).expect("its own value"), record);
    assert_eq!(upgraded.decode::<RawRecord>(&encode(&record)).expect("an older value"), record);
}

#[test]
fn bytes_of_another_program_are_not_taken_for_a_later_version() {
    for bytes in [&b""[..], b"{}", &[0, 0, 0, 0, 7, 1], &[0xc3, 0x01, 7], &encode(&hold())[..9]] {
        assert!(check_known(bytes).is_ok(), "{bytes:?}");
    }
    assert!(check_known(&encode(&hold())).is_ok());
}
