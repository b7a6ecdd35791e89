//! The bodies of an upload, bounded in bytes: each is made from encoded elements when it is to be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use graph::jupiterone::{self, Members, Owner};
use schemas::encoded::EncodedElement;
use schemas::sync::{Parked, ParkedState};

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
}

/// What JupiterOne needs of an object; the rest may be what it refuses.
const REQUIRED: [&str; 6] = ["_key", "_type", "_class", "displayName", "_fromEntityKey", "_toEntityKey"];

/// One object of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) element: EncodedElement,
    /// Of an API key that has the class NHI too.
    owner: Option<Owner>,
    /// Whether it has its required properties only.
    is_stripped: bool,
}

impl Object {
    /// Appends all of it, as JSON.
    fn write(&self, json: &mut Vec<u8>) {
        let is_stripped = self.is_stripped;
        let is_wanted = |name: &str| !is_stripped || REQUIRED.contains(&name);
        jupiterone::write(&self.element.decode(), self.owner.as_ref(), is_wanted, json);
    }

    /// The same with its required properties only, of its first class; `None` where it has no others.
    pub(crate) fn stripped(&self) -> Option<Self> {
        let stripped = Self { element: self.element.clone(), owner: None, is_stripped: true };
        let [mut whole, mut required] = [Vec::new(), Vec::new()];
        self.write(&mut whole);
        stripped.write(&mut required);
        (required != whole).then_some(stripped)
    }
}

/// The objects of one request, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Which of the two.
    pub(crate) kind: Kind,
    /// At least one.
    pub(crate) objects: Vec<Object>,
    /// The body before it was compressed (bytes).
    pub(crate) body_bytes: usize,
    gzip: Vec<u8>,
}

impl Batch {
    /// Of these objects, however large they are.
    pub(crate) fn of(kind: Kind, objects: Vec<Object>) -> Self {
        let (mut filling, mut json) = (Filling::new(kind), Vec::new());
        for object in objects {
            json.clear();
            object.write(&mut json);
            filling.add(object, &json);
        }
        filling.end()
    }

    /// The body, compressed with gzip.
    pub(crate) fn gzip(&self) -> &[u8] {
        &self.gzip
    }

    /// Two halves, the first not smaller; itself where there is only one object.
    pub(crate) fn halves(mut self) -> Result<(Self, Self), Self> {
        if self.objects.len() < 2 {
            return Err(self);
        }
        let second = self.objects.split_off(self.objects.len().div_ceil(2));
        Ok((Self::of(self.kind, self.objects), Self::of(self.kind, second)))
    }
}

/// What is to be uploaded: the snapshot of a graph. A clone shares it.
#[derive(Debug, Clone)]
pub(crate) struct Load(Arc<Snapshot>);

#[derive(Debug)]
struct Snapshot {
    entities: Vec<EncodedElement>,
    relationships: Vec<EncodedElement>,
    refused: BTreeMap<String, ParkedState>,
    /// Who may own the API keys, if these have the class NHI too.
    members: Option<Members>,
    max_bytes: usize,
    /// All that are uploaded (count).
    objects: usize,
    /// Those whose upload is done, or refused for good (count).
    done: AtomicUsize,
}

impl Snapshot {
    /// The state of an element that JupiterOne refused.
    fn refused(&self, element: &EncodedElement) -> Option<&ParkedState> {
        if self.refused.is_empty() { None } else { self.refused.get(element.key()) }
    }
}

/// How much of a load is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Objects whose upload is done, or refused for good (count).
    pub(crate) done: usize,
    /// All objects (count).
    pub(crate) objects: usize,
}

impl Load {
    /// These elements, in bodies of at most so many bytes. Those that JupiterOne refused are stripped or left out, as
    /// they were. With members, API keys have the class NHI too.
    pub(crate) fn new<'a>(
        elements: impl Iterator<Item = &'a EncodedElement>,
        refused: &[Parked],
        members: Option<Members>,
        max_bytes: usize,
    ) -> Self {
        let refused = refused.iter().map(|it| (it.element_key.clone(), it.state.clone())).collect();
        let (relationships, entities) = elements.cloned().partition(EncodedElement::is_relationship);
        let done = AtomicUsize::new(0);
        let mut snapshot =
            Snapshot { entities, relationships, refused, members, max_bytes, objects: 0, done };
        let all = snapshot.entities.iter().chain(&snapshot.relationships);
        let left_out = all.filter(|element| snapshot.refused(element) == Some(&ParkedState::Parked)).count();
        snapshot.objects = snapshot.entities.len() + snapshot.relationships.len() - left_out;
        Self(Arc::new(snapshot))
    }

    /// Counts objects that are uploaded, or refused for good.
    pub(crate) fn count_done(&self, objects: usize) {
        self.0.done.fetch_add(objects, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { done: self.0.done.load(Ordering::Relaxed), objects: self.0.objects }
    }

    /// The bodies, one after the other: the entities' first, each kind in the elements' order.
    pub(crate) fn parts(&self) -> Parts {
        Parts {
            load: self.clone(),
            next: 0,
            open: Filling::new(Kind::Entities),
            json: Vec::new(),
            is_over: false,
        }
    }

    /// How many of its relationships have one of these ends.
    pub(crate) fn relationships_of(&self, keys: &[&str]) -> usize {
        if keys.is_empty() {
            return 0;
        }
        let objects = self.0.relationships.iter().filter(|element| self.object(element).is_some());
        objects.filter(|element| element.ends().any(|end| keys.contains(&end))).count()
    }

    fn elements(&self, kind: Kind) -> &[EncodedElement] {
        match kind {
            Kind::Entities => &self.0.entities,
            Kind::Relationships => &self.0.relationships,
        }
    }

    /// The element as it is uploaded, unless it is left out.
    fn object(&self, element: &EncodedElement) -> Option<Object> {
        match self.0.refused(element) {
            Some(ParkedState::Parked) => None,
            refused => {
                let is_stripped = refused.is_some();
                let members = self.0.members.as_ref().filter(|_| !is_stripped);
                let owner = members.and_then(|members| members.owner(element));
                Some(Object { element: element.clone(), owner, is_stripped })
            }
        }
    }
}

/// The bodies of a load, made one at a time.
#[derive(Debug)]
pub(crate) struct Parts {
    load: Load,
    /// The place of the next element.
    next: usize,
    /// The batch that is being filled.
    open: Filling,
    /// One object, to be reused.
    json: Vec<u8>,
    is_over: bool,
}

/// A part of a load.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Batch(Batch),
    /// One object that alone is over it.
    TooLarge(Batch),
}

impl Part {
    /// How many objects it has.
    pub(crate) fn objects(&self) -> usize {
        let (Self::Batch(batch) | Self::TooLarge(batch)) = self;
        batch.objects.len()
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let load = self.load.clone();
        while !self.is_over {
            let kind = self.open.kind;
            while let Some(element) = load.elements(kind).get(self.next) {
                self.next += 1;
                let Some(object) = load.object(element) else { continue };
                self.json.clear();
                object.write(&mut self.json);
                if Filling::new_bytes(kind) + self.json.len() > load.0.max_bytes {
                    return Some(Part::TooLarge(Batch::of(kind, vec![object])));
                }
                let full = (self.open.bytes_with(&self.json) > load.0.max_bytes).then(|| self.turn_to(kind));
                self.open.add(object, &self.json);
                if let Some(batch) = full {
                    return Some(Part::Batch(batch));
                }
            }
            self.is_over = kind == Kind::Relationships;
            self.next = 0;
            let last = self.turn_to(Kind::Relationships);
            if !last.objects.is_empty() {
                return Some(Part::Batch(last));
            }
        }
        None
    }
}

impl Parts {
    /// Ends the open batch and begins one of that kind.
    fn turn_to(&mut self, kind: Kind) -> Batch {
        std::mem::replace(&mut self.open, Filling::new(kind)).end()
    }
}

/// A batch whose body is being written.
#[derive(Debug)]
struct Filling {
    kind: Kind,
    objects: Vec<Object>,
    gzip: GzEncoder<Vec<u8>>,
    /// Of the body so far, uncompressed and with its end.
    bytes: usize,
}

const IN_MEMORY: &str = "a Vec takes all that is written";
const END: &[u8] = b"]}";

impl Filling {
    fn new(kind: Kind) -> Self {
        // The elements repeat each other, so that little effort is enough.
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        write!(gzip, r#"{{"{}":["#, kind.name()).expect(IN_MEMORY);
        Self { kind, objects: Vec::new(), gzip, bytes: Self::new_bytes(kind) }
    }

    /// Bytes of a body without its objects.
    fn new_bytes(kind: Kind) -> usize {
        kind.name().len() + r#"{"":["#.len() + END.len()
    }

    /// The body's bytes with one more object.
    fn bytes_with(&self, json: &[u8]) -> usize {
        self.bytes + usize::from(!self.objects.is_empty()) + json.len()
    }

    fn add(&mut self, object: Object, json: &[u8]) {
        self.bytes = self.bytes_with(json);
        let comma: &[u8] = if self.objects.is_empty() { b"" } else { b"," };
        self.gzip.write_all(comma).and_then(|()| self.gzip.write_all(json)).expect(IN_MEMORY);
        self.objects.push(object);
    }

    fn end(mut self) -> Batch {
        let gzip = self.gzip.write_all(END).and_then(|()| self.gzip.finish()).expect(IN_MEMORY);
        Batch { kind: self.kind, objects: self.objects, body_bytes: self.bytes, gzip }
    }
}

#[cfg(test)]
pub(crate) mod tests;
