//! Whole polls, with librdkafka's mock cluster as the broker: which lines the end mark has.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use producer::poll::{Context, Error, Report, Source};
use producer::publish::{self, LostTransaction, Publisher};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use schemas::codec::{DecodeError, decode};
use schemas::raw::{Manifest, Mark, MarkKind, Outcome, RawBody, RawRecord, Trigger};
use schemas::topics::Topic;
use service::kafka::partition::{PartitionReader, Start};
use service::kafka::restore;
use service::metrics::Metrics;
use service::shutdown::CancellationToken;
use simulator::anthropic::{Answer, ArchivedMembers, DefaultMembers, Fault, Mutation, Settings};

use crate::end::{End, admin, config};

const PREFIX: &str = "anthropic";
const PARTITIONS: i32 = 3;

pub(crate) struct Bench {
    pub(crate) end: End,
    pub(crate) source: Source,
    context: Context,
    client: ClientConfig,
    leave: CancellationToken,
    _broker: MockCluster<'static, DefaultProducerContext>,
}

impl Bench {
    pub(crate) async fn start(settings: Settings) -> Self {
        let broker = MockCluster::new(1).expect("a mock cluster");
        broker.create_topic(&Topic::Raw.name(PREFIX), PARTITIONS, 1).expect("a topic");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker.bootstrap_servers());
        let end = End::start(settings).await;
        let source = source(&end.anthropic.url(), end.anthropic.admin_key(), "nimbus");
        let publisher = Publisher::new(client.clone(), PREFIX, PARTITIONS);
        Self {
            end,
            source,
            context: Context { publisher, metrics: Metrics::default() },
            client,
            leave: CancellationToken::new(),
            _broker: broker,
        }
    }

    pub(crate) async fn poll(&mut self) -> Result<Report, Error> {
        self.source.poll(&self.context, Trigger::Manual, &self.leave).await
    }

    pub(crate) async fn poll_of(&self, source: &mut Source) -> Result<Report, Error> {
        source.poll(&self.context, Trigger::Manual, &self.leave).await
    }

    /// The raw records, in order.
    pub(crate) async fn records(&self) -> Vec<RawRecord> {
        let client = self.client.clone();
        let partition = self.context.publisher.partition(&self.end.anthropic.organization_id());
        let read = move || {
            let topic = Topic::Raw.name(PREFIX);
            let mut reader = PartitionReader::open(&client, "test", &topic, partition, Start::Beginning)?;
            let mut records = Vec::new();
            restore(&mut reader, |record| {
                let value: RawRecord = decode(record.value.expect("no tombstone"))?;
                assert_eq!(record.key, Some(value.key().as_bytes()));
                records.push(value);
                Ok::<_, DecodeError>(())
            })?;
            anyhow::Ok(records)
        };
        tokio::task::spawn_blocking(read).await.expect("no panic").expect("records")
    }

    async fn marks(&self) -> Vec<(String, Mark)> {
        let marks = self.records().await.into_iter();
        marks.filter_map(|record| Some((record.poll_id?, record.body.mark()?))).collect()
    }
}

/// An organization of that name at that address.
pub(crate) fn source(url: &str, key: &str, name: &str) -> Source {
    let admin = admin(url, key, "env = \"KEY\"", Path::new(""));
    let mut organization =
        config(url, "env = \"KEY\"", Path::new(""), &BTreeMap::new()).organizations.remove(0);
    name.clone_into(&mut organization.name);
    Source::new(organization, admin)
}

fn mark_of(record: &RawRecord) -> Option<&Mark> {
    if let RawBody::Mark(mark) = &record.body { Some(mark) } else { None }
}

pub(crate) fn lines(report: &Report) -> Vec<(&str, Outcome)> {
    report.outcomes.iter().map(|line| (line.collection.as_str(), line.outcome.clone())).collect()
}

#[tokio::test]
async fn a_poll_is_its_whole_listings_between_two_marks() {
    let mut bench = Bench::start(Settings::default()).await;
    let report = bench.poll().await.expect("a poll");
    assert!(report.is_complete());
    let truth = bench.end.anthropic.truth();
    let records = bench.records().await;
    assert!(records.iter().all(|record| record.organization_id == truth.organization.id));
    let marks: Vec<&Mark> = records.iter().filter_map(mark_of).collect();
    assert_eq!((&marks[0].kind, &marks[1].kind, marks.len()), (&MarkKind::Start, &MarkKind::End, 2));
    assert!(marks[1].complete && marks[1].outcomes == report.outcomes);
    assert!(mark_of(&records[0]).is_some() && mark_of(&records[records.len() - 1]).is_some());
    let manifests = records.iter().filter_map(|record| match &record.body {
        RawBody::Manifest(manifest) => Some((record, manifest)),
        _ => None,
    });
    let manifests: Vec<(&RawRecord, &Manifest)> = manifests.collect();
    assert_eq!(manifests.len(), 4 + truth.workspaces.len());
    for (record, manifest) in manifests {
        let of_listing = |other: &&RawRecord| {
            other.listing_id == record.listing_id && matches!(other.body, RawBody::Resource(_))
        };
        let count = records.iter().filter(of_listing).count();
        assert_eq!(i64::try_from(count), Ok(manifest.count), "{}", record.collection);
        assert_eq!(manifest.configuration.account_name.as_deref(), Some("Nimbus Labs"));
    }
}

#[tokio::test]
async fn one_workspace_that_is_refused_fails_alone() {
    let mut bench = Bench::start(Settings::default()).await;
    let truth = bench.end.anthropic.truth();
    let workspace_id = truth.workspaces.keys().find(|id| **id != truth.default_workspace_id).expect("one");
    let collection = format!("members/{workspace_id}");
    bench.end.anthropic.fault(Fault::on(&collection, Answer::Forbidden));
    let report = bench.poll().await.expect("a poll");
    let failed: Vec<_> = report.failed().collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].collection.as_str(), failed[0].http_status), (collection.as_str(), Some(403)));
    assert!(failed[0].reason.is_some() && failed[0].request_id.is_some() && failed[0].listing_id.is_none());
    assert!(bench.records().await.iter().all(|record| record.collection != collection));
}

#[tokio::test]
async fn archived_workspaces_and_the_default_one_may_have_no_member_list() {
    for archived_members in [ArchivedMembers::NotFound, ArchivedMembers::BadRequest] {
        let default_members = DefaultMembers::NotFound;
        let settings = Settings { archived_members, default_members, workspaces: 12, ..Settings::default() };
        let mut bench = Bench::start(settings).await;
        let report = bench.poll().await.expect("a poll");
        assert!(report.is_complete());
        let truth = bench.end.anthropic.truth();
        for (id, workspace) in &truth.workspaces {
            let is_gone = workspace.archived_at.is_some() || *id == truth.default_workspace_id;
            let expected = if is_gone { Outcome::Gone } else { Outcome::Whole };
            assert!(lines(&report).contains(&(&*format!("members/{id}"), expected)), "{id}");
        }
    }
}

#[tokio::test]
async fn a_workspace_that_a_user_named_default_has_members_like_others() {
    let mut bench = Bench::start(Settings::default()).await;
    let id = "wrkspc_of_a_user".to_owned();
    let make = Mutation::MakeWorkspace { id: Some(id.clone()), name: Some("Default".to_owned()) };
    bench.end.anthropic.mutate(make).expect("a new workspace");
    let collection = format!("members/{id}");
    bench.end.anthropic.fault(Fault::on(&collection, Answer::NotFound));
    let report = bench.poll().await.expect("a poll");
    assert!(lines(&report).contains(&(&*collection, Outcome::Failed)), "{:?}", lines(&report));
}

#[tokio::test]
async fn members_are_skipped_where_the_workspaces_fail() {
    let mut bench = Bench::start(Settings::default()).await;
    bench.end.anthropic.fault(Fault::on("workspaces", Answer::InvalidJson));
    let report = bench.poll().await.expect("a poll");
    let expected = [
        ("organization", Outcome::Whole),
        ("users", Outcome::Whole),
        ("workspaces", Outcome::Failed),
        ("api_keys", Outcome::Whole),
        ("members", Outcome::Skipped),
    ];
    assert_eq!(lines(&report), expected);
    assert!(!bench.marks().await[1].1.complete);
}

#[tokio::test]
async fn a_key_that_is_refused_during_a_poll_ends_it_with_an_end_mark() {
    let mut bench = Bench::start(Settings::default()).await;
    bench.end.anthropic.fault(Fault::on("workspaces", Answer::Unauthorized));
    let report = bench.poll().await.expect("a poll");
    assert!(report.stopped.as_ref().is_some_and(|why| why.starts_with("401")));
    let expected = [
        ("organization", Outcome::Whole),
        ("users", Outcome::Whole),
        ("workspaces", Outcome::Failed),
        ("api_keys", Outcome::Skipped),
        ("members", Outcome::Skipped),
    ];
    assert_eq!(lines(&report), expected);
    let (_, mark) = &bench.marks().await[1];
    assert_eq!((mark.complete, &mark.outcomes), (false, &report.outcomes));
}

#[tokio::test]
async fn a_key_of_another_organization_writes_nothing() {
    let mut bench = Bench::start(Settings::default()).await;
    bench.source.expect("11111111-2222-4333-8444-555555555555");
    assert!(matches!(bench.poll().await, Err(Error::OtherOrganization(_) | Error::Refused(_))));
    assert_eq!(bench.records().await, []);
}

#[tokio::test]
async fn a_key_that_is_refused_from_the_start_writes_nothing() {
    let mut bench = Bench::start(Settings::default()).await;
    bench.end.anthropic.fault(Fault::on("", Answer::Unauthorized));
    assert!(matches!(bench.poll().await, Err(Error::Refused(_))));
    assert_eq!(bench.records().await, []);
}

#[tokio::test]
async fn a_poll_that_is_asked_to_leave_ends_with_its_reason() {
    let mut bench = Bench::start(Settings::default()).await;
    let late = u64::try_from(Duration::from_mins(1).as_millis()).expect("short");
    bench.end.anthropic.fault(Fault::on("users", Answer::SlowBody { milliseconds: late }));
    let Bench { end, source, context, leave, .. } = &mut bench;
    let ask = async {
        while end.anthropic.requests().iter().all(|request| !request.path.ends_with("/users")) {
            tokio::task::yield_now().await;
        }
        leave.cancel();
    };
    let (report, ()) = tokio::join!(source.poll(context, Trigger::Manual, leave), ask);
    let report = report.expect("a poll");
    assert!(report.reason.is_some() && !report.is_complete());
    assert_eq!(lines(&report)[0], ("organization", Outcome::Whole));
    assert_eq!(lines(&report)[1], ("users", Outcome::Skipped));
    assert_eq!(bench.marks().await[1].1.reason, report.reason);
}

#[tokio::test]
async fn a_poll_that_never_ended_is_closed_first() {
    let mut bench = Bench::start(Settings::default()).await;
    let id = bench.end.anthropic.organization_id();
    bench.source.close_first(producer::raw::Poll {
        organization_id: id,
        organization_name: "nimbus".to_owned(),
        poll_id: "unended".to_owned(),
        trigger: Trigger::Manual,
    });
    bench.poll().await.expect("a poll");
    bench.poll().await.expect("a poll");
    let marks = bench.marks().await;
    let kinds: Vec<MarkKind> = marks.iter().map(|(_, mark)| mark.kind.clone()).collect();
    assert_eq!(kinds, [MarkKind::End, MarkKind::Start, MarkKind::End, MarkKind::Start, MarkKind::End]);
    assert_eq!(marks[0].0, "unended");
    assert!(!marks[0].1.complete && marks[0].1.reason.is_some());
}

#[tokio::test]
async fn a_listing_is_lost_with_the_opening_that_it_began_under() {
    let mut bench = Bench::start(Settings::default()).await;
    bench.poll().await.expect("a poll");
    let (id, before) = (bench.end.anthropic.organization_id(), bench.records().await);
    let publisher = &bench.context.publisher;
    let began = publisher.open(&id).await.expect("it opens");
    publisher.write(&id, Some(began), [before[1].clone()]).await.expect("it is the same opening");
    // An error of another organization of the partition closes it as well.
    publisher.release(&id).await;
    publisher.open(&id).await.expect("it opens again");
    let late = publisher.write(&id, Some(began), before.clone()).await;
    assert!(matches!(late, Err(publish::Error::Again(LostTransaction::Reopened))), "{late:?}");
    assert_eq!(bench.records().await.len(), before.len() + 1);
}

#[tokio::test]
async fn a_producer_is_closed_once_no_poll_of_its_partition_is_under_way() {
    let bench = Bench::start(Settings::default()).await;
    let (id, publisher) = (bench.end.anthropic.organization_id(), &bench.context.publisher);
    let [one, other] = [publisher.lease(&id), publisher.lease(&id)];
    let opened = publisher.open(&id).await.expect("it opens");
    drop(one);
    publisher.release(&id).await;
    assert_eq!(publisher.open(&id).await.expect("it is open"), opened);
    drop(other);
    publisher.release(&id).await;
    assert_ne!(publisher.open(&id).await.expect("it opens again"), opened);
}

#[tokio::test]
async fn a_listing_that_is_too_large_costs_no_other_organization_its_listing() {
    let mut bench = Bench::start(Settings::default()).await;
    bench.poll().await.expect("a poll");
    let (id, before) = (bench.end.anthropic.organization_id(), bench.records().await);
    let publisher = &bench.context.publisher;
    let began = publisher.open(&id).await.expect("it opens");
    // librdkafka takes a million bytes.
    let large = RawRecord { organization_name: "n".repeat(2_000_000), ..before[1].clone() };
    let refused = publisher.write(&id, None, [before[1].clone(), large]).await;
    assert!(matches!(refused, Err(publish::Error::FailListing(_))), "{refused:?}");
    publisher.write(&id, Some(began), [before[2].clone()]).await.expect("it is the same opening");
}
