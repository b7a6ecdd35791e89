//! The bodies of an upload, bounded in bytes. Pure.

use schemas::element::Element;
use schemas::jupiterone;

/// Largest body (bytes, uncompressed): what JupiterOne's own uploader sends at most. Its gateway refuses 6,291,456.
pub(crate) const MAX_BODY_BYTES: usize = 5_000_000;

/// What a body carries, and the path that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `{"entities":[…]}` to `/entities`.
    Entities,
    /// `{"relationships":[…]}` to `/relationships`.
    Relationships,
}

impl Kind {
    /// The path's last part and the name of the body's array.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Entities => "entities",
            Self::Relationships => "relationships",
        }
    }

    fn of(element: &Element) -> Self {
        if element.is_relationship() { Self::Relationships } else { Self::Entities }
    }

    /// Bytes of a body without its objects.
    fn frame(self) -> usize {
        self.name().len() + r#"{"":[]}"#.len()
    }
}

/// One object of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its `_key`.
    pub(crate) key: String,
    /// All of it, as JSON.
    pub(crate) json: String,
}

/// The objects of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Which of the two.
    pub(crate) kind: Kind,
    /// At least one.
    pub(crate) objects: Vec<Object>,
}

impl Batch {
    /// The body, uncompressed.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.body_bytes());
        body.extend_from_slice(format!("{{\"{}\":[", self.kind.name()).as_bytes());
        for (position, object) in self.objects.iter().enumerate() {
            if position > 0 {
                body.push(b',');
            }
            body.extend_from_slice(object.json.as_bytes());
        }
        body.extend_from_slice(b"]}");
        body
    }

    /// The body's length (bytes).
    pub(crate) fn body_bytes(&self) -> usize {
        let commas = self.objects.len().saturating_sub(1);
        self.kind.frame() + commas + self.objects.iter().map(|object| object.json.len()).sum::<usize>()
    }

    /// Two halves, the first not smaller; the key of its object where there is only one.
    pub(crate) fn halves(mut self) -> Result<(Self, Self), String> {
        if self.objects.len() < 2 {
            return Err(self.objects.pop().map(|object| object.key).unwrap_or_default());
        }
        let second = self.objects.split_off(self.objects.len().div_ceil(2));
        let kind = self.kind;
        Ok((self, Self { kind, objects: second }))
    }
}

/// An object that alone is larger than a body may be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object {key} has {bytes} bytes, more than one upload to JupiterOne may have")]
pub(crate) struct TooLarge {
    /// Its `_key`.
    pub(crate) key: String,
    /// Of a body with it alone.
    pub(crate) bytes: usize,
}

/// The elements as batches of at most `max_bytes` each, entities and relationships apart, in the elements' order.
pub(crate) fn batches<'a>(
    elements: impl Iterator<Item = &'a Element>,
    max_bytes: usize,
) -> Result<Vec<Batch>, TooLarge> {
    let mut full = Vec::new();
    let mut open = [Filling::new(Kind::Entities), Filling::new(Kind::Relationships)];
    for element in elements {
        let json = serde_json::Value::Object(jupiterone::properties(element)).to_string();
        let object = Object { key: element.key.clone(), json };
        let filling = match Kind::of(element) {
            Kind::Entities => &mut open[0],
            Kind::Relationships => &mut open[1],
        };
        full.extend(filling.add(object, max_bytes)?);
    }
    full.extend(open.into_iter().filter_map(Filling::end));
    Ok(full)
}

struct Filling {
    batch: Batch,
    bytes: usize,
}

impl Filling {
    fn new(kind: Kind) -> Self {
        Self { batch: Batch { kind, objects: Vec::new() }, bytes: kind.frame() }
    }

    /// Takes the object; gives back the batch that it did not fit into.
    fn add(&mut self, object: Object, max_bytes: usize) -> Result<Option<Batch>, TooLarge> {
        let kind = self.batch.kind;
        let alone = kind.frame() + object.json.len();
        if alone > max_bytes {
            return Err(TooLarge { key: object.key, bytes: alone });
        }
        let mut full = None;
        if !self.batch.objects.is_empty() && self.bytes + 1 + object.json.len() > max_bytes {
            full = std::mem::replace(self, Self::new(kind)).end();
        }
        self.bytes += usize::from(!self.batch.objects.is_empty()) + object.json.len();
        self.batch.objects.push(object);
        Ok(full)
    }

    fn end(self) -> Option<Batch> {
        Some(self.batch).filter(|batch| !batch.objects.is_empty())
    }
}

#[cfg(test)]
mod tests;
