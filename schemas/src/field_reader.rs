//! Reads single fields of an Avro value in its binary encoding, without decoding the rest
//! (Avro specification 1.12, "Binary encoding").

use apache_avro::Schema;

/// No string, array or map of a value may claim more than this (bytes): a hostile length must not take the memory.
/// Larger than any message a broker accepts by its defaults.
pub(crate) const MAX_ALLOCATION: usize = 16 * 1024 * 1024;

/// What is left of a value. Each method takes one encoded thing off its front; `None`: the bytes are none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldReader<'a>(pub(crate) &'a [u8]);

impl<'a> FieldReader<'a> {
    /// An `int` or a `long`.
    #[inline]
    pub(crate) fn long(&mut self) -> Option<i64> {
        // Most are lengths of one byte.
        if let [byte @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Some(from_zigzag(u64::from(*byte)));
        }
        self.long_of_more()
    }

    fn long_of_more(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for (place, &byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(place * 7).ok()?)?;
            if byte < 0x80 {
                self.0 = &self.0[place + 1..];
                return Some(from_zigzag(value));
            }
        }
        None
    }

    /// The bytes of a `string` or of `bytes`.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        // What is longer cannot be decoded.
        let length = usize::try_from(self.long()?).ok().filter(|length| *length <= MAX_ALLOCATION)?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A `string`.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Whether a value follows, in a union of null and one type.
    pub(crate) fn is_present(&mut self) -> Option<bool> {
        match self.long()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// A value or null, in a union that has null first.
    #[expect(clippy::option_option, reason = "unreadable, null, or a value")]
    pub(crate) fn optional<T>(&mut self, value: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.is_present()? { value(self).map(Some) } else { Some(None) }
    }

    /// Exactly these bytes.
    pub(crate) fn prefix(&mut self, bytes: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(bytes)?;
        Some(())
    }

    /// Any value of that schema. The schemas that are read so name no other ones.
    pub(crate) fn skip(&mut self, schema: &Schema) -> Option<()> {
        match schema {
            Schema::Null => Some(()),
            Schema::Boolean => self.boolean().map(drop),
            Schema::Int | Schema::Long | Schema::TimestampMillis => self.long().map(drop),
            Schema::Double => self.double().map(drop),
            // The text itself is not asked for, and most of it is ASCII, which is recognized sooner.
            Schema::String => {
                let bytes = self.bytes()?;
                (bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()).then_some(())
            }
            Schema::Union(union) => {
                let branch = usize::try_from(self.long()?).ok()?;
                self.skip(union.variants().get(branch)?)
            }
            Schema::Record(record) => record.fields.iter().try_for_each(|field| self.skip(&field.schema)),
            Schema::Array(array) => self.blocks(|this| this.skip(&array.items)),
            Schema::Map(map) => self.blocks(|this| {
                this.text()?;
                this.skip(&map.types)
            }),
            _ => None,
        }
    }

    /// A `boolean`.
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        let [byte] = self.take()?;
        (byte <= 1).then_some(byte == 1)
    }

    /// A `double`.
    pub(crate) fn double(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }

    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let mut blocks = Blocks::default();
        while blocks.has_next(self)? {
            item(self)?;
        }
        Some(())
    }

    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
}

/// The blocks of an array or a map: how many items of the one that was begun are left.
#[derive(Debug, Default)]
pub(crate) struct Blocks(i64);

impl Blocks {
    /// Whether an item follows. An empty block is the last. A block with a negative count has its size after the count.
    ///
    /// An item has a byte at least, so that a hostile count ends with the bytes.
    pub(crate) fn has_next(&mut self, rest: &mut FieldReader<'_>) -> Option<bool> {
        if self.0 == 0 {
            self.0 = match rest.long()? {
                0 => return Some(false),
                count if count < 0 => {
                    rest.long()?;
                    count.checked_neg()?
                }
                count => count,
            };
        }
        self.0 -= 1;
        Some(true)
    }
}

/// The number that zigzag encoding wrote as this one.
fn from_zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Appends a `long` in its binary encoding.
pub(crate) fn put_long(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push((rest & 0x7f) as u8);
}

/// Appends a `string`.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_long(bytes, i64::try_from(text.len()).expect("no text is that long"));
    bytes.extend_from_slice(text.as_bytes());
}

/// Appends a value or null, in a union that has null first.
pub(crate) fn put_optional<T>(bytes: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    put_long(bytes, i64::from(value.is_some()));
    if let Some(value) = value {
        put(bytes, value);
    }
}
