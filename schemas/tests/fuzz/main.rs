//! The codec against bytes that nobody should send (`fuzz/src/lib.rs` says how to run it longer).
//!
//! The corpus is the golden values of every release and what once went wrong.

#![expect(clippy::disallowed_methods, reason = "a test reads files")]

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fuzz::Corpus;
use peak_alloc::PeakAlloc;
use schemas::change::Envelope;
use schemas::codec::{self, DecodeError, GraphValue, Record, decode, encode};
use schemas::coverage::{Coverage, Hold, Withheld};
use schemas::element::Element;
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

/// A value that is taken says the same once it is written and read again.
fn reads_back<T: Record>(bytes: &[u8]) -> Result<(), String> {
    let Ok(value) = decode::<T>(bytes) else { return Ok(()) };
    let written = encode(&value);
    let again = decode::<T>(&written).map_err(|error| format!("what was written is refused: {error:?}"))?;
    if encode(&again) == written { Ok(()) } else { Err("it does not read back".to_owned()) }
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
        bounded(|| codec::decode_raw(bytes).is_ok())?;
        reads_back::<RawRecord>(bytes)?;
        reads_back::<Envelope>(bytes)?;
        reads_back::<Sync>(bytes)?;
        reads_back::<Element>(bytes)?;
        reads_back::<Coverage>(bytes)?;
        reads_back::<Hold>(bytes)?;
        reads_back::<Withheld>(bytes)
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
    // Sync: three empty texts, no intent, nothing finished, then objects of five empty texts and a zero.
    let count = fuzz::MAX_INPUT_BYTES / 6 - 10;
    let mut parked = encode(&Sync::default())[..10].to_vec();
    parked.extend([0; 5]);
    parked.extend(zig_zag(i64::try_from(count).expect("few")));
    parked.extend(std::iter::repeat_n(0, count * 6));
    // Not paused, no approval, nothing found.
    parked.extend([0, 0, 0, 0]);
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
