//! A poll on its way: from the start mark on, collection by collection, to the end mark.

use std::time::{Duration, Instant, SystemTime};

use schemas::collection::{Collection, MEMBERS};
use schemas::raw::{ListingOutcome, RawRecord, outcome};
use service::exit::one_line;
use service::shutdown::Shutdown;
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

/// How often a listing is made anew after its transaction was lost (count): each of two producers that fence each
/// other loses one, and a third try is for a broker that was replaced meanwhile.
const WRITE_TRIES: u32 = 3;

/// Why a collection was not listed at all in a poll that ended early; the poll says why it did.
const NOT_REACHED: &str = "the poll ended before it";

/// Ends the poll early.
pub(crate) enum Early {
    /// Asked to leave.
    Left,
    /// The key is refused.
    Stopped(Failure),
    /// Kafka takes nothing.
    Kafka(publish::Error),
}

/// Why a collection was not written.
enum Lost {
    /// Asked to leave.
    Left,
    /// It could not be listed.
    Listing(admin::Error),
    /// Kafka did not take it.
    Writing(publish::Error),
}

/// A poll on its way.
pub(crate) struct Round<'a> {
    source: &'a mut Source,
    context: &'a Context,
    leave: &'a Shutdown,
    poll: raw::Poll,
    outcomes: Vec<ListingOutcome>,
    began: Instant,
    _lease: Lease,
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        source: &'a mut Source,
        context: &'a Context,
        leave: &'a Shutdown,
        poll: raw::Poll,
    ) -> Self {
        Self {
            _lease: context.publisher.lease(&poll.organization_id),
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

    /// Lists one collection after the other; the first one was listed to learn whose key it is.
    pub(crate) async fn collections(
        &mut self,
        me: Result<Listing, admin::Error>,
        is_sure: bool,
    ) -> Result<(), Early> {
        self.take(&Collection::Organization, Some(me), false).await?;
        if !is_sure {
            for collection in [Collection::Users, Collection::Workspaces, Collection::ApiKeys] {
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

    /// Lists the members of each workspace: most of a poll's requests and time.
    async fn members(&mut self, workspaces: Vec<Workspace>) -> Result<(), Early> {
        let expected = self.source.admin.time_for(workspaces.len());
        let organization = self.source.organization();
        let whole_poll = self.began.elapsed().saturating_add(expected);
        let per_minute = organization.requests_per_minute;
        warn_if_too_long(&organization.name, organization.polling_interval, whole_poll, per_minute);
        let metrics = &self.context.metrics;
        let before = self.outcomes.len();
        let (count, now) = (workspaces.len(), Instant::now());
        let mut progress = Progress::begin(&organization.name, metrics, before, count, expected, now);
        for (Workspace { id, may_lack_members }, listed) in workspaces.into_iter().zip(1..) {
            self.take(&Collection::Members(id), None, may_lack_members).await?;
            progress.reach(listed, Instant::now());
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
            let error = match self.list_and_write(collection, listed.take()).await {
                Ok(workspaces) => return Ok(Some(workspaces)),
                Err(Lost::Left) => return Err(Early::Left),
                Err(Lost::Listing(admin::Error::StopOrganization(failure))) => {
                    self.failed(collection, &failure);
                    return Err(Early::Stopped(failure));
                }
                Err(Lost::Listing(admin::Error::FailListing(failure))) => {
                    if may_be_gone && matches!(failure.status, Some(400 | 404)) {
                        self.gone(collection, &failure);
                    } else {
                        self.failed(collection, &failure);
                    }
                    return Ok(None);
                }
                Err(Lost::Writing(error)) => error,
            };
            match error {
                publish::Error::Again(cause) if tried < WRITE_TRIES && !self.leave.is_requested() => {
                    warn!(
                        organization.name = self.poll.organization_name,
                        collection = %one_line(&collection.to_string()),
                        "listing anew, for the transaction was lost: {}",
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

    /// Lists the collection, unless it was listed, and writes it under the producer's opening from before: another
    /// producer that lists later and writes ends that, so that what is listed here cannot come behind what is newer.
    async fn list_and_write(
        &mut self,
        collection: &Collection,
        listed: Option<Result<Listing, admin::Error>>,
    ) -> Result<Vec<Workspace>, Lost> {
        let (result, opening) = if let Some(result) = listed {
            (result, None)
        } else {
            let organization_id = &self.poll.organization_id;
            let opening = self.context.publisher.open(organization_id).await.map_err(Lost::Writing)?;
            let result = tokio::select! {
                result = self.source.list(collection) => result,
                () = self.leave.requested() => return Err(Lost::Left),
            };
            (result, Some(opening))
        };
        self.write(result.map_err(Lost::Listing)?, opening).await.map_err(Lost::Writing)
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
            "listed whole"
        );
        self.context.metrics.listed_whole(organization, &collection, ended);
        self.source.shown.insert(collection.clone());
        let line = ListingOutcome { listing_id: Some(listing_id), ..line(&collection, outcome::WHOLE) };
        self.note(line);
        Ok(workspaces)
    }

    fn failed(&mut self, collection: &Collection, failure: &Failure) {
        let collection = collection.to_string();
        let line = failed(&collection, outcome::FAILED, failure);
        warn!(
            organization.name = self.poll.organization_name,
            collection = %one_line(&collection),
            status = failure.status,
            request.id = failure.request_id,
            "not listed: {}",
            one_line(line.reason.as_deref().unwrap_or_default())
        );
        self.note(line);
    }

    fn gone(&mut self, collection: &Collection, failure: &Failure) {
        let collection = collection.to_string();
        info!(
            organization.name = self.poll.organization_name,
            collection = %one_line(&collection),
            "has no members any more: {failure}"
        );
        self.note(failed(&collection, outcome::GONE, failure));
    }

    fn skip(&mut self, collection: &str, reason: &str) {
        self.note(ListingOutcome { reason: Some(reason.to_owned()), ..line(collection, outcome::SKIPPED) });
    }

    fn note(&mut self, line: ListingOutcome) {
        self.context.metrics.count_listing(&self.poll.organization_name, &line.collection, &line.outcome);
        self.outcomes.push(line);
    }

    /// Writes the end mark and tells how the poll ended.
    pub(crate) async fn end(mut self, early: Option<Early>) -> Result<Report, Error> {
        let (reason, stopped) = match early {
            None => (None, None),
            Some(Early::Left) => (Some(LEFT.to_owned()), None),
            Some(Early::Stopped(failure)) => (None, Some(failure.reason)),
            // The next poll's marks close this one.
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
        // Only a poll that came to its end knows which workspaces there still are.
        if !is_early && self.outcomes.iter().all(|line| line.outcome != outcome::SKIPPED) {
            let alive = self.outcomes.iter().filter(|line| line.outcome != outcome::GONE);
            let alive = alive.map(|line| line.collection.clone()).collect();
            self.source.show_only(&alive, &self.context.metrics);
        }
        let report = Report { outcomes: self.outcomes, reason, stopped };
        let organization = &self.poll.organization_name;
        info!(
            organization.name = organization,
            organization.id = self.poll.organization_id,
            poll.id = self.poll.poll_id,
            listings = report.outcomes.len(),
            not_whole = report.failed().count(),
            complete = report.is_complete(),
            "polled"
        );
        if let Some(reason) = &report.stopped {
            error!(organization.name = organization, "stopped until its next poll: {reason}");
        }
        Ok(report)
    }

    fn skip_the_rest(&mut self) {
        // The members of some workspaces may have been listed: the last line is about the others.
        for name in ["users", "workspaces", "api_keys", MEMBERS] {
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
    leave: &Shutdown,
) -> Result<(), publish::Error> {
    let mut tried = 0;
    loop {
        tried += 1;
        match publisher.write(&mark.organization_id, None, [mark.clone()]).await {
            Err(publish::Error::Again(cause)) if tried < WRITE_TRIES && !leave.is_requested() => {
                warn!(
                    organization.name = mark.organization_name,
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
            let workspace = resource.workspace?;
            let is_default = listing.default_workspace_id.as_ref() == Some(&workspace.id);
            let may_lack_members = workspace.archived_at.is_some() || is_default;
            Some(Workspace { id: workspace.id, may_lack_members })
        })
        .collect()
}
