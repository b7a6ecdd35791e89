//! A listing: all pages of one collection, or none.

use std::collections::{BTreeMap, BTreeSet};

use schemas::collection::Collection;
use schemas::raw::{MAX_LISTING_BYTES, MAX_LISTING_RECORDS, Resource};
use thiserror::Error;

use crate::admin::{Admin, Answer, Error, Failure};
use crate::json::Json;
use crate::page::{self, Page, PageError};
use crate::resource::{self, ResourceError};
use crate::resources::{MAX_HELD_BYTES, Met, Resources, Rows, Seen};

/// Rows of a page (count): the Admin API's maximum.
pub const LIMIT: usize = 1000;
/// The parameter that includes the default workspace (since 2026-10).
const INCLUDE_DEFAULT: &str = "include_default";
/// The name of an organization's default workspace, which cannot be renamed (workspaces guide, "Default Workspace").
const DEFAULT_WORKSPACE: &str = "Default";

#[derive(Debug)]
pub struct Listing {
    pub collection: Collection,
    /// The resources in the list's order.
    pub resources: Resources,
    /// How many pages it took.
    pub pages: i64,
    /// Query parameters that the server accepted, without cursors.
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
    /// When the last page had arrived (ms since 1970).
    pub ended_ts_ms: i64,
    /// Of workspaces: the id of the default workspace, if it is listed.
    pub default_workspace_id: Option<String>,
}

/// Why pages are not a whole listing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ListingError {
    /// A response is not a page.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A row is not a resource.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// A page says that more follows but has no cursor.
    #[error("a page says that more follows but has no last_id")]
    NoCursor,
    /// The pages form a cycle.
    #[error("a page repeats the last_id of an earlier page")]
    RepeatedCursor,
    /// More was announced and nothing followed: the object of the cursor may have been deleted, and the rest is
    /// missing.
    #[error("a page said that more follows, and the next page is empty")]
    EmptyPage,
    /// A page does not say whether more follows.
    #[error("a page has neither has_more nor last_id, so it is unknown whether more follows")]
    NoEnd,
    /// The server ignores the cursor, so paging would never end.
    #[error("a page has only rows of earlier pages")]
    NothingNew,
    /// One resource is listed twice in different states, which never existed at the same time.
    #[error("the resource {0} is listed twice and differs")]
    Contradiction(String),
    /// Larger than a processor accepts.
    #[error(
        "the listing has more than {MAX_LISTING_RECORDS} resources, or they take more than {} GiB in the raw topic or {} \
         MiB of compressed memory, which is the most that a listing may have; delete what the organization does not need, \
         or report how many it has",
        MAX_LISTING_BYTES >> 30,
        MAX_HELD_BYTES >> 20
    )]
    TooLarge,
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Request the page after this cursor.
    After(String),
    /// The listing is complete.
    Whole,
}

/// Assembles pages into a listing. Pure.
#[derive(Debug)]
struct Assembly {
    listing: Listing,
    seen: Seen,
    cursors: BTreeSet<String>,
    /// Whether the last page said that more follows.
    is_more_promised: bool,
}

/// Lists a whole collection.
pub async fn list(admin: &mut Admin, collection: &Collection) -> Result<Listing, Error> {
    match collection {
        Collection::Workspaces => list_workspaces(admin).await,
        Collection::Organization | Collection::Users | Collection::ApiKeys | Collection::Members(_) => {
            list_once(admin, collection, false).await
        }
    }
}

/// Lists the workspaces, including the default workspace if the server can list it.
async fn list_workspaces(admin: &mut Admin) -> Result<Listing, Error> {
    if !admin.takes_include_default() {
        return list_once(admin, &Collection::Workspaces, false).await;
    }
    let mut listing = match list_once(admin, &Collection::Workspaces, true).await {
        Err(Error::FailListing(failure)) if failure.complains_of(INCLUDE_DEFAULT) => {
            admin.drop_include_default();
            return list_once(admin, &Collection::Workspaces, false).await;
        }
        result => result?,
    };
    listing.default_workspace_id = default_workspace(admin, &listing).await?;
    if listing.default_workspace_id.is_none() {
        listing.parameters.remove(INCLUDE_DEFAULT);
    }
    Ok(listing)
}

/// The ID of the default workspace, if a listing with `include_default` has it. Older servers ignore the parameter, no
/// field marks the default workspace, and users may give its name to another one. It is the workspace that a listing
/// without the parameter lacks. It never changes, so a process asks only once.
async fn default_workspace(admin: &mut Admin, listing: &Listing) -> Result<Option<String>, Error> {
    let ids = |listing: &Listing, is_wanted: &dyn Fn(&Resource) -> bool| -> BTreeSet<String> {
        let wanted = listing.resources.iter().filter(|(resource, _)| is_wanted(resource));
        wanted.map(|(resource, _)| resource.id().to_owned()).collect()
    };
    if let Some(known) = admin.default_workspace() {
        return Ok(ids(listing, &|resource| resource.id() == known).pop_first());
    }
    let named = ids(listing, &may_be_default);
    if named.is_empty() {
        return Ok(None);
    }
    let ordinary = list_once(admin, &Collection::Workspaces, false).await?;
    let mut lacking = &named - &ids(&ordinary, &|resource| named.contains(resource.id()));
    match (lacking.pop_first(), lacking.is_empty()) {
        (Some(id), true) => {
            admin.set_default_workspace(&id);
            Ok(Some(id))
        }
        _ => Ok(None),
    }
}

async fn list_once(
    admin: &mut Admin,
    collection: &Collection,
    include_default: bool,
) -> Result<Listing, Error> {
    let parameters = parameters(collection, include_default);
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
            Err(error) => {
                return Err(Error::FailListing(Failure::of_answer(request_id, assembly.reason(&error))));
            }
        }
    }
}

/// The path of a collection, after `/v1/organizations/`.
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
                parameters.push((INCLUDE_DEFAULT, is_true()));
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
            resources: Resources::default(),
            pages: 0,
            parameters: BTreeMap::new(),
            first_cursor: None,
            last_cursor: None,
            first_request_id: None,
            last_request_id: None,
            started_ts_ms,
            ended_ts_ms: started_ts_ms,
            default_workspace_id: None,
        };
        Self { listing, seen: Seen::default(), cursors: BTreeSet::new(), is_more_promised: false }
    }

    /// Takes the next page.
    fn take(&mut self, answer: Answer) -> Result<Next, ListingError> {
        let page = match self.listing.collection {
            Collection::Organization => single(&answer.body)?,
            Collection::Users | Collection::Workspaces | Collection::ApiKeys | Collection::Members(_) => {
                page::read(&answer.body)?
            }
        };
        drop(answer.body);
        let is_first = self.listing.pages == 0;
        let (rows, known) = (page.data.len(), self.seen.len());
        if rows == 0 && (self.is_more_promised || page.has_more == Some(true)) {
            return Err(ListingError::EmptyPage);
        }
        let observed_ts_ms = answer.received.as_millisecond();
        let mut kept = Rows::default();
        for row in page.data {
            self.take_row(row, &mut kept)?;
        }
        let listing = &mut self.listing;
        listing.resources.push(&kept, observed_ts_ms);
        if listing.resources.are_too_large() {
            return Err(ListingError::TooLarge);
        }
        listing.pages += 1;
        listing.ended_ts_ms = observed_ts_ms;
        listing.last_request_id.clone_from(&answer.request_id);
        if is_first {
            listing.first_cursor = page.first_id;
            listing.first_request_id = answer.request_id;
        }
        if rows > 0 || is_first {
            listing.last_cursor.clone_from(&page.last_id);
        }
        // A gateway may cap pages, so a page without `has_more` is the last one only if it is empty.
        match (page.has_more, page.last_id) {
            (Some(false), _) => Ok(Next::Whole),
            (None, _) if rows == 0 => Ok(Next::Whole),
            (Some(true), None) => Err(ListingError::NoCursor),
            (None, None) => Err(ListingError::NoEnd),
            (_, Some(cursor)) if self.cursors.contains(&cursor) => Err(ListingError::RepeatedCursor),
            (_, Some(_)) if self.seen.len() == known => Err(ListingError::NothingNew),
            (has_more, Some(cursor)) => {
                self.is_more_promised = has_more == Some(true);
                self.cursors.insert(cursor.clone());
                Ok(Next::After(cursor))
            }
        }
    }

    /// The reason for an error in the page that was taken last.
    fn reason(&self, error: &ListingError) -> String {
        match error {
            ListingError::Page(PageError::Json(_)) => format!(
                "page {}: {error}; until this is fixed, nothing in the collection is deleted",
                self.listing.pages + 1
            ),
            _ => error.to_string(),
        }
    }

    /// A list that changes while it is paged may contain a row twice. The same state twice is one row.
    fn take_row(&mut self, row: Json, kept: &mut Rows) -> Result<(), ListingError> {
        let resource = resource::read(&self.listing.collection, row)?;
        match self.seen.take(&resource, kept) {
            Met::New | Met::Again => Ok(()),
            Met::Differs => Err(ListingError::Contradiction(resource.id().to_owned())),
        }
    }

    fn finish(mut self, sent: &[(&'static str, String)]) -> Listing {
        self.listing.parameters =
            sent.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.listing
    }
}

/// `/me` returns one object instead of a list.
fn single(body: &[u8]) -> Result<Page, PageError> {
    let row = Json::parse(body)?;
    Ok(Page { data: vec![row], has_more: Some(false), first_id: None, last_id: None })
}

/// Whether it may be the default workspace, which cannot be renamed or archived.
fn may_be_default(resource: &Resource) -> bool {
    let Resource::Workspace(workspace) = resource else { return false };
    workspace.name.as_deref() == Some(DEFAULT_WORKSPACE) && workspace.archived_at.is_none()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use schemas::collection::Collection;
    use schemas::raw::{MAX_LISTING_BYTES, MAX_LISTING_RECORDS};

    use super::{Assembly, LIMIT, ListingError, Next};
    use crate::admin::Answer;
    use crate::resources::{MAX_HELD_BYTES, Resources};

    fn page(body: &str) -> Answer {
        Answer { body: body.as_bytes().to_vec(), request_id: None, received: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_listing_is_at_most_as_large_as_a_processor_accepts() {
        let taken = |count, bytes, held| {
            let mut assembly = Assembly::new(Collection::Users, 0);
            assembly.listing.resources = Resources::sized(count, bytes, held);
            assembly.take(page(r#"{"data":[],"has_more":false}"#))
        };
        assert_eq!(taken(MAX_LISTING_RECORDS, MAX_LISTING_BYTES, 0), Ok(Next::Whole));
        assert_eq!(taken(MAX_LISTING_RECORDS + 1, 0, 0), Err(ListingError::TooLarge));
        assert_eq!(taken(0, MAX_LISTING_BYTES + 1, 0), Err(ListingError::TooLarge));
        assert_eq!(taken(0, 0, MAX_HELD_BYTES / 2), Ok(Next::Whole));
        assert_eq!(taken(0, 0, MAX_HELD_BYTES + 1), Err(ListingError::TooLarge));
        let reason = ListingError::TooLarge.to_string();
        assert!(reason.contains("2000000 resources") && reason.contains("2 GiB"), "{reason}");
    }

    #[test]
    fn paging_stops_if_the_server_ignores_the_cursor() {
        let mut assembly = Assembly::new(Collection::Users, 0);
        let rows = r#"{"id":"user_a"},{"id":"user_b"}"#;
        let more = |cursor: &str| format!(r#"{{"data":[{rows}],"has_more":true,"last_id":"{cursor}"}}"#);
        assert_eq!(assembly.take(page(&more("1"))), Ok(Next::After("1".to_owned())));
        assert_eq!(assembly.take(page(&more("2"))), Err(ListingError::NothingNew));
    }

    #[test]
    fn a_page_without_has_more_is_the_last_one_only_if_it_is_empty() {
        let mut assembly = Assembly::new(Collection::Users, 0);
        let row = r#"{"data":[{"id":"user_a"}],"last_id":"user_a"}"#;
        assert_eq!(assembly.take(page(row)), Ok(Next::After("user_a".to_owned())));
        assert_eq!(assembly.take(page(r#"{"data":[]}"#)), Ok(Next::Whole));
        let mut assembly = Assembly::new(Collection::Users, 0);
        assert_eq!(assembly.take(page(r#"{"data":[{"id":"user_a"}]}"#)), Err(ListingError::NoEnd));
    }

    #[test]
    fn rows_beyond_the_limit_are_kept() {
        let rows: Vec<String> = (0..=LIMIT).map(|number| format!(r#"{{"id":"user_{number}"}}"#)).collect();
        let mut assembly = Assembly::new(Collection::Users, 0);
        let body = format!(r#"{{"data":[{}],"has_more":false}}"#, rows.join(","));
        assert_eq!(assembly.take(page(&body)), Ok(Next::Whole));
        assert_eq!(assembly.listing.resources.len(), LIMIT + 1, "none is lost");
    }
}
