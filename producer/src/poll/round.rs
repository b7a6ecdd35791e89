//! A poll in progress: from the start mark, collection by collection, to the end mark.

use std::time::{Duration, Instant, SystemTime};

use schemas::collection::{Collection, MEMBERS};
use schemas::raw::{ListingOutcome, Outcome, RawRecord, Resource};
use service::exit::one_line;
use service::progress::Progress as Bar;
use service::shutdown::CancellationToken;
use service::traces::{self, Span, SpanKind};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{Context, Error, LEFT, NOBODY_SAID, Report, Source, now_ms};
use crate::admin::{self, Failure};
use crate::error_chain::chain;
use crate::listing::Listing;
use crate::outcomes::{failed, line};
use crate::progress::{Progress, warn_if_too_long};
use crate::publish::{self, Lease, Opening, Publisher};
use crate::raw;

/// Tries to write a listing whose transaction is lost (count). Each of two producers that fence each other loses one,
/// and a third try covers a broker that was replaced in between.
const WRITE_TRIES: u32 = 3;

/// Reason of a collection that was not listed because the poll ended early.
const NOT_REACHED: &str = "the poll ended before it";

/// Ends the poll early.
pub(crate) enum Early {
    /// The poll was asked to stop.
    Left,
    /// The key is refused.
    Stopped(Failure),
    /// Kafka accepts no records.
    Kafka(publish::Error),
}

/// Why a collection was not written.
enum NotWritten {
    /// The poll was asked to stop.
    Left,
    /// The collection cannot be listed.
    Listing(admin::Error),
    /// The listing cannot be written.
    Writing(publish::Error),
}

impl NotWritten {
    /// Why the collection no longer exists, if the Admin API says that and `may_be_gone`.
    fn gone(&self, may_be_gone: bool) -> Option<&Failure> {
        match self {
            Self::Listing(admin::Error::FailListing(failure)) => {
                Some(failure).filter(|it| may_be_gone && matches!(it.status, Some(400 | 404)))
            }
            Self::Left | Self::Listing(_) | Self::Writing(_) => None,
        }
    }

    fn mark(&self, span: &Span) {
        match self {
            Self::Left => span.fail("left", LEFT),
            Self::Listing(error) => span.fail("not_listed", error),
            Self::Writing(error) => span.fail("not_written", chain(error)),
        }
    }
}

/// How many listings a poll has: the single collections, and the members of each workspace.
fn listings(workspaces: usize) -> u64 {
    u64::try_from(Collection::SINGLE.len() + workspaces).unwrap_or(u64::MAX)
}

/// A poll in progress.
pub(crate) struct Round<'a> {
    source: &'a mut Source,
    context: &'a Context,
    leave: &'a CancellationToken,
    poll: raw::Poll,
    outcomes: Vec<ListingOutcome>,
    began: Instant,
    /// Shown on a terminal.
    shown: Bar,
    _lease: Lease,
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        source: &'a mut Source,
        context: &'a Context,
        leave: &'a CancellationToken,
        poll: raw::Poll,
    ) -> Self {
        Self {
            _lease: context.publisher.lease(&poll.organization_id),
            shown: Bar::begin(format!("polling {}", poll.organization_name), "listings", listings(0)),
            source,
            context,
            leave,
            poll,
            outcomes: Vec::new(),
            began: Instant::now(),
        }
    }

    /// Writes the start mark.
    pub(crate) async fn start(&self, ts_ms: i64) -> Result<(), publish::Error> {
        service::failpoint!("producer::before_start_mark");
        self.mark(self.poll.start(ts_ms)).await?;
        service::failpoint!("producer::after_start_mark");
        Ok(())
    }

    /// Lists one collection after the other. The first one was listed to identify the key.
    pub(crate) async fn collections(
        &mut self,
        me: Result<Listing, admin::Error>,
        is_sure: bool,
    ) -> Result<(), Early> {
        self.take(&Collection::Organization, Some(me), false).await?;
        if !is_sure {
            for collection in Collection::SINGLE.into_iter().skip(1) {
                self.skip(&collection.to_string(), NOBODY_SAID);
            }
            self.skip(MEMBERS, NOBODY_SAID);
            return Ok(());
        }
        self.take(&Collection::Users, None, false).await?;
        let workspaces = self.take(&Collection::Workspaces, None, false).await?;
        self.take(&Collection::ApiKeys, None, false).await?;
        let Some(workspaces) = workspaces else {
            self.skip(MEMBERS, "the workspaces could not be listed");
            return Ok(());
        };
        self.members(workspaces).await
    }

    /// Lists the members of each workspace, which takes most of a poll's requests and time.
    async fn members(&mut self, workspaces: Vec<Workspace>) -> Result<(), Early> {
        let expected = self.source.admin.time_for(workspaces.len());
        let organization = self.source.organization();
        let whole_poll = self.began.elapsed().saturating_add(expected);
        let per_minute = organization.requests_per_minute;
        warn_if_too_long(&organization.name, organization.polling_interval, whole_poll, per_minute);
        let metrics = &self.context.metrics;
        let before = self.outcomes.len();
        let (count, now) = (workspaces.len(), Instant::now());
        self.shown.expect(listings(count));
        let mut progress = Progress::begin(&organization.name, metrics, before, count, expected, now);
        for (Workspace { id, may_lack_members }, listed) in workspaces.into_iter().zip(1..) {
            self.take(&Collection::Members(id), None, may_lack_members).await?;
            progress.reach(listed, Instant::now());
        }
        Ok(())
    }

    /// Lists and writes one collection, and records the outcome. Returns its workspaces if it was written.
    async fn take(
        &mut self,
        collection: &Collection,
        mut listed: Option<Result<Listing, admin::Error>>,
        may_be_gone: bool,
    ) -> Result<Option<Vec<Workspace>>, Early> {
        for tried in 1..=WRITE_TRIES {
            let not_written = match self.list_and_write_traced(collection, listed.take(), may_be_gone).await {
                Ok(workspaces) => return Ok(Some(workspaces)),
                Err(not_written) => not_written,
            };
            if let Some(failure) = not_written.gone(may_be_gone) {
                self.gone(collection, failure);
                return Ok(None);
            }
            let error = match not_written {
                NotWritten::Left => return Err(Early::Left),
                NotWritten::Listing(admin::Error::StopOrganization(failure)) => {
                    self.failed(collection, &failure);
                    return Err(Early::Stopped(failure));
                }
                NotWritten::Listing(admin::Error::FailListing(failure)) => {
                    self.failed(collection, &failure);
                    return Ok(None);
                }
                NotWritten::Writing(error) => error,
            };
            match error {
                publish::Error::Again(cause) if tried < WRITE_TRIES && !self.leave.is_cancelled() => {
                    warn!(
                        organization.name = self.poll.organization_name,
                        collection = %one_line(&collection.to_string()),
                        "listing the collection again, because its transaction was lost: {}",
                        chain(&cause)
                    );
                }
                error @ (publish::Error::Again(_) | publish::Error::FailListing(_)) => {
                    self.failed(collection, &Failure::of(chain(&error)));
                    return Ok(None);
                }
                error @ (publish::Error::StopPoll(_) | publish::Error::Clock { .. }) => {
                    self.failed(collection, &Failure::of(chain(&error)));
                    return Err(Early::Kafka(error));
                }
            }
        }
        Ok(None)
    }

    /// Lists and writes the collection within a span, whose children are the pages and the transaction.
    async fn list_and_write_traced(
        &mut self,
        collection: &Collection,
        listed: Option<Result<Listing, admin::Error>>,
        may_be_gone: bool,
    ) -> Result<Vec<Workspace>, NotWritten> {
        let span = Span::child(format!("list {}", collection.family().name()), SpanKind::Internal);
        let result = span.around(self.list_and_write(collection, listed)).await;
        span.set("collection", &collection.to_string());
        if let Err(not_written) = &result
            && not_written.gone(may_be_gone).is_none()
        {
            not_written.mark(&span);
        }
        result
    }

    /// Lists the collection, unless it is listed already, and writes it under the producer's earlier opening. Another
    /// producer that lists later and writes ends that opening, so this listing cannot follow a newer one.
    async fn list_and_write(
        &mut self,
        collection: &Collection,
        listed: Option<Result<Listing, admin::Error>>,
    ) -> Result<Vec<Workspace>, NotWritten> {
        let (result, opening) = if let Some(result) = listed {
            (result, None)
        } else {
            let organization_id = &self.poll.organization_id;
            let opening = self.context.publisher.open(organization_id).await.map_err(NotWritten::Writing)?;
            let result = tokio::select! {
                result = self.source.list(collection) => result,
                () = self.leave.cancelled() => return Err(NotWritten::Left),
            };
            (result, Some(opening))
        };
        self.write(result.map_err(NotWritten::Listing)?, opening).await.map_err(NotWritten::Writing)
    }

    /// Writes a whole listing in one transaction.
    async fn write(
        &mut self,
        listing: Listing,
        opening: Option<Opening>,
    ) -> Result<Vec<Workspace>, publish::Error> {
        let workspaces = workspaces(&listing);
        let (collection, count, pages) =
            (listing.collection.to_string(), listing.resources.len(), listing.pages);
        let ended = SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(listing.ended_ts_ms).unwrap_or_default());
        let duration_ms = listing.ended_ts_ms - listing.started_ts_ms;
        let listing_id = Uuid::new_v4().to_string();
        traces::annotate("listing.id", &listing_id);
        let records = self.poll.listing(listing, &listing_id, self.source.configuration.clone());
        self.context.publisher.write(&self.poll.organization_id, opening, records).await?;
        let organization = &self.poll.organization_name;
        info!(
            organization.name = organization,
            organization.id = self.poll.organization_id,
            collection = %one_line(&collection),
            poll.id = self.poll.poll_id,
            listing.id = listing_id,
            count,
            pages,
            duration_ms,
            "listed {} of {organization}: {count} in {pages} pages",
            one_line(&collection)
        );
        self.context.metrics.listed_whole(organization, &collection, ended);
        self.source.shown.insert(collection.clone());
        let line = ListingOutcome { listing_id: Some(listing_id), ..line(&collection, Outcome::Whole) };
        self.note(line);
        Ok(workspaces)
    }

    fn failed(&mut self, collection: &Collection, failure: &Failure) {
        let collection = collection.to_string();
        let line = failed(&collection, Outcome::Failed, failure);
        warn!(
            organization.name = self.poll.organization_name,
            collection = %one_line(&collection),
            status = failure.status,
            request.id = failure.request_id,
            "cannot list {} of {}: {}",
            one_line(&collection),
            self.poll.organization_name,
            one_line(line.reason.as_deref().unwrap_or_default())
        );
        self.note(line);
    }

    fn gone(&mut self, collection: &Collection, failure: &Failure) {
        let collection = collection.to_string();
        info!(
            organization.name = self.poll.organization_name,
            collection = %one_line(&collection),
            "{} of {} no longer exists: {failure}",
            one_line(&collection),
            self.poll.organization_name
        );
        self.note(failed(&collection, Outcome::Gone, failure));
    }

    fn skip(&mut self, collection: &str, reason: &str) {
        self.note(ListingOutcome { reason: Some(reason.to_owned()), ..line(collection, Outcome::Skipped) });
    }

    fn note(&mut self, line: ListingOutcome) {
        self.context.metrics.count_listing(
            &self.poll.organization_name,
            &line.collection,
            line.outcome.as_str(),
        );
        self.outcomes.push(line);
        self.shown.reach(u64::try_from(self.outcomes.len()).unwrap_or(u64::MAX));
    }

    /// Writes the end mark and logs how the poll ended.
    pub(crate) async fn end(mut self, early: Option<Early>) -> Result<Report, Error> {
        let (reason, stopped) = match early {
            None => (None, None),
            Some(Early::Left) => (Some(LEFT.to_owned()), None),
            Some(Early::Stopped(failure)) => (None, Some(failure.reason)),
            // The next poll's marks close this poll.
            Some(Early::Kafka(error)) => return Err(error.into()),
        };
        let is_early = reason.is_some() || stopped.is_some();
        if is_early {
            self.skip_the_rest();
        }
        let end = self.poll.end(self.outcomes.clone(), reason.clone(), now_ms());
        service::failpoint!("producer::before_end_mark");
        self.mark(end).await?;
        self.source.unended = None;
        // Only a complete poll knows which workspaces still exist.
        if !is_early && self.outcomes.iter().all(|line| line.outcome != Outcome::Skipped) {
            let alive = self.outcomes.iter().filter(|line| line.outcome != Outcome::Gone);
            let alive = alive.map(|line| line.collection.clone()).collect();
            self.source.show_only(&alive, &self.context.metrics);
        }
        let report = Report { outcomes: self.outcomes, reason, stopped };
        let organization = &self.poll.organization_name;
        let (listings, not_whole) = (report.outcomes.len(), report.failed().count());
        info!(
            organization.name = organization,
            organization.id = self.poll.organization_id,
            poll.id = self.poll.poll_id,
            listings,
            not_whole,
            complete = report.is_complete(),
            "polled {organization}: {listings} listings, {not_whole} not whole"
        );
        if let Some(reason) = &report.stopped {
            error!(
                organization.name = organization,
                "{organization} is stopped until its next poll: {reason}"
            );
        }
        Ok(report)
    }

    fn skip_the_rest(&mut self) {
        // The members of some workspaces may have been listed: the last line is about the others.
        let singles = Collection::SINGLE.iter().map(|single| single.family().name());
        for name in singles.skip(1).chain([MEMBERS]) {
            if self.outcomes.iter().all(|line| line.collection != name) {
                self.skip(name, NOT_REACHED);
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
    leave: &CancellationToken,
) -> Result<(), publish::Error> {
    let mut tried = 0;
    loop {
        tried += 1;
        match publisher.write(&mark.organization_id, None, [mark.clone()]).await {
            Err(publish::Error::Again(cause)) if tried < WRITE_TRIES && !leave.is_cancelled() => {
                warn!(
                    organization.name = mark.organization_name,
                    "writing a mark again, because its transaction was lost: {}",
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
            let Resource::Workspace(workspace) = resource else { return None };
            let is_default = listing.default_workspace_id.as_ref() == Some(&workspace.id);
            let may_lack_members = workspace.archived_at.is_some() || is_default;
            Some(Workspace { id: workspace.id, may_lack_members })
        })
        .collect()
}
