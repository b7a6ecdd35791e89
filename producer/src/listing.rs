//! A listing: the pages of one collection, seen whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use schemas::collection::Collection;
use schemas::raw::Resource;
use thiserror::Error;

use crate::admin::{Admin, Answer, Error, Failure};
use crate::json::Json;
use crate::page::{self, NoPage, Page};
use crate::resource::{self, Unreadable};

/// Rows of a page (count): the most that the Admin API gives.
pub const LIMIT: usize = 1000;
/// Largest listing (bytes of JSON): some 200,000 API keys; what is larger would take the memory of the process.
const MAX_LISTING_BYTES: usize = 128 * 1024 * 1024;
/// The name of an organization's default workspace, which cannot be renamed (workspaces guide, "Default Workspace").
pub const DEFAULT_WORKSPACE: &str = "Default";

/// A whole listing.
#[derive(Debug)]
pub struct Listing {
    /// What was listed.
    pub collection: Collection,
    /// The resources in the list's order, each with the time of its page (ms since 1970).
    pub resources: Vec<(Resource, i64)>,
    /// How many pages it took.
    pub pages: i64,
    /// Query parameters that the server honoured, cursors aside.
    pub parameters: BTreeMap<String, String>,
    /// `first_id` of the first page.
    pub first_cursor: Option<String>,
    /// `last_id` of the last page.
    pub last_cursor: Option<String>,
    /// `request-id` of the first page.
    pub first_request_id: Option<String>,
    /// `request-id` of the last page.
    pub last_request_id: Option<String>,
    /// When the first request was sent (ms since 1970).
    pub started_ts_ms: i64,
    /// When the last page was there (ms since 1970).
    pub ended_ts_ms: i64,
}

/// Why pages make no whole listing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Flaw {
    /// An answer is no page.
    #[error(transparent)]
    NoPage(#[from] NoPage),
    /// A row is no resource.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// More is promised, but not where.
    #[error("a page says that more follows and gives no last_id")]
    NoCursor,
    /// The pages go in a circle.
    #[error("a page gives a last_id that an earlier page gave")]
    RepeatedCursor,
    /// More was promised and nothing came: the cursor's object may have gone, and the rest with it.
    #[error("an empty page followed one that said that more follows")]
    EmptyPage,
    /// A full page that does not say whether more follows.
    #[error("a full page does not say whether more follows")]
    NoEnd,
    /// One resource twice, in two states: no moment had both.
    #[error("the resource {0} is listed twice and differs")]
    Contradiction(String),
    /// Larger than a process should hold.
    #[error("the listing is larger than {MAX_LISTING_BYTES} bytes")]
    TooLarge,
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Ask for what follows this cursor.
    After(String),
    /// That was the last page.
    Whole,
}

/// Pages on their way to a listing. Pure.
#[derive(Debug)]
struct Assembly {
    listing: Listing,
    positions: BTreeMap<String, usize>,
    cursors: BTreeSet<String>,
    bytes: usize,
}

/// Lists a collection whole.
pub async fn list(admin: &mut Admin, collection: &Collection) -> Result<Listing, Error> {
    match list_once(admin, collection).await {
        Err(Error::FailListing(failure))
            if *collection == Collection::Workspaces
                && admin.takes_include_default()
                && failure.complains_of("include_default") =>
        {
            admin.drop_include_default();
            list_once(admin, collection).await
        }
        result => result,
    }
}

async fn list_once(admin: &mut Admin, collection: &Collection) -> Result<Listing, Error> {
    let parameters = parameters(collection, admin.takes_include_default());
    let mut assembly = Assembly::new(collection.clone(), now_ms());
    let mut after_id: Option<String> = None;
    loop {
        let mut query: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query.extend(after_id.as_deref().map(|after_id| ("after_id", after_id)));
        let answer = admin.get(&path(collection), &query).await?;
        let request_id = answer.request_id.clone();
        match assembly.take(answer) {
            Ok(Next::After(cursor)) => after_id = Some(cursor),
            Ok(Next::Whole) => return Ok(assembly.finish(&parameters)),
            Err(flaw) => {
                return Err(Error::FailListing(Failure::of_answer(request_id, flaw.to_string())));
            }
        }
    }
}

/// Of a collection, after `/v1/organizations/`.
pub(crate) fn path(collection: &Collection) -> Vec<&str> {
    match collection {
        Collection::Organization => vec!["me"],
        Collection::Users => vec!["users"],
        Collection::Workspaces => vec!["workspaces"],
        Collection::ApiKeys => vec!["api_keys"],
        Collection::Members(workspace_id) => vec!["workspaces", workspace_id, "members"],
    }
}

fn parameters(collection: &Collection, include_default: bool) -> Vec<(&'static str, String)> {
    let is_true = || "true".to_owned();
    match collection {
        Collection::Organization => Vec::new(),
        Collection::Workspaces => {
            let mut parameters = vec![("limit", LIMIT.to_string()), ("include_archived", is_true())];
            if include_default {
                parameters.push(("include_default", is_true()));
            }
            parameters
        }
        Collection::Users | Collection::ApiKeys | Collection::Members(_) => {
            vec![("limit", LIMIT.to_string())]
        }
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Assembly {
    fn new(collection: Collection, started_ts_ms: i64) -> Self {
        let listing = Listing {
            collection,
            resources: Vec::new(),
            pages: 0,
            parameters: BTreeMap::new(),
            first_cursor: None,
            last_cursor: None,
            first_request_id: None,
            last_request_id: None,
            started_ts_ms,
            ended_ts_ms: started_ts_ms,
        };
        Self { listing, positions: BTreeMap::new(), cursors: BTreeSet::new(), bytes: 0 }
    }

    /// Takes the next page.
    fn take(&mut self, answer: Answer) -> Result<Next, Flaw> {
        self.bytes += answer.body.len();
        if self.bytes > MAX_LISTING_BYTES {
            return Err(Flaw::TooLarge);
        }
        let page = match self.listing.collection {
            Collection::Organization => single(&answer.body)?,
            _ => page::read(&answer.body)?,
        };
        drop(answer.body);
        let is_first = self.listing.pages == 0;
        let rows = page.data.len();
        if !is_first && rows == 0 {
            return Err(Flaw::EmptyPage);
        }
        let observed_ts_ms = answer.received.as_millisecond();
        for row in page.data {
            self.take_row(row, observed_ts_ms)?;
        }
        let listing = &mut self.listing;
        listing.pages += 1;
        listing.ended_ts_ms = observed_ts_ms;
        listing.last_request_id.clone_from(&answer.request_id);
        listing.last_cursor.clone_from(&page.last_id);
        if is_first {
            listing.first_cursor = page.first_id;
            listing.first_request_id = answer.request_id;
        }
        match (page.has_more, page.last_id) {
            (Some(false), _) => Ok(Next::Whole),
            (None, _) if rows < LIMIT => Ok(Next::Whole),
            (None, _) => Err(Flaw::NoEnd),
            (Some(true), _) if rows == 0 => Err(Flaw::EmptyPage),
            (Some(true), None) => Err(Flaw::NoCursor),
            (Some(true), Some(cursor)) if self.cursors.contains(&cursor) => Err(Flaw::RepeatedCursor),
            (Some(true), Some(cursor)) => {
                self.cursors.insert(cursor.clone());
                Ok(Next::After(cursor))
            }
        }
    }

    /// A list that changes while it is paged may bring a row twice; the same state twice is one row.
    fn take_row(&mut self, row: Json, observed_ts_ms: i64) -> Result<(), Flaw> {
        let resource = resource::read(&self.listing.collection, row)?;
        let resources = &mut self.listing.resources;
        match self.positions.get(resource.id()) {
            Some(position) if resources[*position].0 == resource => Ok(()),
            Some(_) => Err(Flaw::Contradiction(resource.id().to_owned())),
            None => {
                self.positions.insert(resource.id().to_owned(), resources.len());
                resources.push((resource, observed_ts_ms));
                Ok(())
            }
        }
    }

    fn finish(mut self, sent: &[(&'static str, String)]) -> Listing {
        let has_default = self.listing.resources.iter().any(|(resource, _)| is_default(resource));
        // Older servers ignore `include_default`. It was honoured if it brought the default workspace: every
        // organization has one.
        let honoured = |(name, _): &&(&str, String)| *name != "include_default" || has_default;
        self.listing.parameters =
            sent.iter().filter(honoured).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.listing
    }
}

/// `/me` is no list, but one object.
fn single(body: &[u8]) -> Result<Page, NoPage> {
    let row = Json::parse(body)?;
    Ok(Page { data: vec![row], has_more: Some(false), first_id: None, last_id: None })
}

/// Whether it is the default workspace, as far as anyone can tell: nothing but the name says so.
pub(crate) fn is_default(resource: &Resource) -> bool {
    resource.workspace.as_ref().is_some_and(|workspace| {
        workspace.name.as_deref() == Some(DEFAULT_WORKSPACE) && workspace.archived_at.is_none()
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use schemas::collection::Collection;

    use super::{Assembly, Flaw, MAX_LISTING_BYTES, Next};
    use crate::admin::Answer;

    fn page(body: &str) -> Answer {
        Answer { body: body.as_bytes().to_vec(), request_id: None, received: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_listing_may_be_as_large_as_the_bound_and_no_larger() {
        let body = r#"{"data":[],"has_more":false}"#;
        let taken = |before: usize| {
            let mut assembly = Assembly::new(Collection::Users, 0);
            assembly.bytes = before;
            assembly.take(page(body))
        };
        assert_eq!(taken(MAX_LISTING_BYTES - body.len()), Ok(Next::Whole));
        assert_eq!(taken(MAX_LISTING_BYTES - body.len() + 1), Err(Flaw::TooLarge));
    }
}
