//! One poll: lists all collections of one organization, between a start mark and an end mark.

mod round;

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemas::collection::Collection;
use schemas::raw::{Configuration, ListingOutcome, Outcome, Trigger};
use service::config::Organization;
use service::metrics::Metrics;
use service::shutdown::CancellationToken;
use service::traces::{self, Span, SpanKind};
use thiserror::Error;
use uuid::Uuid;

use self::round::{Round, write_mark};
use crate::admin::{self, Admin, Failure, other_organization};
use crate::error_chain::chain;
use crate::listing::{Listing, list};
use crate::organization_claims::Claims;
use crate::publish::{self, Publisher};
use crate::raw;

/// One organization: its Admin API client, and the state that its polls share.
pub struct Source {
    organization: Organization,
    pub(crate) configuration: Configuration,
    pub(crate) admin: Admin,
    claims: Claims,
    /// A poll of the organization that has a start mark and, as far as this process knows, no end mark.
    pub(crate) unended: Option<raw::Poll>,
    /// The collections whose age the metrics show.
    pub(crate) shown: BTreeSet<String>,
}

/// What a poll needs in addition to its source.
#[derive(Clone)]
pub struct Context {
    /// Where the records go.
    pub publisher: Publisher,
    pub metrics: Metrics,
}

/// How a poll ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// A line for each collection.
    pub outcomes: Vec<ListingOutcome>,
    /// Why the poll ended early, if it did.
    pub reason: Option<String>,
    /// Why the Admin API must not be called again before the next poll: the key is refused.
    pub stopped: Option<String>,
}

impl Report {
    /// Whether every listing is whole or gone.
    pub fn is_complete(&self) -> bool {
        self.reason.is_none() && self.stopped.is_none() && self.failed().next().is_none()
    }

    /// Whether anything was listed whole.
    pub fn has_whole(&self) -> bool {
        self.outcomes.iter().any(|line| line.outcome == Outcome::Whole)
    }

    /// The collections that are neither whole nor gone.
    pub fn failed(&self) -> impl Iterator<Item = &ListingOutcome> {
        let is_well = |line: &&ListingOutcome| matches!(line.outcome, Outcome::Whole | Outcome::Gone);
        self.outcomes.iter().filter(move |line| !is_well(line))
    }
}

/// Why a poll did not start.
#[derive(Debug, Error)]
pub enum Error {
    /// The key belongs to another organization, so nothing was written. A person must fix this.
    #[error("{0}")]
    OtherOrganization(String),
    /// The key's organization is polled under another name, so nothing was written. A person must fix this.
    #[error(
        "the organization {id} is configured twice, as {other} and as {name}; it is polled as {other}: remove one of \
         the two [[organizations]], or give {name} the key of another organization"
    )]
    Shared {
        id: String,
        /// The name under which it is polled.
        other: String,
        /// The name under which it is not.
        name: String,
    },
    /// The key is refused and its organization was never known, so nothing can be written.
    #[error("{0}")]
    Refused(Failure),
    /// The key's organization cannot be determined now, so nothing can be written.
    #[error("cannot determine the organization's ID: {0}")]
    Unknown(Failure),
    /// Kafka accepts no records.
    #[error(transparent)]
    Kafka(#[from] publish::Error),
}

impl Source {
    /// The organization, called through `admin`.
    pub fn new(organization: Organization, admin: Admin) -> Self {
        let configuration = raw::configuration(&organization);
        Self {
            organization,
            configuration,
            admin,
            claims: Claims::default(),
            unended: None,
            shown: BTreeSet::new(),
        }
    }

    /// Claims the organization for this name among the organizations of the process. A configured ID is claimed at
    /// once.
    #[must_use]
    pub fn claiming(mut self, claims: &Claims) -> Self {
        self.claims = claims.clone();
        if let Some(id) = &self.organization.organization_id {
            // The configuration refuses two names for one ID.
            let _ = claims.claim(id, &self.organization.name);
        }
        self
    }

    /// The organization as configured.
    pub fn organization(&self) -> &Organization {
        &self.organization
    }

    /// Its ID, once it is known: from the configuration, the newest coverage, or an earlier response.
    pub fn organization_id(&self) -> Option<&str> {
        self.admin.expected()
    }

    /// Sets which organization the key must belong to, unless that is configured or another name has claimed it.
    pub fn expect(&mut self, organization_id: &str) {
        let is_free = || self.claims.claim(organization_id, &self.organization.name).is_ok();
        if self.organization.organization_id.is_none() && is_free() {
            self.admin.expect(organization_id);
        }
    }

    /// Claims an organization for another configured name, which is not polled now.
    pub fn leave_to(&self, other: &str, organization_id: &str) {
        // An organization that is claimed already keeps its name.
        let _ = self.claims.claim(organization_id, other);
    }

    /// Records a poll of another process that never ended. The next poll here closes it first.
    pub fn close_first(&mut self, unended: raw::Poll) {
        self.unended = Some(unended);
    }

    /// Removes the ages of all other collections from the metrics: they no longer exist, or another process lists them.
    pub(crate) fn show_only(&mut self, collections: &BTreeSet<String>, metrics: &Metrics) {
        let name = &self.organization.name;
        self.shown.retain(|collection| {
            let stays = collections.contains(collection);
            if !stays {
                metrics.forget_collection(name, collection);
            }
            stays
        });
    }

    /// Calls `/me` and remembers which organization the key belongs to. Returns why `/me` failed, if it did and the
    /// organization is known even so.
    pub async fn identify(&mut self) -> Result<Option<Failure>, Error> {
        let me = list(&mut self.admin, &Collection::Organization).await;
        self.check_identity(me.as_ref())?;
        match me {
            Err(admin::Error::StopOrganization(failure)) => Err(Error::Refused(failure)),
            Err(admin::Error::FailListing(failure)) if self.organization_id().is_none() => {
                Err(Error::Unknown(failure))
            }
            Err(admin::Error::FailListing(failure)) => Ok(Some(failure)),
            Ok(_) => Ok(None),
        }
    }

    /// Checks which organization the key belongs to, from `/me`, or else from the header of a response that refuses
    /// `/me`. Returns whether the response names one.
    fn check_identity(&mut self, me: Result<&Listing, &admin::Error>) -> Result<bool, Error> {
        let found = match me {
            Ok(listing) => listing.resources.iter().next().map(|(resource, _)| resource.id().to_owned()),
            Err(admin::Error::FailListing(failure) | admin::Error::StopOrganization(failure)) => {
                failure.organization_id.clone()
            }
        };
        let Some(found) = found else { return Ok(false) };
        match self.admin.expected() {
            Some(expected) if expected != found => {
                self.claims.release(&self.organization.name);
                Err(Error::OtherOrganization(other_organization(&found, expected)))
            }
            _ => {
                let name = &self.organization.name;
                if let Err(other) = self.claims.claim(&found, name) {
                    return Err(Error::Shared { id: found, other, name: name.clone() });
                }
                self.admin.expect(&found);
                Ok(true)
            }
        }
    }

    /// Lists a collection of this organization. If a response has no header that names its organization, `/me` is
    /// called again before the listing is used, because the key may have been replaced by another organization's. This
    /// costs three requests per poll. Members need it only if there are none: no other organization has a workspace
    /// with that ID.
    pub(crate) async fn list(&mut self, collection: &Collection) -> Result<Listing, admin::Error> {
        self.admin.watch_names();
        let listing = list(&mut self.admin, collection).await?;
        let is_telling = matches!(collection, Collection::Members(_)) && !listing.resources.is_empty();
        if !self.admin.is_unnamed() || is_telling {
            return Ok(listing);
        }
        let me = list(&mut self.admin, &Collection::Organization).await;
        match (self.check_identity(me.as_ref()), me) {
            (Ok(true), _) => Ok(listing),
            (Ok(false), Ok(_)) => Err(admin::Error::FailListing(Failure::of(NOBODY_SAID))),
            (Ok(false), Err(error)) => Err(error),
            (Err(error), _) => Err(admin::Error::StopOrganization(Failure::of(error.to_string()))),
        }
    }

    /// Polls the organization once, in a trace of its own. Leaves early, with an end mark, when `leave` is requested.
    pub async fn poll(
        &mut self,
        context: &Context,
        trigger: Trigger,
        leave: &CancellationToken,
    ) -> Result<Report, Error> {
        let span = Span::after(&[], "poll", SpanKind::Internal);
        span.set("organization.name", &self.organization.name);
        let result = span.around(self.poll_within(context, trigger, leave)).await;
        match &result {
            Ok(report) if report.is_complete() => {}
            Ok(report) => {
                span.fail("incomplete", format!("{} listings are not whole", report.failed().count()));
            }
            Err(error) => span.fail("not_polled", chain(error)),
        }
        result
    }

    async fn poll_within(
        &mut self,
        context: &Context,
        trigger: Trigger,
        leave: &CancellationToken,
    ) -> Result<Report, Error> {
        let started_ts_ms = now_ms();
        let me = tokio::select! {
            me = list(&mut self.admin, &Collection::Organization) => me,
            () = leave.cancelled() => return Ok(Report { reason: Some(LEFT.to_owned()), ..Report::default() }),
        };
        let is_sure = self.check_identity(me.as_ref())?;
        let Some(organization_id) = self.admin.expected().map(str::to_owned) else {
            return Err(match me {
                Err(admin::Error::StopOrganization(failure)) => Error::Refused(failure),
                Err(admin::Error::FailListing(failure)) => Error::Unknown(failure),
                Ok(_) => unreachable!("a response of /me names the organization"),
            });
        };
        let poll = raw::Poll {
            organization_id,
            organization_name: self.organization.name.clone(),
            poll_id: Uuid::new_v4().to_string(),
            trigger,
        };
        traces::annotate("organization.id", &poll.organization_id);
        traces::annotate("poll.id", &poll.poll_id);
        if let Some(unended) = self.unended.as_ref().filter(|it| it.organization_id == poll.organization_id) {
            let end = unended.end(Vec::new(), Some(UNENDED.to_owned()), now_ms());
            write_mark(&context.publisher, end, leave).await?;
        }
        self.unended = Some(poll.clone());
        let mut round = Round::new(self, context, leave, poll);
        round.start(started_ts_ms).await?;
        let early = round.collections(me, is_sure).await.err();
        round.end(early).await
    }
}

/// Reason when neither `/me` nor a header names the organization.
pub(crate) const NOBODY_SAID: &str =
    "no response names the key's organization, so nothing can be written under its ID";
/// Reason in the end mark of a poll whose process never ended it.
const UNENDED: &str = "the producer stopped, or lost Kafka, during the poll";
/// Reason in the end mark of a poll that ended early.
pub(crate) const LEFT: &str = "the producer was stopped, or lost the partition";

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
