//! The two framings of a value. Both begin the same Avro body:
//!
//! - Avro's single-object encoding: `C3 01` and the schema's fingerprint, 8 bytes. Everything in these crates has it.
//! - Confluent's wire format: `00` and the ID that a schema registry gave the schema, 4 bytes, big endian. Its header
//!   [`DATA_SCHEMA`] has the fingerprint, so that a reader of ours needs no registry.
//!
//! The first byte distinguishes them.

/// What a value of single-object encoding begins with.
pub(crate) const MARKER: [u8; 2] = [0xc3, 0x01];
/// Marker and fingerprint (bytes).
pub(crate) const HEADER_LEN: usize = 10;

/// The header that names the schema of a value in Confluent's wire format. `CloudEvents` 1.0, attribute `dataschema`.
pub const DATA_SCHEMA: &str = "ce_dataschema";

/// Begins the header's value, a URI. The fingerprint follows as it is in single-object encoding, in hexadecimal.
const SCHEME: &str = "avro-crc64:";
/// What a value of Confluent's wire format begins with.
const MAGIC: u8 = 0;
/// Magic byte and ID (bytes).
const REGISTRY_HEADER_LEN: usize = 5;

/// The fingerprint and the body of a value in single-object encoding.
pub fn split(value: &[u8]) -> Option<(u64, &[u8])> {
    let (header, body) =
        value.split_first_chunk::<HEADER_LEN>().filter(|(header, _)| header[..2] == MARKER)?;
    let fingerprint = header[2..].try_into().expect("a header has 8 bytes after its marker");
    Some((u64::from_le_bytes(fingerprint), body))
}

/// The value of the header [`DATA_SCHEMA`].
pub fn data_schema(fingerprint: u64) -> String {
    format!("{SCHEME}{:016x}", fingerprint.swap_bytes())
}

/// A body in Confluent's wire format.
pub fn to_registry(body: &[u8], id: u32) -> Vec<u8> {
    let mut framed = Vec::with_capacity(REGISTRY_HEADER_LEN + body.len());
    framed.push(MAGIC);
    framed.extend_from_slice(&id.to_be_bytes());
    framed.extend_from_slice(body);
    framed
}

/// Whether the value begins as those of Confluent's wire format do, which none of single-object encoding does.
pub fn is_registry(value: &[u8]) -> bool {
    value.len() >= REGISTRY_HEADER_LEN && value[0] == MAGIC
}

/// A value of Confluent's wire format in single-object encoding. `None`: the header is not one of [`data_schema`].
pub fn from_registry(value: &[u8], data_schema: &[u8]) -> Option<Vec<u8>> {
    let digits = std::str::from_utf8(data_schema).ok()?.strip_prefix(SCHEME)?;
    let is_hexadecimal = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let fingerprint = is_hexadecimal.then(|| u64::from_str_radix(digits, 16).ok()).flatten()?;
    let body = value.get(REGISTRY_HEADER_LEN..)?;
    let mut framed = Vec::with_capacity(HEADER_LEN + body.len());
    framed.extend_from_slice(&MARKER);
    framed.extend_from_slice(&fingerprint.to_be_bytes());
    framed.extend_from_slice(body);
    Some(framed)
}

#[cfg(test)]
mod tests {
    use super::{data_schema, from_registry, is_registry, split, to_registry};
    use crate::{
        codec::{DecodeError, decode, encode},
        sync::Sync,
    };

    #[test]
    fn a_value_comes_back_from_either_framing_byte_for_byte() {
        let value = encode(&Sync::default());
        let (fingerprint, body) = split(&value).expect("it is framed");
        for id in [0, 1, 7, 0xc301_0000, u32::MAX] {
            let framed = to_registry(body, id);
            assert_eq!((framed[0], &framed[1..5], &framed[5..]), (0, &id.to_be_bytes()[..], &value[10..]));
            assert!(is_registry(&framed) && split(&framed).is_none() && !is_registry(&value));
            let header = data_schema(fingerprint);
            assert_eq!(from_registry(&framed, header.as_bytes()).as_ref(), Some(&value));
        }
    }

    #[test]
    fn the_header_has_the_fingerprint_as_it_is_in_the_value() {
        let value = encode(&Sync::default());
        let (fingerprint, _) = split(&value).expect("it is framed");
        let bytes: [u8; 8] = value[2..10].try_into().expect("eight bytes");
        assert_eq!(data_schema(fingerprint), format!("avro-crc64:{:016x}", u64::from_be_bytes(bytes)));
    }

    #[test]
    fn what_is_too_short_for_a_framing_has_none() {
        for short in [&b""[..], &[0], &[0, 0, 0, 0], &[0xc3, 0x01]] {
            assert!(!is_registry(short) && split(short).is_none());
        }
    }

    #[test]
    fn a_header_of_another_form_names_no_schema() {
        let framed = to_registry(&encode(&Sync::default())[10..], 7);
        for wrong in ["", "avro-crc64:", "avro-crc64:12", "avro-crc64:+123456789abcdef", "urn:x", "é"] {
            assert_eq!(from_registry(&framed, wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(from_registry(&framed[..4], b"avro-crc64:0123456789abcdef"), None);
        assert!(matches!(decode::<Sync>(&framed), Err(DecodeError::RegistryFraming)));
    }
}
