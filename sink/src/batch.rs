//! The bodies of an upload, bounded in bytes. Pure.

use std::collections::BTreeMap;

use graph::jupiterone;
use schemas::element::Element;
use schemas::sync::{Parked, parked};
use serde_json::{Map, Value};

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

/// What JupiterOne needs of an object; the rest may be what it refuses.
const REQUIRED: [&str; 6] = ["_key", "_type", "_class", "displayName", "_fromEntityKey", "_toEntityKey"];

/// One object of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its `_key`.
    pub(crate) key: String,
    /// Its `_type`.
    pub(crate) kind: String,
    /// Of the element.
    pub(crate) digest: String,
    /// All of it, as JSON.
    pub(crate) json: String,
}

impl Object {
    fn of(element: &Element, is_stripped: bool) -> Self {
        let mut properties = jupiterone::properties(element);
        if is_stripped {
            strip(&mut properties);
        }
        Self {
            key: element.key.clone(),
            kind: element.kind.clone(),
            digest: element.digest.clone(),
            json: Value::Object(properties).to_string(),
        }
    }

    /// The same with its required properties only; `None` where it has no others.
    pub(crate) fn stripped(&self) -> Option<Self> {
        let mut properties: Map<String, Value> = serde_json::from_str(&self.json).unwrap_or_default();
        strip(&mut properties);
        let json = Value::Object(properties).to_string();
        (json != self.json).then(|| Self { json, ..self.clone() })
    }
}

fn strip(properties: &mut Map<String, Value>) {
    properties.retain(|name, _| REQUIRED.contains(&name.as_str()));
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

    /// Two halves, the first not smaller; itself where there is only one object.
    pub(crate) fn halves(mut self) -> Result<(Self, Self), Self> {
        if self.objects.len() < 2 {
            return Err(self);
        }
        let second = self.objects.split_off(self.objects.len().div_ceil(2));
        let kind = self.kind;
        Ok((self, Self { kind, objects: second }))
    }
}

/// What is to be uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Within the bound.
    pub(crate) batches: Vec<Batch>,
    /// Batches of one object each that alone is over it.
    pub(crate) too_large: Vec<Batch>,
    /// Which relationships each entity is an end of, by its key: their numbers in the load.
    pub(crate) relationships: BTreeMap<String, Vec<u32>>,
}

/// The elements as batches of at most `max_bytes` each, entities and relationships apart, in the elements' order;
/// those that JupiterOne refused are stripped or left out, as they were.
pub(crate) fn load<'a>(
    elements: impl Iterator<Item = &'a Element>,
    refused: &[Parked],
    max_bytes: usize,
) -> Load {
    let refused: BTreeMap<&str, &str> =
        refused.iter().map(|refused| (refused.element_key.as_str(), refused.state.as_str())).collect();
    let mut load = Load::default();
    let mut open = [Filling::new(Kind::Entities), Filling::new(Kind::Relationships)];
    for (number, element) in (0_u32..).zip(elements) {
        let state = refused.get(element.key.as_str()).copied();
        if state == Some(parked::PARKED) {
            continue;
        }
        for end in element.ends() {
            load.relationships.entry(end.to_owned()).or_default().push(number);
        }
        let object = Object::of(element, state.is_some());
        let filling = match Kind::of(element) {
            Kind::Entities => &mut open[0],
            Kind::Relationships => &mut open[1],
        };
        let alone = Batch { kind: filling.batch.kind, objects: vec![object] };
        if alone.body_bytes() > max_bytes {
            load.too_large.push(alone);
        } else {
            load.batches
                .extend(alone.objects.into_iter().filter_map(|object| filling.add(object, max_bytes)));
        }
    }
    load.batches.extend(open.into_iter().filter_map(Filling::end));
    load
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
    fn add(&mut self, object: Object, max_bytes: usize) -> Option<Batch> {
        let mut full = None;
        if !self.batch.objects.is_empty() && self.bytes + 1 + object.json.len() > max_bytes {
            full = std::mem::replace(self, Self::new(self.batch.kind)).end();
        }
        self.bytes += usize::from(!self.batch.objects.is_empty()) + object.json.len();
        self.batch.objects.push(object);
        full
    }

    fn end(self) -> Option<Batch> {
        Some(self.batch).filter(|batch| !batch.objects.is_empty())
    }
}

#[cfg(test)]
mod tests;
