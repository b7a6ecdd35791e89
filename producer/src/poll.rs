//! One poll: a round over all collections of one organization, between a start and an end mark.

mod round;

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemas::collection::Collection;
use schemas::raw::{Configuration, ListingOutcome, outcome};
use service::config::Organization;
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use thiserror::Error;
use uuid::Uuid;

use self::round::{Round, write_mark};
use crate::admin::{self, Admin, Failure, other_organization};
use crate::claims::Claims;
use crate::listing::{Listing, list};
use crate::publish::{self, Publisher};
use crate::raw;

/// One organization's Admin API and what is written of it.
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
    /// The organization behind the key is polled under another name: nothing was written. A person mends it.
    #[error(
        "the organization {id} is configured twice, as {other} and as {name}; it is polled as {other}: remove one of \
         the two [[organizations]], or give {name} the key of another organization"
    )]
    Shared {
        /// The organization's id.
        id: String,
        /// The name under which it is polled.
        other: String,
        /// The name under which it is not.
        name: String,
    },
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

impl Source {
    /// The organization's, asked through `admin`.
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

    /// Has the organization claimed among others of the process. One that the configuration names is claimed at once.
    #[must_use]
    pub fn claiming(mut self, claims: &Claims) -> Self {
        self.claims = claims.clone();
        if let Some(id) = &self.organization.organization_id {
            // Two names of one id are the configuration's to refuse.
            let _ = claims.claim(id, &self.organization.name);
        }
        self
    }

    /// The organization as configured.
    pub fn organization(&self) -> &Organization {
        &self.organization
    }

    /// Its id, once it is known: configured, of the newest coverage, or of an earlier answer.
    pub fn organization_id(&self) -> Option<&str> {
        self.admin.expected()
    }

    /// Says which organization the key must be of, unless that is configured, or another name has the organization.
    pub fn expect(&mut self, organization_id: &str) {
        let is_free = || self.claims.claim(organization_id, &self.organization.name).is_ok();
        if self.organization.organization_id.is_none() && is_free() {
            self.admin.expect(organization_id);
        }
    }

    /// Leaves an organization to another configured name, which is not polled now.
    pub fn leave_to(&self, other: &str, organization_id: &str) {
        // An organization that has a claim already is not left to anyone.
        let _ = self.claims.claim(organization_id, other);
    }

    /// Tells of a poll of another process that never ended: the next poll here closes it first.
    pub fn close_first(&mut self, unended: raw::Poll) {
        self.unended = Some(unended);
    }

    /// Takes from the metrics the ages of all collections but these: they are no more, or another process lists them.
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

    /// Lists a collection of this organization. Where no header says whose the answers are, `/me` is asked again before
    /// they are used: the key, or a gateway's, may have been exchanged for another organization's. That is three
    /// requests a poll. Members need it only if there are none: another organization has no workspace of that id.
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

/// Why nothing is written where neither `/me` nor a header names the organization.
pub(crate) const NOBODY_SAID: &str =
    "nobody said whose key it is, so nothing can be written under the organization's id";
/// Why a poll is closed that its process never ended, for its end mark.
const UNENDED: &str = "the producer ended, or lost Kafka, during the poll";
/// Why a poll was left, for its end mark.
pub(crate) const LEFT: &str = "the producer was asked to end, or lost the partition";

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
