//! The codec against malformed bytes (`fuzz/src/lib.rs` says how to run it longer).
//!
//! The corpus is the golden values of every release and what once went wrong.

#![expect(clippy::disallowed_methods, reason = "a test reads files")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apache_avro::{Schema, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use fuzz::Corpus;
use peak_alloc::PeakAlloc;
use schemas::change::Envelope;
use schemas::codec::{self, DecodeError, Record, decode, encode};
use schemas::coverage::{Coverage, Hold, Withheld};
use schemas::element::Element;
use schemas::encoded::{EncodedChange, EncodedElement};
use schemas::framing::split;
use schemas::graph_value::GraphValue;
use schemas::raw::RawRecord;
use schemas::sync::Sync;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What decoding may take at most (bytes), whatever a value of 1 MiB says of itself: a process has some partitions.
const MOST_ALLOCATED: usize = 64 * 1024 * 1024;

/// What is allocated is counted for the process, so one test at a time decodes.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn values() -> Corpus {
    let releases = std::fs::read_dir(folder("golden")).expect("a folder");
    let releases = releases.map(|release| Corpus::read(&release.expect("a release").path()));
    let golden = releases.flat_map(Corpus::into_files);
    let fingerprints: Vec<_> = codec::schemas().map(|schema| schema.fingerprint.to_le_bytes()).into();
    let headers: Vec<&[u8]> = fingerprints.iter().map(|fingerprint| &fingerprint[..]).collect();
    let found = Corpus::read(&folder("tests/fuzz/corpus/values"));
    found.with_files(golden).with_tokens(&headers).with_tokens(&[b"\xc3\x01", &[0; 5], &[2; 16]])
}

/// A value that is taken is written as Avro's library writes it, and says the same once it is read again.
fn reads_back<T: Record>(bytes: &[u8]) -> Result<(), String> {
    let Ok(value) = decode::<T>(bytes) else { return Ok(()) };
    let written = encode(&value);
    if split(&written).is_none_or(|(_, body)| body != written_by_avro(&value)) {
        return Err("Avro's library writes other bytes".to_owned());
    }
    let again = decode::<T>(&written).map_err(|error| format!("what was written is refused: {error:?}"))?;
    if encode(&again) == written { Ok(()) } else { Err("it does not read back".to_owned()) }
}

fn written_by_avro<T: Record>(value: &T) -> Vec<u8> {
    thread_local! {
        static SCHEMAS: RefCell<BTreeMap<&'static str, &'static Schema>> = RefCell::default();
    }
    let schema = SCHEMAS.with_borrow_mut(|schemas| {
        let text = T::schema().text;
        let parse = || &*Box::leak(Box::new(Schema::parse_str(text).expect("a valid schema")));
        *schemas.entry(T::schema().name).or_insert_with(parse)
    });
    let mut bytes = Vec::new();
    let writer = GenericDatumWriter::builder(schema).build().expect("a complete schema");
    writer.write_ser(&mut bytes, value).expect("Avro writes it");
    bytes
}

fn bounded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let done = work();
    let taken = ALLOCATED.peak_usage().saturating_sub(before);
    if taken <= MOST_ALLOCATED { Ok(done) } else { Err(format!("{taken} bytes were allocated")) }
}

#[test]
fn no_value_of_any_topic_panics_or_takes_the_memory_and_what_is_taken_reads_back() {
    let _alone = alone();
    fuzz::check(&values(), |bytes| {
        bounded(|| decode::<RawRecord>(bytes).is_ok())?;
        bounded(|| decode::<Envelope>(bytes).is_ok())?;
        bounded(|| decode::<Sync>(bytes).is_ok())?;
        bounded(|| GraphValue::decode(bytes).is_ok())?;
        reads_back::<RawRecord>(bytes)?;
        reads_back::<Envelope>(bytes)?;
        reads_back::<Sync>(bytes)?;
        reads_back::<Element>(bytes)?;
        reads_back::<Coverage>(bytes)?;
        reads_back::<Hold>(bytes)?;
        reads_back::<Withheld>(bytes)
    });
}

/// What is decoded is what apache-avro decodes, and no more.
fn agrees<T: Record + PartialEq>(schemas: &[(u64, Schema)], bytes: &[u8]) -> Result<(), String> {
    let Some((header, mut body)) = bytes.split_first_chunk::<10>() else { return Ok(()) };
    let fingerprint = u64::from_le_bytes(header[2..].try_into().expect("eight bytes"));
    let registered = T::schema();
    let mut known =
        registered.released.iter().map(|released| released.fingerprint).chain([registered.fingerprint]);
    if header[..2] != [0xc3, 0x01] || !known.any(|known| known == fingerprint) {
        return Ok(());
    }
    let (_, schema) = schemas.iter().find(|(known, _)| *known == fingerprint).expect("a schema of ours");
    let reader = GenericDatumReader::builder(schema).build().expect("it is complete");
    let expected = reader.read_deser::<T>(&mut body).ok().filter(|_| body.is_empty());
    if decode::<T>(bytes).ok() == expected {
        Ok(())
    } else {
        Err("apache-avro says something else".to_owned())
    }
}

#[test]
fn a_value_is_decoded_as_apache_avro_decodes_it() {
    let _alone = alone();
    let schema = |fingerprint, text| (fingerprint, Schema::parse_str(text).expect("a schema"));
    let schemas: Vec<(u64, Schema)> = codec::schemas()
        .into_iter()
        .flat_map(|registered| {
            let released = registered.released.iter().map(|it| (it.fingerprint, it.text));
            released.chain([(registered.fingerprint, registered.text)])
        })
        .map(|(fingerprint, text)| schema(fingerprint, text))
        .collect();
    fuzz::check(&values(), |bytes| {
        agrees::<RawRecord>(&schemas, bytes)?;
        agrees::<Envelope>(&schemas, bytes)?;
        agrees::<Sync>(&schemas, bytes)?;
        agrees::<Element>(&schemas, bytes)?;
        agrees::<Coverage>(&schemas, bytes)?;
        agrees::<Hold>(&schemas, bytes)?;
        agrees::<Withheld>(&schemas, bytes)
    });
}

#[test]
fn an_element_is_read_where_it_can_be_decoded_and_says_the_same_encoded() {
    let _alone = alone();
    fuzz::check(&values(), |bytes| {
        let read = bounded(|| EncodedElement::read(bytes))?;
        let (encoded, element) = match (read, decode::<Element>(bytes)) {
            (Ok(encoded), Ok(element)) => (encoded, element),
            (Err(_), Err(_)) => return Ok(()),
            (read, decoded) => return Err(format!("read {:?}, decoded {:?}", read.is_ok(), decoded.is_ok())),
        };
        let found = (encoded.key(), encoded.kind(), encoded.collection(), encoded.digest());
        let expected = (&*element.key, element.kind(), &*element.collection, &*element.digest);
        let is_same = found == expected
            && encoded.organization_id() == element.organization_id
            && encoded.account_name() == element.account_name.as_deref()
            && encoded.ends().eq(element.ends())
            && encoded.is_relationship() == element.is_relationship()
            && encoded.decode() == element
            && encoded.same_as(&EncodedElement::of(&element));
        if is_same { Ok(()) } else { Err(format!("{encoded:?} is not {element:?}")) }
    });
}

#[test]
fn a_change_is_read_where_it_can_be_decoded_and_says_the_same_encoded() {
    let _alone = alone();
    fuzz::check(&values(), |bytes| {
        let read = bounded(|| EncodedChange::read(bytes))?.map(|change| {
            let EncodedChange { envelope, before, after } = change.into_owned();
            let [before, after] = [before, after].map(|it| it.map(|it| it.decode()));
            Envelope { before, after, ..envelope }
        });
        let [read, decoded] =
            [read, decode::<Envelope>(bytes)].map(|it| it.map_err(|error| error.to_string()));
        if read == decoded { Ok(()) } else { Err(format!("read {read:?}, decoded {decoded:?}")) }
    });
}

#[test]
fn a_string_that_claims_more_than_a_message_can_have_is_refused_before_it_is_made_room_for() {
    let _alone = alone();
    let golden = encode(&Sync::default());
    for claimed in [17 * 1024 * 1024, 1 << 30, i64::MAX] {
        let mut hostile = golden[..10].to_vec();
        hostile.extend(zig_zag(claimed));
        let refused = bounded(|| decode::<Sync>(&hostile)).expect("little memory");
        assert!(matches!(refused, Err(DecodeError::Malformed { .. })), "{claimed}");
    }
}

#[test]
fn a_megabyte_of_the_smallest_elements_stays_within_the_bound() {
    let _alone = alone();
    // Sync: three empty strings, no intent, nothing finished, then objects of five empty strings and a zero.
    let count = fuzz::MAX_INPUT_BYTES / 6 - 10;
    let mut parked = encode(&Sync::default())[..10].to_vec();
    parked.extend([0; 5]);
    parked.extend(zig_zag(i64::try_from(count).expect("few")));
    parked.extend(std::iter::repeat_n(0, count * 6));
    // Their end; not paused, no approval, nothing found, no wait.
    parked.extend([0, 0, 0, 0, 0]);
    let sync = bounded(|| decode::<Sync>(&parked)).expect("bounded memory").expect("a value");
    assert_eq!(sync.parked.len(), count);
}

/// A number as Avro writes it.
fn zig_zag(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("seven bits"));
    bytes
}
