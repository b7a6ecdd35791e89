//! The steps that histories are made of.

use schemas::raw::{DecisionKind, RawRecord};
use schemas::resource::listing_head;

use crate::world::Mutation;

/// What a history is made of. Small numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// An organization lives on.
    Live(u8, Vec<Mutation>),
    /// One collection is listed.
    List(Listing),
    /// All are listed, between two marks; some of them with a fault, by their number.
    Poll(u8, Vec<(u8, Fault)>),
    /// A mark alone, as a killed producer and its successor leave it.
    Mark {
        organization: u8,
        starts: bool,
        failed: Option<u8>,
    },
    Decide(u8, Choice),
    /// Undecodable bytes under the key of a collection.
    Garbage(u8, u8),
}

#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) organization: u8,
    pub(crate) collection: u8,
    /// How long ago its producer asked the API, in steps: what was fenced may come late.
    pub(crate) age: u8,
    pub(crate) fault: Fault,
    /// A decision that is written while the listing is.
    pub(crate) within: Option<Choice>,
}

/// What goes wrong with a listing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    /// The API does not answer, so nothing is written.
    Failed,
    /// The API says that there is nothing to list.
    Gone,
    /// A resource is not written.
    Missing(u8),
    /// A record is not what it should be; the last is the manifest.
    Spoiled(u8, Spoil),
    /// A resource is written twice.
    Twice(u8),
    /// Archived workspaces are not asked for.
    WithoutArchived,
}

/// In what way a record is not what it should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spoil {
    Bytes,
    NoListing,
    Empty,
}

/// What a person decides.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) kind: DecisionKind,
    pub(crate) collection: Option<u8>,
    /// Of what the listing lacked, if any.
    pub(crate) element: Option<u8>,
    /// How many listings ago the person looked; `None`: at something else.
    pub(crate) seen: Option<u8>,
}

impl Spoil {
    pub(crate) fn spoil(self, raw: &RawRecord) -> Result<RawRecord, Vec<u8>> {
        match self {
            Self::Bytes => Err(vec![0xff]),
            Self::NoListing => Ok(RawRecord { listing_id: None, ..raw.clone() }),
            // A time, and four parts of which none is there.
            Self::Empty => Err([listing_head(raw), vec![2, 0, 0, 0, 0]].concat()),
        }
    }
}
