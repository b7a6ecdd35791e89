//! One poll: a round over all collections of one organization, between a start and an end mark.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use schemas::collection::Collection;
use schemas::raw::{Configuration, ListingOutcome, RawRecord, outcome};
use service::config::Organization;
use service::exit::Shutdown;
use service::metrics::Metrics;
use thiserror::Error;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::admin::{self, Admin, Failure, other_organization};
use crate::listing::{Listing, is_default, list};
use crate::publish::{self, Publisher};
use crate::raw;

/// How often a listing is made anew after its transaction was lost (count): each of two producers that fence each
/// other loses one, and a third try is for a broker that was replaced meanwhile.
const WRITE_TRIES: u32 = 3;

/// What stands in an end mark for the members of workspaces that are not known.
const MEMBERS: &str = "members";

/// One organization's Admin API and what is written of it.
pub struct Source {
    organization: Organization,
    configuration: Configuration,
    admin: Admin,
    /// A poll of the organization that has a start mark and, as far as this process knows, no end mark.
    unended: Option<raw::Poll>,
}

/// What a poll needs beside its source.
#[derive(Clone)]
pub struct Context {
    /// Where the records go.
    pub publisher: Publisher,
    /// What is counted.
    pub metrics: Metrics,
}

/// How a poll ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// A line for each collection.
    pub outcomes: Vec<ListingOutcome>,
    /// Why the poll ended early, if it did.
    pub reason: Option<String>,
    /// Why the organization is not to be asked again before its next poll: its key.
    pub stopped: Option<String>,
}

impl Report {
    /// Whether every listing is whole or gone.
    pub fn is_complete(&self) -> bool {
        self.reason.is_none() && self.stopped.is_none() && self.failed().next().is_none()
    }

    /// Whether anything was listed whole.
    pub fn has_whole(&self) -> bool {
        self.outcomes.iter().any(|line| line.outcome == outcome::WHOLE)
    }

    /// The collections that are neither whole nor gone.
    pub fn failed(&self) -> impl Iterator<Item = &ListingOutcome> {
        let is_well = |line: &&ListingOutcome| [outcome::WHOLE, outcome::GONE].contains(&&*line.outcome);
        self.outcomes.iter().filter(move |line| !is_well(line))
    }
}

/// Why there was no poll.
#[derive(Debug, Error)]
pub enum Error {
    /// Another organization is behind the key: nothing was written. A person mends it.
    #[error("{0}")]
    OtherOrganization(String),
    /// The key is refused, and whose it is was never known: nothing can be written.
    #[error("{0}")]
    Refused(Failure),
    /// Whose key it is cannot be learned now: nothing can be written.
    #[error("cannot learn the organization's id: {0}")]
    Unknown(Failure),
    /// Kafka takes nothing.
    #[error(transparent)]
    Kafka(#[from] publish::Error),
}

/// Ends the poll early.
enum Early {
    /// Asked to leave.
    Left,
    /// The key is refused.
    Stopped(Failure),
    /// Kafka takes nothing.
    Kafka(publish::Error),
}

impl Source {
    /// The organization's, asked through `admin`.
    pub fn new(organization: Organization, admin: Admin) -> Self {
        let configuration = raw::configuration(&organization);
        Self { organization, configuration, admin, unended: None }
    }

    /// The organization as configured.
    pub fn organization(&self) -> &Organization {
        &self.organization
    }

    /// The client, for questions that are no poll.
    pub(crate) fn admin(&mut self) -> &mut Admin {
        &mut self.admin
    }

    /// Its id, once it is known: configured, of the newest coverage, or of an earlier answer.
    pub fn organization_id(&self) -> Option<&str> {
        self.admin.expected()
    }

    /// Says which organization the key must be of, unless that is configured.
    pub fn expect(&mut self, organization_id: &str) {
        if self.organization.organization_id.is_none() {
            self.admin.expect(organization_id);
        }
    }

    /// Tells of a poll of another process that never ended: the next poll here closes it first.
    pub fn close_first(&mut self, unended: raw::Poll) {
        self.unended = Some(unended);
    }

    /// Asks `/me` and remembers whose key it is.
    pub async fn identify(&mut self) -> Result<(), Error> {
        let me = list(&mut self.admin, &Collection::Organization).await;
        self.check_identity(me.as_ref())?;
        match me {
            Err(admin::Error::StopOrganization(failure)) => Err(Error::Refused(failure)),
            Err(admin::Error::FailListing(failure)) if self.organization_id().is_none() => {
                Err(Error::Unknown(failure))
            }
            _ => Ok(()),
        }
    }

    /// Whose key it is, as `/me` says, or else the header of an answer that refuses `/me`; whether that is sure.
    fn check_identity(&mut self, me: Result<&Listing, &admin::Error>) -> Result<bool, Error> {
        let found = match me {
            Ok(listing) => listing.resources.first().map(|(resource, _)| resource.id().to_owned()),
            Err(admin::Error::FailListing(failure) | admin::Error::StopOrganization(failure)) => {
                failure.organization_id.clone()
            }
        };
        let Some(found) = found else { return Ok(false) };
        match self.admin.expected() {
            Some(expected) if expected != found => {
                Err(Error::OtherOrganization(other_organization(&found, expected)))
            }
            _ => {
                self.admin.expect(&found);
                Ok(true)
            }
        }
    }

    /// Polls the organization once. Leaves early, with an end mark, when `leave` is requested.
    pub async fn poll(
        &mut self,
        context: &Context,
        trigger: &'static str,
        leave: &Shutdown,
    ) -> Result<Report, Error> {
        let started_ts_ms = now_ms();
        let me = tokio::select! {
            me = list(&mut self.admin, &Collection::Organization) => me,
            () = leave.requested() => return Ok(Report { reason: Some(LEFT.to_owned()), ..Report::default() }),
        };
        let is_sure = self.check_identity(me.as_ref())?;
        let Some(organization_id) = self.admin.expected().map(str::to_owned) else {
            return Err(match me {
                Err(admin::Error::StopOrganization(failure)) => Error::Refused(failure),
                Err(admin::Error::FailListing(failure)) => Error::Unknown(failure),
                Ok(_) => unreachable!("an answer of /me has said whose key it is"),
            });
        };
        let poll = raw::Poll {
            organization_id,
            organization_name: self.organization.name.clone(),
            poll_id: Uuid::new_v4().to_string(),
            trigger,
        };
        if let Some(unended) = self.unended.take().filter(|it| it.organization_id == poll.organization_id) {
            let end = unended.end(Vec::new(), Some(UNENDED.to_owned()), now_ms());
            write_mark(&context.publisher, end, leave).await?;
        }
        self.unended = Some(poll.clone());
        let mut round = Round { source: self, context, leave, poll, outcomes: Vec::new() };
        round.mark(round.poll.start(started_ts_ms)).await?;
        let early = round.collections(me, is_sure).await.err();
        round.end(early).await
    }
}

/// Why a poll is closed that its process never ended, for its end mark.
const UNENDED: &str = "the producer ended, or lost Kafka, during the poll";
/// Why a poll was left, for its end mark.
const LEFT: &str = "the producer was asked to end, or lost the partition";

/// A poll on its way.
struct Round<'a> {
    source: &'a mut Source,
    context: &'a Context,
    leave: &'a Shutdown,
    poll: raw::Poll,
    outcomes: Vec<ListingOutcome>,
}

impl Round<'_> {
    /// Lists one collection after the other; the first one was listed to learn whose key it is.
    async fn collections(&mut self, me: Result<Listing, admin::Error>, is_sure: bool) -> Result<(), Early> {
        self.take(&Collection::Organization, Some(me), false).await?;
        if !is_sure {
            let reason = "nobody said whose key it is, so nothing can be written under the organization's id";
            for collection in [Collection::Users, Collection::Workspaces, Collection::ApiKeys] {
                self.skip(&collection.to_string(), reason);
            }
            self.skip(MEMBERS, reason);
            return Ok(());
        }
        self.take(&Collection::Users, None, false).await?;
        let workspaces = self.take(&Collection::Workspaces, None, false).await?;
        self.take(&Collection::ApiKeys, None, false).await?;
        let Some(workspaces) = workspaces else {
            self.skip(MEMBERS, "the workspaces could not be listed");
            return Ok(());
        };
        for Workspace { id, may_lack_members } in workspaces {
            self.take(&Collection::Members(id), None, may_lack_members).await?;
        }
        Ok(())
    }

    /// Lists one collection and writes it, and notes how that ended. Returns what is to be known of the workspaces, if
    /// the collection was written.
    async fn take(
        &mut self,
        collection: &Collection,
        mut listed: Option<Result<Listing, admin::Error>>,
        may_be_gone: bool,
    ) -> Result<Option<Vec<Workspace>>, Early> {
        for tried in 1..=WRITE_TRIES {
            let result = if let Some(result) = listed.take() {
                result
            } else {
                tokio::select! {
                    result = list(&mut self.source.admin, collection) => result,
                    () = self.leave.requested() => return Err(Early::Left),
                }
            };
            let listing = match result {
                Ok(listing) => listing,
                Err(admin::Error::StopOrganization(failure)) => {
                    self.failed(collection, &failure);
                    return Err(Early::Stopped(failure));
                }
                Err(admin::Error::FailListing(failure)) => {
                    if may_be_gone && matches!(failure.status, Some(400 | 404)) {
                        self.gone(collection, &failure);
                    } else {
                        self.failed(collection, &failure);
                    }
                    return Ok(None);
                }
            };
            match self.write(listing).await {
                Ok(workspaces) => return Ok(Some(workspaces)),
                Err(publish::Error::Again(cause)) if tried < WRITE_TRIES && !self.leave.is_requested() => {
                    warn!(
                        organization = self.poll.organization_name,
                        %collection,
                        "listing anew, for the transaction was lost: {}",
                        chain(&cause)
                    );
                }
                Err(error @ (publish::Error::Again(_) | publish::Error::FailListing(_))) => {
                    self.failed(collection, &Failure::of(chain(&error)));
                    return Ok(None);
                }
                Err(error @ publish::Error::StopPoll(_)) => {
                    self.failed(collection, &Failure::of(chain(&error)));
                    return Err(Early::Kafka(error));
                }
            }
        }
        Ok(None)
    }

    /// Writes a whole listing in one transaction.
    async fn write(&mut self, listing: Listing) -> Result<Vec<Workspace>, publish::Error> {
        let workspaces = workspaces(&listing);
        let (collection, count, pages) =
            (listing.collection.to_string(), listing.resources.len(), listing.pages);
        let ended = SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(listing.ended_ts_ms).unwrap_or_default());
        let duration_ms = listing.ended_ts_ms - listing.started_ts_ms;
        let listing_id = Uuid::new_v4().to_string();
        let records = self.poll.listing(listing, &listing_id, self.source.configuration.clone());
        self.context.publisher.write(&self.poll.organization_id, records).await?;
        let organization = &self.poll.organization_name;
        info!(organization, collection, listing_id, count, pages, duration_ms, "listed whole");
        self.context.metrics.listed_whole(organization, &collection, ended);
        let line = ListingOutcome { listing_id: Some(listing_id), ..line(&collection, outcome::WHOLE) };
        self.note(line);
        Ok(workspaces)
    }

    fn failed(&mut self, collection: &Collection, failure: &Failure) {
        warn!(
            organization = self.poll.organization_name,
            %collection,
            status = failure.status,
            request_id = failure.request_id,
            "not listed: {failure}"
        );
        self.note(with(line(&collection.to_string(), outcome::FAILED), failure));
    }

    fn gone(&mut self, collection: &Collection, failure: &Failure) {
        let collection = collection.to_string();
        info!(organization = self.poll.organization_name, collection, "has no members any more: {failure}");
        self.context.metrics.forget_collection(&self.poll.organization_name, &collection);
        self.note(with(line(&collection, outcome::GONE), failure));
    }

    fn skip(&mut self, collection: &str, reason: &str) {
        self.note(ListingOutcome { reason: Some(reason.to_owned()), ..line(collection, outcome::SKIPPED) });
    }

    fn note(&mut self, line: ListingOutcome) {
        self.context.metrics.count_listing(&self.poll.organization_name, &line.collection, &line.outcome);
        self.outcomes.push(line);
    }

    /// Writes the end mark and tells how the poll ended.
    async fn end(mut self, early: Option<Early>) -> Result<Report, Error> {
        let (reason, stopped) = match early {
            None => (None, None),
            Some(Early::Left) => (Some(LEFT.to_owned()), None),
            Some(Early::Stopped(failure)) => (None, Some(failure.reason)),
            // The next poll's marks close this one.
            Some(Early::Kafka(error)) => return Err(error.into()),
        };
        if let Some(why) = reason.as_deref().or(stopped.as_deref()).map(str::to_owned) {
            self.skip_the_rest(&why);
        }
        let end = self.poll.end(self.outcomes.clone(), reason.clone(), now_ms());
        self.mark(end).await?;
        self.source.unended = None;
        let report = Report { outcomes: self.outcomes, reason, stopped };
        let organization = &self.poll.organization_name;
        let (poll_id, listings) = (&self.poll.poll_id, report.outcomes.len());
        let not_whole = report.failed().count();
        info!(organization, poll_id, listings, not_whole, complete = report.is_complete(), "polled");
        if let Some(reason) = &report.stopped {
            error!(organization, "stopped until its next poll: {reason}");
        }
        Ok(report)
    }

    fn skip_the_rest(&mut self, reason: &str) {
        let named = |outcomes: &[ListingOutcome], name: &str| {
            outcomes.iter().any(|line| {
                line.collection == name || (name == MEMBERS && line.collection.starts_with("members/"))
            })
        };
        for name in ["users", "workspaces", "api_keys", MEMBERS] {
            if !named(&self.outcomes, name) {
                self.skip(name, reason);
            }
        }
    }

    /// Writes a mark, again where its transaction was lost and the partition was not.
    async fn mark(&self, mark: RawRecord) -> Result<(), publish::Error> {
        write_mark(&self.context.publisher, mark, self.leave).await
    }
}

/// Writes a mark, again where its transaction was lost and the partition was not.
pub(crate) async fn write_mark(
    publisher: &Publisher,
    mark: RawRecord,
    leave: &Shutdown,
) -> Result<(), publish::Error> {
    let mut tried = 0;
    loop {
        tried += 1;
        match publisher.write(&mark.organization_id, [mark.clone()]).await {
            Err(publish::Error::Again(cause)) if tried < WRITE_TRIES && !leave.is_requested() => {
                warn!(
                    organization = mark.organization_name,
                    "writing a mark again, for its transaction was lost: {}",
                    chain(&cause)
                );
            }
            result => return result,
        }
    }
}

/// What is to be known of a workspace before its members are listed.
struct Workspace {
    id: String,
    /// Archived, or the default workspace, which has no member list of its own.
    may_lack_members: bool,
}

fn workspaces(listing: &Listing) -> Vec<Workspace> {
    listing
        .resources
        .iter()
        .filter_map(|(resource, _)| {
            let workspace = resource.workspace.as_ref()?;
            let may_lack_members = workspace.archived_at.is_some() || is_default(resource);
            Some(Workspace { id: workspace.id.clone(), may_lack_members })
        })
        .collect()
}

fn line(collection: &str, outcome: &str) -> ListingOutcome {
    ListingOutcome {
        collection: collection.to_owned(),
        outcome: outcome.to_owned(),
        reason: None,
        http_status: None,
        request_id: None,
        listing_id: None,
    }
}

fn with(line: ListingOutcome, failure: &Failure) -> ListingOutcome {
    ListingOutcome {
        reason: Some(failure.reason.clone()),
        http_status: failure.status.map(i32::from),
        request_id: failure.request_id.clone(),
        ..line
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
